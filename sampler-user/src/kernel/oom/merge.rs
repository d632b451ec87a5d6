//! One kill, one event: the merge of what the witnesses saw. Pure, with the clock passed in.
//!
//! Each witness alone is lossy: the log may be unreadable or overwritten and names the first victim of an oom.group twice,
//! counters do not name the victim and count it twice too, the host's count names nothing. A kill is known by its pid (log), or by a counter that rose.

use std::collections::{HashMap, VecDeque};

use crate::kernel::oom::fold::Folding;
use crate::model::evidence::{Constraint, MoreOomKills, OomKill, OomReport, ProbeReport, Usage, WitnessKind};
use crate::model::paths::is_below;

/// What a witness saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Witness {
    /// The kernel's log.
    Kmsg {
        /// When it was read, monotonic nanoseconds.
        time_ns: u64,
        /// The report.
        report: Box<OomReport>,
    },
    /// The kernel probe.
    Probe {
        /// What it saw.
        report: Box<ProbeReport>,
    },
    /// memory.events.local (v1: memory.oom_control) of one cgroup, without descendants.
    Counter {
        /// When it was read, monotonic nanoseconds.
        time_ns: u64,
        /// When it was read before: the kills lie between.
        since_ns: u64,
        /// The cgroup.
        cgroup: String,
        /// Victims in this cgroup.
        kills: u64,
        /// OOMs by this cgroup's own limit.
        ooms: u64,
        /// Group kills.
        group_kills: u64,
    },
    /// The OOM notification of cgroup v1 (memory.oom_control by eventfd), which the cgroup whose limit was hit gets before a kill, and
    /// all below it.
    Notified {
        /// When it came, monotonic nanoseconds.
        time_ns: u64,
        /// Who got it.
        cgroup: String,
        /// What it held then, and its limit.
        usage: Option<Usage>,
    },
    /// The host's count.
    Vmstat {
        /// When it was read, monotonic nanoseconds.
        time_ns: u64,
        /// When it was read before.
        since_ns: u64,
        /// Victims on the whole host.
        kills: u64,
    },
}

impl Witness {
    fn time_ns(&self) -> u64 {
        match self {
            Witness::Kmsg { time_ns, .. }
            | Witness::Counter { time_ns, .. }
            | Witness::Notified { time_ns, .. }
            | Witness::Vmstat { time_ns, .. } => *time_ns,
            Witness::Probe { report } => report.time_ns,
        }
    }
}

/// A kill is reported this long after it was first seen at the latest: the log is written before the counters are read, and the
/// last look at a v1 counter comes within a second.
const SETTLE_NS: u64 = 1_200_000_000;
/// But no earlier than this: the lines of a group kill follow each other.
const LOOK_NS: u64 = 150_000_000;
/// A witness that comes this long after the report of its kill is still known to belong to it.
const LATE_NS: u64 = 10_000_000_000;
/// Kills that wait at once; beyond them the oldest do not wait any longer.
const MOST_PENDING: usize = 4096;
/// Of so many of the waiting kills the kernel's report and the probe's are kept.
const MOST_REPORTS: usize = 100;

/// What is ready to be reported.
#[derive(Debug, Default, PartialEq)]
pub struct Settled {
    /// Kills, each once, by time.
    pub kills: Vec<OomKill>,
    /// What a storm brings beyond the kills that are reported one by one.
    pub more: Vec<MoreOomKills>,
}

/// Which witnesses there are beside the counters. A kill that all of them have seen need not wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The kernel's log can be read.
    pub kmsg: bool,
    /// The probe sees victims.
    pub probe: bool,
}

/// What one counter counts that is no new kill.
#[derive(Debug, Default)]
struct Ledger {
    /// Kills that were reported before the counter showed them, and victims that it counts twice; until when each is waited for.
    owed: VecDeque<u64>,
    /// The first victim of a group is counted twice: groups by the counter of groups, and by the log that names it twice.
    groups: u64,
    repeats: u64,
    /// Until when these are remembered.
    until_ns: u64,
}

impl Ledger {
    /// Victims that are counted twice, as far as they are known.
    fn twice(&self) -> u64 {
        self.groups.max(self.repeats)
    }
}

