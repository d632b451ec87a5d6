//! Verdicts on series that are not as one would like them: gaps, resets, clocks that step, lives that end.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::sync::Arc;

use sampler::analysis::leak::detectors::Class;
use sampler::analysis::leak::signal::Signal;
use sampler::analysis::leak::track::Track;
use sampler::analysis::leak::verdict::{Verdict, judge};
use sampler::analysis::limits::Bounds;
use sampler::model::fields::{FieldId, Table};
use sampler::model::recording::{Series, Subject};
use sampler::model::sample::Row;

const MIB: u64 = 1 << 20;

/// Rows of a cgroup: second, and values.
type At = (i64, Vec<(FieldId, u64)>);

fn series(id: u64, rows: impl IntoIterator<Item = At>) -> Series {
    let subject = Subject { cgroup: "/a".into(), id, process: None };
    let mut series = Series::new(Arc::new(subject), Table::Samples);
    for (second, values) in rows {
        let mut row = Row::new(1);
        values.into_iter().for_each(|(field, value)| row.put(field.field(), value));
        series.push(second * 1_000_000, &row);
    }
    series
}

fn verdict(parts: impl IntoIterator<Item = Series>, limit: Option<f64>) -> Verdict {
    let mut track = Track::default();
    parts.into_iter().for_each(|part| track.feed(&part));
    judge(&mut track, limit.map(|limit| ("/a", limit))).unwrap()
}

/// Anonymous memory with some noise that nobody chose.
fn anon(second: i64, bytes: u64) -> Vec<(FieldId, u64)> {
    let bytes = bytes + second as u64 * 7919 % 101 * 2048;
    vec![(FieldId::Current, bytes), (FieldId::Anon, bytes)]
}

fn leak(second: i64) -> At {
    (second, anon(second, 50 * MIB + 100_000 * second as u64))
}

#[test]
fn a_gap_is_no_change_and_a_missing_field_is_no_zero() {
    // A third was not seen; memory.stat is missing in every other row.
    let rows = (0..1200).filter(|t| !(400..800).contains(t)).map(leak).map(|(t, mut values)| {
        values.truncate(if t % 2 == 0 { 2 } else { 1 });
        (t, values)
    });
    let got = verdict([series(1, rows)], Some(500.0 * MIB as f64));
    assert_eq!(got.verdict, Class::Leak, "{:?}", got.evidence);
    assert!((got.rate_bytes_per_s.unwrap() / 100_000.0 - 1.0).abs() < 0.05, "{got:?}");
}

#[test]
fn a_clock_that_is_set_back_makes_no_leak_of_a_rest() {
    let rest = |from: i64| series(1, (from..from + 400).map(|t| (t, anon(t, 80 * MIB))));
    for from in [10_000, 6_500, 2_000_000] {
        let got = verdict([rest(10_000), rest(from), rest(from + 400)], None);
        // Of three weeks nearly nothing was seen.
        let want = if from == 2_000_000 { Class::Undetermined } else { Class::Steady };
        assert_eq!(got.verdict, want, "{from}: {:?}", got.evidence);
    }
}

#[test]
fn an_id_that_is_another_begins_anew() {
    // Each deployment holds more than the one before, and none grows.
    let parts =
        (0..4).map(|i| series(i as u64 + 1, (0..300).map(move |t| (i * 300 + t, anon(t, (60 + 20 * i as u64) * MIB)))));
    assert_eq!(verdict(parts, None).verdict, Class::Steady);
}

#[test]
fn a_leak_whose_only_life_was_ended_by_a_kill_is_still_found() {
    let kills = |mut at: At, n: u64| {
        at.1.extend([(FieldId::EventsOomKill, n), (FieldId::PidsCurrent, 1 - n)]);
        at
    };
    let alive = (0..1000).map(|t| kills(leak(t), 0));
    let empty = (1000..1600).map(|t| kills((t, vec![(FieldId::Current, 4096), (FieldId::Anon, 0)]), 1));
    let got = verdict([series(1, alive.chain(empty))], Some(150.0 * MIB as f64));
    assert_eq!((got.verdict, got.oom_kills, got.alarm), (Class::Leak, 1, true), "{:?}", got.evidence);
    assert_eq!(got.time_to_limit_s, None, "it is over");
}

#[test]
fn tasks_that_stay_are_a_leak_and_named_and_tasks_that_come_and_go_are_work() {
    let rows = |tasks: &dyn Fn(i64) -> u64| {
        let rows: Vec<At> = (0..1500)
            .map(|t| {
                let held = 40 * MIB + tasks(t) * 96 * 1024;
                (t, [anon(t, held), vec![(FieldId::PidsCurrent, tasks(t))]].concat())
            })
            .collect();
        verdict([series(1, rows)], None)
    };
    let stay = rows(&|t| 4 + t as u64 / 3);
    assert_eq!(stay.verdict, Class::Leak, "{:?}", stay.evidence);
    assert!(stay.evidence.iter().any(|line| line.contains("tasks went from 4 to")), "{:?}", stay.evidence);
    let work = rows(&|t| (300.0 + 250.0 * (t as f64 / 120.0).sin()) as u64);
    assert_eq!(work.verdict, Class::Load, "{:?}", work.evidence);
}

