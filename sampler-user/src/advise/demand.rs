//! What a cgroup needs: the peaks of its working set minute by minute, from all rows of a recording in one pass.

use std::collections::BTreeMap;

use crate::advise::histogram::Histogram;
use crate::model::fields::{FieldId, UNLIMITED};
use crate::model::memory;
use crate::model::recording::Series;

/// Columns it reads.
pub const FIELDS: [FieldId; 19] = [
    FieldId::Current,
    FieldId::PeakInterval,
    FieldId::Max,
    FieldId::EventsMax,
    FieldId::InactiveFile,
    FieldId::ActiveFile,
    FieldId::File,
    FieldId::Shmem,
    FieldId::SlabReclaimable,
    FieldId::FileDirty,
    FieldId::FileWriteback,
    FieldId::Anon,
    FieldId::SwapCurrent,
    FieldId::Kernel,
    FieldId::KernelStack,
    FieldId::Pagetables,
    FieldId::Sock,
    FieldId::Slab,
    FieldId::SlabUnreclaimable,
];

/// Part of the active page cache that counts as needed: it is read again and again, but most of it can be read once more.
pub const KEPT: f64 = 0.25;
/// Peaks are taken of this time, microseconds.
const INTERVAL_US: i64 = 60_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// Longer without a row and nobody watched, microseconds: the slowest scrapers ask every five minutes.
pub const GAP_US: i64 = 5 * 60_000_000;
/// How many hours a peak counts whole, before only its weight in the histogram is left: two half-lives.
pub const RECENT_H: usize = 48;

/// What was seen of one cgroup.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Peaks of the working set by minute.
    unreclaimable: Histogram,
    /// Highest working set by hour.
    hours: BTreeMap<i64, u64>,
    /// Highest memory.current of all, page cache included.
    highest: u64,
    /// First and last row.
    span_us: Option<(i64, i64)>,
    /// How long rows came, microseconds.
    watched_us: i64,
    /// The last limit; infinity where there is none.
    limit: Option<u64>,
    hits: u64,
    counter: Option<u64>,
    swap: u64,
    id: u64,
    /// The minute at hand and its peak.
    minute: Option<(i64, u64)>,
    /// What could be taken back at the last reading of memory.stat.
    cache: Option<u64>,
    open: Option<Segment>,
}

/// The rows between two readings of memory.stat.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    time_us: i64,
    highest: u64,
    hit: bool,
    /// What could be taken back before it and after it, and what certainly could not.
    before: Option<u64>,
    after: Option<u64>,
    floor: u64,
}

impl Segment {
    /// The highest working set in it. memory.stat is up to 2 s old, so what is cached shows late: the reading after the next
    /// is asked too. Where the limit was hit the cache was pushed out meanwhile, and the least of it counts.
    fn unreclaimable(&self, next: Option<u64>) -> u64 {
        let readings = [self.before, self.after];
        let cache = if self.hit {
            readings.into_iter().flatten().min()
        } else {
            readings.into_iter().chain([next]).flatten().max()
        };
        self.highest.saturating_sub(cache.unwrap_or(0)).max(self.floor)
    }
}

impl Demand {
    /// Takes a kill by its own limit: the limit where no row has it, and the memory that was held where no row was read; bytes.
    pub fn limit_hit(&mut self, time_us: i64, limit: u64, usage: Option<u64>) {
        if self.limit.is_none_or(|known| known == UNLIMITED) {
            self.limit = Some(limit);
        }
        if let (None, Some(usage)) = (self.span_us, usage) {
            self.span_us = Some((time_us, time_us));
            self.highest = usage;
        }
    }

