//! The lives of a workload while they pass by.

use std::collections::VecDeque;

use crate::analysis::leak::blocks::Blocks;
use crate::analysis::lives::life::{EMPTIED_US, Ended, Life, full};
use crate::analysis::lives::restart_loop::{GAP_US, INCIDENT_US, Loop, MOMENT_US, judge};

/// Lives that are kept of a workload, the last ones.
pub const MOST: usize = 32;
/// Points of the life that runs.
const POINTS: usize = 32;

/// The lives of a workload while they pass by: bounded, the last [`MOST`] are kept.
///
/// Feed it in the order of time: [`Lives::begin`] when a cgroup of it is made, [`Lives::level`] with what it holds
/// (as often as wanted; without it only kills are counted), [`Lives::kill`] at an OOM kill, [`Lives::end`] when a cgroup goes.
///
/// ```
/// use sampler::analysis::lives::Lives;
///
/// let mut lives = Lives::default();
/// for n in 0..4i64 {
///     let from_us = n * 61_000_000;
///     lives.begin(from_us);
///     for s in 0..60i64 {
///         lives.level(from_us + s * 1_000_000, (8 + 2 * s as u64) << 20, Some(128 << 20));
///     }
///     lives.kill(from_us + 60_000_000, Some(128 << 20));
///     lives.end(from_us + 60_100_000);
/// }
/// let restarts = lives.restart_loop().expect("four kills");
/// assert!(restarts.leaks());
/// assert_eq!((restarts.kills, restarts.lives, lives.past().count()), (4, 4, 4));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Lives {
    past: VecDeque<Life>,
    now: Option<Now>,
    kills: u64,
    since_us: i64,
    last_us: i64,
}

#[derive(Clone, Debug)]
struct Now {
    from_us: i64,
    last_us: i64,
    points: Blocks<1>,
    last: f64,
    highest: f64,
    limit: Option<u64>,
    /// A kill that has not been followed by a fall yet, and the limit that it hit when it was its own.
    killed: Option<(i64, Option<u64>)>,
}

impl Lives {
    /// A cgroup of it appeared: the life before is over.
    pub fn begin(&mut self, time_us: i64) {
        self.close(time_us);
        self.now = Some(Now {
            from_us: time_us,
            last_us: time_us,
            points: Blocks::of(POINTS),
            last: 0.0,
            highest: 0.0,
            limit: None,
            killed: None,
        });
    }

    /// It holds so many bytes (that cannot be reclaimed, where that is known), and has this limit.
    pub fn level(&mut self, time_us: i64, held: u64, limit: Option<u64>) {
        let value = held as f64;
        let fell = self.now.as_ref().is_some_and(|now| {
            now.killed.is_some_and(|(killed, _)| time_us - killed <= EMPTIED_US) && value < 0.5 * now.highest
        });
        if self.now.is_none() || fell {
            self.begin(time_us);
        }
        let Some(now) = &mut self.now else { return };
        now.killed = now.killed.filter(|(killed, _)| time_us - killed <= EMPTIED_US);
        now.points.push(0, time_us, value);
        (now.last_us, now.last) = (time_us, value);
        now.highest = now.highest.max(value);
        now.limit = limit.or(now.limit);
    }

    /// A process of it was killed by the OOM killer. `limit`: the limit that was hit, when it is the cgroup's own.
    pub fn kill(&mut self, time_us: i64, limit: Option<u64>) {
        if self.kills > 0 && time_us - self.last_us > GAP_US {
            (self.kills, self.past) = (0, VecDeque::new());
        }
        if self.kills == 0 {
            self.since_us = time_us;
        }
        if self.kills == 0 || time_us - self.last_us > MOMENT_US {
            self.kills += 1;
        }
        self.last_us = time_us;
        if let Some(now) = &mut self.now {
            now.killed = Some((time_us, limit));
            now.limit = limit.or(now.limit);
        }
    }

    /// Its cgroup went away.
    pub fn end(&mut self, time_us: i64) {
        self.close(time_us);
    }

    fn close(&mut self, time_us: i64) {
        let Some(now) = self.now.take() else { return };
        let killed = now.killed.filter(|(killed, _)| time_us - killed <= EMPTIED_US);
        self.past.push_back(now.life(killed));
        if self.past.len() > MOST {
            self.past.pop_front();
        }
    }

    /// The lives that ended, oldest first.
    pub fn past(&self) -> impl Iterator<Item = &Life> {
        self.past.iter()
    }

    /// When the last kill was, microseconds since 1970; 0 when there was none.
    pub fn last_kill_us(&self) -> i64 {
        self.last_us
    }

    /// The restart loop; `None` before the second kill.
    pub fn restart_loop(&self) -> Option<Loop> {
        if self.kills < 2 || self.last_us - self.since_us <= INCIDENT_US {
            return None;
        }
        // The life that was just killed counts, although its cgroup may still be there.
        let last = self.now.as_ref().and_then(|now| Some(now.life(Some(now.killed?))));
        let lives: Vec<Life> = self.past.iter().cloned().chain(last).collect();
        Some(Loop {
            kills: self.kills,
            of: self.kills,
            since_us: self.since_us,
            last_us: self.last_us,
            every_s: (self.last_us - self.since_us) as f64 / 1e6 / (self.kills - 1) as f64,
            ..judge(&lives)
        })
    }
}

impl Now {
    fn life(&self, killed: Option<(i64, Option<u64>)>) -> Life {
        let to_us = killed.map_or(self.last_us, |(time, _)| time);
        let points = &self.points;
        let middle = |at: usize| points.begin_us + at as i64 * points.width_us + points.width_us / 2;
        let means = points.signal(0).iter().enumerate();
        let mut list: Vec<(i64, f64)> =
            means.filter_map(|(at, block)| Some((middle(at).min(to_us), block.mean()?))).collect();
        if let Some((_, last)) = list.last_mut().filter(|(time, _)| *time >= to_us) {
            *last = self.last;
        }
        if let Some((_, Some(limit))) = killed {
            full(&mut list, to_us, limit as f64);
        }
        let ended = if killed.is_some() { Ended::OomKill } else { Ended::Other };
        Life::of(&list, self.from_us, to_us, self.limit, ended)
    }
}
