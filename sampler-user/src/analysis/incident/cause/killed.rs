//! Somebody killed it: a person, a script, a runtime.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::describe::{by, docker};
use crate::analysis::incident::death::level::used;
use crate::analysis::incident::death::process_end::{KILL, TERM};
use crate::analysis::incident::death::sender::SenderKind;
use crate::analysis::incident::incident_ref::IncidentKind;

pub const CAUSE: Cause = Cause {
    class: CauseClass::Killed,
    of: IncidentKind::Death,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some(death) = &context.death else { return };
    if let Some(sender) = death.sender.as_ref().filter(|_| !death.by_kernel()) {
        if sender.itself {
            judgement.contra(0.05, "it sent the signal to itself");
            return;
        }
        judgement.pro(0.95, format!("the kernel saw who sent the signal: {}", by(sender)));
        if sender.kind() == SenderKind::OomKiller {
            judgement.contra(0.3, "that is a program which kills because of memory");
        }
    } else if docker(death, KILL).is_some() {
        judgement.pro(0.85, "Docker's own account: somebody asked it to kill the container");
    } else if death.fatal() == Some(KILL) && !death.by_kernel() {
        judgement.pro(0.55, "SIGKILL comes from outside, and no witness saw an OOM kill; who sent it was not seen");
    } else {
        return;
    }
    if death.runtime.as_ref().is_some_and(|account| account.oom) {
        judgement.contra(0.3, "Docker reports an OOM kill, which no other witness saw");
    }
    if death.stop_before().is_some() && death.sender.as_ref().is_none_or(|sender| sender.signal != TERM) {
        judgement.contra(0.3, "it had been asked to end before");
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let sender = context.death.as_ref()?.sender.as_ref()?;
    let is_runtime = sender.kind() == SenderKind::Runtime;
    is_runtime.then(|| "; somebody asked for it (docker kill, docker rm -f, or the like)".into())
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let ask = match context.death.as_ref()?.sender.as_ref() {
        Some(sender) if sender.kind() == SenderKind::Runtime => {
            "Look for who called the runtime (docker events, the log of the daemon, a script of a deployment)".into()
        }
        Some(sender) => format!("Ask who ran {}", by(sender)),
        None => "Look for who sent it (docker events, audit, shell histories)".to_owned(),
    };
    Some(Advice {
        what: format!("{ask}; a higher memory limit would have changed nothing."),
        setting: None,
        because: used(context),
    })
}
