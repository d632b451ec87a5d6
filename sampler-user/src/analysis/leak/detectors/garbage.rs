//! Garbage that was not collected yet, or room that a collector keeps.

use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding};
use crate::analysis::leak::detectors::leak;
use crate::analysis::leak::own_memory::JavaGrowth;
use crate::model::units::{bytes, micros, printable};

pub const DETECTOR: Detector = Detector {
    name: "garbage",
    about: "It grows as a leak does, but a heap explains it. Java, by its own counters: what is in the old generation after collections of \
        it does not rise by three tenths of the growth, or only the young generation grew. Where the old generation grew and was not \
        collected, it is undetermined. A growth in Node by less than V8's young \
        generation is undetermined, too. Go with GOGC=off: nothing is collected below GOMEMLIMIT.",
    detect,
};

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    leak::detect(evidence).and_then(|_| explains(evidence))
}

/// What the heaps say against a leak.
pub fn explains(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let (growth, from_us, to_us) = (facts.growth_beside_work(), evidence.life.from_us, evidence.life.to_us);
    if let Some(own) = evidence.own.uncollected(growth, facts.level.1, from_us, to_us) {
        let set_by = own.set_by.as_deref().map(printable).unwrap_or_default();
        let words = format!(
            "{} collects no garbage below {} ({set_by}): what of it is alive is not known before",
            printable(&own.comm),
            bytes(own.ceiling.unwrap_or(0))
        );
        return Some(Finding::new(Class::Garbage, [words]));
    }
    if let Some(own) = evidence.own.young(growth, from_us, to_us) {
        let words = format!(
            "garbage not collected yet: it grew by {}, and the young generation of V8 in {} may hold 32 MiB before it collects",
            bytes(growth.max(0.0) as u64),
            printable(&own.comm)
        );
        return Some(Finding::new(Class::Undetermined, [words]));
    }
    let (class, words) = match evidence.own.java(growth, from_us, to_us)? {
        JavaGrowth::Alive(..) => return None,
        JavaGrowth::Garbage(alive) => (
            Class::Garbage,
            format!(
                "garbage and room of the heap: after collections {} is in the old generation, and that does not rise with it",
                bytes(alive)
            ),
        ),
        JavaGrowth::Young(old) => (
            Class::Garbage,
            format!(
                "the heap takes room that it was given: the old generation holds {} and had no need of a collection",
                bytes(old)
            ),
        ),
        JavaGrowth::NotCollected(watched_us, once) => {
            let often = if once { "only one collection" } else { "no collection" };
            let watched = micros(watched_us.max(0) as u64);
            (
                Class::Undetermined,
                format!(
                    "garbage not collected yet: {often} of the old generation in the {watched} that its counters were read"
                ),
            )
        }
    };
    Some(Finding::new(class, [words]))
}
