//! One kill, one event: the merge of what the witnesses saw. Pure, with the clock passed in.
//!
//! Each witness alone is lossy: the log may be unreadable or overwritten and names the first victim of an oom.group twice,
//! counters do not name the victim and count it twice too, the host's count names nothing. A kill is known by its pid (log), or by a counter that rose.

use std::collections::{HashMap, VecDeque};

use crate::kernel::oom::fold::{Folding, Settled};
use crate::kernel::oom::ledger::Ledger;
use crate::kernel::oom::limit_hits::{LimitHit, LimitHits};
use crate::kernel::oom::pending::{LOOK_NS, Pending, SETTLE_NS, lacks_owner};
use crate::kernel::oom::witness::{Expected, Witness};
use crate::model::evidence::{Constraint, OomKill, OomReport, ProbeReport, WitnessKind};

/// A witness that comes this long after the report of its kill is still known to belong to it.
const LATE_NS: u64 = 10_000_000_000;
/// Kills that wait at once; beyond them the oldest do not wait any longer.
const MOST_PENDING: usize = 4096;
/// Of so many of the waiting kills the kernel's report and the probe's are kept.
const MOST_REPORTS: usize = 100;

/// Collects witnesses and reports each kill once. A kill waits for its own witnesses, whatever else is killed meanwhile.
#[derive(Debug, Default)]
pub struct Merge {
    expected: Expected,
    /// By the time they were first seen, nearly.
    pending: VecDeque<Pending>,
    /// Victims that were reported, by pid, and until when they are known.
    reported: HashMap<i32, u64>,
    /// By cgroup; the host's count has none.
    ledgers: HashMap<Option<String>, Ledger>,
    hits: LimitHits,
    folding: Folding,
    polled_ns: u64,
}

impl Merge {
    /// Sets which witnesses can be read.
    pub fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    /// Takes what a witness saw.
    pub fn witness(&mut self, witness: Witness) {
        let now_ns = witness.time_ns();
        match witness {
            Witness::Kmsg { time_ns, report } => self.add_report(time_ns, *report),
            Witness::Probe { report } => self.add_probe(*report),
            Witness::Counter { time_ns, since_ns, cgroup, kills, ooms, group_kills } => {
                if ooms > 0 {
                    let cgroup = cgroup.clone();
                    self.hits.add(LimitHit { cgroup, since_ns, time_ns, reaches_below: false, usage: None });
                }
                if group_kills > 0 {
                    self.count_twice(Some(&cgroup), time_ns, |ledger| ledger.groups += group_kills);
                }
                self.count(Some(&cgroup), kills, time_ns);
            }
            Witness::Notified { time_ns, cgroup, usage } => {
                let since_ns = time_ns.saturating_sub(LOOK_NS);
                self.hits.add(LimitHit { cgroup, since_ns, time_ns, reaches_below: true, usage });
            }
            Witness::Vmstat { time_ns, kills, .. } => self.count(None, kills, time_ns),
        }
        if self.pending.len() > MOST_PENDING {
            self.settle_oldest(now_ns);
        }
    }

    /// A cgroup is gone: nothing that comes of a new one at its path is of the old one.
    pub fn forget(&mut self, cgroup: &str) {
        if let Some(ledger) = self.ledgers.get_mut(&Some(cgroup.to_owned())) {
            ledger.owed.clear();
        }
    }

    /// Whether a kill waits for the host's count, which is worth a look before its turn.
    pub fn wants_vmstat(&self) -> bool {
        self.pending.iter().any(|pending| !pending.was_seen_by(WitnessKind::Vmstat))
    }

    /// When [`Merge::poll`] may have something to report.
    pub fn deadline(&self) -> Option<u64> {
        let first = self.pending.front().map(|pending| pending.since_ns.saturating_add(LOOK_NS));
        let next = first.map(|at| at.max(self.polled_ns.saturating_add(LOOK_NS)));
        next.into_iter().chain(self.folding.deadline()).min()
    }

    /// The kills that all their witnesses have seen, or that waited long enough. With `u64::MAX` all are.
    pub fn poll(&mut self, now_ns: u64) -> Settled {
        self.polled_ns = now_ns;
        self.place(now_ns);
        let expected = self.expected;
        let due = |pending: &Pending| {
            now_ns >= pending.since_ns.saturating_add(SETTLE_NS)
                || now_ns >= pending.since_ns.saturating_add(LOOK_NS) && pending.is_complete(expected)
        };
        let (due, waiting): (VecDeque<Pending>, _) = std::mem::take(&mut self.pending).into_iter().partition(due);
        self.pending = waiting;
        let mut due = Vec::from(due);
        due.sort_by_key(|pending| pending.kill.time_ns);
        for pending in due {
            self.settle(pending, now_ns);
        }
        self.expire(now_ns);
        self.folding.take(now_ns)
    }

