//! Hosts that differ: their containers stand out among the same containers on other hosts.
//!
//! Each life has a rank among the lives of its workload and version, so that a host is compared with what its own mix of containers does
//! elsewhere. Without a difference the mean of a host's ranks is one half.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analysis::chance::{DISCOVERY, above, false_discovery};
use crate::analysis::fleet::life::FleetLife;

/// Fewest lives among which a rank says something, and fewest ranks of a host.
const LEAST_LIVES: usize = 8;
const LEAST_RANKS: usize = 4;
/// A host differs where its mean rank is at least this.
const STANDS_OUT: f64 = 0.85;

/// A host that differs from the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlier {
    /// The host.
    pub host: String,
    /// In what: `waiting`, `noise`, `size` or `kills`.
    pub in_what: &'static str,
    /// Mean rank of its lives among the same ones elsewhere: one half is usual, 1 is the highest.
    pub mean_rank: f64,
    /// Lives that it was compared by.
    pub lives: usize,
    /// Probability that it is chance, among all hosts that were asked.
    pub q: f64,
}

/// What hosts are compared in.
type Measure = fn(&FleetLife) -> Option<f64>;

const MEASURES: [(&str, Measure); 4] = [
    ("waiting", |life| Some(life.stalled_s / life.span_s().max(1.0))),
    ("noise", |life| Some(life.noise? / life.course?.level.max(1.0))),
    ("size", |life| Some(life.course?.level)),
    ("kills", |life| Some(life.kills as f64 / life.span_s().max(1.0))),
];

/// The hosts that differ, by name.
pub fn outliers(lives: &[&FleetLife]) -> Vec<Outlier> {
    let mut same: BTreeMap<(&str, &str), Vec<&FleetLife>> = BTreeMap::new();
    for &life in lives {
        same.entry((life.workload.as_deref().unwrap_or_default(), &life.version)).or_default().push(life);
    }
    let mut asked: Vec<Outlier> = Vec::new();
    for (in_what, measure) in MEASURES {
        let mut ranks: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
        for lives in same.values() {
            for (host, rank) in ranked(lives, measure) {
                let sum = ranks.entry(host).or_default();
                *sum = (sum.0 + rank, sum.1 + 1);
            }
        }
        for (host, (sum, n)) in ranks.into_iter().filter(|(_, (_, n))| *n >= LEAST_RANKS) {
            asked.push(Outlier { host: host.to_owned(), in_what, mean_rank: sum / n as f64, lives: n, q: 1.0 });
        }
    }
    // The mean of n even ranks is nearly normal; with ties it varies less.
    let p = asked.iter().map(|one| above((one.mean_rank - 0.5) * (12.0 * one.lives as f64).sqrt()));
    let q = false_discovery(&p.collect::<Vec<_>>());
    let mut found: Vec<Outlier> = asked.into_iter().zip(q).map(|(one, q)| Outlier { q, ..one }).collect();
    found.retain(|one| one.q <= DISCOVERY && one.mean_rank >= STANDS_OUT);
    found.sort_by(|a, b| a.host.cmp(&b.host).then_with(|| a.in_what.cmp(b.in_what)));
    found
}

/// The ranks of lives from 0 to 1; those that are alike share their middle.
fn ranked<'a>(lives: &[&'a FleetLife], measure: Measure) -> Vec<(&'a str, f64)> {
    let mut values: Vec<(f64, &str)> =
        lives.iter().filter_map(|life| Some((measure(life)?, &*life.host))).filter(|(v, _)| v.is_finite()).collect();
    if values.len() < LEAST_LIVES {
        return Vec::new();
    }
    values.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    let n = values.len() as f64;
    let alike = values.chunk_by(|a, b| a.0 == b.0);
    let mut before = 0;
    let mut ranks = Vec::with_capacity(values.len());
    for group in alike {
        let middle = (before as f64 + group.len() as f64 / 2.0) / n;
        ranks.extend(group.iter().map(|(_, host)| (*host, middle)));
        before += group.len();
    }
    ranks
}