#[test]
fn an_alarm_waits_until_the_limit_is_as_near_as_what_was_seen() {
    // 100 kB a second: after 600 s there are 60 MB more, and 57 MiB before.
    let at = |limit_mib: u64| verdict([series(1, (0..600).map(leak))], Some((limit_mib * MIB) as f64));
    let (near, far) = (at(150), at(900));
    assert_eq!((near.verdict, near.alarm), (Class::Leak, true), "{:?}", near.time_to_limit_s);
    assert_eq!((far.verdict, far.alarm), (Class::Leak, false), "{:?}", far.time_to_limit_s);
}

#[test]
fn each_kind_of_memory_is_named() {
    for (field, kind) in [
        (FieldId::Shmem, Signal::Shmem),
        (FieldId::Sock, Signal::Sock),
        (FieldId::Pagetables, Signal::Pagetables),
        (FieldId::KernelStack, Signal::KernelStack),
        (FieldId::SlabUnreclaimable, Signal::Slab),
    ] {
        let rows = (0..900).map(|t| {
            let grown = 100_000 * t as u64;
            let mut values = anon(t, 50 * MIB);
            values[0].1 += grown;
            values.push((field, grown));
            (t, values)
        });
        let got = verdict([series(1, rows)], None);
        assert_eq!((got.verdict, got.component), (Class::Leak, Some(kind)), "{:?}", got.evidence);
    }
}

#[test]
fn the_end_of_the_machine_makes_an_alarm_earlier_and_never_later() {
    // 50 MiB grow by 120 MiB in half an hour, or by 41.
    let judged = |pace: u64, cgroup: Option<(&str, f64)>, available: Option<u64>| {
        let mut track = Track::default();
        track.feed(&series(1, (0..1800).map(|t| (t, anon(t, 50 * MIB + pace * t as u64)))));
        let got = judge(&mut track, Bounds { cgroup, available }).unwrap();
        assert_eq!(got.verdict, Class::Leak, "{:?}", got.evidence);
        (got.alarm, got.limit_owner, got.time_to_limit_s.map(|left| (left / 60.0).round() as u64))
    };
    let (doubles, grows) = (70_000, 24_000);
    let (near, far) = (Some(40 * MIB), Some(64 << 30));
    assert_eq!(judged(doubles, None, None), (true, None, None));
    let (alarm, owner, left) = judged(doubles, None, far);
    assert_eq!((alarm, owner.as_deref()), (true, Some("")), "as without a limit");
    assert!(left.unwrap() > 15_000, "{left:?}");
    assert!(!judged(grows, None, None).0);
    assert!(!judged(grows, None, far).0);
    let (alarm, owner, left) = judged(grows, None, near);
    assert_eq!((alarm, owner.as_deref(), left), (true, Some(""), Some(29)), "40 MiB at 1.37 a minute");
    let own = Some(("/a", 900.0 * MIB as f64));
    assert_eq!((judged(grows, own, far).0, judged(grows, own, far).1.as_deref()), (false, Some("/a")));
    assert_eq!((judged(grows, own, near).0, judged(grows, own, near).1.as_deref()), (true, Some("")));
    assert!(!judged(doubles, own, far).0, "a limit of its own that is far holds the alarm back, as ever");
}

#[test]
fn a_life_that_grew_and_ended_without_a_kill_is_over() {
    // A deployment that leaked was replaced by one that does not.
    let new = series(2, (1000..2000).map(|t| (t, anon(t, 50 * MIB))));
    assert_eq!(verdict([series(1, (0..1000).map(leak)), new], None).verdict, Class::Steady);
}

