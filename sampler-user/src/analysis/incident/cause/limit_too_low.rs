//! The working set needs more than the limit: it stood near it for long, without growing.

use crate::analysis::incident::advice::{Advice, MARGIN, limit_setting, with_margin};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::storm;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::limit::Owner;
use crate::analysis::leak::linear::median;
use crate::analysis::lives::Course;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::LimitTooLow,
    of: IncidentKind::OomKill,
    role: Role::Growth,
    higher_limit: HigherLimit::Answers,
    judge,
    explain,
    advise,
};

/// Near is above this part of the limit.
const NEAR: f64 = 0.7;

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let limit = context.limit();
    if limit.owner == Owner::Machine {
        return;
    }
    let (Some(total), Some(scope)) = (limit.limit, limit.cgroup.as_deref()) else { return };
    let Some(trace) = context.cgroups.get(scope) else { return };
    if let Some(restarts) = context.suspect_loop().filter(|_| limit.owner == Owner::Own) {
        let does_not_fit = restarts.brief || matches!(restarts.course, Some(Course::Stands | Course::Flattens));
        if restarts.leaks() {
            judgement.contra(0.3, restarts.evidence());
            return;
        }
        if does_not_fit {
            judgement.pro(restarts.confidence, restarts.evidence());
            return;
        }
    }
    // The last seconds are the kill's own.
    let points = trace.footprints(context.since_of(scope), context.before_us() - 3_000_000);
    if points.len() < 8 {
        return;
    }
    let values: Vec<f64> = points.iter().map(|(_, v)| *v as f64).collect();
    let peaks: Vec<f64> =
        values.chunks(values.len().div_ceil(8)).map(|part| part.iter().copied().fold(0.0, f64::max)).collect();
    let near = peaks.iter().filter(|peak| **peak > NEAR * total as f64).count();
    let (early, late) = (median(&values[values.len() / 4..values.len() / 2]), median(&values[values.len() / 2..]));
    let rose = (late - early) / total as f64;
    let who = context.called(scope);
    let hits = trace.rise(FieldId::EventsMax, context.since_of(scope), context.at_us - 3_000_000).unwrap_or(0);
    let words = format!(
        "{who} used up to {} of {} in {near} of 8 parts of the time before",
        bytes(peaks.iter().copied().fold(0.0, f64::max) as u64),
        bytes(total)
    );
    let (many, _) = storm::step(context, context.before_us());
    if many >= storm::MANY && limit.owner != Owner::Own {
        judgement.contra(0.4, format!("{words}, but these are peaks of many in step"));
    } else if near >= 5 && rose.abs() < 0.12 {
        judgement.pro(0.85, words);
        judgement.speaks_for.push(format!("its middle moved by no more than {:.0} % of the limit", 100.0 * rose.abs()));
        if hits > 0 {
            judgement.speaks_for.push(format!("it hit the limit {hits} times before"));
        }
    } else {
        judgement.contra(0.3, words);
        if rose.abs() >= 0.12 {
            judgement
                .against
                .push(format!("its middle moved by {:.0} % of the limit: it was not at rest", 100.0 * rose));
        }
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (path, trace) = context.suspect_trace()?;
    if context.suspect_loop().is_some_and(|restarts| restarts.brief) {
        return Some(
            ", which its start fills: too low for what it needs then, or a leak too fast to be distinguished from that"
                .into(),
        );
    }
    let scope = context.limit().cgroup.unwrap_or_default();
    let peak =
        context.cgroups.get(&scope).and_then(|trace| trace.footprint_peak(context.since_of(&scope), context.at_us));
    let peak = peak.unwrap_or(0).max(context.at_end(path, trace));
    Some(format!(", too low for a working set of up to {} that did not grow", bytes(peak)))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let limit = context.limit();
    let scope = limit.cgroup.as_deref()?;
    let total = limit.limit.unwrap_or(0);
    let peak = context.cgroups.get(scope)?.footprint_peak(context.since_us(), context.at_us)?.max(total);
    let target = with_margin(peak);
    Some(Advice {
        what: format!(
            "Raise the limit of {} from {} to {}, or make its heap smaller.",
            context.called(scope),
            bytes(total),
            bytes(target)
        ),
        setting: Some(limit_setting(context, scope, target)),
        because: format!(
            "its working set reached the limit of {}; {:.0} % of room above it",
            bytes(peak),
            100.0 * MARGIN
        ),
    })
}
