//! A program that watches the memory killed it: systemd-oomd, earlyoom.

use crate::analysis::incident::cause::{Cause, CauseClass, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::sender::SenderKind;
use crate::analysis::incident::death::words::by;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: CauseClass::OomDaemon, of: IncidentKind::Death, judge };

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some(sender) = context.death.as_ref().and_then(|death| death.sender.as_ref()) else { return };
    if sender.kind() != SenderKind::OomKiller {
        return;
    }
    judgement.pro(
        0.96,
        format!("the kernel saw who sent the signal: {}, a program that kills because of memory", by(sender)),
    );
    if let Some((available, total)) = crate::analysis::incident::cause::exhausted::room(context) {
        let words = format!("{} of {} of the machine were available", bytes(available), bytes(total));
        if available < total / 4 { judgement.speaks_for.push(words) } else { judgement.against.push(words) }
    }
}