/// OOMs by the limit of one cgroup.
#[derive(Debug)]
struct Ooms {
    cgroup: String,
    since_ns: u64,
    time_ns: u64,
    /// Whether those below were notified as well.
    reaches_below: bool,
    usage: Option<Usage>,
}

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
    ooms: VecDeque<Ooms>,
    folding: Folding,
    polled_ns: u64,
}

/// A kill that waits for its witnesses.
#[derive(Debug)]
struct Pending {
    kill: OomKill,
    /// When its first witness came.
    since_ns: u64,
}

impl Pending {
    fn is_anonymous(&self) -> bool {
        self.kill.victim.is_none()
    }

    /// The log names the victim and nothing else of it: after ten kills in five seconds it does no more.
    fn is_bare(&self) -> bool {
        self.kill.victim.is_some() && self.kill.victim_cgroup.is_none() && lacks_owner(&self.kill)
    }

    fn saw(&mut self, witness: WitnessKind) {
        if !self.kill.witnesses.contains(&witness) {
            self.kill.witnesses.push(witness);
        }
    }

    fn was_seen_by(&self, witness: WitnessKind) -> bool {
        self.kill.witnesses.contains(&witness)
    }

    fn is_complete(&self, expected: Expected) -> bool {
        let all = [
            (true, WitnessKind::MemoryEvents),
            (true, WitnessKind::Vmstat),
            (expected.kmsg, WitnessKind::Kmsg),
            (expected.probe, WitnessKind::Probe),
        ];
        !lacks_owner(&self.kill) && all.iter().all(|(there, witness)| !there || self.was_seen_by(*witness))
    }
}

impl Merge {
    /// Says which witnesses there are.
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
                    self.ooms.push_back(Ooms {
                        cgroup: cgroup.clone(),
                        since_ns,
                        time_ns,
                        reaches_below: false,
                        usage: None,
                    });
                }
                if group_kills > 0 {
                    self.count_twice(Some(&cgroup), time_ns, |ledger| ledger.groups += group_kills);
                }
                self.count(Some(&cgroup), kills, time_ns);
            }
            Witness::Notified { time_ns, cgroup, usage } => {
                let since_ns = time_ns.saturating_sub(LOOK_NS);
                self.ooms.push_back(Ooms { cgroup, since_ns, time_ns, reaches_below: true, usage });
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
                // One of several cgroups: the count stands, the name is nobody's.
                (bare.kill.victim, bare.kill.report) = (None, None);
            }
            self.unite(bare, other);
        }
    }

    /// Whose limit it was: by the local counts of OOMs, where only one cgroup comes into question, or by the notifications of v1,
    /// of which the topmost is the limit's.
    fn find_owner(&self, kill: &mut OomKill) {
        let Some(victim) = kill.victim_cgroup.as_deref().filter(|_| lacks_owner(kill)) else { return };
        let near = |ooms: &&Ooms| {
            let after_ns = if ooms.reaches_below { 2 * LOOK_NS } else { SETTLE_NS };
            is_below(victim, &ooms.cgroup)
                && ooms.since_ns <= kill.time_ns.saturating_add(LOOK_NS)
                && kill.time_ns <= ooms.time_ns.saturating_add(after_ns)
        };
        let by = |reaches_below: bool| {
            let of = self.ooms.iter().filter(move |ooms| ooms.reaches_below == reaches_below).filter(near);
            let mut owners: Vec<&str> = of.map(|ooms| ooms.cgroup.as_str()).collect();
            // Those above the victim, topmost first.
            owners.sort_unstable_by_key(|owner| owner.len());
            owners.dedup();
            owners
        };
        let counted = by(false);
        let owner = if let [owner] = counted[..] { Some(owner) } else { by(true).first().copied() };
        if let Some(owner) = owner {
            let read = self.ooms.iter().filter(near).filter(|ooms| ooms.cgroup == owner);
            kill.hit = read.rev().find_map(|ooms| ooms.usage);
            kill.constraint = Constraint::Memcg;
            kill.limit_cgroup = Some(owner.to_owned());
        }
    }

    fn settle(&mut self, pending: Pending, now_ns: u64) {
        let is_counted = |witness| pending.was_seen_by(witness);
        let (in_cgroup, on_host) = (is_counted(WitnessKind::MemoryEvents), is_counted(WitnessKind::Vmstat));
        let mut kill = pending.kill;
        self.find_owner(&mut kill);
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
        while self.ooms.front().is_some_and(|ooms| ooms.time_ns.saturating_add(LATE_NS) <= now_ns) {
            self.ooms.pop_front();
        }
        self.ledgers.retain(|_, ledger| {
            ledger.owed.retain(|until_ns| *until_ns > now_ns);
            !ledger.owed.is_empty() || ledger.until_ns > now_ns
        });
        if self.pending.is_empty() {
            // A storm is over: what it took is given back.
            self.pending.shrink_to(64);
            self.reported.shrink_to(64);
            self.ooms.shrink_to(64);
            self.ledgers.shrink_to(64);
        }
    }
}

