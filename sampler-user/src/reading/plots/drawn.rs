//! The plots of a page: rows of a recording, in as many points as a screen has.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::analysis::account::{Kind, through_time};
use crate::model::fields::{FieldId, Table, UNLIMITED};
use crate::model::paths::{is_below, name, parent};
use crate::model::recording::Series;
use crate::model::units::printable;
use crate::reading::names::Named;
use crate::reading::plots::bins::{Bins, Rises};
use crate::reading::plots::grid::{BINS, Grid};
use crate::reading::plots::packed::Packed;
use crate::reading::plots::set::{Columns, Machine, Others, Plot, Set};
use crate::store::scan::{Query, Recording};

/// cgroups with all their parts, and with their memory alone.
const FULL: usize = 16;
const MOST: usize = 120;

/// First and last time there is.
pub fn span(recording: &mut Recording, wanted: Range<i64>) -> Option<Range<i64>> {
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    // The machine is read once a second; a recording that was imported has only samples.
    for (table, field) in [(Table::Host, FieldId::MemTotal), (Table::Samples, FieldId::Max)] {
        if first <= last {
            break;
        }
        let query = Query { cgroups: &|_| true, time: wanted.clone(), fields: &[field], lags: false };
        recording.series(table, &query, |series| {
            first = first.min(series.time_us.first().copied().unwrap_or(first));
            last = last.max(series.time_us.last().copied().unwrap_or(last));
        });
    }
    (first <= last).then(|| first.max(wanted.start)..(last + 1_000_000).min(wanted.end))
}

/// A field and the key of its column.
pub type Keyed = (FieldId, &'static str);

/// Gauges of a cgroup that are plotted, in KiB.
pub const GAUGES: [Keyed; 8] = [
    (FieldId::Current, "current"),
    (FieldId::PeakInterval, "current"),
    (FieldId::Anon, "anon"),
    (FieldId::File, "file"),
    (FieldId::Shmem, "shmem"),
    (FieldId::Kernel, "kernel"),
    (FieldId::SwapCurrent, "swap"),
    (FieldId::Max, "max"),
];
/// Its counters.
pub const COUNTERS: [Keyed; 4] = [
    (FieldId::PressureSome, "psi_some"),
    (FieldId::PressureFull, "psi_full"),
    (FieldId::EventsMax, "hits"),
    (FieldId::EventsHigh, "throttles"),
];
/// Gauges of the machine, in KiB.
pub const HOST_GAUGES: [Keyed; 3] =
    [(FieldId::MemTotal, "mem_total"), (FieldId::MemAvailable, "available"), (FieldId::SwapFree, "swap_free")];
/// Its counters.
pub const HOST_COUNTERS: [Keyed; 2] =
    [(FieldId::HostPressureSome, "psi_some"), (FieldId::HostPressureFull, "psi_full")];

/// Layers of the machine's account, from the one that nobody can take back to what is free.
pub const LAYERS: [&str; 8] = [
    "machine_processes",
    "machine_shared",
    "machine_kernel",
    "machine_huge",
    "machine_unexplained",
    "machine_kernel_caches",
    "machine_cache",
    "machine_free",
];

/// The layer of a kind of memory.
fn layer(kind: Kind) -> usize {
    match kind {
        Kind::Processes => 0,
        Kind::SharedMemory => 1,
        kind if kind.is_kernel() => 2,
        Kind::HugePages | Kind::HugePagesFree => 3,
        Kind::Unexplained => 4,
        Kind::SlabReclaimable | Kind::KernelReclaimable => 5,
        kind if kind.is_free() => 7,
        _ => 6,
    }
}

/// One subject while its rows pass by.
#[derive(Debug, Default)]
pub struct Drawn {
    /// Its gauges.
    pub gauges: BTreeMap<&'static str, Bins>,
    /// Its counters.
    pub counters: BTreeMap<&'static str, Rises>,
    /// The most that it held, KiB.
    pub peak: u64,
}

impl Drawn {
    fn feed(&mut self, series: &Series, grid: &Grid, gauges: &[Keyed], counters: &[Keyed]) {
        for (field, key) in gauges {
            let Some(column) = series.column(field.field()) else { continue };
            let bins = self.gauges.entry(key).or_insert_with(|| grid.bins());
            for (row, value) in column.iter().filter(|(_, value)| *value != UNLIMITED) {
                bins.push(series.time_us[row], value / 1024);
                if *key == "current" {
                    self.peak = self.peak.max(value / 1024);
                }
            }
        }
        for (field, key) in counters {
            let Some(column) = series.column(field.field()) else { continue };
            let rises = self.counters.entry(key).or_insert_with(|| grid.rises());
            column.iter().for_each(|(row, value)| rises.push(series.time_us[row], value));
        }
    }

    /// Where all of the machine's memory was: the parts of its account, a layer for each that a picture has room for.
    fn feed_account(&mut self, series: &Series, grid: &Grid, page_size: u64) {
        for (time_us, account) in through_time(series, page_size) {
            let mut layers = [0; LAYERS.len()];
            for part in &account.parts {
                let layer = layer(part.kind);
                layers[layer] += part.bytes / 1024;
            }
            for (key, kib) in LAYERS.iter().zip(layers) {
                self.gauges.entry(key).or_insert_with(|| grid.bins()).push(time_us, kib);
            }
        }
    }

    fn columns(self, grid: &Grid, only: Option<&[&str]>) -> Columns {
        let held = grid.held();
        let wanted = |key: &&str| only.is_none_or(|only| only.contains(key));
        let mut columns: BTreeMap<&str, Vec<Option<u64>>> = self
            .gauges
            .into_iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, bins)| (key, bins.points(held)))
            .collect();
        if let (Some(file), Some(shmem)) = (columns.remove("file"), columns.get("shmem")) {
            let less =
                |(file, shmem): (&Option<u64>, &Option<u64>)| file.map(|file| file.saturating_sub(shmem.unwrap_or(0)));
            let cache = file.iter().zip(shmem).map(less).collect();
            columns.insert("cache", cache);
        }
        columns
            .extend(self.counters.into_iter().filter(|(key, _)| wanted(key)).map(|(key, rises)| (key, rises.points())));
        columns.into_iter().map(|(key, values)| (key, Packed::of(&values))).collect()
    }
}

