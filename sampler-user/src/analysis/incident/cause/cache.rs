//! Page cache that could not be reclaimed. Cache that can be never leads to a kill: it is taken back first.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Cache,
    of: IncidentKind::OomKill,
    role: Role::Growth,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some(limit) = context.limit().limit else { return };
    let at = context.before_us();
    for (path, trace) in context.members() {
        let get = |field| trace.at(field, at).unwrap_or(0);
        let stuck = get(FieldId::FileDirty) + get(FieldId::FileWriteback) + get(FieldId::Unevictable);
        let who = context.called(path);
        if stuck as f64 > 0.3 * limit as f64 {
            judgement.pro(
                0.6,
                format!("{} of the files of {who} could not be reclaimed: dirty, under way or locked", bytes(stuck)),
            );
        }
        let peak = trace.peak(FieldId::File, at - 60_000_000, at).unwrap_or(0).saturating_sub(get(FieldId::Shmem));
        if peak as f64 > 0.15 * limit as f64 && stuck * 4 < peak {
            let now = context.cache(trace);
            judgement.contra(
                0.1,
                format!(
                    "{who} had up to {} of page cache; the kernel takes it back before it kills, {} were left",
                    bytes(peak),
                    bytes(now)
                ),
            );
        }
    }
}

fn explain(_: &IncidentContext) -> Option<String> {
    Some(" with page cache that could not be reclaimed".into())
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (suspect, _) = context.suspect_trace()?;
    Some(Advice {
        what: format!("Write less at once in {}, or sync in between.", context.called(suspect)),
        setting: None,
        because: "dirty and locked pages cannot be taken back in time".into(),
    })
}
