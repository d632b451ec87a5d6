//! What is known of one cgroup before its limit is judged.

use serde::Serialize;

use crate::advise::demand::Demand;
use crate::advise::server::floors::Floor;
use crate::analysis::pressure::{Episode, EpisodeKind};
use crate::model::units::{micros, printable};

/// How much the numbers rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Less than an hour was watched.
    Low,
    /// Less than two days: what comes once a day was seen once or not at all.
    Medium,
    /// Two days or more: a daily rhythm shows.
    High,
}

/// A leak, as the analysis or the post-mortem of a kill found it.
#[derive(Clone, Debug, Default)]
pub struct Leak {
    /// Pace, bytes a second.
    pub bytes_per_s: Option<f64>,
    /// Seconds until the limit is reached.
    pub time_to_limit_s: Option<f64>,
    /// Whose limit that is, where it is not its own: a cgroup's path, or an empty one, which is the machine.
    pub limit_owner: Option<String>,
}

impl Leak {
    /// What it comes to, and when; absent where that is not known.
    pub fn end(&self) -> Option<String> {
        let left = self.time_to_limit_s.filter(|left| left.is_finite())?;
        let what = match self.limit_owner.as_deref() {
            None => "reaches its limit".to_owned(),
            Some("") => "fills the machine".to_owned(),
            Some(path) => format!("reaches the limit of {}", printable(path)),
        };
        Some(format!("{what} in {}", micros((left * 1e6) as u64)))
    }
}

/// Why a kill is no reason for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherKill {
    /// The cause's word.
    pub cause: String,
    /// What to do instead.
    pub instead: Option<String>,
}

/// A growth that was not seen to end, and not for long enough to be called a leak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Whether a kill ended it.
    pub killed: bool,
    /// Pace, bytes a second.
    pub bytes_per_s: Option<f64>,
}

/// Stalls while the limit was hit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressed {
    /// Times it was hit meanwhile.
    pub hits: u64,
    /// Seconds in which a task waited; absent without PSI.
    pub stall_s: Option<f64>,
}

/// Least time that tasks waited at the limit to be a reason for more, seconds.
const STALL_S: f64 = 1.0;

impl Pressed {
    /// Stalls at the limit among the times of pressure of one cgroup: what is needed did not fit, and was read or swapped in again.
    pub fn of(episodes: &[Episode]) -> Option<Pressed> {
        let hard = |episode: &&Episode| {
            let felt = matches!(episode.kind, EpisodeKind::Thrashing | EpisodeKind::SwapStorm)
                || episode.kind == EpisodeKind::Stall && episode.stall_s.is_some_and(|stall| stall >= STALL_S);
            felt && episode.limit_hits > 0
        };
        episodes.iter().filter(hard).fold(None, |sum: Option<Pressed>, episode| {
            let sum = sum.unwrap_or(Pressed { hits: 0, stall_s: None });
            let stall_s = episode.stall_s.map(|stall| stall + sum.stall_s.unwrap_or(0.0)).or(sum.stall_s);
            Some(Pressed { hits: sum.hits + episode.limit_hits, stall_s })
        })
    }
}

/// What is known of one cgroup.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What it needs.
    pub demand: Demand,
    /// A leak.
    pub leak: Option<Leak>,
    /// A growth of which the cause is not known.
    pub growth: Option<Growth>,
    /// Limits at which it was OOM-killed for its working set, bytes.
    pub killed_at: Vec<u64>,
    /// Kills that a higher limit does not answer.
    pub other_kills: Vec<OtherKill>,
    /// Stalls at the limit.
    pub pressed: Option<Pressed>,
    /// The least that what it runs needs by its vendor.
    pub floor: Option<Floor>,
    /// How long it has to be watched before a limit is advised, seconds.
    pub min_watch_s: f64,
}

/// An hour and two days, seconds.
const HOUR_S: f64 = 3600.0;
const DAYS_S: f64 = 2.0 * 86_400.0;

impl Confidence {
    /// Of a time that was watched, seconds.
    pub fn of(watched_s: f64) -> Confidence {
        match watched_s {
            s if s < HOUR_S => Confidence::Low,
            s if s < DAYS_S => Confidence::Medium,
            _ => Confidence::High,
        }
    }

    /// What a margin is multiplied by: less was seen, more may come.
    pub fn widens(self) -> f64 {
        match self {
            Confidence::Low => 1.2,
            Confidence::Medium => 1.1,
            Confidence::High => 1.0,
        }
    }
}
