//! Up and down, and the floor stays.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding};

pub const DETECTOR: Detector = Detector {
    name: "sawtooth",
    about: "Four deep drops or more (a quarter of the range, six deviations) and a floor without a trend: a garbage collector or \
        batches.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let low = facts.values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = facts.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if facts.floor.period <= 0.0 || high - low < (0.02 * high).max(4.0 * crate::analysis::leak::facts::QUANTUM) {
        return None;
    }
    Some(Finding::new(
        Class::Sawtooth,
        [
            format!("{} deep drops, one in {:.0} s", facts.floor.resets, facts.floor.period * facts.block_s),
            format!("the floor does not rise (z {:.1})", facts.all.z),
        ],
    ))
}
