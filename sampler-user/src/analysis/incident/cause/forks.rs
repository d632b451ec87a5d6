//! Processes or threads multiplied.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::phrase::after;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::fields::FieldId;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Forks,
    of: IncidentKind::OomKill,
    role: Role::Growth,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

/// Tasks of the suspect at first, and right before.
fn tasks(context: &IncidentContext) -> Option<(u64, u64)> {
    let (_, trace) = context.suspect_trace()?;
    let points = trace.between(FieldId::PidsCurrent, context.since_us(), context.before_us());
    let end = points.iter().rev().take(3).map(|(_, n)| *n).max()?;
    // The middle of the first half: what starts is no growth.
    let mut first: Vec<u64> = points[..points.len().div_ceil(4)].iter().map(|(_, n)| *n).collect();
    first.sort_unstable();
    Some((*first.get(first.len() / 2)?, end))
}

fn is_many((first, end): (u64, u64)) -> bool {
    end >= first * 3 && end >= first + 20
}

/// Whether the suspect's tasks multiplied.
pub fn is_one(context: &IncidentContext) -> bool {
    tasks(context).is_some_and(is_many)
}

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some((first, end)) = tasks(context) else { return };
    let who = context.called(context.suspect.as_deref().unwrap_or_default());
    let words = format!("{who} had {first} tasks at first and {end} right before");
    if is_many((first, end)) {
        judgement.pro(0.93, words);
    } else {
        judgement.contra(0.1, words);
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (first, last) = tasks(context).unwrap_or((0, 0));
    Some(format!("{} from {first} to {last} tasks", after(context, "going", "had gone")?))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (suspect, _) = context.suspect_trace()?;
    let (first, last) = tasks(context)?;
    let bound = first * 2 + 10;
    Some(Advice {
        what: format!("Bound the tasks of {}, and reap or reuse processes.", context.called(suspect)),
        setting: Some(format!("compose: pids_limit: {bound}   systemd: TasksMax={bound}")),
        because: format!("{first} tasks at first, {last} right before the kill"),
    })
}
