//! It was asked to end, did not, and was killed.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::describe::{by, docker};
use crate::analysis::incident::death::process_end::{KILL, TERM};
use crate::analysis::incident::incident_ref::IncidentKind;

pub const CAUSE: Cause = Cause {
    class: CauseClass::StopTimeout,
    of: IncidentKind::Death,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some(death) = &context.death else { return };
    if death.fatal() != Some(KILL) || death.by_kernel() {
        return;
    }
    match death.stop_before() {
        Some((before_s, Some(asked))) => {
            judgement.pro(0.95, format!("{before_s:.1} s before it had been asked to end by {}", by(asked)));
            if asked.ignored {
                judgement
                    .speaks_for
                    .push("it ignored that: the first process of a container has no default for signals".into());
            }
        }
        Some((before_s, None)) => {
            judgement.pro(0.9, format!("Docker's own account: it asked the container to end {before_s:.1} s before"));
        }
        None => judgement.contra(0.1, "nobody was seen to ask it to end before"),
    }
    if docker(death, TERM).is_some() && docker(death, KILL).is_some() {
        judgement.speaks_for.push("Docker's own account: SIGTERM, then SIGKILL".into());
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (before_s, _) = context.death.as_ref()?.stop_before()?;
    Some(format!("; it did not stop within {before_s:.0} s of being asked to"))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let death = context.death.as_ref()?;
    let called = context.called_death();
    let (what, setting) = if death.asked.as_ref().is_some_and(|asked| asked.ignored) {
        (
            format!(
                "Give {called} an init, or a handler for SIGTERM: as the first process of a container it ignores it."
            ),
            "compose: init: true   docker run --init",
        )
    } else {
        (
            format!(
                "Let {called} end when it is asked to (handle SIGTERM; `exec` in its start script), or give it more time."
            ),
            "compose: stop_grace_period: 30s   docker stop --time 30",
        )
    };
    let before_s = death.stop_before().map_or(0.0, |(before_s, _)| before_s);
    Some(Advice {
        what,
        setting: Some(setting.into()),
        because: format!("it still ran {before_s:.0} s after it was asked to end"),
    })
}
