//! A whole recording in a bounded number of buckets, the lowest and the highest of each kept: made once by a pass over its rows,
//! then kept up with what is recorded. It answers for long times what reading the rows again would take seconds for.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::fields::{FieldId, UNLIMITED};
use crate::model::recording::Series;
use crate::model::sample::Row;
use crate::reading::plots::drawn::{COUNTERS, Drawing, Drawn, GAUGES, HOST_COUNTERS, HOST_GAUGES, Keyed};
use crate::reading::plots::grid::{BINS, Grid};

/// Buckets of all cgroups together; 76 bytes each.
const MOST: usize = 300_000;
/// cgroups; of more nothing is kept.
const TRACKS: usize = 20_000;
/// Width of a bucket at first, microseconds.
const WIDTH_US: i64 = 1_000_000;
/// Readings further apart than this and than a bucket show nothing of the time between, microseconds.
const APART_US: i64 = 10_000_000;
/// cgroups with all their columns in a plot of many.
const FULL: usize = 16;
/// Columns of a bucket.
const LEVELS: usize = 7;
const RATES: usize = 4;

/// A part of the time of one cgroup.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// KiB; lowest above highest where nothing was read.
    low: [u32; LEVELS],
    high: [u32; LEVELS],
    /// By how much each counter rose; not a number where nothing was read.
    rise: [f32; RATES],
}

const EMPTY: Bucket = Bucket { low: [u32::MAX; LEVELS], high: [0; LEVELS], rise: [f32::NAN; RATES] };

impl Bucket {
    fn level(&mut self, slot: usize, kib: u32) {
        self.low[slot] = self.low[slot].min(kib);
        self.high[slot] = self.high[slot].max(kib);
    }

    fn rate(&mut self, slot: usize, rise: f32) {
        let rate = &mut self.rise[slot];
        *rate = if rate.is_nan() { rise } else { *rate + rise };
    }

    fn join(&mut self, other: &Bucket) {
        for slot in 0..LEVELS {
            self.low[slot] = self.low[slot].min(other.low[slot]);
            self.high[slot] = self.high[slot].max(other.high[slot]);
        }
        for slot in (0..RATES).filter(|slot| !other.rise[*slot].is_nan()) {
            self.rate(slot, other.rise[slot]);
        }
    }
}

type Last = [Option<(i64, u64)>; RATES];

/// One cgroup, or the machine.
#[derive(Debug, Default)]
struct Track {
    first: i64,
    buckets: Vec<Bucket>,
    /// Newest reading of each counter in the rows of the past, and in those that are recorded now.
    past: Last,
    now: Last,
}

impl Track {
    /// How many buckets it would take to have one at a place.
    fn more(&self, at: i64) -> usize {
        let end = self.first + self.buckets.len() as i64;
        match self.buckets.is_empty() {
            true => 1,
            false => usize::try_from((self.first - at).max(at + 1 - end).max(0)).unwrap_or(usize::MAX),
        }
    }

    /// The bucket at a place; there is room for it.
    fn bucket(&mut self, at: i64) -> Option<&mut Bucket> {
        if self.buckets.is_empty() {
            self.first = at;
        }
        if at < self.first {
            let before = (self.first - at) as usize;
            self.buckets.splice(..0, std::iter::repeat_n(EMPTY, before));
            self.first = at;
        }
        let index = (at - self.first) as usize;
        if index >= self.buckets.len() {
            if self.buckets.capacity() <= index {
                // Not twice as much: most of it would stay empty.
                self.buckets.reserve_exact(index + 1 - self.buckets.len() + self.buckets.len() / 16);
            }
            self.buckets.resize(index + 1, EMPTY);
        }
        self.buckets.get_mut(index)
    }

    /// Two buckets become one.
    fn coarsen(&mut self) {
        let first = self.first.div_euclid(2);
        let mut joined: Vec<Bucket> = Vec::with_capacity(self.buckets.len() / 2 + 1);
        for (n, bucket) in self.buckets.iter().enumerate() {
            let at = ((self.first + n as i64).div_euclid(2) - first) as usize;
            match joined.get_mut(at) {
                Some(known) => known.join(bucket),
                None => joined.push(*bucket),
            }
        }
        (self.first, self.buckets) = (first, joined);
    }

    fn part(&self, places: Range<i64>) -> impl Iterator<Item = (i64, &Bucket)> {
        let from = usize::try_from(places.start - self.first).unwrap_or(0).min(self.buckets.len());
        let to = usize::try_from(places.end - self.first).unwrap_or(0).clamp(from, self.buckets.len());
        self.buckets[from..to].iter().enumerate().map(move |(n, bucket)| (self.first + (from + n) as i64, bucket))
    }
}

