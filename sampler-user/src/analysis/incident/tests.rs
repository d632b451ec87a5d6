//! Causes and confidence on made-up contexts.

use std::sync::Arc;

use crate::analysis::incident::cause::{self, CauseClass, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::{IncidentKind, IncidentRef};
use crate::analysis::incident::{Owner, timeline, verdict};
use crate::model::event::{Event, EventKind};
use crate::model::evidence::{Constraint, OomKill, OomReport, Victim as Killed, WitnessKind};
use crate::model::fields::{FieldId, Table, UNLIMITED};
use crate::model::recording::{Origin, Series, Subject, TimedEvent};
use crate::model::sample::Row;
use crate::model::time::Anchor;

const AT_US: i64 = 1_000_000_000;
const MIB: u64 = 1 << 20;

/// A kill below a limit of 100 MiB. Each cgroup: path, MiB a minute before and at the kill, limit in MiB.
fn context(limit: &str, victim: &str, cgroups: &[(&str, u64, u64, Option<u64>)]) -> IncidentContext {
    let kill = OomKill {
        time_ns: 0,
        constraint: Constraint::Memcg,
        victim_cgroup: Some(victim.into()),
        limit_cgroup: Some(limit.into()),
        victim: Some(Killed { pid: 7, comm: "hog".into(), ..Killed::default() }),
        witnesses: vec![WitnessKind::Kmsg],
        report: Some(Box::new(OomReport::default())),
        probe: None,
        hit: None,
    };
    let kills = vec![(AT_US, kill)];
    let incident = IncidentRef {
        kind: IncidentKind::OomKill,
        at_us: AT_US,
        kills,
        more: 0,
        last_us: AT_US,
        afterwards: None,
        death: None,
    };
    let mut context = IncidentContext::new(&incident, Origin::example(Anchor { mono_ns: 0, wall_ns: 0 }));
    for (path, first, last, own) in cgroups {
        let subject = Arc::new(Subject { cgroup: (*path).into(), id: 1, process: None });
        let mut series = Series::new(subject, Table::Samples);
        for second in 0..=60u64 {
            let used = first * MIB + (last - first) * MIB * second / 60;
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), used);
            row.put(FieldId::Anon.field(), used);
            row.put(FieldId::Max.field(), own.map_or(UNLIMITED, |own| own * MIB));
            series.push(AT_US - 60_000_000 + second as i64 * 1_000_000, &row);
        }
        context.cgroups.entry((*path).into()).or_default().feed(&series);
    }
    context.find_suspect();
    context
}

fn score(context: &IncidentContext, class: CauseClass) -> f64 {
    cause::judge(context).iter().find(|judgement| judgement.class == class).map_or(0.0, |judgement| judgement.score)
}

#[test]
fn limits_exceed_only_where_nobody_hit_its_own_and_nobody_grew_alone() {
    let of = |a, b| context("/p", "/p/a", &[("/p", 60, 100, Some(100)), a, b]);
    let even = of(("/p/a", 30, 50, Some(80)), ("/p/b", 30, 50, Some(80)));
    assert!(score(&even, CauseClass::LimitsExceed) > 0.9);
    let one_at_its_own = of(("/p/a", 30, 50, Some(50)), ("/p/b", 30, 50, Some(80)));
    assert!(score(&one_at_its_own, CauseClass::LimitsExceed) < 0.5, "one was stopped by its own limit");
    let alone = of(("/p/a", 20, 60, Some(80)), ("/p/b", 40, 40, Some(80)));
    assert!(score(&alone, CauseClass::LimitsExceed) < 0.5, "one grew alone");
    let fits = of(("/p/a", 30, 44, Some(50)), ("/p/b", 30, 44, Some(50)));
    assert!(score(&fits, CauseClass::LimitsExceed) < 0.1, "they fit");
}

#[test]
fn a_neighbour_is_one_that_grew_alone_while_the_victim_stood() {
    let of = |victim: &str, a, b| context("/p", victim, &[("/p", 60, 100, Some(100)), a, b]);
    let stood = of("/p/db", ("/p/db", 50, 50, None), ("/p/batch", 10, 50, None));
    assert!(score(&stood, CauseClass::Neighbour) > 0.9);
    assert_eq!(stood.suspect.as_deref(), Some("/p/batch"), "not the largest");
    let both = of("/p/db", ("/p/db", 30, 50, None), ("/p/batch", 25, 50, None));
    assert!(score(&both, CauseClass::Neighbour) < 0.5, "both grew");
    let itself = of("/p/batch", ("/p/db", 50, 50, None), ("/p/batch", 10, 50, None));
    assert!(score(&itself, CauseClass::Neighbour) < 0.5, "the victim grew itself");
    let own = context("/p/db", "/p/db", &[("/p/db", 50, 100, Some(100)), ("/p/batch", 10, 80, None)]);
    assert!(score(&own, CauseClass::Neighbour) < 0.1, "its own limit");
    assert_eq!(own.limit().owner, Owner::Own);
    assert_eq!(stood.limit().owner, Owner::Ancestor);
}

