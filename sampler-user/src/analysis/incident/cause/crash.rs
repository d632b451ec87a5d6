//! It crashed: a fault or an abort of its own, and memory was not why.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::own_ceiling;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::describe::{by, end};
use crate::analysis::incident::death::level::{level, used};
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Crash,
    of: IncidentKind::Death,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some(death) = context.death.as_ref().filter(|death| death.crashed()) else { return };
    let sender = death.sender.as_ref();
    if let Some(other) = sender.filter(|sender| !sender.itself) {
        judgement.contra(0.2, format!("another process sent the signal: {}", by(other)));
        return;
    }
    let how = match sender {
        Some(sender) if sender.fault => "the kernel saw a fault of the process itself",
        Some(_) => "the kernel saw that it sent the signal to itself (abort)",
        None => "such a signal comes from the program itself",
    };
    judgement.pro(0.8, format!("{}: {how}", end(death)));
    if let Some((what, sure)) = own_ceiling::known(context)
        && sure > 0.6
        && level(context).end >= 24 << 20
    {
        judgement.contra(0.45, format!("this is also how it ends at {what}"));
    } else if death.address_limit.is_some_and(|limit| death.peak_rss.unwrap_or(0) * 3 >= limit) {
        judgement.contra(0.45, "it was near its limit of address space, where an allocation fails");
    }
    let held = level(context).end;
    match death.limit {
        Some(limit) if held * 100 >= limit * 92 => {
            judgement.against.push(format!("the limit of its cgroup, {}, was near", bytes(limit)));
        }
        Some(limit) => judgement.speaks_for.push(format!("memory was {} of {}", bytes(held), bytes(limit))),
        None => {}
    }
}

fn explain(_: &IncidentContext) -> Option<String> {
    None
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    Some(Advice {
        what: format!("Look at the output of {} and at a core dump; memory was not why.", context.called_death()),
        setting: Some("coredumpctl info   docker logs".into()),
        because: used(context),
    })
}