/// A whole recording in a bounded number of buckets.
#[derive(Debug)]
pub struct Overview {
    width_us: i64,
    cgroups: BTreeMap<String, Track>,
    host: Track,
    buckets: usize,
    most: usize,
    span_us: Option<(i64, i64)>,
    /// Whether there were more cgroups than are kept.
    pub is_cut: bool,
}

impl Default for Overview {
    fn default() -> Overview {
        Overview {
            width_us: WIDTH_US,
            cgroups: BTreeMap::new(),
            host: Track::default(),
            buckets: 0,
            most: MOST,
            span_us: None,
            is_cut: false,
        }
    }
}

/// The slots of the keys: the order in which they appear.
fn slot(fields: &[Keyed], key: &str) -> usize {
    let mut seen: Vec<&str> = Vec::new();
    for (_, one) in fields {
        if *one == key {
            break;
        }
        if !seen.contains(one) {
            seen.push(one);
        }
    }
    seen.len()
}

fn fields(is_host: bool) -> (&'static [Keyed], &'static [Keyed]) {
    if is_host { (&HOST_GAUGES, &HOST_COUNTERS) } else { (&GAUGES, &COUNTERS) }
}

fn kib(value: u64) -> u32 {
    u32::try_from(value / 1024).unwrap_or(u32::MAX - 1).min(u32::MAX - 1)
}

impl Overview {
    /// Takes rows of the past of a cgroup, or without a path of the machine.
    pub fn feed(&mut self, path: Option<&str>, series: &Series) {
        let (Some(first), Some(last)) = (series.time_us.first(), series.time_us.last()) else { return };
        if !self.make_room(path, *first) || !self.make_room(path, *last) {
            return;
        }
        let (gauges, counters) = fields(path.is_none());
        let width = self.width_us;
        let Some(track) = track(&mut self.cgroups, &mut self.host, path) else { return };
        let before = track.buckets.len();
        for (field, key) in gauges {
            let (Some(column), slot) = (series.column(field.field()), slot(gauges, key)) else { continue };
            for (row, value) in column.iter().filter(|(_, value)| *value != UNLIMITED) {
                if let Some(bucket) = track.bucket(series.time_us[row].div_euclid(width)) {
                    bucket.level(slot, kib(value));
                }
            }
        }
        for (slot, (field, _)) in counters.iter().enumerate() {
            let Some(column) = series.column(field.field()) else { continue };
            for (row, value) in column.iter() {
                let time_us = series.time_us[row];
                let last = track.past[slot].replace((time_us, value));
                rise(track, width, slot, last, (time_us, value));
            }
        }
        self.buckets += track.buckets.len() - before;
    }

    /// Takes a row that is recorded now, of a cgroup, or without a path of the machine.
    pub fn row(&mut self, path: Option<&str>, time_us: i64, row: &Row) {
        if !self.make_room(path, time_us) {
            return;
        }
        let (gauges, counters) = fields(path.is_none());
        let width = self.width_us;
        let Some(track) = track(&mut self.cgroups, &mut self.host, path) else { return };
        let before = track.buckets.len();
        let get = |id: &FieldId| row.get(id.field());
        for (field, key) in gauges {
            if let Some(value) = get(field).filter(|value| *value != UNLIMITED)
                && let Some(bucket) = track.bucket(time_us.div_euclid(width))
            {
                bucket.level(slot(gauges, key), kib(value));
            }
        }
        for (slot, (field, _)) in counters.iter().enumerate() {
            let Some(value) = get(field) else { continue };
            let last = track.now[slot].replace((time_us, value));
            rise(track, width, slot, last, (time_us, value));
        }
        self.buckets += track.buckets.len() - before;
    }

    /// Makes buckets wider until there is room for one more at a time; not of a cgroup too many.
    fn make_room(&mut self, path: Option<&str>, time_us: i64) -> bool {
        if let Some(path) = path
            && !self.cgroups.contains_key(path)
        {
            if self.cgroups.len() >= TRACKS {
                self.is_cut = true;
                return false;
            }
            self.cgroups.insert(path.to_owned(), Track::default());
        }
        loop {
            let Some(track) = track(&mut self.cgroups, &mut self.host, path) else { return false };
            let more = track.more(time_us.div_euclid(self.width_us));
            if self.buckets.saturating_add(more) <= self.most.max(2 * self.cgroups.len()) {
                break;
            }
            let Some(wider) = self.width_us.checked_mul(2) else { return false };
            self.width_us = wider;
            self.cgroups.values_mut().chain([&mut self.host]).for_each(Track::coarsen);
            self.buckets = self.cgroups.values().chain([&self.host]).map(|track| track.buckets.len()).sum();
        }
        let (from, to) = self.span_us.unwrap_or((time_us, time_us));
        self.span_us = Some((from.min(time_us), to.max(time_us)));
        true
    }