/// Which cgroups a plot shows.
pub struct Wanted<'a> {
    /// Those that were asked for.
    pub cgroups: &'a dyn Fn(&str) -> bool,
    /// Those of the chart, what matters first.
    pub charted: &'a [String],
    /// Their names.
    pub named: &'a Named,
}

/// What is drawn of a time.
#[derive(Debug, Default)]
pub struct Drawing {
    /// The cgroups by path.
    pub cgroups: BTreeMap<String, Drawn>,
    /// The machine.
    pub host: Drawn,
}

/// The plots of a time, and the least that the machine had left in it.
pub fn set(recording: &mut Recording, title: &str, span: Range<i64>, wanted: &Wanted<'_>) -> (Set, Option<Machine>) {
    let grid = Grid { span, count: BINS };
    let (drawing, machine) = read(recording, &grid, wanted.cgroups, None);
    (drawing.into_set(title, &grid, wanted), machine)
}

/// Reads the rows of a time: of the cgroups that are wanted, or of the only one.
pub fn read(
    recording: &mut Recording,
    grid: &Grid,
    wanted: &dyn Fn(&str) -> bool,
    only: Option<&str>,
) -> (Drawing, Option<Machine>) {
    let fields: Vec<FieldId> = GAUGES.iter().chain(&COUNTERS).map(|(field, _)| *field).collect();
    let mut drawing = Drawing::default();
    let mut draw = |series: Series| {
        let one = drawing.cgroups.entry(series.subject.cgroup.clone()).or_default();
        one.feed(&series, grid, &GAUGES, &COUNTERS);
    };
    match only {
        Some(path) => recording.series_of(Table::Samples, path, grid.span.clone(), &fields, &mut draw),
        None => {
            let query = Query { cgroups: wanted, time: grid.span.clone(), fields: &fields, lags: false };
            recording.series(Table::Samples, &query, &mut draw);
        }
    }
    let page_size = recording.origins().last().map_or(4096, |origin| origin.page_size);
    let query = Query { cgroups: &|_| true, time: grid.span.clone(), fields: &[], lags: false };
    let mut machine = None;
    recording.series(Table::Host, &query, |series| {
        least_available(&mut machine, &series);
        drawing.host.feed(&series, grid, &HOST_GAUGES, &HOST_COUNTERS);
        drawing.host.feed_account(&series, grid, page_size);
    });
    (drawing, machine)
}

