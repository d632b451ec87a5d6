//! What the limits that are advised would save.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analysis::fleet::life::FleetLife;

/// Sums over containers as they are at last; bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Savings {
    /// Containers with a limit and one that is advised.
    pub containers: usize,
    /// Their limits.
    pub limits_bytes: u64,
    /// What could be taken from those whose limit is too high.
    pub less_bytes: u64,
    /// What those need more whose limit is too low.
    pub more_bytes: u64,
    /// The workloads with most to take, ten at most.
    pub workloads: Vec<Saving>,
}

/// The same of one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// Its name.
    pub workload: String,
    /// Containers whose limit is too high.
    pub containers: usize,
    /// What could be taken from them.
    pub less_bytes: u64,
}

/// Workloads that are named.
const NAMED: usize = 10;

/// Sums the advice, that of the last life of each container.
pub fn savings(lives: &[FleetLife]) -> Savings {
    let mut last: BTreeMap<(&str, &str, &str), &FleetLife> = BTreeMap::new();
    for life in lives {
        let Some(workload) = life.workload.as_deref() else { continue };
        let name = life.name.as_deref().unwrap_or_default();
        let known = last.entry((&life.host, workload, name)).or_insert(life);
        if life.to_us > known.to_us {
            *known = life;
        }
    }
    let mut sum = Savings::default();
    let mut by: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for ((_, workload, _), life) in last {
        let Some((limit, advised)) = life.limit.zip(life.advised) else { continue };
        sum.containers += 1;
        sum.limits_bytes = sum.limits_bytes.saturating_add(limit);
        sum.more_bytes = sum.more_bytes.saturating_add(advised.saturating_sub(limit));
        let less = limit.saturating_sub(advised);
        if less > 0 {
            sum.less_bytes = sum.less_bytes.saturating_add(less);
            let known = by.entry(workload).or_default();
            *known = (known.0 + 1, known.1.saturating_add(less));
        }
    }
    let one = |(workload, (containers, less_bytes)): (&str, (usize, u64))| Saving {
        workload: workload.to_owned(),
        containers,
        less_bytes,
    };
    sum.workloads = by.into_iter().map(one).collect();
    sum.workloads.sort_by(|a, b| b.less_bytes.cmp(&a.less_bytes).then_with(|| a.workload.cmp(&b.workload)));
    sum.workloads.truncate(NAMED);
    sum
}
