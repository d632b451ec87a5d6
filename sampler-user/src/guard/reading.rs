//! What the guard sees of a cgroup.

use serde::{Deserialize, Serialize};

/// The limits of a cgroup, bytes; [`UNLIMITED`](crate::model::fields::UNLIMITED) where none is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// memory.high, which throttles; v1 has none.
    pub high: u64,
    /// memory.max, which kills.
    pub max: u64,
}

impl Limits {
    /// The one that is reached first.
    pub fn first(self) -> u64 {
        self.high.min(self.max)
    }

    /// Neither below `to`.
    pub(super) fn raised(self, to: u64) -> Limits {
        Limits { high: self.high.max(to), max: self.max.max(to) }
    }
}

/// A limit above a cgroup that leaves it less than its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Above {
    /// Whose limit it is.
    pub path: String,
    /// What is left of it, bytes.
    pub room: u64,
}

/// A cgroup as it was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Path.
    pub path: String,
    /// Inode number: another one is another cgroup of the same path.
    pub id: u64,
    /// memory.current, bytes.
    pub current: u64,
    /// Page cache that reclaim can take; absent where it was not read, as far from the limit.
    pub cache: Option<u64>,
    /// Its own limits.
    pub limits: Limits,
    /// How often its own memory.max was hit so far.
    pub hits: u64,
    /// Whether the detectors call it a leak; absent when they reported nothing.
    pub leaks: Option<bool>,
    /// The ancestor's limit that leaves it least.
    pub above: Option<Above>,
    /// Whether its runtime is writing a limit just now: what is read may be older than what was given.
    pub settling: bool,
    /// Whether there is a memory.reclaim.
    pub can_reclaim: bool,
}
