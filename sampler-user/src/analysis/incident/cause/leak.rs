//! Grew without bound: what the lives of the suspect's workload say, or else the leak detectors of its one life.

use super::{Cause, Class, Judgement};
use crate::analysis::detectors::Class as Memory;
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::units::{bytes, micros};

pub const CAUSE: Cause = Cause { class: Class::Leak, of: Kind::OomKill, judge };

/// Below this the other reading of a loop is shown.
const SURE: f64 = 0.8;
/// A growth that comes in one piece is no leak: no eighth of its time may hold more than this of it.
const LARGEST_PART: f64 = 0.4;

fn judge(scene: &Scene, says: &mut Judgement) {
    let Some((path, trace)) = scene.suspect_trace() else { return };
    let who = scene.called(path);
    let span = micros((scene.history_s * 1e6) as u64);
    if let Some(said) = scene.suspect_loop() {
        if said.leaks() {
            says.pro(said.confidence, format!("{who}: {}", said.evidence()));
            if said.confidence < SURE {
                says.against.push(
                    "so few or so short lives may also be starts that need more than the limit: one with more room would tell".into(),
                );
            }
            return;
        }
        if said.brief || said.course.is_some() {
            says.contra(0.3, format!("{who}: {}", said.evidence()));
            return;
        }
    }
    let Some(history) = &scene.history else {
        says.contra(0.3, format!("{who} was seen too briefly to tell a leak"));
        return;
    };
    match history.verdict {
        Memory::Leak => {
            says.pro(0.9 * history.probability, format!("the leak detectors say that {who} leaks, looking at {span}"));
            says.speaks_for.extend(history.evidence.iter().cloned());
        }
        Memory::Undetermined => {
            says.against.extend(history.evidence.iter().cloned());
        }
        other => {
            let word = serde_json::to_value(other).ok().and_then(|w| w.as_str().map(str::to_owned)).unwrap_or_default();
            let why = history.evidence.first().cloned().unwrap_or_default();
            says.contra(0.3, format!("the leak detectors call {who} {word}, looking at {span}: {why}"));
        }
    }
    let points = trace.footprints(scene.since_of(path), scene.before_us());
    if let (Some(first), Some(last)) = (points.first(), points.last())
        && last.1 > first.1 + (first.1 / 5)
        && last.0 - first.0 > 15_000_000
    {
        let eighth = (last.0 - first.0) / 8;
        let level = |at: i64| trace.footprint(first.0 + eighth * at).unwrap_or(first.1) as f64;
        let largest = (0..8).map(|i| level(i + 1) - level(i)).fold(0.0, f64::max);
        let rising = (0..8).filter(|i| level(i + 1) > level(*i)).count();
        let whole = (last.1 - first.1) as f64;
        let growth = format!("{who} grew by {} in {}", bytes(last.1 - first.1), micros((last.0 - first.0) as u64));
        let is_leak = history.verdict == Memory::Leak;
        if super::burst::is_one(scene) {
            says.contra(0.45, "what it took in the last 5 s is no leak, whatever it did before");
        } else if largest > LARGEST_PART * whole && !is_leak {
            says.contra(
                0.4,
                format!("{growth}, but {:.0} % of it within an eighth of that time", 100.0 * largest / whole),
            );
        } else if rising >= 7 {
            says.pro(0.7, format!("{growth}, at an even pace"));
        }
    }
}