    /// Takes rows, which follow those taken before.
    pub fn feed(&mut self, series: &Series) {
        let (Some(&from), Some(&to)) = (series.time_us.first(), series.time_us.last()) else { return };
        if self.id != series.subject.id {
            self.close(None);
            (self.id, self.counter, self.cache) = (series.subject.id, None, None);
        }
        self.watch(series);
        let (begin, end) = self.span_us.unwrap_or((from, to));
        self.span_us = Some((begin.min(from), end.max(to)));
        let column = |id: FieldId| series.column(id.field());
        if let Some(limit) = column(FieldId::Max).and_then(|max| max.values.last()) {
            self.limit = Some(*limit);
        }
        let mut peaks: Vec<(usize, u64)> = Vec::new();
        for id in [FieldId::Current, FieldId::PeakInterval] {
            peaks.extend(column(id).into_iter().flat_map(|column| column.iter()));
        }
        // Two runs that are in order each.
        peaks.sort_by_key(|(row, _)| *row);
        let hits: Vec<(usize, u64)> = column(FieldId::EventsMax).map_or_else(Vec::new, |c| c.iter().collect());
        let stats = column(FieldId::Anon).or_else(|| column(FieldId::File)).map_or(&[][..], |c| &c.rows[..]);
        let (mut peaks, mut hits) = (peaks.into_iter().peekable(), hits.into_iter().peekable());
        // Nobody says what of it is cache: each row for itself.
        let has_stats = !stats.is_empty();
        let ends = if has_stats { stats } else { column(FieldId::Current).map_or(&[][..], |c| &c.rows[..]) };
        for end in ends.iter().map(|row| *row as usize).chain([series.len()]) {
            let mut segment = Segment { before: self.cache, ..Segment::default() };
            let mut seen = false;
            while let Some((row, value)) = peaks.next_if(|(row, _)| *row <= end) {
                seen = true;
                (segment.time_us, segment.highest) = (series.time_us[row], segment.highest.max(value));
            }
            while let Some((_, value)) = hits.next_if(|(row, _)| *row <= end) {
                let rise = value.saturating_sub(self.counter.replace(value).unwrap_or(value));
                self.hits += rise;
                segment.hit |= rise > 0;
            }
            if end == series.len() {
                // The rest waits for the reading that ends it.
                if seen {
                    self.wait(segment);
                }
                break;
            }
            if !has_stats {
                self.wait(segment);
                continue;
            }
            let get = |id: FieldId| column(id)?.get(end);
            segment.time_us = series.time_us[end];
            segment.after = Some(memory::spare(get, KEPT));
            segment.floor = memory::unreclaimable(get).unwrap_or(0);
            self.swap = self.swap.max(get(FieldId::SwapCurrent).filter(|swap| *swap != UNLIMITED).unwrap_or(0));
            self.wait(segment);
            self.cache = segment.after;
        }
    }

    /// Counts the time from row to row; what another cgroup of the workload was watched in at the same time counts once.
    fn watch(&mut self, series: &Series) {
        let mut last = self.span_us.map(|(_, to)| to);
        for &time_us in &series.time_us {
            let since = last.map_or(0, |last| time_us.saturating_sub(last));
            self.watched_us = self.watched_us.saturating_add(since.clamp(0, GAP_US));
            last = last.max(Some(time_us));
        }
    }

    /// Ends what is open.
    pub fn end(&mut self) {
        self.close(None);
        if let Some((minute, peak)) = self.minute.take() {
            self.count(minute, peak);
        }
    }

    fn wait(&mut self, segment: Segment) {
        self.highest = self.highest.max(segment.highest);
        match &mut self.open {
            // Cut by the end of a file: the same segment goes on.
            Some(open) if open.after.is_none() && minute(open.time_us) == minute(segment.time_us) => {
                open.highest = open.highest.max(segment.highest);
                open.hit |= segment.hit;
                (open.time_us, open.after, open.floor) = (segment.time_us, segment.after, segment.floor);
            }
            _ => {
                self.close(segment.after);
                self.open = Some(segment);
            }
        }
    }

    fn close(&mut self, next: Option<u64>) {
        let Some(open) = self.open.take() else { return };
        let unreclaimable = open.unreclaimable(next);
        let minute = minute(open.time_us);
        match &mut self.minute {
            Some((at, peak)) if *at == minute => *peak = (*peak).max(unreclaimable),
            _ => {
                if let Some((minute, peak)) = self.minute.replace((minute, unreclaimable)) {
                    self.count(minute, peak);
                }
            }
        }
    }

    fn count(&mut self, minute: i64, peak: u64) {
        let time_us = minute * INTERVAL_US;
        self.unreclaimable.add(time_us, peak);
        let hour = time_us.div_euclid(HOUR_US);
        let highest = self.hours.entry(hour).or_default();
        *highest = (*highest).max(peak);
        while self.hours.len() > RECENT_H
            || self.hours.first_key_value().is_some_and(|(at, _)| hour - at >= RECENT_H as i64)
        {
            self.hours.pop_first();
        }
    }

    /// Highest working set of the last [`RECENT_H`] hours, bytes.
    pub fn recent_peak(&self) -> Option<u64> {
        self.hours.values().copied().max()
    }

    /// Size that a part of the minutes, weighted by their age, stayed below; bytes, at most 5 % too high.
    pub fn faded(&self, part: f64) -> Option<u64> {
        self.unreclaimable.quantile(part)
    }

    /// Highest memory.current, page cache included; bytes.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Length of what was seen, seconds.
    pub fn span_s(&self) -> f64 {
        self.span_us.map_or(0.0, |(from, to)| (to - from) as f64 / 1e6)
    }

    /// How long it was watched, seconds: the time from row to row, at most [`GAP_US`] for each.
    pub fn watched_s(&self) -> f64 {
        self.watched_us as f64 / 1e6
    }

    /// First and last row, microseconds since 1970.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        self.span_us
    }

    /// The limit at the end; infinity ([`UNLIMITED`]) where there is none, `None` where it was not read.
    pub fn limit(&self) -> Option<u64> {
        // v1 has no word for it: the largest number of pages.
        self.limit.map(|limit| if limit >= UNLIMITED >> 2 { UNLIMITED } else { limit })
    }

    /// How often the limit was hit.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Highest swap, bytes.
    pub fn swap(&self) -> u64 {
        self.swap
    }
}

