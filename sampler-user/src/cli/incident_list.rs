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

/// The list as text: the kills of a restart loop in one line, where the first of them stands.
pub fn folded(all: &[Item], unfold: bool) -> String {
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
    // By its first incident, the last one of a loop and how many it has; of the others that they are shown by it.
    let mut lasts: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let mut hidden: BTreeSet<usize> = BTreeSet::new();
    for chain in loops.into_values().flatten().filter(|chain| !unfold && chain.len() >= FOLDED) {
        lasts.insert(chain[0], (chain[chain.len() - 1], chain.len()));
        hidden.extend(&chain[1..]);
    }
    let mut out = String::new();
    for (at, item) in all.iter().enumerate().filter(|(at, _)| !hidden.contains(at)) {
        out += &item.line;
        if let Some((last, count)) = lasts.get(&at) {
            let span = all[*last].at_us.unwrap_or(0) - item.at_us.unwrap_or(0);
            let every = micros(u64::try_from(span / (*count as i64 - 1).max(1)).unwrap_or(0));
            out += &format!(", and again: {count} times until {}, one every {every} (--unfold)", all[*last].time);
        }
        out.push('\n');
    }
    out
}
