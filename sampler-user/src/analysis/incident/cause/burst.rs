//! Much was allocated within a moment.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::Burst, of: Kind::OomKill, judge };

/// A burst is over within this time, microseconds.
pub const MOMENT_US: i64 = 5_000_000;
/// And is at least this part of the limit.
const PART: f64 = 0.3;

/// Usage of the suspect a moment before, and right before the kill.
pub fn rise(scene: &Scene) -> Option<(u64, u64)> {
    let (path, trace) = scene.suspect_trace()?;
    let end = scene.at_end(path, trace);
    let from = scene.before_us() - MOMENT_US;
    // Without what could be reclaimed: a cache that fills is no allocation.
    // What a life before this one held is none of it.
    let lived = scene.since_of(path) <= from;
    let before = trace.footprint(from).or_else(|| trace.at(FieldId::Current, from)).filter(|_| lived);
    match before {
        Some(before) => Some((before.min(end), end)),
        None if scene.appeared(path) => Some((0, end)),
        // What is known is shorter than a moment.
        None => {
            let (_, first) = *trace.between(FieldId::Current, from, scene.before_us()).first()?;
            Some((first.min(end), end))
        }
    }
}

/// Whether the suspect rose by enough in the last moment to be one.
pub fn is_one(scene: &Scene) -> bool {
    let (Some((before, end)), Some(limit)) = (rise(scene), scene.limit().limit) else { return false };
    let rise = (end - before) as f64;
    rise > PART * limit as f64 && rise > 0.4 * end as f64
}

fn judge(scene: &Scene, says: &mut Judgement) {
    let Some((before, end)) = rise(scene) else { return };
    let Some(limit) = scene.limit().limit else { return };
    let who = scene.called(scene.suspect.as_deref().unwrap_or_default());
    let rise = end - before;
    let words = format!("{who} grew by {} in the last 5 s, from {} to {}", bytes(rise), bytes(before), bytes(end));
    let said = scene.suspect_loop();
    if let Some(said) = said.filter(|said| said.leaks()) {
        says.contra(0.3, format!("{words}, but no faster than all through its lives: {}", said.evidence()));
    } else if let Some(said) = said.filter(|said| said.brief && is_one(scene)) {
        says.pro(said.confidence, format!("{words}; {}", said.evidence()));
    } else if is_one(scene) {
        says.pro(0.88, words);
    } else {
        says.contra(0.2, format!("{words}: no more than {:.0} % of the limit", 100.0 * rise as f64 / limit as f64));
    }
}
