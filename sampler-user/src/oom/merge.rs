//! One kill, one event: the merge of what the witnesses saw. Pure, with the clock passed in.
//!
//! Each witness alone is lossy: the log may be unreadable or overwritten and names the first victim of an oom.group twice,
//! counters do not name the victim and count it twice too, the host's count names nothing. A kill is known by its pid (log), or by a counter that rose.

use std::collections::BTreeMap;

use crate::evidence::{Constraint, OomKill, OomReport, ProbeReport, WitnessKind};
use crate::paths::is_below;

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
            Witness::Kmsg { time_ns, .. } | Witness::Counter { time_ns, .. } | Witness::Vmstat { time_ns, .. } => {
                *time_ns
            }
            Witness::Probe { report } => report.time_ns,
        }
    }
}

/// Witnesses of one kill come within this time: the log is written before the counter is read, the host's count is read once
/// a second, and v1 counters are read again up to a second later.
const SETTLE_NS: u64 = 2_500_000_000;

/// Collects witnesses and tells each kill once.
#[derive(Debug, Default)]
pub struct Merge {
    waiting: Vec<Witness>,
}

impl Merge {
    /// Takes what a witness saw.
    pub fn witness(&mut self, witness: Witness) {
        self.waiting.push(witness);
    }

    /// When [`Merge::poll`] has something to tell.
    pub fn deadline(&self) -> Option<u64> {
        self.waiting.iter().map(|w| w.time_ns().saturating_add(SETTLE_NS)).max()
    }

    /// The kills that are settled: once nothing new came for a while, so that a burst of kills is merged as a whole. With
    /// `u64::MAX` all are.
    pub fn poll(&mut self, now_ns: u64) -> Vec<OomKill> {
        if self.deadline().is_none_or(|deadline| now_ns < deadline) {
            return Vec::new();
        }
        merge(std::mem::take(&mut self.waiting))
    }
}

fn merge(mut witnesses: Vec<Witness>) -> Vec<OomKill> {
    // Order of arrival must not matter.
    witnesses.sort_by_key(|w| (w.time_ns(), matches!(w, Witness::Vmstat { .. }), format!("{w:?}")));
    let mut kills: Vec<OomKill> = Vec::new();
    // The log names the first victim of a group twice; before 5.17 nothing else tells that it was also counted twice.
    let mut repeats: BTreeMap<Option<&str>, u64> = BTreeMap::new();
    for witness in &witnesses {
        if let Witness::Kmsg { time_ns, report } = witness
            && !add_report(&mut kills, *time_ns, report)
        {
            *repeats.entry(report.task_memcg.as_deref()).or_default() += 1;
        }
    }
    for witness in &witnesses {
        if let Witness::Probe { report } = witness {
            add_probe(&mut kills, report);
        }
    }
    // A cgroup's counters may have come in several notices, with the count of the group in any of them.
    let mut counted: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for witness in &witnesses {
        if let Witness::Counter { time_ns, cgroup, kills, group_kills, .. } = witness {
            let sum = counted.entry(cgroup).or_insert((*time_ns, 0, 0));
            *sum = (sum.0, sum.1 + kills, sum.2 + group_kills);
        }
    }
    place(&mut kills, &counted, &repeats);
    let named = kills.len();
    for (cgroup, (time_ns, count, group_kills)) in counted {
        let mut left = count;
        for kill in kills[..named].iter_mut().filter(|kill| kill.victim_cgroup.as_deref() == Some(cgroup)) {
            if left > 0 {
                kill.witnesses.push(WitnessKind::MemoryEvents);
                left -= 1;
            }
        }
        // The counter counts the first victim of a group twice.
        left = left.saturating_sub(group_kills.max(repeats.get(&Some(cgroup)).copied().unwrap_or(0)));
        kills.extend((0..left).map(|_| OomKill {
            time_ns,
            constraint: Constraint::Unknown,
            victim_cgroup: Some(cgroup.to_owned()),
            limit_cgroup: None,
            victim: None,
            witnesses: vec![WitnessKind::MemoryEvents],
            report: None,
            probe: None,
        }));
    }
    for witness in &witnesses {
        // Whose own limit was hit is known from its local count of OOMs.
        if let Witness::Counter { cgroup, ooms, .. } = witness
            && *ooms > 0
        {
            for kill in kills.iter_mut().filter(|kill| lacks_owner(kill)) {
                if kill.victim_cgroup.as_deref().is_some_and(|victim| is_below(victim, cgroup)) {
                    kill.constraint = Constraint::Memcg;
                    kill.limit_cgroup = Some(cgroup.clone());
                }
            }
        }
    }
    let groups: u64 =
        witnesses.iter().map(|w| if let Witness::Counter { group_kills, .. } = w { *group_kills } else { 0 }).sum();
    let mut untold = 0;
    let mut time = 0;
    for witness in &witnesses {
        if let Witness::Vmstat { time_ns, kills: count, .. } = witness {
            let mut left = *count;
            for kill in kills.iter_mut().filter(|kill| !kill.witnesses.contains(&WitnessKind::Vmstat)) {
                if left > 0 {
                    kill.witnesses.push(WitnessKind::Vmstat);
                    left -= 1;
                }
            }
            untold += left;
            time = *time_ns;
        }
    }
    let twice = groups.max(repeats.values().sum());
    kills.extend((0..untold.saturating_sub(twice)).map(|_| OomKill {
        time_ns: time,
        constraint: Constraint::Unknown,
        victim_cgroup: None,
        limit_cgroup: None,
        victim: None,
        witnesses: vec![WitnessKind::Vmstat],
        report: None,
        probe: None,
    }));
    kills.sort_by_key(|kill| kill.time_ns);
    kills
}

