//! Files in a tmpfs, or shared memory: not freed by the kill of a process.

use crate::analysis::incident::advice::{Advice, config_size};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::memory;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Tmpfs,
    of: IncidentKind::OomKill,
    role: Role::Growth,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some((path, trace)) = context.suspect_trace() else { return };
    let who = context.called(path);
    let cgroup = memory::cgroups(context).into_iter().find(|cgroup| cgroup.path == path);
    let Some(shmem) = cgroup.as_ref().and_then(|cgroup| cgroup.shmem) else { return };
    let current = cgroup.and_then(|cgroup| cgroup.current).unwrap_or(1).max(1);
    let first =
        trace.between(FieldId::Shmem, context.since_of(path), context.before_us()).first().map_or(0, |(_, v)| *v);
    let part = shmem as f64 / current as f64;
    let grew = shmem.saturating_sub(first);
    let words = format!(
        "{} of the {} of {who} is tmpfs or shared memory, {} of it new in the recorded time",
        bytes(shmem),
        bytes(current),
        bytes(grew)
    );
    if part > 0.4 && grew as f64 > 0.5 * context.growth(path, trace, context.since_us()).max(0) as f64 {
        judgement.pro(0.93, words);
        if trace.at(FieldId::Shmem, context.at_us + 3_000_000).is_some_and(|after| after as f64 > 0.8 * shmem as f64) {
            judgement.pro(0.95, "the kill freed none of it");
        }
    } else {
        judgement.contra(0.2, words);
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (path, trace) = context.suspect_trace()?;
    let shmem = trace.at(FieldId::Shmem, context.at_us).unwrap_or_else(|| context.at_end(path, trace));
    let is_victim = context.victim_cgroup() == Some(path);
    let whose = if is_victim { String::new() } else { format!(" of `{}`", context.called(path)) };
    Some(format!(" with {} of tmpfs files or shared memory{whose}, which no kill of a process frees", bytes(shmem)))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (suspect, trace) = context.suspect_trace()?;
    let total = context.limit().limit.unwrap_or(0);
    let shmem = trace.at(FieldId::Shmem, context.at_us)?;
    let rest = context.at_end(suspect, trace).saturating_sub(shmem);
    let bound = total.saturating_sub(rest + rest / 4).max(1 << 20);
    Some(Advice {
        what: format!("Keep files of {} on a disk, delete them, or bound the tmpfs.", context.called(suspect)),
        setting: Some(format!("compose: tmpfs: [\"/tmp:size={}\"]", config_size(bound))),
        because: format!(
            "{} of tmpfs count against the limit of {}; processes need {}",
            bytes(shmem),
            bytes(total),
            bytes(rest)
        ),
    })
}