    /// First and last time, wall-clock microseconds.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        self.span_us
    }

    /// How long a bucket is, microseconds.
    pub fn width_us(&self) -> i64 {
        self.width_us
    }

    /// The parts in which a time can be shown.
    pub fn grid(&self, span: Range<i64>) -> Grid {
        let count = usize::try_from((span.end - span.start) / self.width_us).unwrap_or(0).clamp(1, BINS);
        Grid { span, count }
    }

    fn places(&self, span: &Range<i64>) -> Range<i64> {
        span.start.div_euclid(self.width_us)..(span.end - 1).div_euclid(self.width_us) + 1
    }

    /// The most that each cgroup that is wanted held in a time, KiB; the largest first.
    pub fn largest(&self, span: &Range<i64>, wanted: &dyn Fn(&str) -> bool) -> Vec<(&str, u64)> {
        let places = self.places(span);
        let most = |track: &Track| {
            let seen = track.part(places.clone()).map(|(_, bucket)| bucket).filter(|b| b.low[0] <= b.high[0]);
            seen.map(|bucket| u64::from(bucket.high[0])).max()
        };
        let all = self.cgroups.iter().filter(|(path, _)| wanted(path));
        let mut list: Vec<(&str, u64)> = all.filter_map(|(path, track)| Some((path.as_str(), most(track)?))).collect();
        list.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        list
    }

    /// What is drawn of a time: of `charted` and of the largest all columns, of the others their memory and limit.
    pub fn drawing(&self, grid: &Grid, wanted: &dyn Fn(&str) -> bool, charted: &[String]) -> Drawing {
        let mut drawing = Drawing::default();
        let largest = self.largest(&grid.span, wanted);
        let mut full: Vec<&str> = charted.iter().map(String::as_str).collect();
        full.extend(largest.iter().map(|(path, _)| *path).take(FULL));
        for (path, peak) in largest {
            let Some(track) = self.cgroups.get(path) else { continue };
            let keys: &[&str] = if full.contains(&path) { &[] } else { &["current", "max"] };
            let drawn = Drawn { peak, ..self.drawn(track, grid, false, keys) };
            drawing.cgroups.insert(path.to_owned(), drawn);
        }
        drawing.host = self.drawn(&self.host, grid, true, &[]);
        drawing
    }

    fn drawn(&self, track: &Track, grid: &Grid, is_host: bool, only: &[&str]) -> Drawn {
        let (gauges, counters) = fields(is_host);
        let places = self.places(&grid.span);
        let mut drawn = Drawn::default();
        let is_wanted = |key: &str| only.is_empty() || only.contains(&key);
        for (_, key) in gauges.iter().filter(|(_, key)| is_wanted(key)) {
            let slot = slot(gauges, key);
            if drawn.gauges.contains_key(key) {
                continue;
            }
            let mut bins = None;
            let mut last = 0;
            for (at, bucket) in track.part(places.clone()).filter(|(_, b)| b.low[slot] <= b.high[slot]) {
                let bins = bins.get_or_insert_with(|| grid.bins());
                let time_us = (at * self.width_us).max(grid.span.start);
                let (low, high) = (u64::from(bucket.low[slot]), u64::from(bucket.high[slot]));
                // Which came first is not known: the one that is nearer to what was before.
                let (first, second) = if high.abs_diff(last) < low.abs_diff(last) { (high, low) } else { (low, high) };
                bins.push(time_us, first);
                bins.push(time_us + 1, second);
                last = second;
            }
            drawn.gauges.extend(bins.map(|bins| (*key, bins)));
        }
        for (slot, (_, key)) in counters.iter().enumerate().filter(|(_, (_, key))| is_wanted(key)) {
            let mut rises = None;
            for (at, bucket) in track.part(places.clone()).filter(|(_, bucket)| !bucket.rise[slot].is_nan()) {
                let rises = rises.get_or_insert_with(|| grid.rises());
                rises.add(at * self.width_us, (at + 1) * self.width_us, f64::from(bucket.rise[slot]));
            }
            drawn.counters.extend(rises.map(|rises| (*key, rises)));
        }
        drawn
    }
}

fn track<'a>(
    cgroups: &'a mut BTreeMap<String, Track>,
    host: &'a mut Track,
    path: Option<&str>,
) -> Option<&'a mut Track> {
    match path {
        Some(path) => cgroups.get_mut(path),
        None => Some(host),
    }
}

