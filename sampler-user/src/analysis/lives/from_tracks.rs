//! The lives of a workload from what was recorded of its cgroups.

use crate::analysis::leak::blocks::Block;
use crate::analysis::leak::signal::Signal;
use crate::analysis::leak::track;
use crate::analysis::lives::life::{EMPTIED_US, Ended, Life, full};

/// A life that was tracked, whose end was this kill of its own limit (`Some(Some(limit))`), of another one (`Some(None)`), or none.
fn of_track(life: &track::Life, killed: Option<(i64, Option<u64>)>, ended: Ended) -> Life {
    let blocks = &life.blocks;
    let signal = blocks.signal(Signal::Footprint as usize);
    let middle = |at: usize| blocks.begin_us + at as i64 * blocks.width_us + blocks.width_us / 2;
    let (from_us, to_us) = (life.from_us, killed.map_or(life.to_us, |(time, _)| time.max(life.from_us)));
    let mut points: Vec<(i64, f64)> = signal
        .iter()
        .enumerate()
        .filter_map(|(at, block)| Some((middle(at).min(to_us), Block::mean(block)?)))
        .collect();
    let read = life.limit.filter(|limit| limit.is_finite()).map(|limit| limit as u64);
    let own = killed.and_then(|(_, limit)| limit);
    if let Some(limit) = own {
        // At that moment the limit was full, whatever was read last.
        let cache = blocks.means(Signal::Cache as usize).next_back().unwrap_or(0.0);
        full(&mut points, to_us, (limit as f64 - cache).max(0.0));
    }
    Life::of(&points, from_us, to_us, own.or(read), ended)
}

/// An OOM kill of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kill<'a> {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// cgroup of the victim.
    pub cgroup: &'a str,
    /// The limit, when it was the cgroup's own.
    pub limit: Option<u64>,
}

/// The lives of one workload from the tracks of its cgroups, by path, and its kills, in the order of time.
pub fn of_tracks(tracks: &[(&str, &track::Track)], kills: &[Kill<'_>]) -> Vec<Life> {
    let mut all = Vec::new();
    for (path, track) in tracks {
        let lives: Vec<&track::Life> = track.lives.iter().filter(|life| life.rows > 0).collect();
        for (at, life) in lives.iter().enumerate() {
            // The next life of the path begins after the kill that ended this one.
            let next_us = lives.get(at + 1).map_or(i64::MAX, |next| next.from_us);
            let until = next_us.min(life.to_us.saturating_add(EMPTIED_US));
            let is_its = |kill: &&Kill<'_>| kill.cgroup == *path && (life.from_us..=until).contains(&kill.time_us);
            let kill = kills.iter().rev().find(is_its).filter(|kill| {
                // What goes on for long after a kill was not ended by it.
                life.to_us - kill.time_us <= EMPTIED_US
            });
            let is_last = at + 1 == lives.len();
            let killed = kill.map(|kill| (kill.time_us, kill.limit));
            // Without an event the counter shows it; a life without another after it may go on.
            let counted = killed.is_none() && life.kills > 0 && !is_last;
            let ended = match () {
                () if killed.is_some() || counted => Ended::OomKill,
                () if is_last => Ended::Runs,
                () => Ended::Other,
            };
            let killed = killed.or(counted.then_some((life.to_us, None)));
            all.push(of_track(life, killed, ended));
        }
    }
    all.sort_by_key(|life| life.from_us);
    all
}
