//! The story of one incident: an OOM kill, or a recording that ends abruptly. From what was recorded around it to one page.

pub mod advice;
pub mod cause;
pub mod memory;
pub mod occurrence;
pub mod scene;
pub mod timeline;
pub mod trace;
pub mod unknown;
pub mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::advice::Advice;
use self::cause::{Class, Judgement};
use self::memory::{CgroupMemory, HostMemory, ProcessMemory};
use self::occurrence::Kind;
use self::scene::Scene;
use self::timeline::Timeline;
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
    /// Who was killed, in order.
    pub victims: Vec<Victim>,
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

fn names(scene: &Scene) -> BTreeMap<String, String> {
    let of_events = scene.events.iter().filter_map(|event| event.event.cgroup.as_ref());
    let title = |path: &String| Some((path.clone(), scene.names.of(path, |_| None)?.title()?));
    scene.cgroups.keys().chain(of_events).filter_map(title).collect()
}

/// Tells the story of a scene.
pub fn tell(scene: &Scene) -> Incident {
    let mut causes = cause::judge(scene);
    let cause = cause::primary(&causes);
    let contributing = cause::contributing(&causes, cause);
    causes.retain(|judgement| !judgement.speaks_for.is_empty() || !judgement.against.is_empty());
    let confidence = verdict::confidence(scene, &causes, cause);
    Incident {
        format: FORMAT.to_owned(),
        kind: scene.kind,
        time: format_us(scene.at_us),
        time_us: scene.at_us,
        host: scene.origin.host.clone(),
        kernel: scene.origin.kernel.clone(),
        verdict: verdict::sentence(scene, cause),
        confidence,
        limit: scene.limit(),
        names: names(scene),
        trigger: scene.trigger(),
        victims: scene.victims(),
        suspect: scene.suspect.clone(),
        cause,
        contributing: contributing.clone(),
        memory: memory::cgroups(scene),
        processes: memory::processes(scene),
        machine: memory::host(scene),
        timeline: timeline::of(scene),
        advice: advice::of(scene, cause, &contributing),
        unknown: unknown::of(scene),
        witnesses: scene.witnesses(),
        causes,
    }
}
