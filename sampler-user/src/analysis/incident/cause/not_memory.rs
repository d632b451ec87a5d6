//! The recording ended, and memory was not why.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::exhausted;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::phrase::available;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::{Afterwards, IncidentKind};
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::NotMemory,
    of: IncidentKind::AbruptEnd,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some((available, total)) = exhausted::room(context) else {
        judgement.contra(0.3, "the memory of the machine was not recorded");
        return;
    };
    let words = format!("{} of {} were available in the last reading", bytes(available), bytes(total));
    if available as f64 > 2.0 * exhausted::LITTLE * total as f64 {
        judgement.pro(0.75, words);
    } else {
        judgement.contra(0.2, words);
    }
    match context.afterwards {
        Some(Afterwards::SameBoot) => {
            judgement.speaks_for.push("the same boot went on: only the recorder ended".into())
        }
        Some(Afterwards::NewBoot) => judgement.speaks_for.push("the machine was booted again afterwards".into()),
        _ => {}
    }
    let last_kill =
        context.events.iter().rev().find(|e| matches!(e.event.what, crate::model::event::EventKind::OomKill(_)));
    if let Some(kill) = last_kill.filter(|kill| context.at_us - kill.time_us < 60_000_000) {
        let s = (context.at_us - kill.time_us) as f64 / 1e6;
        judgement.against.push(format!("the OOM killer had come {s:.0} s before"));
    } else {
        judgement.speaks_for.push("no OOM kill in the minute before".into());
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    Some(format!("memory was not short: {}, and no OOM kill was seen", available(context)))
}

fn advise(_: &IncidentContext) -> Option<Advice> {
    Some(Advice {
        what: "Look at the host: its own log, power, and who stopped the virtual machine; memory was not short.".into(),
        setting: None,
        because: "the last readings show room".into(),
    })
}
