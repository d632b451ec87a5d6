//! Lives that are each ended by a kill: a leak that is cut, or none.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding};

pub const DETECTOR: Detector = Detector {
    name: "restarts",
    about: "A restart loop: lives of a workload (the same container, service, pod template or path made again) that are each ended by an \
        OOM kill. Where nearly all of them rise evenly from their start to their end, at paces that agree within a factor of two, it is a \
        leak although it is cut. Where they reached their level at their start, jumped, flattened or lived for less than ten seconds, \
        one life alone is no evidence of a leak. A loop that came to rest long ago says nothing.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let said = evidence.restarts.filter(|said| said.leaks())?;
    Some(Finding { restarts: said.lives, ..Finding::new(Class::Leak, [said.evidence()]) })
}

/// What the lives together say against a leak that one of them shows.
pub fn contradicts(evidence: &Evidence<'_>) -> Option<Finding> {
    let said = evidence.restarts.filter(|said| said.brief || said.course.is_some_and(|_| !said.leaks()))?;
    Some(Finding::new(Class::Undetermined, [said.evidence()]))
}