impl Drawing {
    /// As plots, what is charted first, then the largest.
    pub fn into_set(self, title: &str, grid: &Grid, wanted: &Wanted<'_>) -> Set {
        let Drawing { cgroups: drawn, host } = self;
        let paths: Vec<String> = drawn.keys().cloned().collect();
        let charted: Vec<&str> =
            wanted.charted.iter().map(String::as_str).filter(|path| drawn.contains_key(*path)).collect();
        let is_above = |path: &str| charted.iter().any(|other| *other != path && is_below(other, path));
        let summed: Vec<&str> = charted.iter().copied().filter(|path| !is_above(path)).collect();
        let others = others(&drawn, &paths, &summed, grid);
        let rank = |path: &str| charted.iter().position(|one| *one == path).unwrap_or(usize::MAX);
        let count = charted.len();
        let plot = |(at, path, drawn): (usize, String, Drawn)| Plot {
            name: printable(wanted.named.title(&path).as_deref().unwrap_or(name(&path))),
            is_above: is_above(&path),
            columns: drawn.columns(grid, (at >= FULL.max(count)).then_some(&["current", "max"])),
            path,
        };
        let mut list: Vec<(String, Drawn)> = drawn.into_iter().collect();
        list.sort_by(|a, b| rank(&a.0).cmp(&rank(&b.0)).then(b.1.peak.cmp(&a.1.peak)).then(a.0.cmp(&b.0)));
        list.truncate(MOST.max(count));
        Set {
            name: title.to_owned(),
            from_us: grid.span.start,
            step_us: grid.step_us(),
            points: grid.count * 2,
            host: host.columns(grid, None),
            charted: count,
            others,
            cgroups: list.into_iter().enumerate().map(|(at, (path, drawn))| plot((at, path, drawn))).collect(),
        }
    }
}

fn least_available(machine: &mut Option<Machine>, series: &Series) {
    let total = series.column(FieldId::MemTotal.field()).and_then(|column| column.values.last().copied());
    let (Some(total), Some(available)) = (total, series.column(FieldId::MemAvailable.field())) else { return };
    for (row, least) in available.iter() {
        if machine.is_none_or(|known| least < known.least) {
            *machine = Some(Machine { total, least, at_us: series.time_us[row] });
        }
    }
}

/// The paths that others are below.
pub fn parents<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut above: BTreeSet<&str> = BTreeSet::new();
    for path in paths {
        let mut at = path;
        while let Some(parent) = parent(at).filter(|parent| above.insert(parent)) {
            at = parent;
        }
    }
    above
}

/// The sum of all cgroups that have none below them, and that are not in the chart.
fn others(drawn: &BTreeMap<String, Drawn>, paths: &[String], summed: &[&str], grid: &Grid) -> Option<Others> {
    let above = parents(paths.iter().map(String::as_str));
    let mut sum: Vec<Option<u64>> = vec![None; grid.count * 2];
    let mut count = 0;
    for (path, drawn) in drawn {
        let in_chart = summed.iter().any(|one| one == path || is_below(path, one));
        let Some(current) = drawn.gauges.get("current").filter(|_| !in_chart && !above.contains(path.as_str())) else {
            continue;
        };
        count += 1;
        for (all, one) in sum.iter_mut().zip(current.points(grid.held())) {
            *all = match (*all, one) {
                (Some(all), Some(one)) => Some(all + one),
                (all, one) => all.or(one),
            };
        }
    }
    (count > 0).then(|| Others { count, current: Packed::of(&sum) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_a_machine_has_a_layer_of_its_meaning() {
        for kind in Kind::ALL {
            let key = LAYERS[layer(kind)];
            assert_eq!(kind.is_free(), key == "machine_free", "{kind:?}");
            assert_eq!(kind.is_kernel(), key == "machine_kernel", "{kind:?}");
        }
        assert_eq!(LAYERS[layer(Kind::SwapCache)], "machine_cache");
        assert_eq!(LAYERS[layer(Kind::Unexplained)], "machine_unexplained");
    }
}
