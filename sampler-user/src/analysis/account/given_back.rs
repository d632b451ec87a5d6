//! Page cache that somebody dropped or reclaimed on purpose: in a recording a step or a staircase down that is nobody's pressure.

use serde::Serialize;

use crate::model::fields::FieldId;
use crate::model::recording::Series;

/// drop_caches was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CacheDrop {
    /// When it was seen, wall-clock microseconds.
    pub time_us: i64,
    /// By how much the page cache and the kernel's caches fell, bytes.
    pub freed: u64,
}

/// Memory that was taken back on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GivenBack {
    /// Each write to drop_caches, oldest first, at most [`MOST`].
    pub drops: Vec<CacheDrop>,
    /// Drops that are not among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_drops: u64,
    /// What writes to memory.reclaim freed, bytes, where the kernel counts it (6.14).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclaimed: Option<u64>,
    /// How many steps that was.
    #[serde(skip_serializing_if = "is_zero")]
    pub steps: u64,
    /// The usual time between two steps, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_us: Option<i64>,
}

/// Drops that are shown one by one.
pub const MOST: usize = 100;

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What was given back within a series of the host, and `proactive`: times, and pages that memory.reclaim freed until then.
pub fn given_back(host: &Series, proactive: &[(i64, u64)], page_size: u64) -> GivenBack {
    let mut back = GivenBack::default();
    let get = |row: usize, field: FieldId| host.column(field.field())?.get(row);
    let caches = |row: usize| Some(get(row, FieldId::Cached)?.saturating_add(get(row, FieldId::SReclaimable)?));
    let writes = |row: usize| {
        let [pages, slab] = [FieldId::VmDropPagecache, FieldId::VmDropSlab].map(|field| get(row, field));
        (pages.is_some() || slab.is_some()).then(|| pages.unwrap_or(0).max(slab.unwrap_or(0)))
    };
    let rows: Vec<usize> = (0..host.len()).filter(|row| writes(*row).is_some()).collect();
    for pair in rows.windows(2) {
        if writes(pair[1]) > writes(pair[0]) {
            let fell = caches(pair[0]).zip(caches(pair[1])).map_or(0, |(before, after)| before.saturating_sub(after));
            if back.drops.len() < MOST {
                back.drops.push(CacheDrop { time_us: host.time_us[pair[1]], freed: fell });
            } else {
                back.more_drops += 1;
            }
        }
    }
    let mut steps = Vec::new();
    for pair in proactive.windows(2) {
        let pages = pair[1].1.saturating_sub(pair[0].1);
        if pages > 0 {
            back.reclaimed = Some(back.reclaimed.unwrap_or(0).saturating_add(pages.saturating_mul(page_size)));
            steps.push(pair[1].0);
        }
    }
    back.steps = steps.len() as u64;
    let mut gaps: Vec<i64> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    back.every_us = gaps.get(gaps.len() / 2).copied();
    back
}

impl GivenBack {
    /// Whether there is anything.
    pub fn is_empty(&self) -> bool {
        self.drops.is_empty() && self.steps == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fields::Table;
    use crate::model::recording::Subject;
    use crate::model::sample::Row;

    const S: i64 = 1_000_000;

    fn host(rows: &[(u64, u64)]) -> Series {
        let mut series = Series::new(Arc::new(Subject::host()), Table::Host);
        for (at, (cached, drops)) in rows.iter().enumerate() {
            let mut row = Row::new(0);
            row.put(FieldId::Cached.field(), *cached);
            row.put(FieldId::SReclaimable.field(), 10);
            row.put(FieldId::VmDropPagecache.field(), *drops);
            series.push(at as i64 * S, &row);
        }
        series
    }

    #[test]
    fn a_drop_is_a_write_and_what_fell_with_it() {
        let back = given_back(&host(&[(500, 3), (490, 3), (90, 4), (95, 4), (50, 5)]), &[], 4096);
        assert_eq!(back.drops, [CacheDrop { time_us: 2 * S, freed: 400 }, CacheDrop { time_us: 4 * S, freed: 45 }]);
        assert!(given_back(&host(&[(500, 3), (10, 3)]), &[], 4096).is_empty(), "a fall alone is none");
    }

    #[test]
    fn a_staircase_is_known_by_what_the_kernel_freed_for_it() {
        let steps: Vec<(i64, u64)> = (0..60).map(|t| (t * S, (t as u64 / 10) * 256)).collect();
        let back = given_back(&host(&[(9, 0)]), &steps, 4096);
        assert_eq!((back.reclaimed, back.steps, back.every_us), (Some(5 * 256 * 4096), 5, Some(10 * S)));
        let reset = given_back(&host(&[(9, 0)]), &[(0, 900), (S, 5)], 4096);
        assert_eq!((reset.reclaimed, reset.steps), (None, 0), "a cgroup went away: nothing was freed");
    }
}
