//! Nothing grows.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding, rising};
use crate::model::units::bytes;

pub const DETECTOR: Detector = Detector {
    name: "steady",
    about: "No growth that matters (1.5 % of the level, 1 MiB, four charges of 64 pages), or none that is more than chance, or \
        one that takes more than 90 days to the limit and is below 5 % a day.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    Some(Finding::new(
        Class::Steady,
        [format!("around {}, without a trend (z {:.1})", bytes(facts.level.1.max(0.0) as u64), rising(facts))],
    ))
}
