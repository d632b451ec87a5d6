//! Much was allocated within a moment.

use crate::analysis::incident::advice::{Advice, limit_setting, with_margin};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::phrase::after;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Burst,
    of: IncidentKind::OomKill,
    role: Role::Growth,
    higher_limit: HigherLimit::Answers,
    judge,
    explain,
    advise,
};

/// A burst is over within this time, microseconds.
const MOMENT_US: i64 = 5_000_000;
/// And is at least this part of the limit.
const PART: f64 = 0.3;

/// Usage of the suspect a moment before, and right before the kill.
fn rise(context: &IncidentContext) -> Option<(u64, u64)> {
    let (path, trace) = context.suspect_trace()?;
    let end = context.at_end(path, trace);
    let from = context.before_us() - MOMENT_US;
    // Without what could be reclaimed: a cache that fills is no allocation.
    // What a life before this one held is none of it.
    let lived = context.since_of(path) <= from;
    let before = trace.footprint(from).or_else(|| trace.at(FieldId::Current, from)).filter(|_| lived);
    match before {
        Some(before) => Some((before.min(end), end)),
        None if context.appeared(path) => Some((0, end)),
        // What is known is shorter than a moment.
        None => {
            let (_, first) = *trace.between(FieldId::Current, from, context.before_us()).first()?;
            Some((first.min(end), end))
        }
    }
}

/// Whether the suspect rose by enough in the last moment to be one.
pub fn is_one(context: &IncidentContext) -> bool {
    let (Some((before, end)), Some(limit)) = (rise(context), context.limit().limit) else { return false };
    let rise = (end - before) as f64;
    rise > PART * limit as f64 && rise > 0.4 * end as f64
}

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some((before, end)) = rise(context) else { return };
    let Some(limit) = context.limit().limit else { return };
    let who = context.called(context.suspect.as_deref().unwrap_or_default());
    let rise = end - before;
    let words = format!("{who} grew by {} in the last 5 s, from {} to {}", bytes(rise), bytes(before), bytes(end));
    let restarts = context.suspect_loop();
    if let Some(restarts) = restarts.filter(|restarts| restarts.leaks()) {
        judgement.contra(0.3, format!("{words}, but no faster than all through its lives: {}", restarts.evidence()));
    } else if let Some(restarts) = restarts.filter(|restarts| restarts.brief && is_one(context)) {
        judgement.pro(restarts.confidence, format!("{words}; {}", restarts.evidence()));
    } else if is_one(context) {
        judgement.pro(0.88, words);
    } else {
        judgement
            .contra(0.2, format!("{words}: no more than {:.0} % of the limit", 100.0 * rise as f64 / limit as f64));
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (path, trace) = context.suspect_trace()?;
    let rise = match rise(context) {
        Some((before, end)) => end - before,
        None => context.growth(path, trace, context.since_us()).max(0) as u64,
    };
    Some(format!("{} {} within 5 s", after(context, "allocating", "had allocated")?, bytes(rise)))
}

/// Also of a load spike: both ask for room, or for less at once.
pub fn advise(context: &IncidentContext) -> Option<Advice> {
    let (suspect, _) = context.suspect_trace()?;
    let limit = context.limit();
    let (before, after) = rise(context)?;
    let target = with_margin(limit.limit.unwrap_or(0).max(after));
    let who = context.called(suspect);
    Some(Advice {
        what: format!("Bound what {who} takes at once (size of requests, files, workers), or give it room for it."),
        setting: Some(limit_setting(context, limit.cgroup.as_deref().unwrap_or(suspect), target)),
        because: format!(
            "it rose from {} to {} and asked for more: how much it wanted in all is unknown, {} is the least",
            bytes(before),
            bytes(after),
            bytes(target)
        ),
    })
}