/// Whether nobody told yet whose limit it was.
fn lacks_owner(kill: &OomKill) -> bool {
    kill.constraint == Constraint::Unknown || kill.constraint == Constraint::Memcg && kill.limit_cgroup.is_none()
}

/// Gives kills that the log names without their cgroup (after ten in five seconds it says nothing else) the only cgroup that
/// counted one more than was named.
fn place(kills: &mut [OomKill], counted: &BTreeMap<&str, (u64, u64, u64)>, repeats: &BTreeMap<Option<&str>, u64>) {
    let mut untold = counted.iter().filter_map(|(cgroup, (_, count, groups))| {
        let named = kills.iter().filter(|kill| kill.victim_cgroup.as_deref() == Some(cgroup)).count() as u64;
        let twice = repeats.get(&Some(*cgroup)).copied().unwrap_or(0).max(*groups);
        let left = count.saturating_sub(named + twice);
        (left > 0).then_some((*cgroup, left))
    });
    let (Some((cgroup, left)), None) = (untold.next(), untold.next()) else { return };
    let bare = kills.iter_mut().filter(|kill| kill.victim_cgroup.is_none() && lacks_owner(kill));
    bare.take(left as usize).for_each(|kill| kill.victim_cgroup = Some(cgroup.to_owned()));
}

/// Whether the report is of a victim that no report named before.
fn add_report(kills: &mut Vec<OomKill>, time_ns: u64, report: &OomReport) -> bool {
    let same = |kill: &&mut OomKill| kill.victim.as_ref().is_some_and(|victim| victim.pid == report.victim.pid);
    if let Some(kill) = kills.iter_mut().find(same) {
        // The first victim of a group is named twice; the fuller report stays.
        kill.victim_cgroup = kill.victim_cgroup.take().or_else(|| report.task_memcg.clone());
        if let Some(first) = &mut kill.report {
            first.group |= report.group;
        }
        return false;
    }
    kills.push(OomKill {
        time_ns,
        constraint: report.constraint,
        victim_cgroup: report.task_memcg.clone(),
        limit_cgroup: report.oom_memcg.clone(),
        victim: Some(report.victim.clone()),
        witnesses: vec![WitnessKind::Kmsg],
        report: Some(Box::new(report.clone())),
        probe: None,
    });
    true
}

fn add_probe(kills: &mut Vec<OomKill>, report: &ProbeReport) {
    // The log names the thread that was marked, which need not be the first of its process.
    let same = |kill: &&mut OomKill| {
        kill.victim.as_ref().is_some_and(|victim| victim.pid == report.victim.pid || victim.pid == report.thread)
    };
    let request = report.request.as_ref();
    if let Some(kill) = kills.iter_mut().find(same) {
        if kill.probe.is_some() {
            return; // another thread of the same victim
        }
        kill.time_ns = kill.time_ns.min(report.time_ns);
        kill.victim_cgroup = kill.victim_cgroup.take().or_else(|| report.victim_cgroup.clone());
        if let (true, Some(request)) = (lacks_owner(kill), request) {
            kill.constraint = request.constraint;
            kill.limit_cgroup = request.limit_cgroup.clone();
        }
        kill.witnesses.push(WitnessKind::Probe);
        kill.probe = Some(Box::new(report.clone()));
    } else if report.killed != Some(false) {
        kills.push(OomKill {
            time_ns: report.time_ns,
            constraint: request.map_or(Constraint::Unknown, |request| request.constraint),
            victim_cgroup: report.victim_cgroup.clone(),
            limit_cgroup: request.and_then(|request| request.limit_cgroup.clone()),
            victim: Some(report.victim.clone()),
            witnesses: vec![WitnessKind::Probe],
            report: None,
            probe: Some(Box::new(report.clone())),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Victim;
    use proptest::prelude::*;

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
        let kills = merge.poll(u64::MAX);
        kills.into_iter().map(|k| (k.victim.map(|v| v.pid), k.victim_cgroup, k.witnesses)).collect()
    }

    use WitnessKind::{Kmsg, MemoryEvents, Vmstat};

    #[test]
    fn one_kill_seen_by_three_is_one_event_once_it_settled() {
        let mut merge = Merge::default();
        merge.witness(kmsg(100, 7, "/a"));
        merge.witness(counter(150, "/a", 1, 1, 0));
        assert_eq!(merge.deadline(), Some(150 + SETTLE_NS));
        assert!(merge.poll(150 + SETTLE_NS - 1).is_empty());
        merge.witness(Witness::Vmstat { time_ns: 200, since_ns: 0, kills: 1 });
        let kills = merge.poll(200 + SETTLE_NS);
        assert_eq!(kills.len(), 1);
        assert_eq!(kills[0].witnesses, [Kmsg, MemoryEvents, Vmstat]);
        assert_eq!((kills[0].limit_cgroup.as_deref(), kills[0].time_ns), (Some("/a"), 100));
        assert!(merge.poll(u64::MAX).is_empty(), "told once");
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
        let kills = merge.poll(u64::MAX);
        assert_eq!((kills[0].constraint, kills[0].limit_cgroup.as_deref()), (Constraint::Memcg, Some("/p")));
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
            merge.poll(u64::MAX)
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
        let kills = told(vec![bare(2, 8), counter(3, "/a", 1, 1, 0), counter(4, "/b", 1, 1, 0)]);
        assert!(kills.iter().filter(|kill| kill.victim.is_some()).all(|kill| kill.victim_cgroup.is_none()));
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
