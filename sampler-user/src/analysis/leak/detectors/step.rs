//! One change of level.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding, NOTHING};
use crate::model::units::bytes;

pub const DETECTOR: Detector = Detector {
    name: "step",
    about: "Most of all change happens at once (70 % of it within a few blocks, more than six deviations), and the floor rises \
        neither before nor after it.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let step = facts.step?;
    let flat = facts.within.0 < NOTHING || (facts.growth() - step.rise).abs() < 0.15 * step.rise.abs();
    if !flat || step.rise.abs() < 0.05 * facts.level.0.abs() {
        return None;
    }
    let after_s = step.at as f64 * facts.block_s;
    let way = if step.rise > 0.0 { "rose" } else { "fell" };
    Some(Finding::new(
        Class::Step,
        [
            format!("the level {way} by {} at once, {after_s:.0} s after the begin", bytes(step.rise.abs() as u64)),
            format!("within the levels there is no trend (z {:.1})", facts.within.0),
        ],
    ))
}
