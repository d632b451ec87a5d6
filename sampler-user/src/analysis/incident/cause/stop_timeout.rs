//! It was asked to end, did not, and was killed.

use crate::analysis::incident::cause::{Cause, CauseClass, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::words::{by, docker};
use crate::analysis::incident::death::{KILL, TERM};
use crate::analysis::incident::incident_ref::IncidentKind;

pub const CAUSE: Cause = Cause { class: CauseClass::StopTimeout, of: IncidentKind::Death, judge };

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
