//! Something grows, and it cannot be said what.

use crate::analysis::leak::detectors::evidence::{
    Class, Detector, Evidence, Finding, SURE, grows, is_relevant, rising,
};
use crate::analysis::leak::facts::Facts;

pub const DETECTOR: Detector = Detector {
    name: "undetermined",
    about: "A growth that matters and is no chance, but neither goes on nor ends clearly; or one by a quarter of the level that hardly \
        ever fell (by a sixth of its range), though chance may do that. Says how much longer to watch: until \
        a line would show on this noise, or three time constants of the curve.",
    detect,
};

/// Parts of the level and of the range, see above.
const MUCH: f64 = 0.25;
const FELL: f64 = 0.16;

/// Whether it rose by much and hardly ever fell, although that might be chance: nobody would call it steady.
fn climbs(facts: &Facts) -> bool {
    facts.growth_beside_work() > MUCH * facts.level.0 && facts.drawdown < FELL && rising(facts) > 1.0 && facts.matters()
}

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    if !(grows(facts) || climbs(facts)) || !is_relevant(evidence, facts) {
        return None;
    }
    let span_s = facts.span_s();
    let z = facts.half.z.max(0.5);
    let longer = if facts.all.root >= 0.98 { (SURE / z).powi(2) } else { (SURE / z).powf(2.0 / 3.0) };
    let curve = 3.0 * facts.shape.tau * facts.floor.stride * facts.block_s - span_s;
    let needs_s = ((longer - 1.0) * span_s).max(curve).clamp(0.1 * span_s, 10.0 * span_s);
    Some(Finding {
        needs_s: Some(needs_s),
        ..Finding::new(
            Class::Undetermined,
            [
                format!("it rose (z {:.1}), but the second half says less (z {:.1})", rising(facts), facts.half.z),
                format!("the last quarter rose at {:.0} % of the pace of the third", 100.0 * facts.late),
            ],
        )
    })
}
