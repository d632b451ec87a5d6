//! What is known of one cgroup before its limit is judged.

use serde::Serialize;

use crate::advise::demand::Demand;

/// How much the numbers rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Less than an hour.
    Low,
    /// Less than a day.
    Medium,
    /// A day or more.
    High,
}

/// A leak, as the analysis or the post-mortem of a kill found it.
#[derive(Clone, Debug, Default)]
pub struct Leak {
    /// Pace, bytes a second.
    pub bytes_per_s: Option<f64>,
    /// Seconds until the limit is reached.
    pub time_to_limit_s: Option<f64>,
}

/// Why a kill is no reason for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherKill {
    /// The cause's word.
    pub cause: String,
    /// What to do instead.
    pub instead: Option<String>,
}

/// Stalls while the limit was hit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressed {
    /// Times it was hit meanwhile.
    pub hits: u64,
    /// Seconds in which a task waited; absent without PSI.
    pub stall_s: Option<f64>,
}

/// What is known of one cgroup.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What it needs.
    pub demand: Demand,
    /// A leak.
    pub leak: Option<Leak>,
    /// Limits at which it was OOM-killed for its working set, bytes.
    pub killed_at: Vec<u64>,
    /// Kills that a higher limit does not answer.
    pub other_kills: Vec<OtherKill>,
    /// Stalls at the limit.
    pub pressed: Option<Pressed>,
}

/// An hour and a day, seconds.
const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 86_400.0;

impl Confidence {
    /// Of a time that was seen, seconds.
    pub fn of(span_s: f64) -> Confidence {
        match span_s {
            s if s < HOUR_S => Confidence::Low,
            s if s < DAY_S => Confidence::Medium,
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
