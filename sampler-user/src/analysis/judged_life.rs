//! Each life of a cgroup by itself, as a fleet's findings have it; `analyze` shows one verdict a cgroup.

use crate::analysis::leak::track::{Life, Track};
use crate::analysis::leak::verdict::{Verdict, judge_among};
use crate::analysis::limits::Bounds;
use crate::analysis::lives::{Ended, Kill, Loop, of_tracks};
use crate::analysis::restart_loops::killed;
use crate::analysis::workloads::{Course, course};
use crate::model::recording::TimedEvent;

/// One life, judged.
#[derive(Clone, Debug)]
pub struct JudgedLife {
    /// Path of its cgroup.
    pub path: String,
    /// Inode number of its cgroup.
    pub cgroup_id: u64,
    /// First and last row, microseconds since 1970.
    pub time_us: (i64, i64),
    /// Rows.
    pub rows: u64,
    /// Its own limit, bytes; absent without one.
    pub own_limit: Option<u64>,
    /// OOM kills in it.
    pub kills: u64,
    /// Highest usage, as the mean of a block; bytes.
    pub peak: Option<u64>,
    /// How it ended.
    pub ended: Ended,
    /// What it does.
    pub verdict: Option<Verdict>,
    /// How it went by its quarters.
    pub course: Option<Course>,
}

/// The lives of a cgroup, oldest first. `of_path` is the verdict on all of them, which is that of a single one; `restarts` is what the
/// lives of its workload say together.
pub fn judged_lives(
    path: &str,
    track: &mut Track,
    events: &[TimedEvent],
    (limits, restarts): (Bounds<'_>, Option<&Loop>),
    of_path: Option<&Verdict>,
) -> Vec<JudgedLife> {
    let kill = |(time_us, kill): (i64, &crate::model::evidence::OomKill)| {
        let is_own = kill.limit_cgroup.as_deref() == Some(path);
        (kill.victim_cgroup.as_deref() == Some(path)).then(|| (time_us, kill.limit().filter(|_| is_own)))
    };
    let kills: Vec<Kill<'_>> =
        killed(events).filter_map(kill).map(|(time_us, limit)| Kill { time_us, cgroup: path, limit }).collect();
    track.lives.retain(|life| life.rows > 0);
    let ended: Vec<Ended> = of_tracks(&[(path, &*track)], &kills).iter().map(|life| life.ended).collect();
    let lives = std::mem::take(&mut track.lives);
    let is_single = lives.len() == 1;
    let last = lives.len().saturating_sub(1);
    let judge = |at: usize, life: Life| {
        let mut verdict = of_path.filter(|_| is_single).cloned();
        let mut alone = Track::default();
        alone.lives.push(life);
        if !is_single {
            verdict = judge_among(&mut alone, limits, restarts);
        }
        let life = alone.lives.pop()?;
        let ended = ended.get(at).copied().unwrap_or(Ended::Other);
        if let Some(verdict) = verdict.as_mut().filter(|_| at < last || ended == Ended::OomKill) {
            // What is over comes to no limit any more.
            (verdict.time_to_limit_s, verdict.time_to_limit_ci90) = (None, None);
        }
        let in_events = kills.iter().filter(|kill| (life.from_us..=life.to_us).contains(&kill.time_us)).count() as u64;
        let judged = JudgedLife {
            path: path.to_owned(),
            cgroup_id: life.cgroup_id,
            time_us: (life.from_us, life.to_us),
            rows: life.rows,
            own_limit: life.limit.filter(|limit| limit.is_finite()).map(|limit| limit as u64),
            kills: life.kills.max(in_events).max(u64::from(ended == Ended::OomKill)),
            peak: life.sizes().reduce(f64::max).map(|bytes| bytes as u64),
            ended,
            verdict,
            course: course(&life),
        };
        Some((judged, life))
    };
    let mut all = Vec::with_capacity(lives.len());
    for (at, life) in lives.into_iter().enumerate() {
        if let Some((judged, life)) = judge(at, life) {
            all.push(judged);
            track.lives.push(life);
        }
    }
    all
}
