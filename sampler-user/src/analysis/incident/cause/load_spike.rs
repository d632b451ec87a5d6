//! Memory rose with the work.

use crate::analysis::incident::cause::burst;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::phrase::after;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::leak::detectors::Class as MemoryClass;
use crate::model::fields::FieldId;
use crate::model::units::{bytes, micros};

pub const CAUSE: Cause = Cause {
    class: CauseClass::LoadSpike,
    of: IncidentKind::OomKill,
    role: Role::Growth,
    higher_limit: HigherLimit::Answers,
    judge,
    explain,
    advise: burst::advise,
};

/// The work of the last tenth against that of the first half.
const TIMES: f64 = 3.0;
/// Below this part of a CPU there is no work to speak of.
const BUSY: f64 = 0.1;

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some((path, trace)) = context.suspect_trace() else { return };
    let who = context.called(path);
    if context.suspect_loop().is_none()
        && context.history.as_ref().is_some_and(|history| history.verdict == MemoryClass::Load)
    {
        judgement.pro(0.7, format!("the memory of {who} follows its work"));
    }
    if let Some(restarts) = context.suspect_loop().filter(|restarts| restarts.leaks()) {
        judgement.contra(0.45, restarts.evidence());
    }
    let (from, to) = (context.since_of(path), context.before_us());
    let span = to - from;
    let busy =
        |from: i64, to: i64| trace.rise(FieldId::CpuUsage, from, to).map(|us| us as f64 / (to - from).max(1) as f64);
    if let (Some(calm), Some(now)) = (busy(from, from + span / 2), busy(to - (span / 10).max(2_000_000), to)) {
        let words = format!("{who} used {:.0} % of a CPU right before, {:.0} % earlier", 100.0 * now, 100.0 * calm);
        let grew_late =
            trace.footprint(from + span / 2).zip(trace.footprint(to)).is_some_and(|(half, end)| end > half + half / 3);
        if now > TIMES * calm && now > BUSY && grew_late && judgement.against.is_empty() {
            judgement.pro(0.55, words);
        } else {
            judgement.contra(0.49, words);
        }
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (path, trace) = context.suspect_trace()?;
    let growth = context.growth(path, trace, context.since_us()).max(0) as u64;
    let span = micros((context.at_us - context.since_of(path)).max(0) as u64);
    Some(format!("{} by {} with its work in {span}", after(context, "growing", "had grown")?, bytes(growth)))
}
