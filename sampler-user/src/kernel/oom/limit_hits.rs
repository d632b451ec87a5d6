//! Whose limit was hit: OOMs that a cgroup counted or was notified of.

use std::collections::VecDeque;

use crate::kernel::oom::pending::{LOOK_NS, SETTLE_NS, lacks_owner};
use crate::model::evidence::{Constraint, OomKill, Usage};
use crate::model::paths::is_below;

/// OOMs by the limit of one cgroup.
#[derive(Debug)]
pub(super) struct LimitHit {
    /// Whose.
    pub(super) cgroup: String,
    /// When it was read before, monotonic nanoseconds.
    pub(super) since_ns: u64,
    /// When it was read or notified, monotonic nanoseconds.
    pub(super) time_ns: u64,
    /// Whether those below were notified as well.
    pub(super) reaches_below: bool,
    /// What it held then, and its limit.
    pub(super) usage: Option<Usage>,
}

/// The OOMs of the last seconds, oldest first.
#[derive(Debug, Default)]
pub(super) struct LimitHits(VecDeque<LimitHit>);

impl LimitHits {
    /// Remembers one.
    pub(super) fn add(&mut self, hit: LimitHit) {
        self.0.push_back(hit);
    }

    /// Whose limit it was: by the local counts of OOMs, where only one cgroup comes into question, or by the notifications of v1,
    /// of which the topmost is the limit's.
    pub(super) fn find_owner(&self, kill: &mut OomKill) {
        let Some(victim) = kill.victim_cgroup.as_deref().filter(|_| lacks_owner(kill)) else { return };
        let near = |hit: &&LimitHit| {
            let after_ns = if hit.reaches_below { 2 * LOOK_NS } else { SETTLE_NS };
            is_below(victim, &hit.cgroup)
                && hit.since_ns <= kill.time_ns.saturating_add(LOOK_NS)
                && kill.time_ns <= hit.time_ns.saturating_add(after_ns)
        };
        let by = |reaches_below: bool| {
            let of = self.0.iter().filter(move |hit| hit.reaches_below == reaches_below).filter(near);
            let mut owners: Vec<&str> = of.map(|hit| hit.cgroup.as_str()).collect();
            // Those above the victim, topmost first.
            owners.sort_unstable_by_key(|owner| owner.len());
            owners.dedup();
            owners
        };
        let counted = by(false);
        let owner = if let [owner] = counted[..] { Some(owner) } else { by(true).first().copied() };
        if let Some(owner) = owner {
            let read = self.0.iter().filter(near).filter(|hit| hit.cgroup == owner);
            kill.hit = read.rev().find_map(|hit| hit.usage);
            kill.constraint = Constraint::Memcg;
            kill.limit_cgroup = Some(owner.to_owned());
        }
    }

    /// Forgets those of before a time.
    pub(super) fn expire(&mut self, before_ns: u64) {
        while self.0.front().is_some_and(|hit| hit.time_ns <= before_ns) {
            self.0.pop_front();
        }
    }

    /// Returns what a storm took.
    pub(super) fn shrink(&mut self) {
        self.0.shrink_to(64);
    }
}
