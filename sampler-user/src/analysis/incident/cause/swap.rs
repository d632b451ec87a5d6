//! There is no swap, or it was used up. Never the cause alone: it takes away the time that was left.

use crate::analysis::incident::cause::{Cause, CauseClass, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: CauseClass::Swap, of: IncidentKind::OomKill, judge };

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    if !context.is_of_machine() {
        return;
    }
    let at = context.before_us();
    let (Some(total), Some(free)) = (context.host.at(FieldId::SwapTotal, at), context.host.at(FieldId::SwapFree, at))
    else {
        return;
    };
    if total == 0 {
        judgement.pro(0.5, "the machine has no swap");
    } else if (free as f64) < 0.1 * total as f64 {
        judgement.pro(0.6, format!("the swap of {} was used up: {} were free", bytes(total), bytes(free)));
    } else {
        judgement.contra(0.2, format!("{} of {} swap were free", bytes(free), bytes(total)));
    }
}
