//! Another cgroup under the same limit took the memory.

use crate::analysis::incident::Owner;
use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::Neighbour, of: Kind::OomKill, judge };

fn judge(scene: &Scene, says: &mut Judgement) {
    let limit = scene.limit();
    if limit.owner == Owner::Own {
        says.contra(0.05, "the limit is the victim's own: what others use does not count");
        return;
    }
    let (Some(victim), Some((suspect, trace))) = (scene.victim_cgroup(), scene.suspect_trace()) else { return };
    if victim == suspect {
        says.contra(0.1, format!("{} grew most itself", scene.called(victim)));
        return;
    }
    let Some(victims) = scene.cgroups.get(victim) else { return };
    let (theirs, own) = (scene.late_growth(suspect, trace), scene.late_growth(victim, victims));
    let words = format!(
        "under the same limit {} lately grew by {} while {} grew by {}, and the larger one was killed",
        scene.called(suspect),
        bytes(theirs.max(0) as u64),
        scene.called(victim),
        bytes(own.max(0) as u64)
    );
    // The rest must not have grown as much together.
    let others: i64 = scene.members().iter().map(|(path, trace)| scene.late_growth(path, trace).max(0)).sum();
    if theirs > 0 && own < theirs / 2 && theirs * 10 >= others * 6 {
        says.pro(0.94, words);
    } else {
        says.contra(
            0.4,
            format!(
                "no single one grew alone: {} of {} are of {}",
                bytes(theirs.max(0) as u64),
                bytes(others.max(0) as u64),
                scene.called(suspect)
            ),
        );
    }
}
