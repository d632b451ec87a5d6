//! Only what the kernel can take back grows.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding, grows};
use crate::model::units::bytes;

pub const DETECTOR: Detector = Detector {
    name: "cache",
    about: "The page cache (files without shmem) and reclaimable slab grow and the rest does not: the kernel takes them back \
        when it needs memory, so this is never a leak.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let (footprint, cache) = (evidence.footprint?, evidence.cache?);
    // A little bookkeeping of the kernel grows along with the pages it keeps.
    let small = footprint.growth() < 0.1 * cache.growth();
    if !cache.matters()
        || (grows(footprint) && !small)
        || cache.growth() < footprint.growth().max(0.1 * footprint.level.0)
    {
        return None;
    }
    Some(Finding::new(
        Class::Cache,
        [
            format!("files and other reclaimable memory grew by {}", bytes(cache.growth() as u64)),
            format!("what cannot be reclaimed changed by {}", bytes(footprint.growth().abs() as u64)),
        ],
    ))
}
