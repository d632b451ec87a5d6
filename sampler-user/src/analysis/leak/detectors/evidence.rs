//! What the detectors look at, and what they answer.

use serde::{Deserialize, Serialize};

use crate::analysis::leak::blocks::Block;
use crate::analysis::leak::facts::Facts;
use crate::analysis::leak::linear::median;
use crate::analysis::leak::own_memory::OwnMemories;
use crate::analysis::leak::signal::{PARTS, Signal};
use crate::analysis::leak::track::Life;
use crate::analysis::lives::Loop;

/// What a cgroup's memory does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Grows without bound.
    Leak,
    /// Does not grow.
    Steady,
    /// Grows to a level of its own, ever slower.
    WarmUp,
    /// Only what the kernel can take back grows.
    Cache,
    /// Grew at an even pace and stopped at a bound of its own.
    BoundedCache,
    /// Goes up and down; the floor does not rise.
    Sawtooth,
    /// Follows the work that is done.
    Load,
    /// Changed its level once.
    Step,
    /// Grows by garbage that was not collected yet, or by room that a collector keeps.
    Garbage,
    /// Grows within a bound that the program set itself.
    OwnCeiling,
    /// Not known yet.
    Undetermined,
}

/// What a detector found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is.
    pub class: Class,
    /// Why, in plain words.
    pub evidence: Vec<String>,
    /// Kills between the lives of a leak that is cut by them.
    pub restarts: usize,
    /// Seconds it must be watched longer.
    pub needs_s: Option<f64>,
}

impl Finding {
    pub(super) fn new(class: Class, evidence: impl IntoIterator<Item = String>) -> Finding {
        Finding { class, evidence: evidence.into_iter().collect(), restarts: 0, needs_s: None }
    }
}

/// A detector.
#[derive(Debug)]
pub struct Detector {
    /// Its name.
    pub name: &'static str,
    /// What it looks for, how, and where that is from.
    pub about: &'static str,
    /// Says what it is, or nothing.
    pub detect: fn(&Evidence<'_>) -> Option<Finding>,
}

/// What the detectors look at.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The last life that says something.
    pub life: &'a Life,
    /// Its footprint; `None` when it is too short.
    pub footprint: Option<&'a Facts>,
    /// Its reclaimable memory.
    pub cache: Option<&'a Facts>,
    /// The limit that is reached first, its own or an ancestor's; `None` when there is none.
    pub limit: Option<f64>,
    /// What the lives of its workload say together.
    pub restarts: Option<&'a Loop>,
    /// What its processes said of the memory that they manage by themselves.
    pub own: &'a OwnMemories,
}

/// One-sided 1 %.
pub const SURE: f64 = 2.326;

/// Below this there is nothing to explain, one-sided 5 %.
pub const NOTHING: f64 = 1.645;

/// How strongly the facts say that the floor rises, whatever the reason: the strongest of the whole, of the regimes together
/// and of the last one. Where memory follows the work, only what that does not explain counts.
pub fn rising(facts: &Facts) -> f64 {
    // A short part is one of many that might have risen.
    let last = facts.last.0.z - if facts.last.1 >= 0.3 { 0.0 } else { 2.0 };
    let last = if facts.last.1 >= 0.12 { last } else { f64::NEG_INFINITY };
    if let Some(beside) = facts.residual {
        return if facts.leaves_work() { beside.trend.z.max(last) } else { beside.trend.z };
    }
    let within = if facts.within.1 >= 0.6 { facts.within.0 } else { f64::NEG_INFINITY };
    facts.all.z.max(within).max(last)
}

/// Whether there is a growth that matters and is no chance.
pub fn grows(facts: &Facts) -> bool {
    facts.matters() && (!facts.work_explains() || facts.leaves_work()) && rising(facts) >= SURE
}

/// Whether anybody has to care: it reaches the limit within 90 days, or grows by 5 % a day.
pub(super) fn is_relevant(evidence: &Evidence<'_>, facts: &Facts) -> bool {
    let a_day = facts.growth_beside_work() / facts.span_s() * 86400.0;
    let left = evidence.limit.map(|limit| limit - facts.level.1);
    a_day > 0.05 * facts.level.0 || left.is_some_and(|left| left < 90.0 * a_day)
}

/// The part of the footprint that grew most from block `from` on, with its growth.
pub fn part_that_grew(life: &Life, from: usize) -> Option<(Signal, f64)> {
    let growth = |signal: Signal| {
        let seen: Vec<f64> = life.blocks.signal(signal as usize).iter().skip(from).filter_map(Block::mean).collect();
        let part = (seen.len() / 10).max(1);
        (seen.len() >= 4).then(|| median(&seen[seen.len() - part..]) - median(&seen[..part]))
    };
    let grown = PARTS.into_iter().filter_map(|signal| Some((signal, growth(signal)?)));
    grown.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, growth)| *growth > 0.0)
}
