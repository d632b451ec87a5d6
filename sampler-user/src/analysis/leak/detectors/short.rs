//! Too little to judge.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding};
use crate::analysis::leak::facts::LEAST_BLOCKS;

pub const DETECTOR: Detector = Detector {
    name: "short",
    about: "Fewer than 48 blocks of a second (or of the sampling interval, where that is longer) say nothing about a trend.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    if evidence.footprint.is_some() {
        return None;
    }
    let span_s = (evidence.life.to_us - evidence.life.from_us) as f64 / 1e6;
    let per_row = span_s / evidence.life.rows.max(1) as f64;
    let needs_s = (LEAST_BLOCKS as f64 * per_row.max(1.0) * 1.25 - span_s).max(1.0);
    let words = format!("{} rows in {span_s:.0} s are too few to judge a trend", evidence.life.rows);
    Some(Finding { needs_s: Some(needs_s), ..Finding::new(Class::Undetermined, [words]) })
}
