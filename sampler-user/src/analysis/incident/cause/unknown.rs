//! No cause has enough evidence. It is in no table: it stands in where none of them is likely.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Role};
use crate::analysis::incident::cause::phrase::available;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Unknown,
    of: IncidentKind::OomKill,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge: |_, _| {},
    explain,
    advise,
};

fn explain(context: &IncidentContext) -> Option<String> {
    match context.kind {
        IncidentKind::OomKill => {
            let (path, trace) = context.suspect_trace()?;
            let (suspect, end) = (context.called(path), bytes(context.at_end(path, trace)));
            Some(format!("; why is not clear, `{suspect}` held most that grew ({end})"))
        }
        IncidentKind::AbruptEnd => Some(format!("whether memory was why is not clear: {}", available(context))),
        IncidentKind::Death => Some("; why is in its own output".into()),
    }
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let what = match context.kind {
        IncidentKind::OomKill | IncidentKind::AbruptEnd => {
            "Record it again with `sampler record --burst 1ms` as root, so that the kernel's report and the last moments are seen.".into()
        }
        IncidentKind::Death => format!(
            "Look at the output of {}; record with the kernel probe (as root) to see who sends signals.",
            context.called_death()
        ),
    };
    Some(Advice { what, setting: None, because: "no cause has enough evidence".into() })
}
