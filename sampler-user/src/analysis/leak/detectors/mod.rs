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
        garbage
        own_ceiling
        leak
        undetermined
        sawtooth
        steady
}

/// What else a growth may be.
type Explain = fn(&Evidence<'_>) -> Option<Finding>;

/// Asks the detectors. The last always answers.
pub fn ask(evidence: &Evidence<'_>) -> (&'static str, Finding) {
    let (name, finding) = TABLE
        .iter()
        .find_map(|detector| Some((detector.name, (detector.detect)(evidence)?)))
        .unwrap_or_else(|| ("undetermined", Finding::new(Class::Undetermined, [])));
    if finding.class != Class::Leak {
        return (name, finding);
    }
    let contradictions: [(&'static str, Explain); 3] = [
        (garbage::DETECTOR.name, garbage::explains),
        (own_ceiling::DETECTOR.name, own_ceiling::explains),
        (restarts::DETECTOR.name, restarts::contradicts),
    ];
    let other = contradictions.into_iter().find_map(|(name, explains)| Some((name, explains(evidence)?)));
    other.unwrap_or((name, finding))
}
