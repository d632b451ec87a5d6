//! The story of one incident: an OOM kill, a death that is none, or a recording that ends abruptly. From what was recorded around it to one page.

pub mod advice;
pub mod cause;
pub mod death;
pub mod memory;
pub mod occurrence;
pub mod report;
pub mod scene;
pub mod timeline;
pub mod trace;
pub mod unknown;
pub mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::advice::Advice;
use self::cause::{Class, Judgement};
use self::death::Death;
use self::memory::{CgroupMemory, HostMemory, ProcessMemory};
use self::occurrence::Kind;
use self::scene::Scene;
use self::timeline::Timeline;
use super::lives::{Life, Loop};
use crate::paths::name;
use crate::time::format_us;
use crate::units::printable;

/// Version of the page's form; fields are only added within one.
pub const FORMAT: &str = "sampler.incident.v1";

/// One page. Sizes are bytes, times wall-clock microseconds or RFC 3339; what is not known is absent. Names are hostile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// [`FORMAT`].
    pub format: String,
    /// What kind of incident.
    pub kind: Kind,
    /// What it is known from.
    #[serde(default)]
    pub source: Source,
    /// When, RFC 3339; of a kernel's log as much of that as it says.
    pub time: String,
    /// When, microseconds since 1970; absent where a kernel's log does not say the date or the zone.
    #[serde(default)]
    pub time_us: Option<i64>,
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
    pub cause: Class,
    /// What contributed.
    pub contributing: Vec<Class>,
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

/// What an incident is known from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A recording.
    #[default]
    Recording,
    /// The kernel's log alone.
    KernelLog,
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
    /// When, microseconds since 1970; absent where a kernel's log does not say.
    #[serde(default)]
    pub time_us: Option<i64>,
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

