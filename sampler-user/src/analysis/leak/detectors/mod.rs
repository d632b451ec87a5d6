//! The table of detectors. Each looks at the same evidence and says what it is, or nothing; the first that speaks is right,
//! so the order is from what explains a growth away to what does not.

mod evidence;

pub use self::evidence::{Class, Detector, Evidence, Finding, NOTHING, SURE, grows, part_that_grew, rising};

crate::table! {
    /// The detectors, in the order they are asked.
    pub const TABLE: [Detector] = DETECTOR of
        restarts
        short
        ratchet
        cache
        load
        step
        bounded_cache
        warm_up
        leak
        undetermined
        sawtooth
        steady
}

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
