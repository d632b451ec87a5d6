//! Grows to a level of its own, ever slower.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding, grows};
use crate::model::units::bytes;

pub const DETECTOR: Detector = Detector {
    name: "warm-up",
    about: "A curve that flattens fits better than a line (information criterion by more than 6) and nothing goes on growing \
        beside it; or growth that mattered has ended.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let shape = &facts.shape;
    let flattens = facts.bends() && (facts.late < 0.5 || facts.fades < 0.5 || shape.goes_on < 6.0);
    let ended = shape.saturates > 0.0 && facts.late < 0.33 && facts.half.z < 1.0;
    if !facts.matters() || !(flattens && (grows(facts) || facts.half.z < 1.0) || ended) {
        return None;
    }
    let reached = 100.0 * facts.level.1 / shape.asymptote.max(1.0);
    Some(Finding::new(
        Class::WarmUp,
        [
            format!("growth flattens: a saturating curve fits better than a line (by {:.0})", shape.saturates),
            format!("it tends to {}, {reached:.0} % of which is reached", bytes(shape.asymptote.max(0.0) as u64)),
        ],
    ))
}
