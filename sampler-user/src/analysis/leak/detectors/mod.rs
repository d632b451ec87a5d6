//! The table of detectors. Each looks at the same evidence and says what it is, or nothing; the first that speaks is right,
//! so the order is from what explains a growth away to what does not.

mod bounded_cache;
mod cache;
mod evidence;
mod leak;
mod load;
mod ratchet;
mod restarts;
mod sawtooth;
mod short;
mod steady;
mod step;
mod undetermined;
mod warm_up;

pub use self::evidence::{Class, Detector, Evidence, Finding, NOTHING, SURE, grows, part_that_grew, rising};

/// The detectors, in the order they are asked.
pub const TABLE: [Detector; 12] = [
    restarts::DETECTOR,
    short::DETECTOR,
    ratchet::DETECTOR,
    cache::DETECTOR,
    load::DETECTOR,
    step::DETECTOR,
    bounded_cache::DETECTOR,
    warm_up::DETECTOR,
    leak::DETECTOR,
    undetermined::DETECTOR,
    sawtooth::DETECTOR,
    steady::DETECTOR,
];

/// Asks the detectors. The last always answers.
pub fn ask(evidence: &Evidence<'_>) -> (&'static str, Finding) {
    let (name, finding) = TABLE
        .iter()
        .find_map(|detector| Some((detector.name, (detector.detect)(evidence)?)))
        .unwrap_or_else(|| ("undetermined", Finding::new(Class::Undetermined, [])));
    match restarts::contradicts(evidence).filter(|_| finding.class == Class::Leak) {
        Some(other) => (restarts::DETECTOR.name, other),
        None => (name, finding),
    }
}