fn minute(time_us: i64) -> i64 {
    time_us.div_euclid(INTERVAL_US)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fields::Table;
    use crate::model::recording::Subject;
    use crate::model::sample::Row;

    const MIB: u64 = 1 << 20;
    const SECOND: i64 = 1_000_000;

    fn series(rows: &[(i64, &[(FieldId, u64)])]) -> Series {
        let subject = Subject { cgroup: "/x".into(), id: 1, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        for (time, values) in rows {
            let mut row = Row::new(1);
            values.iter().for_each(|(id, value)| row.put(id.field(), *value));
            series.push(*time, &row);
        }
        series
    }

    fn stat(current: u64, anon: u64, inactive: u64, active: u64) -> Vec<(FieldId, u64)> {
        vec![
            (FieldId::Current, current * MIB),
            (FieldId::Anon, anon * MIB),
            (FieldId::InactiveFile, inactive * MIB),
            (FieldId::ActiveFile, active * MIB),
        ]
    }

    fn peak(rows: &[(i64, &[(FieldId, u64)])]) -> u64 {
        let mut demand = Demand::default();
        demand.feed(&series(rows));
        demand.end();
        demand.recent_peak().unwrap() / MIB
    }

    #[test]
    fn cache_is_not_needed_and_a_burst_between_two_readings_is() {
        let (first, last) = (stat(100, 20, 80, 0), stat(100, 20, 80, 0));
        let burst = [(FieldId::Current, 160 * MIB)];
        assert_eq!(peak(&[(0, &first), (2 * SECOND, &last)]), 20);
        assert_eq!(peak(&[(0, &first), (SECOND, &burst), (2 * SECOND, &last)]), 80, "160 less 80 of cache");
        let short = [(FieldId::Current, 100 * MIB), (FieldId::PeakInterval, 190 * MIB)];
        assert_eq!(peak(&[(0, &first), (SECOND, &short), (2 * SECOND, &last)]), 110, "the kernel's own mark");
        assert_eq!(
            peak(&[(0, &stat(100, 20, 0, 80)), (SECOND, &stat(100, 20, 0, 80))]),
            40,
            "a part of the active stays"
        );
    }

    #[test]
    fn a_cache_that_fills_is_seen_late_and_is_not_needed() {
        // memory.stat shows the file two seconds later.
        let rows = [stat(20, 20, 0, 0), stat(120, 20, 0, 0), stat(120, 20, 100, 0), stat(120, 20, 100, 0)];
        let rows: Vec<(i64, &[(FieldId, u64)])> =
            rows.iter().enumerate().map(|(n, row)| (n as i64 * SECOND, &row[..])).collect();
        assert_eq!(peak(&rows), 20);
    }

    #[test]
    fn where_the_limit_is_hit_the_least_cache_counts() {
        let with_hits = |stat: Vec<(FieldId, u64)>, hits| [stat, vec![(FieldId::EventsMax, hits)]].concat();
        let rows = [with_hits(stat(128, 40, 80, 0), 0), with_hits(stat(128, 120, 5, 0), 9)];
        assert_eq!(peak(&[(0, &rows[0]), (SECOND, &rows[1])]), 123);
    }

    #[test]
    fn a_limit_that_is_none_differs_from_one_that_was_not_read() {
        let mut demand = Demand::default();
        assert_eq!(demand.limit(), None);
        demand.feed(&series(&[(0, &[(FieldId::Max, 0x7fff_ffff_ffff_f000)])]));
        assert_eq!(demand.limit(), Some(UNLIMITED), "as v1 writes it");
    }

    #[test]
    fn two_minutes_of_two_days_are_not_two_days_of_watching() {
        let mut demand = Demand::default();
        for day in 0..2 {
            let row = [(FieldId::Current, MIB)];
            let rows: Vec<(i64, &[(FieldId, u64)])> =
                (0..61).map(|second| ((day * 86_400 + second) * SECOND, &row[..])).collect();
            demand.feed(&series(&rows));
            demand.feed(&series(&rows));
        }
        assert_eq!(demand.watched_s(), 60.0 + 300.0 + 60.0);
        assert!(demand.span_s() > 86_400.0);
    }

    #[test]
    fn old_peaks_count_by_their_weight_only() {
        let mut demand = Demand::default();
        let day = 24 * 3600 * SECOND;
        for minute in 0..4 * 1440i64 {
            let size = if minute == 5 { 900 } else { 100 };
            demand.feed(&series(&[(minute * 60 * SECOND, &[(FieldId::Current, size * MIB)])]));
        }
        assert!(demand.span_s() > 3.9 * day as f64 / 1e6);
        demand.end();
        assert_eq!(demand.recent_peak().unwrap() / MIB, 100);
        assert!(demand.faded(0.99).unwrap() < 106 * MIB && demand.faded(1.0).unwrap() > 900 * MIB);
    }
}