#[test]
fn what_a_victim_held_counts_although_no_sample_saw_it() {
    let seen = &[("/a", 24, 27, Some(128))];
    assert!(score(&context("/a", "/a", seen), CauseClass::Burst) < 0.3);
    let mut sudden = context("/a", "/a", seen);
    if let Some(victim) = &mut sudden.kills[0].1.victim {
        victim.anon_rss = 127 * MIB;
    }
    assert!(score(&sudden, CauseClass::Burst) > 0.8);
}

#[test]
fn what_has_not_enough_for_it_is_no_cause() {
    let judged = |scores: &[(CauseClass, f64)]| {
        let one = |(class, score): &(CauseClass, f64)| Judgement {
            class: *class,
            score: *score,
            speaks_for: Vec::new(),
            against: Vec::new(),
        };
        scores.iter().map(one).collect::<Vec<_>>()
    };
    let weak = judged(&[(CauseClass::Swap, 0.9), (CauseClass::Leak, 0.49)]);
    assert_eq!(cause::primary(&weak), CauseClass::Unknown, "and swap is never one alone");
    assert_eq!(cause::contributing(&weak, CauseClass::Unknown), [CauseClass::Swap]);
    let strong = judged(&[
        (CauseClass::Neighbour, 0.9),
        (CauseClass::Leak, 0.6),
        (CauseClass::Burst, 0.55),
        (CauseClass::Swap, 0.4),
    ]);
    assert_eq!(cause::primary(&strong), CauseClass::Neighbour);
    assert_eq!(cause::contributing(&strong, CauseClass::Neighbour), [CauseClass::Leak], "one growth is reported once");
}

#[test]
fn fewer_witnesses_make_the_page_less_sure() {
    let mut context = context("/a", "/a", &[("/a", 10, 100, Some(100))]);
    let judged = [Judgement { class: CauseClass::Leak, score: 0.8, speaks_for: Vec::new(), against: Vec::new() }];
    let sure = |context: &IncidentContext| verdict::confidence(context, &judged, CauseClass::Leak);
    assert!((sure(&context) - 0.8).abs() < 1e-9);
    context.kills[0].1.report = None;
    assert!((sure(&context) - 0.64).abs() < 1e-9, "only counters saw it");
    context.kills[0].1.limit_cgroup = None;
    assert!((sure(&context) - 0.48).abs() < 1e-9, "nobody knows whose limit it was");
    assert_eq!(context.limit().owner, Owner::Unknown);
    assert_eq!(["high", "medium", "low"], [0.8, 0.64, 0.48].map(verdict::sure));
}

#[test]
fn a_burst_is_no_leak_whatever_was_before() {
    let mut context = context("/a", "/a", &[("/a", 10, 40, Some(100))]);
    let subject = Arc::new(Subject { cgroup: "/a".into(), id: 1, process: None });
    let mut late = Series::new(subject, Table::Samples);
    let mut row = Row::new(1);
    row.put(FieldId::Current.field(), 100 * MIB);
    row.put(FieldId::Anon.field(), 100 * MIB);
    late.push(AT_US + 1, &row);
    context.at_us = AT_US + 2;
    context.cgroups.get_mut("/a").unwrap().feed(&late);
    assert!(score(&context, CauseClass::Burst) > 0.8);
    // Whatever the detectors find in the time before.
    let mut judgement = Judgement { class: CauseClass::Leak, score: 0.0, speaks_for: Vec::new(), against: Vec::new() };
    context.history = Some(crate::analysis::leak::verdict::Verdict {
        verdict: crate::analysis::leak::detectors::Class::Leak,
        detector: "line",
        component: None,
        probability: 0.97,
        alarm: true,
        doubled: true,
        rate_bytes_per_s: Some(1e6),
        rate_ci90: None,
        onset_us: None,
        time_to_limit_s: None,
        time_to_limit_ci90: None,
        limit_bytes: None,
        limit_owner: None,
        last_bytes: None,
        restarts: 0,
        oom_kills: 0,
        evidence: Vec::new(),
        needs_s: None,
        slope: None,
    });
    let leak = cause::TABLE.iter().find(|cause| cause.class == CauseClass::Leak).unwrap();
    (leak.judge)(&context, &mut judgement);
    assert!(judgement.score < 0.5 && !judgement.against.is_empty(), "{judgement:?}");
}

