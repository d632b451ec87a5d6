//! The story of one incident: an OOM kill, a death that is none, or a recording that ends abruptly. From what was recorded around it to one page.

pub mod advice;
pub mod cause;
pub mod context;
pub mod death;
pub mod incident_ref;
pub mod memory;
pub mod timeline;
pub mod trace;
pub mod unknown;
pub mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::advice::Advice;
use self::cause::{CauseClass, Judgement};
use self::context::IncidentContext;
use self::death::Death;
use self::incident_ref::IncidentKind;
use self::memory::{CgroupMemory, HostMemory, ProcessMemory};
use self::timeline::Timeline;
use crate::analysis::lives::{Life, Loop};
use crate::model::paths::name;
use crate::model::time::format_us;
use crate::model::units::printable;

/// Version of the page's form; fields are only added within one.
pub const FORMAT: &str = "sampler.incident.v1";

/// One page. Sizes are bytes, times wall-clock microseconds or RFC 3339; what is not known is absent. Names are hostile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// [`FORMAT`].
    pub format: String,
    /// What kind of incident.
    pub kind: IncidentKind,
    /// When, RFC 3339.
    pub time: String,
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// The machine.
    pub host: String,
    /// Its kernel.
    pub kernel: String,
    /// What happened, in one sentence.
    pub verdict: String,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
    /// Whose limit was hit.
    pub limit: Limit,
    /// What the containers of its cgroups are called, by path, as far as it was told; hostile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// Who asked for the memory that was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// The process that ended, of a death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub death: Option<Box<Death>>,
    /// Who was killed, in order.
    pub victims: Vec<Victim>,
    /// Victims beyond these, which a storm brought and of which no more is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_victims: u64,
    /// The cgroup that made the memory short, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// The class of the cause; `unknown` when no class has enough for it.
    pub cause: CauseClass,
    /// What contributed.
    pub contributing: Vec<CauseClass>,
    /// Each class with what speaks for and against it, most likely first; those of which nothing is to be said are left out.
    pub causes: Vec<Judgement>,
    /// Memory of the cgroups that matter, at the incident.
    pub memory: Vec<CgroupMemory>,
    /// Memory of their processes, largest first.
    pub processes: Vec<ProcessMemory>,
    /// Memory of the machine.
    pub machine: HostMemory,
    /// The restart loop it belongs to, when kills ended several lives of the victim's workload.
    #[serde(rename = "loop", default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<Loop>,
    /// The lives of that workload side by side, oldest first, later ones included where the recording has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lives: Vec<Life>,
    /// What led to it.
    pub timeline: Timeline,
    /// What to change.
    pub advice: Vec<Advice>,
    /// What could not be known, and why.
    pub unknown: Vec<String>,
    /// Who saw the kill: `kmsg`, `probe`, `memory.events`, `vmstat`.
    pub witnesses: Vec<String>,
}

/// Whose limit an incident hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The victim's own cgroup.
    Own,
    /// A cgroup above it.
    Ancestor,
    /// The cgroup of all WSL distros.
    WslUser,
    /// The machine itself.
    Machine,
    /// No witness told, or nobody's.
    Unknown,
}

/// The limit that was hit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// Whose it is.
    pub owner: Owner,
    /// Its cgroup; absent for the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// The limit; for the machine its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What was used of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<u64>,
}

/// The task that asked for memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name; hostile.
    pub comm: String,
    /// Its pid, where the probe saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Order of the request: `2^order` pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i64>,
    /// Whether it is the victim itself.
    pub is_victim: bool,
}

/// A process that was killed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Victim {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// Its pid; absent when no witness named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its name; hostile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// Its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Resident anonymous memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anon: Option<u64>,
    /// Resident shared memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shmem: Option<u64>,
    /// Page tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pgtables: Option<u64>,
    /// Its `oom_score_adj`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i64>,
}

impl Incident {
    /// A cgroup as people call it, or the machine. Safe to show.
    pub fn called(&self, cgroup: Option<&str>) -> String {
        let Some(path) = cgroup else { return "the machine".into() };
        printable(self.names.get(path).map_or(name(path), String::as_str))
    }
}

fn names(context: &IncidentContext) -> BTreeMap<String, String> {
    let of_events = context.events.iter().filter_map(|event| event.event.cgroup.as_ref());
    let title = |path: &String| Some((path.clone(), context.names.of(path, |_| None)?.title()?));
    context.cgroups.keys().chain(of_events).filter_map(title).collect()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Tells the story of a context.
pub fn explain(context: &IncidentContext) -> Incident {
    let mut causes = cause::judge(context);
    let cause = cause::primary(&causes);
    let contributing = cause::contributing(&causes, cause);
    causes.retain(|judgement| !judgement.speaks_for.is_empty() || !judgement.against.is_empty());
    let confidence = verdict::confidence(context, &causes, cause);
    Incident {
        format: FORMAT.to_owned(),
        kind: context.kind,
        time: format_us(context.at_us),
        time_us: context.at_us,
        host: context.origin.host.clone(),
        kernel: context.origin.kernel.clone(),
        verdict: verdict::sentence(context, cause),
        confidence,
        limit: context.limit(),
        names: names(context),
        trigger: context.trigger(),
        death: context.death.clone(),
        victims: context.victims(),
        more_victims: context.more,
        suspect: context.suspect.clone(),
        cause,
        contributing: contributing.clone(),
        memory: memory::cgroups(context),
        processes: memory::processes(context),
        machine: memory::host(context),
        restarts: context.restarts.clone(),
        lives: if context.restarts.is_some() { context.lives.clone() } else { Vec::new() },
        timeline: timeline::of(context),
        advice: advice::of(context, cause, &contributing),
        unknown: unknown::of(context),
        witnesses: context.witnesses(),
        causes,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::incident_ref::IncidentRef;
    use super::*;
    use crate::model::evidence::{Constraint, OomKill, OomReport, Victim as Killed, WitnessKind};
    use crate::model::fields::{FieldId, Table, UNLIMITED};
    use crate::model::recording::{Origin, Series, Subject};
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
        assert_eq!(cause::contributing(&strong, CauseClass::Neighbour), [CauseClass::Leak], "one growth is told once");
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
        // The detectors may say what they like of the time before.
        let mut judgement =
            Judgement { class: CauseClass::Leak, score: 0.0, speaks_for: Vec::new(), against: Vec::new() };
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
        });
        let leak = cause::TABLE.iter().find(|cause| cause.class == CauseClass::Leak).unwrap();
        (leak.judge)(&context, &mut judgement);
        assert!(judgement.score < 0.5 && !judgement.against.is_empty(), "{judgement:?}");
    }
}
