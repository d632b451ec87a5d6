//! There is no swap, or it was used up. Never the cause alone: it takes away the time that was left.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::Swap, of: Kind::OomKill, judge };

fn judge(scene: &Scene, says: &mut Judgement) {
    if !scene.is_of_machine() {
        return;
    }
    let at = scene.before_us();
    let (Some(total), Some(free)) = (scene.host.at(FieldId::SwapTotal, at), scene.host.at(FieldId::SwapFree, at))
    else {
        return;
    };
    if total == 0 {
        says.pro(0.5, "the machine has no swap");
    } else if (free as f64) < 0.1 * total as f64 {
        says.pro(0.6, format!("the swap of {} was used up: {} were free", bytes(total), bytes(free)));
    } else {
        says.contra(0.2, format!("{} of {} swap were free", bytes(free), bytes(total)));
    }
}