/// On a busy machine what else came and went pushed everything that mattered off the page.
#[test]
fn what_others_do_is_no_moment_of_an_incident() {
    let mut context = context("/a", "/a", &[("/a", 60, 100, Some(100)), ("/b", 5, 5, None)]);
    let kill = context.kills[0].1.clone();
    let mut event = |at_us: i64, path: &str, what: EventKind| {
        let event = Event { mono_ns: 0, cgroup: Some(path.into()), what };
        context.events.push(TimedEvent { time_us: AT_US + at_us, event });
    };
    event(-9_000_000, "/a", EventKind::CgroupCreated);
    for n in 0..200 {
        event(n * 1000 - 400_000, &format!("/noise/{n}"), EventKind::CgroupCreated);
        event(n * 1000 - 400_000, "/storm", EventKind::OomKill(Box::new(kill.clone())));
    }
    let moments = timeline::of(&context).moments;
    assert_eq!(moments[0].cgroup.as_deref(), Some("/a"), "{moments:?}");
    assert!(moments.iter().all(|moment| !moment.cgroup.as_deref().unwrap_or("").starts_with("/noise")), "{moments:?}");
    let storm: Vec<_> = moments.iter().filter(|moment| moment.cgroup.as_deref() == Some("/storm")).collect();
    assert!(storm.len() == 1 && storm[0].what.contains("200 times"), "{storm:?}");
}

#[test]
fn a_ceiling_above_the_limit_is_the_cause_where_its_process_filled_the_limit() {
    use crate::model::own_memory::{Manager, OwnMemory};
    let own = |pid: i32, manager: Manager, ceiling_mib: u64, resident_mib: u64| OwnMemory {
        pid,
        comm: "p".into(),
        manager,
        ceiling: Some(ceiling_mib * MIB),
        set_by: Some(format!("-Xmx{ceiling_mib}m")),
        uncollected: false,
        resident: Some(resident_mib * MIB),
        heap: None,
    };
    // Others grow beside it, with ceilings that are none of it.
    let of = |words: &[(&str, OwnMemory)]| {
        let mut context =
            context("/a", "/a", &[("/a", 40, 99, Some(100)), ("/b", 50, 90, Some(400)), ("/c", 5, 5, None)]);
        for (path, own) in words {
            let event =
                Event { mono_ns: 0, cgroup: Some((*path).into()), what: EventKind::OwnMemory(Box::new(own.clone())) };
            context.events.push(TimedEvent { time_us: AT_US - 20_000_000, event });
        }
        context
    };
    let judged = |words: &[(&str, OwnMemory)]| score(&of(words), CauseClass::CeilingAboveLimit);
    let (other, jvm) = (("/b", own(9, Manager::Jvm, 900, 90)), own(1, Manager::Jvm, 512, 95));
    assert_eq!(judged(std::slice::from_ref(&other)), 0.0, "another container's");
    assert!(judged(&[other.clone(), ("/a", jvm.clone())]) > 0.9);
    assert!(judged(&[("/a", own(1, Manager::Node, 2048, 95))]) > 0.9);
    assert!(judged(&[("/a", own(1, Manager::Cache, 128, 95))]) > 0.9);
    assert_eq!(judged(&[("/a", own(1, Manager::Jvm, 96, 95))]), 0.0, "below the limit");
    assert_eq!(judged(&[("/a", own(1, Manager::Go, 512, 95))]), 0.0, "Go collects by what is alive");
    let off = OwnMemory { uncollected: true, ..own(1, Manager::Go, 512, 95) };
    assert!(judged(&[("/a", off)]) > 0.9);
    let sidecar = ("/a", own(2, Manager::Node, 64, 80));
    assert_eq!(judged(&[sidecar, ("/a", own(1, Manager::Jvm, 512, 15))]), 0.0, "another process filled it");
    assert!(judged(&[("/a", own(1, Manager::Jvm, 512, 20))]) < 0.5, "it held little of it");
    let newest = of(&[("/a", jvm.clone()), ("/a", own(1, Manager::Jvm, 64, 95))]);
    assert_eq!(score(&newest, CauseClass::CeilingAboveLimit), 0.0, "what a process said last counts");
    let context = of(&[other, ("/a", jvm)]);
    let judged = cause::judge(&context);
    assert_eq!(cause::primary(&judged), CauseClass::CeilingAboveLimit, "{judged:?}");
    let advice = cause::advise(&context, CauseClass::CeilingAboveLimit, &[]);
    assert!(advice[0].setting.as_ref().is_some_and(|setting| setting.contains("MaxRAMPercentage")), "{advice:?}");
    let words = (cause::of(CauseClass::CeilingAboveLimit).explain)(&context).unwrap();
    assert!(words.contains("512 MiB") && words.contains("-Xmx512m") && words.contains("100 MiB"), "{words}");
}
