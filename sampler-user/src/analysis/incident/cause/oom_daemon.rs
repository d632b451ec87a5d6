//! A program that watches the memory killed it: systemd-oomd, earlyoom.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::exhausted;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::describe::by;
use crate::analysis::incident::death::level::used;
use crate::analysis::incident::death::sender::SenderKind;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::OomDaemon,
    of: IncidentKind::Death,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some(sender) = context.death.as_ref().and_then(|death| death.sender.as_ref()) else { return };
    if sender.kind() != SenderKind::OomKiller {
        return;
    }
    judgement.pro(
        0.96,
        format!("the kernel saw who sent the signal: {}, a program that kills because of memory", by(sender)),
    );
    if let Some((available, total)) = exhausted::room(context) {
        let words = format!("{} of {} of the machine were available", bytes(available), bytes(total));
        if available < total / 4 { judgement.speaks_for.push(words) } else { judgement.against.push(words) }
    }
}

fn explain(_: &IncidentContext) -> Option<String> {
    Some("; that program kills to save memory".into())
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let called = context.called_death();
    Some(Advice {
        what: format!(
            "Give the machine more memory or {called} a limit of its own, so that it meets that first; or exempt it from the daemon."
        ),
        setting: Some("systemd: ManagedOOMPreference=avoid   earlyoom: --avoid REGEX".into()),
        because: used(context),
    })
}
