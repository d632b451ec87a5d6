//! Memory follows the work.

use super::{Class, Detector, Evidence, Finding, NOTHING, grows};

pub const DETECTOR: Detector = Detector {
    name: "load",
    about: "Changes of the footprint follow changes of the work (CPU time, page faults, processes; correlation above 0.5 over an \
        eighth of the span), and what the work does not explain has no trend.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let (rest, r) = facts.beside_work?;
    // Without a growth only a strong link is worth telling.
    let moves = facts.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        - facts.values.iter().copied().fold(f64::INFINITY, f64::min);
    let tells =
        if grows(facts) { rest.z < NOTHING } else { r > 0.7 && moves > 0.1 * facts.level.0 && rest.z < NOTHING };
    tells.then(|| {
        Finding::new(
            Class::Load,
            [
                format!("the footprint follows the work (correlation {r:.2})"),
                format!("what the work does not explain has no trend (z {:.1})", rest.z),
            ],
        )
    })
}
