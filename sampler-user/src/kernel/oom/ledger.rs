//! What a counter counts that is no new kill.

use std::collections::VecDeque;

/// What one counter counts that is no new kill.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Kills that were reported before the counter showed them, and victims that it counts twice; until when each is waited for.
    pub(super) owed: VecDeque<u64>,
    /// The first victim of a group is counted twice: groups by the counter of groups, and by the log that names it twice.
    pub(super) groups: u64,
    pub(super) repeats: u64,
    /// Until when these are remembered.
    pub(super) until_ns: u64,
}

impl Ledger {
    /// Victims that are counted twice, as far as they are known.
    pub(super) fn twice(&self) -> u64 {
        self.groups.max(self.repeats)
    }

    /// Forgets what is waited for no longer; `false` when nothing is left.
    pub(super) fn expire(&mut self, now_ns: u64) -> bool {
        self.owed.retain(|until_ns| *until_ns > now_ns);
        !self.owed.is_empty() || self.until_ns > now_ns
    }
}
