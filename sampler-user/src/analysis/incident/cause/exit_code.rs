//! It ended with a code of its own, and only its own output shows why.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::own_ceiling;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::level::{level, used};
use crate::analysis::incident::incident_ref::IncidentKind;

pub const CAUSE: Cause = Cause {
    class: CauseClass::ExitCode,
    of: IncidentKind::Death,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some(death) = context.death.as_ref().filter(|death| death.fatal().is_none()) else { return };
    let Some(code) = death.code else { return };
    judgement.pro(0.7, format!("no signal ended it: it gave the code {code} itself"));
    if let Some((what, sure)) = own_ceiling::known(context)
        && sure > 0.6
        && level(context).end >= 24 << 20
    {
        let lived = death.lived_us.is_none_or(|lived| lived >= 1_500_000);
        judgement.contra(if lived { 0.49 } else { 0.6 }, format!("this is also how it ends at {what}"));
    } else if death.address_limit.is_some_and(|limit| death.peak_rss.unwrap_or(0) * 3 >= limit) {
        judgement.contra(0.45, "it was near its limit of address space, where an allocation fails");
    }
}

fn explain(_: &IncidentContext) -> Option<String> {
    Some("; why is in its own output".into())
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    Some(Advice {
        what: format!("Look at the last lines that {} wrote; memory was not why it ended.", context.called_death()),
        setting: Some("docker logs --tail 50".into()),
        because: used(context),
    })
}
