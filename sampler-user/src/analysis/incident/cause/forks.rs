//! Processes or threads multiplied.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::model::fields::FieldId;

pub const CAUSE: Cause = Cause { class: Class::Forks, of: Kind::OomKill, judge };

/// Tasks of the suspect at first, and right before.
pub fn tasks(scene: &Scene) -> Option<(u64, u64)> {
    let (_, trace) = scene.suspect_trace()?;
    let points = trace.between(FieldId::PidsCurrent, scene.since_us(), scene.before_us());
    let end = points.iter().rev().take(3).map(|(_, n)| *n).max()?;
    // The middle of the first half: what starts is no growth.
    let mut first: Vec<u64> = points[..points.len().div_ceil(4)].iter().map(|(_, n)| *n).collect();
    first.sort_unstable();
    Some((*first.get(first.len() / 2)?, end))
}

fn is_many((first, end): (u64, u64)) -> bool {
    end >= first * 3 && end >= first + 20
}

/// Whether the suspect's tasks multiplied.
pub fn is_one(scene: &Scene) -> bool {
    tasks(scene).is_some_and(is_many)
}

fn judge(scene: &Scene, says: &mut Judgement) {
    let Some((first, end)) = tasks(scene) else { return };
    let who = scene.called(scene.suspect.as_deref().unwrap_or_default());
    let words = format!("{who} had {first} tasks at first and {end} right before");
    if is_many((first, end)) {
        says.pro(0.93, words);
    } else {
        says.contra(0.1, words);
    }
}
