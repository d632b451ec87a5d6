//! Many cgroups rose in step: started together, or with a check that all make at the same time.

use crate::analysis::incident::advice::{Advice, limit_setting, with_margin};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::{IncidentContext, MINUTE_US};
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::limit::Owner;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Storm,
    of: IncidentKind::OomKill,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

/// This many must rise within [`STEP_US`].
pub const MANY: usize = 4;
const STEP_US: i64 = 2_000_000;
/// What is a rise: bytes, and a part of what it was.
const RISE: u64 = 1 << 20;
const PART: f64 = 0.25;

/// How many members rose within the step that ends at a time, and by how much together.
pub fn step(context: &IncidentContext, end_us: i64) -> (usize, u64) {
    let mut together = (0, 0);
    for (_, trace) in context.members() {
        let Some(before) = trace.at(FieldId::Current, end_us - STEP_US) else { continue };
        let peak = trace.peak(FieldId::Current, end_us - STEP_US, end_us).unwrap_or(0);
        let rise = peak.saturating_sub(before);
        if rise >= RISE && rise as f64 >= PART * before as f64 {
            together = (together.0 + 1, together.1 + rise);
        }
    }
    together
}

/// Ends of the earlier steps within the minute.
fn earlier(context: &IncidentContext) -> Vec<i64> {
    let mut ends: Vec<i64> = Vec::new();
    let mut at = context.at_us - MINUTE_US;
    while at < context.at_us - 2 * STEP_US {
        if step(context, at).0 >= MANY && ends.last().is_none_or(|last| at - last > 2 * STEP_US) {
            ends.push(at);
        }
        at += STEP_US / 4;
    }
    ends
}

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    if context.limit().owner == Owner::Own {
        return;
    }
    if context.members().len() < MANY {
        return;
    }
    let last = (0..4).map(|i| step(context, context.before_us() - i * STEP_US / 4)).max().unwrap_or((0, 0));
    if last.0 < MANY {
        judgement
            .contra(0.1, format!("{} of {} cgroups rose together in the last 2 s", last.0, context.members().len()));
        return;
    }
    judgement.pro(0.9, format!("{} cgroups rose within 2 s, by {} together", last.0, bytes(last.1)));
    let earlier = earlier(context);
    if let (Some(first), true) = (earlier.first(), earlier.len() > 1) {
        let period = (context.at_us - first) as f64 / 1e6 / earlier.len() as f64;
        judgement.pro(0.95, format!("they did so {} times in the minute before, every {period:.0} s", earlier.len()));
    }
}

/// The largest step of the last moments before the kill.
fn last_step(context: &IncidentContext) -> (usize, u64) {
    (0..4).map(|i| step(context, context.at_us - i * STEP_US / 4)).max().unwrap_or((0, 0))
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (many, rise) = last_step(context);
    Some(format!(" when {many} cgroups rose in step by {} within 2 s", bytes(rise)))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let limit = context.limit();
    let (many, rise) = last_step(context);
    let target = with_margin(limit.limit.unwrap_or(0) + rise / 2);
    Some(Advice {
        what: "Let them not run at the same time (start_period and interval of health checks, cron minutes, a delay at the start).".into(),
        setting: limit.cgroup.as_deref().map(|scope| limit_setting(context, scope, target)),
        because: format!(
            "{many} cgroups took {} together within 2 s; one after the other it would be {}",
            bytes(rise),
            bytes(rise / many.max(1) as u64)
        ),
    })
}