#[test]
fn a_cgroup_that_a_kill_emptied_is_known_by_tasks_or_by_size() {
    let alive = |kills: &dyn Fn(i64) -> Vec<(FieldId, u64)>| {
        let rows: Vec<At> = (0..1000).map(|t| (t, [leak(t).1, kills(t)].concat())).collect();
        rows
    };
    let with_tasks = alive(&|_| vec![(FieldId::EventsOomKill, 0), (FieldId::PidsCurrent, 3)]);
    // What it had read stays charged to it.
    let cache = [(FieldId::Current, 20 * MIB), (FieldId::Anon, 0), (FieldId::File, 20 * MIB)];
    let after =
        (1000..4000).map(|t| (t, [&cache[..], &[(FieldId::EventsOomKill, 1), (FieldId::PidsCurrent, 0)]].concat()));
    let got = verdict([series(1, with_tasks.into_iter().chain(after))], None);
    assert_eq!((got.verdict, got.alarm), (Class::Leak, true), "{:?}", got.evidence);
    let without = alive(&|_| vec![(FieldId::EventsOomKill, 0)]);
    let after =
        (1000..4000).map(|t| (t, vec![(FieldId::Current, 4096), (FieldId::Anon, 0), (FieldId::EventsOomKill, 1)]));
    let got = verdict([series(1, without.into_iter().chain(after))], None);
    assert_eq!((got.verdict, got.alarm), (Class::Leak, true), "{:?}", got.evidence);
}

#[test]
fn without_a_limit_an_alarm_waits_for_twenty_minutes() {
    let at = |seconds: i64| {
        let got = verdict([series(1, (0..seconds).map(|t| (t, anon(t, 10 * MIB + 60_000 * t as u64))))], None);
        (got.verdict, got.doubled, got.alarm)
    };
    assert_eq!((at(900), at(1500)), ((Class::Leak, true, false), (Class::Leak, true, true)));
}

#[test]
fn the_peaks_over_the_floor_reach_the_limit_first() {
    // Teeth of 60 MiB over a floor that rises by 60 kB a second.
    let tooth = |t: i64| (t, anon(t, 100 * MIB + 60_000 * t as u64 + t as u64 % 40 * 3 * MIB / 2));
    let got = verdict([series(1, (0..2400).map(tooth))], Some(500.0 * MIB as f64));
    assert_eq!(got.verdict, Class::Leak, "{:?}", got.evidence);
    let left = (340.0 * MIB as f64 - 60_000.0 * 2400.0) / 60_000.0;
    assert!((got.time_to_limit_s.unwrap() / left - 1.0).abs() < 0.06, "{:?}, want {left}", got.time_to_limit_s);
}

#[test]
fn the_pace_is_that_of_now_and_the_onset_that_of_the_whole() {
    // It rises slowly for half an hour, then five times as fast.
    let fast = |t: i64| (t, anon(t, 60 * MIB + 20_000 * t as u64 + 80_000 * (t - 1800).max(0) as u64));
    let got = verdict([series(1, (0..3600).map(fast))], None);
    assert_eq!(got.verdict, Class::Leak, "{:?}", got.evidence);
    assert!((0..1_200_000_000).contains(&got.onset_us.unwrap()), "{got:?}");
    assert!((got.rate_bytes_per_s.unwrap() / 100_000.0 - 1.0).abs() < 0.05, "{got:?}");
}

#[test]
fn what_becomes_faster_is_drawn_on_as_a_curve() {
    // 20 MiB more after 500 s, 80 after 1000 s, 180 after 1500 s.
    let held = |t: i64| 30 * MIB + (80.0 * MIB as f64 * (t as f64 / 1000.0).powi(2)) as u64;
    let got = verdict([series(1, (0..1000).map(|t| (t, anon(t, held(t)))))], Some(210.0 * MIB as f64));
    let left_s = got.time_to_limit_s.unwrap();
    assert!((left_s / 500.0 - 1.0).abs() < 0.1, "{left_s}");
    let [Some(early), Some(late)] = got.time_to_limit_ci90.unwrap() else { panic!("{got:?}") };
    assert!(early < 500.0 && 500.0 < late && late < 1000.0, "{early} {late}");
}

#[test]
fn beneath_a_load_the_pace_is_what_the_load_leaves() {
    // 20 kB a second beneath a load that holds up to 60 MiB, and is rising at the end.
    let load = |t: i64| 0.5 - 0.5 * (t as f64 / 48.0).cos();
    let mut used = 0;
    let rows: Vec<At> = (0..1350)
        .map(|t| {
            used += 10_000 + (40_000.0 * load(t)) as u64 + t as u64 * 7919 % 501;
            let held = 40 * MIB + (60.0 * MIB as f64 * load(t)) as u64 + 20_000 * t as u64;
            (t, [anon(t, held), vec![(FieldId::CpuUsage, used)]].concat())
        })
        .collect();
    let got = verdict([series(1, rows)], Some(160.0 * MIB as f64));
    assert_eq!(got.verdict, Class::Leak, "{:?}", got.evidence);
    let pace = got.rate_bytes_per_s.unwrap();
    assert!((pace / 20_000.0 - 1.0).abs() < 0.2, "{pace}");
    // 60 MiB less 26 MiB that were lost, at the height of the load.
    let left_s = got.time_to_limit_s.unwrap();
    assert!((1200.0..2000.0).contains(&left_s), "{left_s}");
}
