//! A kill that waits for its witnesses.

use crate::kernel::oom::witness::Expected;
use crate::model::evidence::{Constraint, OomKill, WitnessKind};

/// A kill is reported this long after it was first seen at the latest: the log is written before the counters are read, and the
/// last look at a v1 counter comes within a second.
pub(super) const SETTLE_NS: u64 = 1_200_000_000;
/// But no earlier than this: the lines of a group kill follow each other.
pub(super) const LOOK_NS: u64 = 150_000_000;

/// A kill that waits for its witnesses.
#[derive(Debug)]
pub(super) struct Pending {
    /// What is known of it.
    pub(super) kill: OomKill,
    /// When its first witness came.
    pub(super) since_ns: u64,
}

impl Pending {
    /// It was counted, and nobody named the victim.
    pub(super) fn is_anonymous(&self) -> bool {
        self.kill.victim.is_none()
    }

    /// The log names the victim and nothing else of it: after ten kills in five seconds it does no more.
    pub(super) fn is_bare(&self) -> bool {
        self.kill.victim.is_some() && self.kill.victim_cgroup.is_none() && lacks_owner(&self.kill)
    }

    /// A witness has seen it.
    pub(super) fn saw(&mut self, witness: WitnessKind) {
        if !self.kill.witnesses.contains(&witness) {
            self.kill.witnesses.push(witness);
        }
    }

    /// Whether a witness has seen it.
    pub(super) fn was_seen_by(&self, witness: WitnessKind) -> bool {
        self.kill.witnesses.contains(&witness)
    }

    /// Whether all that can see it have.
    pub(super) fn is_complete(&self, expected: Expected) -> bool {
        let all = [
            (true, WitnessKind::MemoryEvents),
            (true, WitnessKind::Vmstat),
            (expected.kmsg, WitnessKind::Kmsg),
            (expected.probe, WitnessKind::Probe),
        ];
        !lacks_owner(&self.kill) && all.iter().all(|(there, witness)| !there || self.was_seen_by(*witness))
    }
}

/// Whether nobody has shown yet whose limit it was.
pub(super) fn lacks_owner(kill: &OomKill) -> bool {
    kill.constraint == Constraint::Unknown || kill.constraint == Constraint::Memcg && kill.limit_cgroup.is_none()
}
