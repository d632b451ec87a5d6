//! Another cgroup under the same limit took the memory.

use crate::analysis::incident::advice::{Advice, limit_setting};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::limit::Owner;
use crate::model::units::{bytes, micros};

pub const CAUSE: Cause = Cause {
    class: CauseClass::Neighbour,
    of: IncidentKind::OomKill,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let limit = context.limit();
    if limit.owner == Owner::Own {
        judgement.contra(0.05, "the limit is the victim's own: what others use does not count");
        return;
    }
    let (Some(victim), Some((suspect, trace))) = (context.victim_cgroup(), context.suspect_trace()) else { return };
    if victim == suspect {
        judgement.contra(0.1, format!("{} grew most itself", context.called(victim)));
        return;
    }
    let Some(victims) = context.cgroups.get(victim) else { return };
    let (theirs, own) = (context.late_growth(suspect, trace), context.late_growth(victim, victims));
    let words = format!(
        "under the same limit {} lately grew by {} while {} grew by {}, and the larger one was killed",
        context.called(suspect),
        bytes(theirs.max(0) as u64),
        context.called(victim),
        bytes(own.max(0) as u64)
    );
    // The rest must not have grown as much together.
    let others: i64 = context.members().iter().map(|(path, trace)| context.late_growth(path, trace).max(0)).sum();
    if theirs > 0 && own < theirs / 2 && theirs * 10 >= others * 6 {
        judgement.pro(0.94, words);
    } else {
        judgement.contra(
            0.4,
            format!(
                "no single one grew alone: {} of {} are of {}",
                bytes(theirs.max(0) as u64),
                bytes(others.max(0) as u64),
                context.called(suspect)
            ),
        );
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (path, trace) = context.suspect_trace()?;
    let growth = context.growth(path, trace, context.since_us()).max(0) as u64;
    let span = micros((context.at_us - context.since_of(path)).max(0) as u64);
    let victim = context.victim_cgroup().and_then(|victim| context.cgroups.get(victim));
    let own = victim.and_then(|trace| trace.footprint(context.at_us));
    let stood = own.map_or_else(String::new, |own| format!(", while it stood at {} itself", bytes(own)));
    let suspect = context.called(path);
    Some(format!(
        " because `{suspect}` under the same limit grew by {} in {span}{stood}; not its own growth",
        bytes(growth)
    ))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (suspect, trace) = context.suspect_trace()?;
    let total = context.limit().limit.unwrap_or(0);
    let members = context.members();
    let others = members.iter().filter(|(path, _)| *path != suspect);
    let others: u64 = others.map(|(path, trace)| context.at_end(path, trace)).sum();
    let room = total.saturating_sub(others);
    Some(Advice {
        what: format!(
            "Give {} a limit of its own, so that it is killed itself when it grows.",
            context.called(suspect)
        ),
        setting: Some(limit_setting(context, suspect, room.saturating_sub(room / 10))),
        because: format!(
            "it held {} of the {}, the others {}",
            bytes(context.at_end(suspect, trace)),
            bytes(total),
            bytes(others)
        ),
    })
}
