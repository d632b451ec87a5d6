//! An OOM kill on the board.

/// A kill that an event has shown, or several of a storm.
#[derive(Clone, Debug, PartialEq)]
pub struct Killed {
    /// Rises by one with each, so that each is looked at once.
    pub number: u64,
    /// Wall-clock microseconds.
    pub time_us: i64,
    /// cgroup of the victim; empty where no witness knew it.
    pub cgroup: String,
    /// How many.
    pub count: u64,
    /// Name of the victim; untrusted.
    pub comm: Option<String>,
}
