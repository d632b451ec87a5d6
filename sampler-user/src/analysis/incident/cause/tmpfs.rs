//! Files in a tmpfs, or shared memory: not freed by the kill of a process.

use crate::analysis::incident::advice::{Advice, config_size};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::memory;
use crate::analysis::leak::detectors::Class as MemoryClass;
use crate::analysis::leak::signal::Signal;
use crate::analysis::leak::verdict::Verdict;
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

/// How much of the suspect's memory is tmpfs or shared.
struct Share {
    shmem: u64,
    current: u64,
    /// What of it is new in the recorded time.
    grew: u64,
    /// Whether it is what filled the limit.
    is_one: bool,
}

fn share(context: &IncidentContext) -> Option<Share> {
    let (path, trace) = context.suspect_trace()?;
    let cgroup = memory::cgroups(context).into_iter().find(|cgroup| cgroup.path == path)?;
    let (shmem, current) = (cgroup.shmem?, cgroup.current.unwrap_or(1).max(1));
    let since = context.since_of(path);
    let first = trace.between(FieldId::Shmem, since, context.before_us()).first().map_or(0, |(_, value)| *value);
    let grew = shmem.saturating_sub(first);
    let growth = context.growth(path, trace, context.since_us()).max(0);
    let is_one = shmem as f64 / current as f64 > 0.4 && grew as f64 > 0.5 * growth as f64;
    Some(Share { shmem, current, grew, is_one })
}

/// Whether tmpfs or shared memory filled the limit.
pub fn is_one(context: &IncidentContext) -> bool {
    share(context).is_some_and(|share| share.is_one)
}

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let (Some((path, trace)), Some(share)) = (context.suspect_trace(), share(context)) else { return };
    let words = format!(
        "{} of the {} of {} is tmpfs or shared memory, {} of it new in the recorded time",
        bytes(share.shmem),
        bytes(share.current),
        context.called(path),
        bytes(share.grew)
    );
    if !share.is_one {
        judgement.contra(0.2, words);
        return;
    }
    judgement.pro(0.93, words);
    let after = trace.at(FieldId::Shmem, context.at_us + 3_000_000);
    if after.is_some_and(|after| after as f64 > 0.8 * share.shmem as f64) {
        judgement.pro(0.95, "the kill freed none of it");
    }
    let leaks = |verdict: &Verdict| verdict.verdict == MemoryClass::Leak && verdict.component == Some(Signal::Shmem);
    if context.history.as_ref().is_some_and(leaks) {
        judgement.speaks_for.push("the leak detectors agree: shared memory leaks".into());
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
