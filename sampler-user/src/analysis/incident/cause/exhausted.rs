//! The machine had nothing left as the recording ended.

use crate::analysis::incident::advice::{Advice, limit_setting};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::phrase::available;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Exhausted,
    of: IncidentKind::AbruptEnd,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

/// Less than this part of the memory is nothing left.
pub const LITTLE: f64 = 0.05;
/// Part of the last seconds in which all tasks waited for memory.
const STALLED: f64 = 0.3;

/// Memory available at the end, and all there is.
pub fn room(context: &IncidentContext) -> Option<(u64, u64)> {
    let at = context.at_us;
    Some((context.host.at(FieldId::MemAvailable, at)?, context.host.at(FieldId::MemTotal, at)?))
}

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let at = context.at_us;
    if let Some((available, total)) = room(context) {
        let words = format!("{} of {} were available in the last reading", bytes(available), bytes(total));
        if (available as f64) < LITTLE * total as f64 {
            judgement.pro(0.8, words);
        } else {
            judgement.contra(0.3, words);
        }
    }
    if let Some(full) = context.host.rise(FieldId::HostPressureFull, at - 5_000_000, at) {
        let part = full as f64 / 5e6;
        if part > STALLED {
            judgement.pro(0.7, format!("all tasks waited for memory in {:.0} % of the last 5 s", 100.0 * part));
        } else {
            judgement.against.push(format!("tasks waited for memory in {:.0} % of the last 5 s", 100.0 * part));
        }
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    Some(format!("the machine had no memory left: {}", available(context)))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (suspect, trace) = context.suspect_trace()?;
    let end = context.at_end(suspect, trace);
    Some(Advice {
        what: "Give each container a limit, so that the kernel kills one of them before the machine stops.".into(),
        setting: Some(limit_setting(context, suspect, end)),
        because: format!("{} held {} at the end", context.called(suspect), bytes(end)),
    })
}
