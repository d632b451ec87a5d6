//! A program that watches the memory killed it: systemd-oomd, earlyoom.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::death::sender::Sort;
use crate::analysis::incident::death::words::by;
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::OomDaemon, of: Kind::Death, judge };

fn judge(scene: &Scene, says: &mut Judgement) {
    let Some(sender) = scene.death.as_ref().and_then(|death| death.sender.as_ref()) else { return };
    if sender.sort() != Sort::OomKiller {
        return;
    }
    says.pro(
        0.96,
        format!("the kernel saw who sent the signal: {}, a program that kills because of memory", by(sender)),
    );
    if let Some((available, total)) = crate::analysis::incident::cause::exhausted::room(scene) {
        let words = format!("{} of {} of the machine were available", bytes(available), bytes(total));
        if available < total / 4 { says.speaks_for.push(words) } else { says.against.push(words) }
    }
}