    fn ledger(&mut self, scope: Option<&str>) -> &mut Ledger {
        // Nearly every look finds one that is there.
        self.ledgers.entry(scope.map(str::to_owned)).or_default()
    }

    /// A counter rose: by kills that wait, by kills that were reported already, or by kills that nobody else has seen.
    fn count(&mut self, scope: Option<&str>, count: u64, time_ns: u64) {
        let witness = if scope.is_some() { WitnessKind::MemoryEvents } else { WitnessKind::Vmstat };
        let mut left = count;
        let of_scope = |kill: &OomKill| scope.is_none() || kill.victim_cgroup.as_deref() == scope;
        for pending in self.pending.iter_mut() {
            if left > 0 && of_scope(&pending.kill) && !pending.was_seen_by(witness) {
                pending.saw(witness);
                left -= 1;
            }
        }
        while left > 0 && self.ledger(scope).owed.pop_front().is_some() {
            left -= 1;
        }
        if scope.is_some() {
            for pending in self.pending.iter_mut() {
                if left > 0 && pending.is_anonymous() && pending.kill.victim_cgroup.is_none() {
                    pending.kill.victim_cgroup = scope.map(str::to_owned);
                    pending.kill.time_ns = pending.kill.time_ns.min(time_ns);
                    pending.saw(witness);
                    left -= 1;
                }
            }
        }
        self.pending.extend((0..left).map(|_| Pending {
            since_ns: time_ns,
            kill: OomKill {
                time_ns,
                constraint: Constraint::Unknown,
                victim_cgroup: scope.map(str::to_owned),
                limit_cgroup: None,
                victim: None,
                witnesses: vec![witness],
                report: None,
                probe: None,
                hit: None,
            },
        }));
    }

