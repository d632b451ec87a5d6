//! A runtime was allowed more than its container: it had no reason to collect before it was killed.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::burst;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::limit::Owner;
use crate::analysis::leak::detectors::Class as MemoryClass;
use crate::model::event::EventKind;
use crate::model::own_memory::{Manager, OwnMemory};
use crate::model::units::{bytes, printable};

pub const CAUSE: Cause = Cause {
    class: CauseClass::CeilingAboveLimit,
    of: IncidentKind::OomKill,
    role: Role::Growth,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

/// How sure it is where nothing speaks against it.
const SURE: f64 = 0.95;
/// How sure where what is alive rises as well: a heap below the limit would be full later.
const BESIDE_LEAK: f64 = 0.6;
/// A process that has less of the limit than this did not fill it.
const PART: f64 = 0.5;
/// The heap of a runtime is at most this part of the limit that it lives in.
const HEAP_PART: u64 = 75;

/// The runtime in the suspect whose ceiling is above the limit, with that limit: the one that holds most.
fn found(context: &IncidentContext) -> Option<(&OwnMemory, u64)> {
    let limit = context.limit();
    let total = limit.limit.filter(|_| limit.owner != Owner::Machine)?;
    let path = context.suspect.as_deref()?;
    // The last that each process said.
    let mut all: Vec<&OwnMemory> = Vec::new();
    for event in context.events.iter().rev().filter(|event| event.time_us <= context.at_us) {
        if let EventKind::OwnMemory(own) = &event.event.what
            && event.event.cgroup.as_deref() == Some(path)
            && all.iter().all(|known| known.pid != own.pid)
        {
            all.push(own);
        }
    }
    let is_above = |own: &&OwnMemory| {
        let heap = matches!(own.manager, Manager::Jvm | Manager::Node | Manager::Go | Manager::Cache);
        // Go collects by the size of what is alive, unless that is off: only then does its limit decide when.
        let decides = own.manager != Manager::Go || own.uncollected;
        heap && decides && own.ceiling.is_some_and(|ceiling| ceiling > total)
    };
    let largest = all.iter().copied().max_by_key(|own| own.resident)?;
    // What another process filled is not this one's.
    Some(largest).filter(is_above).map(|own| (own, total))
}

/// `-Xmx512m`, or a word for a choice of its own.
fn set_by(own: &OwnMemory) -> String {
    own.set_by.as_deref().map_or_else(|| "its own choice".into(), printable)
}

/// Whether it is sure enough to explain what looks like a leak.
pub fn is_one(context: &IncidentContext) -> bool {
    let mut judgement = Judgement::new(CauseClass::CeilingAboveLimit);
    judge(context, &mut judgement);
    judgement.score >= SURE
}

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some((own, total)) = found(context) else { return };
    let ceiling = own.ceiling.unwrap_or(0);
    judgement.pro(
        SURE,
        format!(
            "{} may hold up to {} ({}) in a limit of {}",
            printable(&own.comm),
            bytes(ceiling),
            set_by(own),
            bytes(total)
        ),
    );
    if let Some(resident) = own.resident {
        let held = format!("it held {} of it when it was seen last", bytes(resident));
        if (resident as f64) < PART * total as f64 {
            judgement.contra(0.45, held);
        } else {
            judgement.speaks_for.push(held);
        }
    }
    if burst::is_one(context) {
        judgement.contra(0.6, "what it took in the last 5 s came faster than a heap fills");
    }
    // The detectors know what collections leave of Java's heap; V8 collects by what is alive, not by its limit.
    let knows = own.heap.is_some() || own.manager == Manager::Node;
    if knows && context.history.as_ref().is_some_and(|history| history.verdict == MemoryClass::Leak) {
        judgement.contra(BESIDE_LEAK, "the leak detectors find that what is alive rises as well");
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (own, total) = found(context)?;
    Some(format!(
        ", although {} may hold {} by itself ({}), more than the limit of {}: it was killed before it had a reason to collect",
        printable(&own.comm),
        bytes(own.ceiling?),
        set_by(own),
        bytes(total)
    ))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (own, total) = found(context)?;
    let heap = total / 100 * HEAP_PART;
    let (what, setting) = match own.manager {
        Manager::Jvm => ("the JVM's heap", format!("-XX:MaxRAMPercentage={HEAP_PART}, without -Xmx")),
        Manager::Node => ("V8's heap", format!("NODE_OPTIONS=--max-old-space-size={}", heap >> 20)),
        Manager::Go => ("Go's heap", format!("GOMEMLIMIT={}MiB", heap >> 20)),
        Manager::Cache | Manager::SharedMapping => ("the cache", format!("a size of {} MiB", heap >> 20)),
    };
    Some(Advice {
        what: format!(
            "Bound {what} of {} below its limit, or raise the limit above it.",
            context.called(context.suspect.as_deref()?)
        ),
        setting: Some(setting),
        because: format!(
            "{} may hold {} in a limit of {}; a quarter of the limit is left for what is no heap",
            printable(&own.comm),
            bytes(own.ceiling?),
            bytes(total)
        ),
    })
}
