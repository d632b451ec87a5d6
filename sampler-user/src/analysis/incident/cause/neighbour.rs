//! Another cgroup under the same limit took the memory.

use crate::analysis::incident::Owner;
use crate::analysis::incident::cause::{Cause, CauseClass, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: CauseClass::Neighbour, of: IncidentKind::OomKill, judge };

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