fn names(scene: &Scene) -> BTreeMap<String, String> {
    let of_events = scene.events.iter().filter_map(|event| event.event.cgroup.as_ref());
    let of_kills = scene.kills.iter().filter_map(|(_, kill)| kill.victim_cgroup.as_ref());
    let title = |path: &String| Some((path.clone(), scene.names.of(path, |_| None)?.title()?));
    scene.cgroups.keys().chain(of_events).chain(of_kills).filter_map(title).collect()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Tells the story of a scene.
pub fn tell(scene: &Scene) -> Incident {
    let is_log = scene.logged.is_some();
    let mut causes = if is_log { report::judge(scene) } else { cause::judge(scene) };
    let cause = cause::primary(&causes);
    let contributing = cause::contributing(&causes, cause);
    causes.retain(|judgement| !judgement.speaks_for.is_empty() || !judgement.against.is_empty());
    let confidence = verdict::confidence(scene, &causes, cause);
    let time = scene.logged.as_ref().map_or_else(|| format_us(scene.at_us), |logged| logged.time.clone());
    Incident {
        format: FORMAT.to_owned(),
        kind: scene.kind,
        source: if is_log { Source::KernelLog } else { Source::Recording },
        time,
        time_us: scene.logged.as_ref().map_or(Some(scene.at_us), |logged| logged.time_us),
        host: scene.origin.host.clone(),
        kernel: scene.origin.kernel.clone(),
        verdict: verdict::sentence(scene, cause),
        confidence,
        limit: scene.limit(),
        names: names(scene),
        trigger: scene.trigger(),
        death: scene.death.clone(),
        victims: scene.victims(),
        more_victims: scene.more,
        suspect: scene.suspect.clone(),
        cause,
        contributing: contributing.clone(),
        memory: memory::cgroups(scene),
        processes: memory::processes(scene),
        machine: memory::host(scene),
        restarts: scene.restarts.clone(),
        lives: if scene.restarts.is_some() { scene.lives.clone() } else { Vec::new() },
        timeline: if is_log { Timeline::default() } else { timeline::of(scene) },
        advice: if is_log { report::advice(scene, cause) } else { advice::of(scene, cause, &contributing) },
        unknown: if is_log { report::unknown(scene) } else { unknown::of(scene) },
        witnesses: scene.witnesses(),
        causes,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::occurrence::Occurrence;
    use super::*;
    use crate::evidence::{Constraint, OomKill, OomReport, Victim as Killed, WitnessKind};
    use crate::fields::{FieldId, Table, UNLIMITED};
    use crate::recording::{Origin, Series, Subject};
    use crate::sample::Row;
    use crate::time::Anchor;

    const AT_US: i64 = 1_000_000_000;
    const MIB: u64 = 1 << 20;

    /// A kill below a limit of 100 MiB. Each cgroup: path, MiB a minute before and at the kill, limit in MiB.
    fn scene(limit: &str, victim: &str, cgroups: &[(&str, u64, u64, Option<u64>)]) -> Scene {
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
        let occurrence = Occurrence {
            kind: Kind::OomKill,
            at_us: AT_US,
            kills,
            more: 0,
            last_us: AT_US,
            afterwards: None,
            death: None,
        };
        let mut scene = Scene::new(&occurrence, Origin::example(Anchor { mono_ns: 0, wall_ns: 0 }));
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
            scene.cgroups.entry((*path).into()).or_default().feed(&series);
        }
        scene.find_suspect();
        scene
    }

    fn score(scene: &Scene, class: Class) -> f64 {
        cause::judge(scene).iter().find(|judgement| judgement.class == class).map_or(0.0, |judgement| judgement.score)
    }

    #[test]
    fn limits_exceed_only_where_nobody_hit_its_own_and_nobody_grew_alone() {
        let of = |a, b| scene("/p", "/p/a", &[("/p", 60, 100, Some(100)), a, b]);
        let even = of(("/p/a", 30, 50, Some(80)), ("/p/b", 30, 50, Some(80)));
        assert!(score(&even, Class::LimitsExceed) > 0.9);
        let one_at_its_own = of(("/p/a", 30, 50, Some(50)), ("/p/b", 30, 50, Some(80)));
        assert!(score(&one_at_its_own, Class::LimitsExceed) < 0.5, "one was stopped by its own limit");
        let alone = of(("/p/a", 20, 60, Some(80)), ("/p/b", 40, 40, Some(80)));
        assert!(score(&alone, Class::LimitsExceed) < 0.5, "one grew alone");
        let fits = of(("/p/a", 30, 44, Some(50)), ("/p/b", 30, 44, Some(50)));
        assert!(score(&fits, Class::LimitsExceed) < 0.1, "they fit");
    }

    #[test]
    fn a_neighbour_is_one_that_grew_alone_while_the_victim_stood() {
        let of = |victim: &str, a, b| scene("/p", victim, &[("/p", 60, 100, Some(100)), a, b]);
        let stood = of("/p/db", ("/p/db", 50, 50, None), ("/p/batch", 10, 50, None));
        assert!(score(&stood, Class::Neighbour) > 0.9);
        assert_eq!(stood.suspect.as_deref(), Some("/p/batch"), "not the largest");
        let both = of("/p/db", ("/p/db", 30, 50, None), ("/p/batch", 25, 50, None));
        assert!(score(&both, Class::Neighbour) < 0.5, "both grew");
        let itself = of("/p/batch", ("/p/db", 50, 50, None), ("/p/batch", 10, 50, None));
        assert!(score(&itself, Class::Neighbour) < 0.5, "the victim grew itself");
        let own = scene("/p/db", "/p/db", &[("/p/db", 50, 100, Some(100)), ("/p/batch", 10, 80, None)]);
        assert!(score(&own, Class::Neighbour) < 0.1, "its own limit");
        assert_eq!(own.limit().owner, Owner::Own);
        assert_eq!(stood.limit().owner, Owner::Ancestor);
    }

    #[test]
    fn what_a_victim_held_counts_although_no_sample_saw_it() {
        let seen = &[("/a", 24, 27, Some(128))];
        assert!(score(&scene("/a", "/a", seen), Class::Burst) < 0.3);
        let mut sudden = scene("/a", "/a", seen);
        if let Some(victim) = &mut sudden.kills[0].1.victim {
            victim.anon_rss = 127 * MIB;
        }
        assert!(score(&sudden, Class::Burst) > 0.8);
    }

    #[test]
    fn what_has_not_enough_for_it_is_no_cause() {
        let judged = |scores: &[(Class, f64)]| {
            let one = |(class, score): &(Class, f64)| Judgement {
                class: *class,
                score: *score,
                speaks_for: Vec::new(),
                against: Vec::new(),
            };
            scores.iter().map(one).collect::<Vec<_>>()
        };
        let weak = judged(&[(Class::Swap, 0.9), (Class::Leak, 0.49)]);
        assert_eq!(cause::primary(&weak), Class::Unknown, "and swap is never one alone");
        assert_eq!(cause::contributing(&weak, Class::Unknown), [Class::Swap]);
        let strong = judged(&[(Class::Neighbour, 0.9), (Class::Leak, 0.6), (Class::Burst, 0.55), (Class::Swap, 0.4)]);
        assert_eq!(cause::primary(&strong), Class::Neighbour);
        assert_eq!(cause::contributing(&strong, Class::Neighbour), [Class::Leak], "one growth is told once");
    }

    #[test]
    fn fewer_witnesses_make_the_page_less_sure() {
        let mut scene = scene("/a", "/a", &[("/a", 10, 100, Some(100))]);
        let judged = [Judgement { class: Class::Leak, score: 0.8, speaks_for: Vec::new(), against: Vec::new() }];
        let sure = |scene: &Scene| verdict::confidence(scene, &judged, Class::Leak);
        assert!((sure(&scene) - 0.8).abs() < 1e-9);
        scene.kills[0].1.report = None;
        assert!((sure(&scene) - 0.64).abs() < 1e-9, "only counters saw it");
        scene.kills[0].1.limit_cgroup = None;
        assert!((sure(&scene) - 0.48).abs() < 1e-9, "nobody knows whose limit it was");
        assert_eq!(scene.limit().owner, Owner::Unknown);
        assert_eq!(["high", "medium", "low"], [0.8, 0.64, 0.48].map(verdict::sure));
    }

    #[test]
    fn a_burst_is_no_leak_whatever_was_before() {
        let mut scene = scene("/a", "/a", &[("/a", 10, 40, Some(100))]);
        let subject = Arc::new(Subject { cgroup: "/a".into(), id: 1, process: None });
        let mut late = Series::new(subject, Table::Samples);
        let mut row = Row::new(1);
        row.put(FieldId::Current.field(), 100 * MIB);
        row.put(FieldId::Anon.field(), 100 * MIB);
        late.push(AT_US + 1, &row);
        scene.at_us = AT_US + 2;
        scene.cgroups.get_mut("/a").unwrap().feed(&late);
        assert!(score(&scene, Class::Burst) > 0.8);
        // The detectors may say what they like of the time before.
        let mut judgement = Judgement { class: Class::Leak, score: 0.0, speaks_for: Vec::new(), against: Vec::new() };
        scene.history = Some(crate::analysis::verdict::Verdict {
            verdict: crate::analysis::detectors::Class::Leak,
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
        let leak = cause::TABLE.iter().find(|cause| cause.class == Class::Leak).unwrap();
        (leak.judge)(&scene, &mut judgement);
        assert!(judgement.score < 0.5 && !judgement.against.is_empty(), "{judgement:?}");
    }
}
