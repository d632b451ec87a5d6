//! The page of one incident.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::{self, CauseClass, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::Death;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::limit::Limit;
use crate::analysis::incident::memory::{self, CgroupMemory, HostMemory, ProcessMemory};
use crate::analysis::incident::naming::{display_name, title_among};
use crate::analysis::incident::timeline::{self, Timeline};
use crate::analysis::incident::victim::{Trigger, Victim};
use crate::analysis::incident::{report, unknown, verdict};
use crate::analysis::lives::{Life, Loop};
use crate::model::time::format_us;

/// Version of the page's form; fields are only added within one.
pub const FORMAT: &str = "sampler.incident.v1";

/// One page. Sizes are bytes, times wall-clock microseconds or RFC 3339; what is not known is absent. Names are hostile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// [`FORMAT`].
    pub format: String,
    /// What kind of incident.
    pub kind: IncidentKind,
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
    /// The names of the containers of its cgroups, by path, as far as they were recorded; hostile.
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
    /// Each class with what speaks for and against it, most likely first; those without any evidence are left out.
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

impl Incident {
    /// A cgroup as people call it, or the machine. Safe to show.
    pub fn called(&self, cgroup: Option<&str>) -> String {
        let Some(path) = cgroup else { return "the machine".into() };
        display_name(path, self.names.get(path).map(String::as_str))
    }
}

fn names(context: &IncidentContext) -> BTreeMap<String, String> {
    let of_events = context.events.iter().filter_map(|event| event.event.cgroup.as_ref());
    let title = |path: &String| Some((path.clone(), title_among(&context.names, path)?));
    let of_kills = context.kills.iter().filter_map(|(_, kill)| kill.victim_cgroup.as_ref());
    context.cgroups.keys().chain(of_events).chain(of_kills).filter_map(title).collect()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The page of an incident, from what was recorded around it.
pub fn explain(context: &IncidentContext) -> Incident {
    let is_log = context.logged.is_some();
    let mut causes = if is_log { report::judge(context) } else { cause::judge(context) };
    let cause = cause::primary(&causes);
    let contributing = cause::contributing(&causes, cause);
    causes.retain(|judgement| !judgement.speaks_for.is_empty() || !judgement.against.is_empty());
    let confidence = verdict::confidence(context, &causes, cause);
    let time = context.logged.as_ref().map_or_else(|| format_us(context.at_us), |logged| logged.time.clone());
    Incident {
        format: FORMAT.to_owned(),
        kind: context.kind,
        source: if is_log { Source::KernelLog } else { Source::Recording },
        time,
        time_us: context.logged.as_ref().map_or(Some(context.at_us), |logged| logged.time_us),
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
        timeline: if is_log { Timeline::default() } else { timeline::of(context) },
        advice: if is_log { report::advice(context, cause) } else { cause::advise(context, cause, &contributing) },
        unknown: if is_log { report::unknown(context) } else { unknown::of(context, cause) },
        witnesses: context.witnesses(),
        causes,
    }
}
