//! It was asked to end, did not, and was killed.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::death::words::{by, docker};
use crate::analysis::incident::death::{KILL, TERM};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;

pub const CAUSE: Cause = Cause { class: Class::StopTimeout, of: Kind::Death, judge };

fn judge(scene: &Scene, says: &mut Judgement) {
    let Some(death) = &scene.death else { return };
    if death.fatal() != Some(KILL) || death.by_kernel() {
        return;
    }
    match death.stop_before() {
        Some((before_s, Some(asked))) => {
            says.pro(0.95, format!("{before_s:.1} s before it had been asked to end by {}", by(asked)));
            if asked.ignored {
                says.speaks_for
                    .push("it ignored that: the first process of a container has no default for signals".into());
            }
        }
        Some((before_s, None)) => {
            says.pro(0.9, format!("Docker's own account: it asked the container to end {before_s:.1} s before"));
        }
        None => says.contra(0.1, "nobody was seen to ask it to end before"),
    }
    if docker(death, TERM).is_some() && docker(death, KILL).is_some() {
        says.speaks_for.push("Docker's own account: SIGTERM, then SIGKILL".into());
    }
}
