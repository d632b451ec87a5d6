//! The recording ended, and memory was not why.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::{Afterwards, Kind};
use crate::analysis::incident::scene::Scene;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::NotMemory, of: Kind::AbruptEnd, judge };

fn judge(scene: &Scene, says: &mut Judgement) {
    let Some((available, total)) = crate::analysis::incident::cause::exhausted::room(scene) else {
        says.contra(0.3, "the memory of the machine was not recorded");
        return;
    };
    let words = format!("{} of {} were available in the last reading", bytes(available), bytes(total));
    if available as f64 > 2.0 * crate::analysis::incident::cause::exhausted::LITTLE * total as f64 {
        says.pro(0.75, words);
    } else {
        says.contra(0.2, words);
    }
    match scene.afterwards {
        Some(Afterwards::SameBoot) => says.speaks_for.push("the same boot went on: only the recorder ended".into()),
        Some(Afterwards::NewBoot) => says.speaks_for.push("the machine was booted again afterwards".into()),
        _ => {}
    }
    let last_kill =
        scene.events.iter().rev().find(|e| matches!(e.event.what, crate::model::event::EventKind::OomKill(_)));
    if let Some(kill) = last_kill.filter(|kill| scene.at_us - kill.time_us < 60_000_000) {
        let s = (scene.at_us - kill.time_us) as f64 / 1e6;
        says.against.push(format!("the OOM killer had come {s:.0} s before"));
    } else {
        says.speaks_for.push("no OOM kill in the minute before".into());
    }
}