/// Whether nobody has shown yet whose limit it was.
fn lacks_owner(kill: &OomKill) -> bool {
    kill.constraint == Constraint::Unknown || kill.constraint == Constraint::Memcg && kill.limit_cgroup.is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::evidence::Victim;

    fn kmsg(time_ns: u64, pid: i32, cgroup: &str) -> Witness {
        let victim = Victim { pid, comm: "hog".into(), ..Victim::default() };
        let report = OomReport {
            victim,
            task_memcg: Some(cgroup.into()),
            oom_memcg: Some(cgroup.into()),
            constraint: Constraint::Memcg,
            ..OomReport::default()
        };
        Witness::Kmsg { time_ns, report: Box::new(report) }
    }

    fn counter(time_ns: u64, cgroup: &str, kills: u64, ooms: u64, group_kills: u64) -> Witness {
        Witness::Counter { time_ns, since_ns: 0, cgroup: cgroup.into(), kills, ooms, group_kills }
    }

    fn told(witnesses: Vec<Witness>) -> Vec<(Option<i32>, Option<String>, Vec<WitnessKind>)> {
        let mut merge = Merge::default();
        witnesses.into_iter().for_each(|w| merge.witness(w));
        let kills = merge.poll(u64::MAX).kills;
        kills.into_iter().map(|k| (k.victim.map(|v| v.pid), k.victim_cgroup, k.witnesses)).collect()
    }

    use WitnessKind::{Kmsg, MemoryEvents, Vmstat};

    #[test]
    fn one_kill_seen_by_three_is_one_event_as_soon_as_all_have_seen_it() {
        let mut merge = Merge::default();
        merge.expect(Expected { kmsg: true, probe: false });
        merge.witness(kmsg(100, 7, "/a"));
        merge.witness(counter(150, "/a", 1, 1, 0));
        assert_eq!(merge.deadline(), Some(100 + LOOK_NS));
        assert!(merge.poll(100 + LOOK_NS).kills.is_empty() && merge.wants_vmstat());
        merge.witness(Witness::Vmstat { time_ns: 200, since_ns: 0, kills: 1 });
        let kills = merge.poll(200 + LOOK_NS).kills;
        assert_eq!(kills.len(), 1);
        assert_eq!(kills[0].witnesses, [Kmsg, MemoryEvents, Vmstat]);
        assert_eq!((kills[0].limit_cgroup.as_deref(), kills[0].time_ns), (Some("/a"), 100));
        assert!(merge.poll(u64::MAX).kills.is_empty(), "reported once");
        // Who has not seen it is waited for, and no longer than that.
        merge.witness(kmsg(SECOND, 8, "/a"));
        assert!(merge.poll(SECOND + SETTLE_NS - 1).kills.is_empty());
        assert_eq!(merge.poll(SECOND + SETTLE_NS).kills.len(), 1);
    }

    /// Runs a storm in `/storm`, a kill every `every_ns`, with other witnesses as they come. Gives when each other kill was
    /// reported, and the kills and counts of the storm.
    fn beside_a_storm(every_ns: u64, until_ns: u64, others: &[Witness]) -> (Vec<(OomKill, u64)>, u64, u64) {
        let mut merge = Merge::default();
        merge.expect(Expected { kmsg: true, probe: false });
        let (mut reported, mut singles, mut counted, mut pid) = (Vec::new(), 0, 0, 1000);
        let mut others = others.to_vec();
        let mut take = |merge: &mut Merge, now: u64, singles: &mut u64, counted: &mut u64| {
            let settled = merge.poll(now);
            for kill in settled.kills {
                if kill.victim_cgroup.as_deref() == Some("/storm") { *singles += 1 } else { reported.push((kill, now)) }
            }
            for more in settled.more {
                assert_eq!(more.victim_cgroup.as_deref(), Some("/storm"));
                *counted += more.count;
            }
        };
        for step in 0..until_ns / every_ns {
            let now = step * every_ns;
            pid += 1;
            merge.witness(kmsg(now, pid, "/storm"));
            merge.witness(counter(now + 1, "/storm", 1, 1, 0));
            others.retain(|other| {
                let due = other.time_ns() <= now;
                if due {
                    merge.witness(other.clone());
                }
                !due
            });
            merge.witness(Witness::Vmstat { time_ns: now + 2, since_ns: 0, kills: 1 });
            if merge.deadline().is_some_and(|deadline| deadline <= now) {
                take(&mut merge, now, &mut singles, &mut counted);
            }
        }
        take(&mut merge, until_ns + 10 * SECOND, &mut singles, &mut counted);
        take(&mut merge, u64::MAX, &mut singles, &mut counted);
        (reported, singles, counted)
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn kills_that_never_pause_hide_no_kill_of_another_container() {
        let java = 5 * SECOND;
        let others = [
            kmsg(java, 7, "/java"),
            counter(java + SECOND / 5, "/java", 1, 1, 0),
            Witness::Vmstat { time_ns: java + SECOND / 2, since_ns: 0, kills: 1 },
        ];
        let (reported, singles, counted) = beside_a_storm(SECOND * 3 / 10, 60 * SECOND, &others);
        let [(kill, at)] = &reported[..] else { panic!("{reported:?}") };
        assert_eq!((kill.victim_cgroup.as_deref(), kill.limit_cgroup.as_deref()), (Some("/java"), Some("/java")));
        assert!(at - java <= SETTLE_NS + SECOND / 2, "{} ms late", (at - java) / 1_000_000);
        assert_eq!(singles + counted, 200);
    }

    #[test]
    fn a_thousand_kills_a_second_are_counted_exactly_in_few_events() {
        let others = [kmsg(SECOND, 7, "/java"), counter(SECOND, "/java", 1, 1, 0)];
        let (reported, singles, counted) = beside_a_storm(SECOND / 1000, 5 * SECOND, &others);
        assert_eq!((reported.len(), singles + counted), (1, 5000));
        // A hundred at once, and four a second until the storm is long over.
        assert!(singles <= 180, "{singles} events");
    }

    #[test]
    fn a_storm_takes_a_bounded_memory_and_gives_it_back() {
        let mut merge = Merge::default();
        for i in 0..20_000u64 {
            merge.witness(kmsg(i, i as i32 + 1, "/storm"));
            assert!(merge.pending.len() <= MOST_PENDING);
        }
        let told: u64 = [merge.poll(SECOND), merge.poll(2 * SECOND + SETTLE_NS)]
            .iter()
            .map(|settled| settled.kills.len() as u64 + settled.more.iter().map(|more| more.count).sum::<u64>())
            .sum();
        merge.poll(20 * SECOND);
        assert!(told >= 19_000, "what is left is counted in the next second: {told}");
        assert_eq!((merge.pending.len(), merge.reported.len(), merge.ledgers.len()), (0, 0, 0));
        assert!(merge.pending.capacity() <= 64 && merge.reported.capacity() <= 128);
    }

    #[test]
    fn a_witness_that_comes_late_makes_no_second_kill() {
        let mut merge = Merge::default();
        merge.witness(kmsg(1, 7, "/a"));
        assert_eq!(merge.poll(2 * SECOND).kills.len(), 1);
        merge.witness(counter(3 * SECOND, "/a", 2, 1, 1));
        merge.witness(Witness::Vmstat { time_ns: 3 * SECOND, since_ns: 0, kills: 2 });
        merge.witness(kmsg(3 * SECOND, 7, "/a"));
        assert!(merge.poll(9 * SECOND).kills.is_empty());
        // But a kill of later is one, also of a new cgroup at that path.
        merge.forget("/a");
        merge.witness(counter(10 * SECOND, "/a", 1, 1, 0));
        assert_eq!(merge.poll(12 * SECOND).kills.len(), 1);
    }

    #[test]
    fn a_group_of_two_is_two_although_the_counter_says_three() {
        let seen = vec![
            kmsg(1, 7, "/a"),
            kmsg(2, 7, "/a"),
            kmsg(3, 8, "/a"),
            counter(4, "/a", 3, 1, 1),
            Witness::Vmstat { time_ns: 5, since_ns: 0, kills: 3 },
        ];
        let got = told(seen);
        assert_eq!(got.len(), 2);
        assert!(
            got.iter().all(|(_, cgroup, who)| cgroup.as_deref() == Some("/a") && who == &[Kmsg, MemoryEvents, Vmstat])
        );
    }

    #[test]
    fn the_count_of_the_group_may_come_before_its_victims() {
        let seen = vec![kmsg(1, 7, "/a"), kmsg(2, 8, "/a"), counter(3, "/a", 1, 1, 1), counter(4, "/a", 2, 0, 0)];
        assert_eq!(told(seen).len(), 2);
    }

    #[test]
    fn a_kernel_without_a_count_of_groups_names_the_first_victim_twice() {
        let vmstat = Witness::Vmstat { time_ns: 5, since_ns: 0, kills: 3 };
        let seen = vec![kmsg(1, 7, "/a"), kmsg(2, 7, "/a"), kmsg(3, 8, "/a"), counter(4, "/a", 3, 1, 0), vmstat];
        assert_eq!(told(seen).len(), 2);
    }

    #[test]
    fn each_witness_alone_is_enough() {
        assert_eq!(told(vec![kmsg(1, 7, "/a")]), [(Some(7), Some("/a".into()), vec![Kmsg])]);
        assert_eq!(told(vec![counter(1, "/a", 2, 0, 0)]).len(), 2);
        assert_eq!(told(vec![Witness::Vmstat { time_ns: 1, since_ns: 0, kills: 1 }]), [(None, None, vec![Vmstat])]);
    }

    #[test]
    fn without_the_log_the_limit_is_known_from_the_local_count_of_ooms() {
        let mut merge = Merge::default();
        merge.witness(counter(1, "/p/a", 1, 0, 0));
        merge.witness(counter(2, "/p", 0, 1, 0));
        let kills = merge.poll(u64::MAX).kills;
        assert_eq!((kills[0].constraint, kills[0].limit_cgroup.as_deref()), (Constraint::Memcg, Some("/p")));
    }

    #[test]
    fn on_v1_the_topmost_that_was_notified_has_the_limit() {
        let bare = |time_ns: u64, pid: i32| {
            let report = OomReport {
                victim: Victim { pid, ..Victim::default() },
                constraint: Constraint::Memcg,
                ..OomReport::default()
            };
            Witness::Kmsg { time_ns, report: Box::new(report) }
        };
        let notified = |time_ns: u64, cgroup: &str| Witness::Notified {
            time_ns,
            cgroup: cgroup.into(),
            usage: Some(Usage { usage: 1, limit: Some(cgroup.len() as u64), failcnt: 0 }),
        };
        let mut merge = Merge::default();
        // A limit of its own and one above it, while another is hit all the time.
        let seen = [
            notified(SECOND, "/p/a"),
            notified(SECOND, "/storm"),
            bare(SECOND + 1, 7),
            counter(SECOND + 2, "/p/a", 1, 0, 0),
            notified(3 * SECOND, "/p/b"),
            notified(3 * SECOND, "/p/a"),
            notified(3 * SECOND, "/p"),
            notified(3 * SECOND, "/storm"),
        ];
        seen.into_iter().for_each(|witness| merge.witness(witness));
        let first = merge.poll(3 * SECOND).kills;
        assert_eq!((first[0].limit_cgroup.as_deref(), first[0].limit()), (Some("/p/a"), Some(4)));
        merge.witness(bare(3 * SECOND + 1, 8));
        merge.witness(counter(3 * SECOND + 2, "/p/b", 1, 0, 0));
        let second = merge.poll(u64::MAX).kills;
        assert_eq!((second[0].victim_cgroup.as_deref(), second[0].limit_cgroup.as_deref()), (Some("/p/b"), Some("/p")));
    }

    #[test]
    fn after_ten_kills_the_log_names_only_victims_and_the_counters_say_where() {
        let bare = |time_ns: u64, pid: i32| {
            let victim = Victim { pid, ..Victim::default() };
            let report = OomReport { victim, constraint: Constraint::Memcg, ..OomReport::default() };
            Witness::Kmsg { time_ns, report: Box::new(report) }
        };
        let told = |seen: Vec<Witness>| {
            let mut merge = Merge::default();
            seen.into_iter().for_each(|witness| merge.witness(witness));
            merge.poll(u64::MAX).kills
        };
        let seen = vec![kmsg(1, 7, "/p/a"), bare(2, 8), counter(3, "/p/a", 2, 0, 0), counter(4, "/p", 0, 2, 0)];
        let kills = told(seen.clone());
        assert_eq!(kills.len(), 2, "one kill, one event");
        assert_eq!((kills[1].victim_cgroup.as_deref(), kills[1].limit_cgroup.as_deref()), (Some("/p/a"), Some("/p")));
        assert_eq!(kills[1].witnesses, [Kmsg, MemoryEvents]);
        // The probe knows the victim's cgroup, and not the request.
        let probe = ProbeReport {
            time_ns: 2,
            victim: Victim { pid: 8, ..Victim::default() },
            victim_cgroup: Some("/p/a".into()),
            ..ProbeReport::default()
        };
        let kills = told([&seen[..], &[Witness::Probe { report: Box::new(probe) }]].concat());
        assert_eq!((kills.len(), kills[1].limit_cgroup.as_deref()), (2, Some("/p")));
        // Two cgroups that counted one each: which of them is not known, and none is said.
        let two = vec![bare(2, 8), counter(3, "/a", 1, 1, 0), counter(4, "/b", 1, 1, 0)];
        let kills = told(two.clone());
        assert!(kills.iter().filter(|kill| kill.victim.is_some()).all(|kill| kill.victim_cgroup.is_none()));
        assert_eq!(kills.len(), 2, "what was counted twice and named once is two kills");
        // Unless a process of that name was killed there before.
        let before = vec![kmsg(1, 5, "/b"), counter(1, "/b", 1, 1, 0)];
        let mut merge = Merge::default();
        before.into_iter().for_each(|witness| merge.witness(witness));
        merge.poll(2 * SECOND);
        let hog = |mut witness: Witness| {
            if let Witness::Kmsg { report, .. } = &mut witness {
                report.victim.comm = "hog".into();
            }
            witness
        };
        two.into_iter().for_each(|witness| merge.witness(hog(witness)));
        let kills = merge.poll(u64::MAX).kills;
        let named = kills.iter().find(|kill| kill.victim.is_some()).and_then(|kill| kill.victim_cgroup.as_deref());
        assert_eq!((kills.len(), named), (2, Some("/b")));
        // Of the machine, as the log says: no cgroup's counter makes it a limit's.
        let mut global = kmsg(1, 9, "/g");
        let Witness::Kmsg { report, .. } = &mut global else { unreachable!() };
        (report.constraint, report.oom_memcg) = (Constraint::None, None);
        let kills = told(vec![global, counter(2, "/g", 1, 1, 0)]);
        assert_eq!((kills[0].constraint, kills[0].limit_cgroup.as_deref()), (Constraint::None, None));
    }

    #[test]
    fn a_flood_of_thirty_is_thirty() {
        let mut seen: Vec<_> = (0..30).map(|i| kmsg(i, 100 + i as i32, "/a")).collect();
        seen.push(counter(40, "/a", 30, 30, 0));
        let got = told(seen);
        assert_eq!(got.len(), 30);
        assert!(got.iter().all(|(_, _, who)| who == &[Kmsg, MemoryEvents]));
    }

    proptest! {
        /// The order in which witnesses come does not change what is told.
        #[test]
        fn order_does_not_matter(order in Just((0..7usize).collect::<Vec<_>>()).prop_shuffle()) {
            let seen = [
                kmsg(1, 7, "/a"), kmsg(2, 7, "/a"), kmsg(3, 8, "/b"), counter(4, "/a", 2, 1, 1),
                counter(5, "/b", 1, 0, 0), counter(6, "/c", 1, 0, 0), Witness::Vmstat { time_ns: 7, since_ns: 0, kills: 5 },
            ];
            let shuffled: Vec<_> = order.into_iter().map(|i| seen[i].clone()).collect();
            prop_assert_eq!(told(shuffled), told(seen.to_vec()));
        }
    }
}
