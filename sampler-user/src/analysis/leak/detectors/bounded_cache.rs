//! Filled at an even pace, and stopped.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding, NOTHING};
use crate::analysis::leak::linear::{mean, ols, sen};
use crate::model::units::bytes;

pub const DETECTOR: Detector = Detector {
    name: "bounded-cache",
    about: "The floor rose at an even pace and then stayed: a line with a bend fits better than any curve that flattens, and \
        the part after the bend (a fifth of the span at least) has no trend. A cache of the program's own that is full.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let z = &facts.floor.points;
    let m = z.len();
    if !facts.matters() {
        return None;
    }
    // The best line that becomes level.
    let one = vec![1.0; m];
    let bend = |at: usize| {
        let rise: Vec<f64> = (0..m).map(|t| t.min(at) as f64).collect();
        ols(&[&one, &rise], z).map(|fit| (at, fit))
    };
    let step = (m / 64).max(1);
    let (at, fit) = (m / 16..m * 4 / 5).step_by(step).filter_map(bend).min_by(|a, b| a.1.rss.total_cmp(&b.1.rss))?;
    let after = &z[at..];
    let trend = crate::analysis::leak::trend::trend(after, facts.noise);
    let (rise, drift) = (fit.coefficients[1], sen(after));
    let flat = trend.z < NOTHING || drift < 0.03 * rise;
    let fits = fit.rss < facts.shape.rss[1] && fit.rss < 0.6 * facts.shape.rss[0];
    if !flat || !fits || drift > 0.1 * rise || rise <= 0.0 {
        return None;
    }
    Some(Finding::new(
        Class::BoundedCache,
        [
            format!(
                "grew evenly for {:.0} s and has stayed at {} since",
                at as f64 * facts.floor.stride * facts.block_s,
                bytes(mean(after).max(0.0) as u64)
            ),
            format!("no trend after that (z {:.1})", trend.z),
        ],
    ))
}
