//! A list of incidents, in which a restart loop is one line.

use std::collections::{BTreeMap, BTreeSet};

use sampler::analysis::lives::GAP_US;
use sampler::model::units::micros;
use serde::Serialize;

/// Version of the form of the post-mortem's document.
pub const FORMAT: &str = "sampler.postmortem.v1";

/// An incident in a list.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub time: String,
    pub kind: sampler::analysis::incident::incident_ref::IncidentKind,
    pub kills: u64,
    pub what: String,
    /// The workload whose limit was hit: kills that have the same may be one restart loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
}

/// Kills of one workload that are folded at least.
const FOLDED: usize = 3;

/// An incident as a line of a list.
#[derive(Debug)]
pub struct Item {
    /// When, microseconds by any clock; `None` where nobody knows.
    pub at_us: Option<i64>,
    /// When, as it is shown.
    pub time: String,
    /// The line.
    pub line: String,
    /// The workload whose limit was hit.
    pub workload: Option<String>,
}

/// The restart loops of a list.
#[derive(Debug, Default)]
pub struct Loops {
    /// By its first incident, the last one of a loop and how many it has.
    lasts: BTreeMap<usize, (usize, usize)>,
    /// Those that the first of their loop stands for.
    pub hidden: BTreeSet<usize>,
}

/// Finds the loops; none where they are to be unfolded.
pub fn loops(all: &[Item], unfold: bool) -> Loops {
    let mut loops: BTreeMap<&str, Vec<Vec<usize>>> = BTreeMap::new();
    for (at, item) in all.iter().enumerate() {
        let (Some(workload), Some(at_us)) = (&item.workload, item.at_us) else { continue };
        let chains = loops.entry(workload).or_default();
        let follows = |last: &usize| all[*last].at_us.is_some_and(|last_us| (0..=GAP_US).contains(&(at_us - last_us)));
        match chains.last_mut() {
            Some(chain) if chain.last().is_some_and(follows) => chain.push(at),
            _ => chains.push(vec![at]),
        }
    }
    let mut found = Loops::default();
    for chain in loops.into_values().flatten().filter(|chain| !unfold && chain.len() >= FOLDED) {
        found.lasts.insert(chain[0], (chain[chain.len() - 1], chain.len()));
        found.hidden.extend(&chain[1..]);
    }
    found
}

/// How a loop goes on after its first incident.
#[derive(Debug)]
pub struct Again {
    /// The last one.
    pub last: usize,
    /// All of them.
    pub count: usize,
    /// Time between two.
    pub every: String,
}

impl Loops {
    /// The loop that begins with this incident.
    pub fn again(&self, all: &[Item], at: usize) -> Option<Again> {
        let (last, count) = *self.lasts.get(&at)?;
        let span = all[last].at_us.unwrap_or(0) - all[at].at_us.unwrap_or(0);
        let every = micros(u64::try_from(span / (count as i64 - 1).max(1)).unwrap_or(0));
        Some(Again { last, count, every })
    }
}

/// The list as text: the kills of a restart loop in one line, where the first of them stands.
pub fn folded(all: &[Item], unfold: bool) -> String {
    let loops = loops(all, unfold);
    let mut out = String::new();
    for (at, item) in all.iter().enumerate().filter(|(at, _)| !loops.hidden.contains(at)) {
        out += &item.line;
        if let Some(again) = loops.again(all, at) {
            out += &format!(
                ", and again: {} times until {}, one every {} (--unfold)",
                again.count, all[again.last].time, again.every
            );
        }
        out.push('\n');
    }
    out
}
