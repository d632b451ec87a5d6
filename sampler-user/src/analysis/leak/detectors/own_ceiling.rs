//! A growth within a bound that a program set itself: it ends there.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding, part_that_grew};
use crate::analysis::leak::detectors::leak;
use crate::analysis::leak::signal::Signal;
use crate::model::units::{bytes, printable};

pub const DETECTOR: Detector = Detector {
    name: "own-ceiling",
    about: "It grows as a leak does, but within a bound of its own: shared memory that was mapped at its full size before (the shared \
        buffers of PostgreSQL) and is touched little by little, or the cache of memcached or MySQL below the size that its command \
        line gives.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    leak::detect(evidence).and_then(|_| explains(evidence))
}

/// Which bound explains a growth.
pub fn explains(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let life = evidence.life;
    let (part, _) = part_that_grew(life, facts.cut)?;
    let level = life.blocks.means(part as usize).next_back()?;
    let (from_us, to_us) = (life.from_us, life.to_us);
    let growth = facts.growth_beside_work();
    let size = |value: f64| bytes(value.max(0.0) as u64);
    let words = match part {
        Signal::Shmem => {
            let (own, ceiling) = evidence.own.mapping(level, from_us, to_us)?;
            let comm = printable(&own.comm);
            format!("{comm} fills shared memory that it mapped before: {} of {}", size(level), bytes(ceiling))
        }
        Signal::Anon => {
            let own = evidence.own.cache(growth, facts.level.1, facts.level.0, from_us, to_us)?;
            let set_by = own.set_by.as_deref().map(printable).unwrap_or_default();
            format!("{} fills its cache, which ends at {} ({set_by})", printable(&own.comm), bytes(own.ceiling?))
        }
        _ => return None,
    };
    Some(Finding::new(Class::OwnCeiling, [words]))
}
