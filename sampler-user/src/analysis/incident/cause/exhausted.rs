//! The machine had nothing left as the recording ended.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::Exhausted, of: Kind::AbruptEnd, judge };

/// Less than this part of the memory is nothing left.
pub const LITTLE: f64 = 0.05;
/// Part of the last seconds in which all tasks waited for memory.
const STALLED: f64 = 0.3;

/// Memory available at the end, and all there is.
pub fn room(scene: &Scene) -> Option<(u64, u64)> {
    let at = scene.at_us;
    Some((scene.host.at(FieldId::MemAvailable, at)?, scene.host.at(FieldId::MemTotal, at)?))
}

fn judge(scene: &Scene, says: &mut Judgement) {
    let at = scene.at_us;
    if let Some((available, total)) = room(scene) {
        let words = format!("{} of {} were available in the last reading", bytes(available), bytes(total));
        if (available as f64) < LITTLE * total as f64 {
            says.pro(0.8, words);
        } else {
            says.contra(0.3, words);
        }
    }
    if let Some(full) = scene.host.rise(FieldId::HostPressureFull, at - 5_000_000, at) {
        let part = full as f64 / 5e6;
        if part > STALLED {
            says.pro(0.7, format!("all tasks waited for memory in {:.0} % of the last 5 s", 100.0 * part));
        } else {
            says.against.push(format!("tasks waited for memory in {:.0} % of the last 5 s", 100.0 * part));
        }
    }
}
