//! An alert.

use serde::Serialize;

/// Something to announce: a rule began to hold, or ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// The rule's kind.
    pub kind: &'static str,
    /// `true` when it began, `false` when it is over.
    pub raised: bool,
    /// Wall-clock microseconds.
    pub time_us: i64,
    /// Path of the cgroup; empty for the machine.
    pub cgroup: String,
    /// What it is called. Hostile.
    pub name: String,
    /// In words.
    pub text: String,
}
