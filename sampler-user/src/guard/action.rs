//! What the guard does.

use crate::guard::reading::Limits;

/// What to do with a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Raise its limits.
    Raise {
        /// Before.
        from: Limits,
        /// After.
        to: Limits,
    },
    /// Set the limits back that it had.
    Restore {
        /// Before.
        from: Limits,
        /// After.
        to: Limits,
    },
    /// Reclaim this much of its page cache.
    Reclaim {
        /// Bytes.
        bytes: u64,
    },
    /// Nothing, though it is in danger, or though the guard leaves.
    Hold,
}

/// Something to do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The cgroup.
    pub path: String,
    /// What.
    pub kind: ActionKind,
    /// Why, in words.
    pub reason: String,
}
