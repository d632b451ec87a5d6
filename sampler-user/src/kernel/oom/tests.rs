//! The merge of witnesses, from what they saw to the kills that are reported.

use proptest::prelude::*;

use crate::kernel::oom::merge::Merge;
use crate::kernel::oom::pending::{LOOK_NS, SETTLE_NS};
use crate::kernel::oom::witness::{Expected, Witness};
use crate::model::evidence::{Constraint, OomKill, OomReport, ProbeReport, Usage, Victim, WitnessKind};

/// The kernel's log of a kill by a cgroup's own limit.
pub(super) fn kmsg(time_ns: u64, pid: i32, cgroup: &str) -> Witness {
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

fn reported(witnesses: Vec<Witness>) -> Vec<(Option<i32>, Option<String>, Vec<WitnessKind>)> {
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
    let got = reported(seen);
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|(_, cgroup, who)| cgroup.as_deref() == Some("/a") && who == &[Kmsg, MemoryEvents, Vmstat]));
}

#[test]
fn the_count_of_the_group_may_come_before_its_victims() {
    let seen = vec![kmsg(1, 7, "/a"), kmsg(2, 8, "/a"), counter(3, "/a", 1, 1, 1), counter(4, "/a", 2, 0, 0)];
    assert_eq!(reported(seen).len(), 2);
}

#[test]
fn a_kernel_without_a_count_of_groups_names_the_first_victim_twice() {
    let vmstat = Witness::Vmstat { time_ns: 5, since_ns: 0, kills: 3 };
    let seen = vec![kmsg(1, 7, "/a"), kmsg(2, 7, "/a"), kmsg(3, 8, "/a"), counter(4, "/a", 3, 1, 0), vmstat];
    assert_eq!(reported(seen).len(), 2);
}

#[test]
fn each_witness_alone_is_enough() {
    assert_eq!(reported(vec![kmsg(1, 7, "/a")]), [(Some(7), Some("/a".into()), vec![Kmsg])]);
    assert_eq!(reported(vec![counter(1, "/a", 2, 0, 0)]).len(), 2);
    assert_eq!(reported(vec![Witness::Vmstat { time_ns: 1, since_ns: 0, kills: 1 }]), [(None, None, vec![Vmstat])]);
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
    let reported = |seen: Vec<Witness>| {
        let mut merge = Merge::default();
        seen.into_iter().for_each(|witness| merge.witness(witness));
        merge.poll(u64::MAX).kills
    };
    let seen = vec![kmsg(1, 7, "/p/a"), bare(2, 8), counter(3, "/p/a", 2, 0, 0), counter(4, "/p", 0, 2, 0)];
    let kills = reported(seen.clone());
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
    let kills = reported([&seen[..], &[Witness::Probe { report: Box::new(probe) }]].concat());
    assert_eq!((kills.len(), kills[1].limit_cgroup.as_deref()), (2, Some("/p")));
    // Two cgroups that counted one each: which of them is not known, and none is named.
    let two = vec![bare(2, 8), counter(3, "/a", 1, 1, 0), counter(4, "/b", 1, 1, 0)];
    let kills = reported(two.clone());
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
    let kills = reported(vec![global, counter(2, "/g", 1, 1, 0)]);
    assert_eq!((kills[0].constraint, kills[0].limit_cgroup.as_deref()), (Constraint::None, None));
}

#[test]
fn a_flood_of_thirty_is_thirty() {
    let mut seen: Vec<_> = (0..30).map(|i| kmsg(i, 100 + i as i32, "/a")).collect();
    seen.push(counter(40, "/a", 30, 30, 0));
    let got = reported(seen);
    assert_eq!(got.len(), 30);
    assert!(got.iter().all(|(_, _, who)| who == &[Kmsg, MemoryEvents]));
}

proptest! {
    /// The order in which witnesses come does not change what is reported.
    #[test]
    fn order_does_not_matter(order in Just((0..7usize).collect::<Vec<_>>()).prop_shuffle()) {
        let seen = [
            kmsg(1, 7, "/a"), kmsg(2, 7, "/a"), kmsg(3, 8, "/b"), counter(4, "/a", 2, 1, 1),
            counter(5, "/b", 1, 0, 0), counter(6, "/c", 1, 0, 0), Witness::Vmstat { time_ns: 7, since_ns: 0, kills: 5 },
        ];
        let shuffled: Vec<_> = order.into_iter().map(|i| seen[i].clone()).collect();
        prop_assert_eq!(reported(shuffled), reported(seen.to_vec()));
    }
}
