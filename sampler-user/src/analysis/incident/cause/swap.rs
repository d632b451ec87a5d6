//! There is no swap, or it was used up. Never the cause alone: it takes away the time that was left.

use crate::analysis::incident::advice::{Advice, config_size, with_margin};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Swap,
    of: IncidentKind::OomKill,
    role: Role::Aggravation,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

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

/// It is never the cause of a page.
fn explain(_: &IncidentContext) -> Option<String> {
    None
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let total = context.host.at(FieldId::MemTotal, context.at_us)?;
    let swap = context.host.at(FieldId::SwapTotal, context.at_us)?;
    let target = config_size(with_margin(swap.max(total / 4)));
    let setting = if context.origin.wsl.is_some() {
        format!(".wslconfig: [wsl2] swap={target}")
    } else {
        format!("fallocate -l {target} /swapfile && mkswap /swapfile && swapon /swapfile")
    };
    Some(Advice {
        what: "More swap gives time to see it coming; it does not take the cause away.".into(),
        setting: Some(setting),
        because: format!("{} of swap for {} of memory", bytes(swap), bytes(total)),
    })
}
