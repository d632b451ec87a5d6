//! A leak that is cut by kills.

use super::{Class, Detector, Evidence, Finding};
use crate::analysis::track::Signal;
use crate::units::bytes;

pub const DETECTOR: Detector = Detector {
    name: "restarts",
    about: "Several lives of a cgroup that each rise and are each ended by an OOM kill: a leak is a leak although it is cut. \
        A life is counted when its footprint ends at least a quarter above where it began; the pace of the lives must agree \
        within a factor of four.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let mut paces = Vec::new();
    for life in evidence.lives {
        let seen: Vec<f64> = life.blocks.means(Signal::Footprint as usize).collect();
        let (Some(first), Some(last)) =
            (seen.iter().take(3).copied().reduce(f64::min), seen.iter().rev().take(3).copied().reduce(f64::max))
        else {
            continue;
        };
        let span_s = (life.to_us - life.from_us) as f64 / 1e6;
        // A life of a moment that fills its limit is a burst.
        if life.kills > 0 && span_s >= 20.0 && last > 1.25 * first {
            paces.push((last - first) / span_s);
        }
    }
    let (least, most) =
        (paces.iter().copied().fold(f64::INFINITY, f64::min), paces.iter().copied().fold(0.0, f64::max));
    if paces.len() < 2 || most > 4.0 * least {
        return None;
    }
    let words = format!(
        "{} lives rose at {} to {} a minute, and each was ended by an OOM kill",
        paces.len(),
        bytes((least * 60.0) as u64),
        bytes((most * 60.0) as u64)
    );
    Some(Finding { restarts: paces.len(), ..Finding::new(Class::Leak, [words]) })
}