    /// Victims more are counted twice by their cgroup and by the host: a kill that a counter has made up for one is none.
    fn count_twice(&mut self, cgroup: Option<&str>, now_ns: u64, add: impl Fn(&mut Ledger)) {
        let until_ns = now_ns.saturating_add(LATE_NS);
        // A victim whose cgroup nobody named is counted by the host alone.
        for scope in cgroup.map(Some).into_iter().chain([None]) {
            let ledger = self.ledger(scope);
            let before = ledger.twice();
            add(ledger);
            ledger.until_ns = until_ns;
            for _ in before..ledger.twice() {
                let made_up =
                    |pending: &Pending| pending.is_anonymous() && pending.kill.victim_cgroup.as_deref() == scope;
                let gone = self.pending.iter().rposition(made_up).and_then(|at| self.pending.remove(at));
                match gone {
                    None => self.ledger(scope).owed.push_back(until_ns),
                    // The host has counted something else.
                    Some(gone) if scope.is_some() && gone.was_seen_by(WitnessKind::Vmstat) => {
                        self.count(None, 1, gone.since_ns);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// A kill with a name and one that is only counted are the same: the name goes to the counted one.
    fn unite(&mut self, named: Pending, counted: usize) {
        let kept = &mut self.pending[counted];
        let both = kept.was_seen_by(WitnessKind::Vmstat) && named.was_seen_by(WitnessKind::Vmstat);
        let since_ns = kept.since_ns.min(named.since_ns);
        let counted = std::mem::replace(kept, named);
        kept.since_ns = since_ns;
        kept.kill.time_ns = kept.kill.time_ns.min(counted.kill.time_ns);
        kept.kill.victim_cgroup = counted.kill.victim_cgroup;
        counted.kill.witnesses.into_iter().for_each(|witness| kept.saw(witness));
        if both {
            self.count(None, 1, since_ns);
        }
    }

    /// A kill whose cgroup became known is the one that was counted there without a name.
    fn find_counted(&mut self, at: usize) {
        let named = &self.pending[at];
        if named.kill.victim_cgroup.is_none() || named.was_seen_by(WitnessKind::MemoryEvents) {
            return;
        }
        let is_it =
            |pending: &Pending| pending.is_anonymous() && pending.kill.victim_cgroup == named.kill.victim_cgroup;
        let Some(counted) = self.pending.iter().position(is_it) else { return };
        if let Some(named) = self.pending.remove(at) {
            self.unite(named, if counted > at { counted - 1 } else { counted });
        }
    }

    fn add_report(&mut self, time_ns: u64, report: OomReport) {
        let pid = report.victim.pid;
        let same = |pending: &Pending| pending.kill.victim.as_ref().is_some_and(|victim| victim.pid == pid);
        if let Some(at) = self.pending.iter().position(same) {
            let pending = &mut self.pending[at];
            let was_named = pending.was_seen_by(WitnessKind::Kmsg);
            let kill = &mut pending.kill;
            kill.victim_cgroup = kill.victim_cgroup.take().or_else(|| report.task_memcg.clone());
            if was_named {
                // The first victim of a group is named twice; the fuller report stays.
                if let Some(first) = &mut kill.report {
                    first.group |= report.group;
                }
                self.count_twice(report.task_memcg.as_deref(), time_ns, |ledger| ledger.repeats += 1);
                return;
            }
            kill.time_ns = kill.time_ns.min(time_ns);
            kill.victim = Some(report.victim.clone());
            if lacks_owner(kill) || report.constraint != Constraint::Unknown {
                kill.constraint = report.constraint;
                kill.limit_cgroup = report.oom_memcg.clone().or(kill.limit_cgroup.take());
            }
            kill.report = Some(Box::new(report));
            pending.saw(WitnessKind::Kmsg);
            self.find_counted(at);
            return;
        }
        if self.reported.contains_key(&pid) {
            self.count_twice(report.task_memcg.as_deref(), time_ns, |ledger| ledger.repeats += 1);
            return;
        }
        let keeps = self.pending.iter().filter(|pending| pending.kill.report.is_some()).count() < MOST_REPORTS;
        self.add(OomKill {
            time_ns,
            constraint: report.constraint,
            victim_cgroup: report.task_memcg.clone(),
            limit_cgroup: report.oom_memcg.clone(),
            victim: Some(report.victim.clone()),
            witnesses: vec![WitnessKind::Kmsg],
            report: keeps.then(|| Box::new(report)),
            probe: None,
            hit: None,
        });
    }

    fn add_probe(&mut self, report: ProbeReport) {
        // The log names the thread that was marked, which need not be the first of its process.
        let is_victim = |pid: i32| pid == report.victim.pid || pid == report.thread;
        let same = |pending: &Pending| pending.kill.victim.as_ref().is_some_and(|victim| is_victim(victim.pid));
        let request = report.request.as_ref();
        if let Some(at) = self.pending.iter().position(same) {
            let pending = &mut self.pending[at];
            if pending.was_seen_by(WitnessKind::Probe) {
                return; // another thread of the same victim
            }
            let kill = &mut pending.kill;
            kill.time_ns = kill.time_ns.min(report.time_ns);
            kill.victim_cgroup = kill.victim_cgroup.take().or_else(|| report.victim_cgroup.clone());
            if let (true, Some(request)) = (lacks_owner(kill), request) {
                kill.constraint = request.constraint;
                kill.limit_cgroup = request.limit_cgroup.clone();
            }
            kill.probe = Some(Box::new(report));
            pending.saw(WitnessKind::Probe);
            self.find_counted(at);
        } else if report.killed != Some(false)
            && ![report.victim.pid, report.thread].iter().any(|pid| self.reported.contains_key(pid))
        {
            let keeps = self.pending.iter().filter(|pending| pending.kill.probe.is_some()).count() < MOST_REPORTS;
            self.add(OomKill {
                time_ns: report.time_ns,
                constraint: request.map_or(Constraint::Unknown, |request| request.constraint),
                victim_cgroup: report.victim_cgroup.clone(),
                limit_cgroup: request.and_then(|request| request.limit_cgroup.clone()),
                victim: Some(report.victim.clone()),
                witnesses: vec![WitnessKind::Probe],
                report: None,
                probe: keeps.then(|| Box::new(report)),
                hit: None,
            });
        }
    }

    /// A victim with a name: of a kill that so far is only counted, or of a new one.
    fn add(&mut self, mut kill: OomKill) {
        let of_cgroup = |pending: &Pending| {
            pending.is_anonymous() && kill.victim_cgroup.is_some() && pending.kill.victim_cgroup == kill.victim_cgroup
        };
        let of_host = |pending: &Pending| pending.is_anonymous() && pending.kill.victim_cgroup.is_none();
        let at = self.pending.iter().position(of_cgroup).or_else(|| self.pending.iter().position(of_host));
        match at {
            Some(at) => {
                let pending = &mut self.pending[at];
                kill.time_ns = kill.time_ns.min(pending.kill.time_ns);
                kill.witnesses.append(&mut pending.kill.witnesses);
                pending.kill = kill;
            }
            None => self.pending.push_back(Pending { since_ns: kill.time_ns, kill }),
        }
    }

    /// Gives kills that the log names without their cgroup the cgroup that counted one more than was named. Of several such
    /// cgroups it is the one in which a process of that name was killed; else the count stands, without the name.
    fn place(&mut self, now_ns: u64) {
        let is_due = |pending: &Pending| now_ns >= pending.since_ns.saturating_add(SETTLE_NS / 2);
        let is_counted = |pending: &Pending| pending.is_anonymous() && pending.kill.victim_cgroup.is_some();
        let due = self.pending.iter().any(|pending| pending.is_bare() && is_due(pending));
        if !due || !self.pending.iter().any(is_counted) {
            return;
        }
        let mut cgroups: Vec<String> =
            self.pending.iter().filter(|p| is_counted(p)).filter_map(|p| p.kill.victim_cgroup.clone()).collect();
        cgroups.sort();
        cgroups.dedup();
        while let Some(at) = self.pending.iter().position(|pending| pending.is_bare() && is_due(pending)) {
            let Some(bare) = self.pending.remove(at) else { return };
            let comm = bare.kill.victim.as_ref().map_or("", |victim| victim.comm.as_str());
            let place =
                if let [only] = &cgroups[..] { Some(only.as_str()) } else { self.folding.cgroup_of(comm, &cgroups) };
            let is_there = |pending: &Pending| pending.kill.victim_cgroup.as_deref() == place;
            let there = self.pending.iter().position(|pending| is_counted(pending) && is_there(pending));
            let Some(other) = there.or_else(|| self.pending.iter().position(is_counted)) else {
                // More were named than counted: the rest is not placed.
                self.pending.insert(at, bare);
                return;
            };
            let mut bare = bare;
            if there.is_none() {
                // One of several cgroups: the count stands, the name is dropped.
                (bare.kill.victim, bare.kill.report) = (None, None);
            }
            self.unite(bare, other);
        }
    }

    fn settle(&mut self, pending: Pending, now_ns: u64) {
        let is_counted = |witness| pending.was_seen_by(witness);
        let (in_cgroup, on_host) = (is_counted(WitnessKind::MemoryEvents), is_counted(WitnessKind::Vmstat));
        let mut kill = pending.kill;
        self.hits.find_owner(&mut kill);
        let until_ns = now_ns.saturating_add(LATE_NS);
        if let Some(cgroup) = kill.victim_cgroup.as_deref().filter(|_| !in_cgroup) {
            self.ledger(Some(cgroup)).owed.push_back(until_ns);
        }
        if !on_host {
            self.ledger(None).owed.push_back(until_ns);
        }
        if let Some(victim) = &kill.victim {
            self.reported.insert(victim.pid, until_ns);
        }
        kill.witnesses.sort();
        self.folding.add(kill, now_ns);
    }

    fn settle_oldest(&mut self, now_ns: u64) {
        self.place(u64::MAX);
        for _ in 0..MOST_PENDING / 4 {
            let Some(pending) = self.pending.pop_front() else { return };
            self.settle(pending, now_ns);
        }
    }

    fn expire(&mut self, now_ns: u64) {
        self.reported.retain(|_, until_ns| *until_ns > now_ns);
        if let Some(before_ns) = now_ns.checked_sub(LATE_NS) {
            self.hits.expire(before_ns);
        }
        self.ledgers.retain(|_, ledger| ledger.expire(now_ns));
        if self.pending.is_empty() {
            // A storm is over: what it took is given back.
            self.pending.shrink_to(64);
            self.reported.shrink_to(64);
            self.hits.shrink();
            self.ledgers.shrink_to(64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::oom::tests::kmsg;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_storm_takes_a_bounded_memory_and_gives_it_back() {
        let mut merge = Merge::default();
        for i in 0..20_000u64 {
            merge.witness(kmsg(i, i as i32 + 1, "/storm"));
            assert!(merge.pending.len() <= MOST_PENDING);
        }
        let reported: u64 = [merge.poll(SECOND), merge.poll(2 * SECOND + SETTLE_NS)]
            .iter()
            .map(|settled| settled.kills.len() as u64 + settled.more.iter().map(|more| more.count).sum::<u64>())
            .sum();
        merge.poll(20 * SECOND);
        assert!(reported >= 19_000, "what is left is counted in the next second: {reported}");
        assert_eq!((merge.pending.len(), merge.reported.len(), merge.ledgers.len()), (0, 0, 0));
        assert!(merge.pending.capacity() <= 64 && merge.reported.capacity() <= 128);
    }
}
