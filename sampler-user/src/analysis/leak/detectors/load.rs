//! Memory follows the work.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding, grows};
use crate::analysis::leak::linear::quantile;

pub const DETECTOR: Detector = Detector {
    name: "load",
    about: "Changes of the footprint follow changes of the work (CPU time, page faults, processes; correlation above 0.5 over an \
        eighth of the span), and what the work does not explain has no trend.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let beside = facts.residual?;
    // Without a growth only a strong link is worth a finding.
    let moves = quantile(&facts.values, 0.98) - quantile(&facts.values, 0.02);
    let explains = facts.growth() > 2.0 * beside.growth.abs() && facts.growth() > 0.05 * facts.level.0;
    let is_linked = !grows(facts) && (explains || beside.r > 0.7 && moves > 0.1 * facts.level.0);
    is_linked.then(|| {
        Finding::new(
            Class::Load,
            [
                format!("the footprint follows the work (correlation {:.2})", beside.r),
                format!("what the work does not explain has no trend (z {:.1})", beside.trend.z),
            ],
        )
    })
}