/// What a counter rose between two readings, spread over the time between.
fn rise(track: &mut Track, width: i64, slot: usize, last: Option<(i64, u64)>, (to_us, value): (i64, u64)) {
    let Some((from_us, before)) = last else { return };
    let apart = to_us.saturating_sub(from_us);
    if apart <= 0 || apart > APART_US.max(width) {
        return;
    }
    let rise = value.saturating_sub(before) as f64;
    for at in from_us.div_euclid(width)..=(to_us - 1).div_euclid(width) {
        let (begin, end) = ((at * width).max(from_us), ((at + 1) * width).min(to_us));
        if at >= track.first
            && let Some(bucket) = track.bucket(at)
        {
            bucket.rate(slot, (rise * (end - begin) as f64 / apart as f64) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fields::Table;
    use crate::model::recording::Subject;

    const S: i64 = 1_000_000;

    fn series(path: &str, rows: impl Iterator<Item = (i64, u64, u64)>) -> Series {
        let subject = Subject { cgroup: path.into(), id: 1, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        for (time_us, current, stalled) in rows {
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), current);
            row.put(FieldId::PressureSome.field(), stalled);
            series.push(time_us, &row);
        }
        series
    }

    fn points(overview: &Overview, span: Range<i64>, key: &str) -> Vec<Option<u64>> {
        let grid = overview.grid(span);
        let drawing = overview.drawing(&grid, &|_| true, &[]);
        let drawn = &drawing.cgroups["/a"];
        drawn.gauges.get(key).map(|bins| bins.points(0)).unwrap_or_else(|| drawn.counters[key].points())
    }

    #[test]
    fn a_spike_of_one_row_stays_however_wide_the_buckets_become() {
        let mut overview = Overview { most: 700, ..Overview::default() };
        let (ticks, spike) = (400_000_i64, 123_456);
        let row = |tick: i64| (tick * S / 10, if tick == spike { 900 << 20 } else { 100 << 20 }, tick as u64 * 1000);
        for from in (0..ticks).step_by(1000) {
            overview.feed(Some("/a"), &series("/a", (from..from + 1000).map(row)));
        }
        assert!(overview.buckets <= 700, "{} buckets", overview.buckets);
        let all = points(&overview, 0..ticks * S / 10, "current");
        assert_eq!(all.iter().flatten().max(), Some(&(900 << 10)));
        assert_eq!(all.iter().filter(|point| **point == Some(900 << 10)).count(), 1);
        assert!(all.iter().all(|point| point.is_some()), "nothing is missing");
        // One of a hundred microseconds is waited.
        let waited = points(&overview, 0..ticks * S / 10, "psi_some");
        assert!(waited[4..waited.len() - 4].iter().flatten().all(|rate| rate.abs_diff(10_000) < 200), "{waited:?}");
    }

    #[test]
    fn what_was_not_recorded_has_no_points() {
        let mut overview = Overview::default();
        overview.feed(Some("/a"), &series("/a", (0..100).map(|s| (s * S, 1 << 20, 0))));
        overview.feed(Some("/a"), &series("/a", (300..400).map(|s| (s * S, 2 << 20, 50 * S as u64))));
        let all = points(&overview, 0..400 * S, "current");
        assert_eq!(all.iter().filter(|point| point.is_none()).count(), 2 * 200);
        let waited = points(&overview, 0..400 * S, "psi_some");
        assert!(waited[220..580].iter().all(Option::is_none), "what rose in the gap belongs to no time");
    }

    #[test]
    fn rows_of_now_and_of_the_past_come_together_in_any_order() {
        let mut overview = Overview::default();
        for second in 100..200 {
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), 2 << 20);
            row.put(FieldId::PressureSome.field(), second * 100_000);
            overview.row(Some("/a"), second as i64 * S, &row);
            if second == 150 {
                overview.feed(Some("/a"), &series("/a", (0..100).map(|s| (s * S, 1 << 20, s as u64 * 100_000))));
            }
        }
        let all = points(&overview, 0..200 * S, "current");
        assert_eq!(all.iter().flatten().filter(|kib| **kib == 1 << 10).count(), 200);
        assert_eq!(all.iter().flatten().filter(|kib| **kib == 2 << 10).count(), 200);
        let waited = points(&overview, 0..200 * S, "psi_some");
        assert!(waited.iter().flatten().all(|rate| *rate == 100_000), "{waited:?}");
    }

    #[test]
    fn absurd_times_and_endless_cgroups_are_bounded() {
        let mut overview = Overview { most: 1000, ..Overview::default() };
        for (n, time_us) in [0, i64::MAX, i64::MIN, i64::MAX / 2, 5].into_iter().enumerate() {
            overview.feed(Some("/a"), &series("/a", [(time_us, n as u64, 0)].into_iter()));
            overview.row(None, time_us, &Row::new(0));
        }
        for n in 0..TRACKS + 10 {
            overview.feed(Some(&format!("/b{n}")), &series("/b", [(5, 1, 0)].into_iter()));
        }
        assert!(overview.is_cut && overview.cgroups.len() == TRACKS);
        assert!(overview.buckets <= 2 * TRACKS + 2, "{}", overview.buckets);
    }
}
