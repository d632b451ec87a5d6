//! The plots of a report: rows of a recording, in as many points as a screen has.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sampler::model::fields::{FieldId, Table, UNLIMITED};
use sampler::model::paths::{is_below, name};
use sampler::model::recording::Series;
use sampler::model::units::printable;
use sampler::reading::names::Named;
use sampler::store::scan::{Query, Recording};
use sampler::ui::html::bins::{Bins, Rises};
use sampler::ui::html::packed::Packed;
use sampler::ui::html::plots::{Columns, Machine, Others, Plot, Set};

/// Bins of a plot; each is two points.
const BINS: usize = 600;
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

/// Gauges of a cgroup that are plotted, in KiB.
const GAUGES: [(FieldId, &str); 8] = [
    (FieldId::Current, "current"),
    (FieldId::PeakInterval, "current"),
    (FieldId::Anon, "anon"),
    (FieldId::File, "file"),
    (FieldId::Shmem, "shmem"),
    (FieldId::Kernel, "kernel"),
    (FieldId::SwapCurrent, "swap"),
    (FieldId::Max, "max"),
];
const COUNTERS: [(FieldId, &str); 4] = [
    (FieldId::PressureSome, "psi_some"),
    (FieldId::PressureFull, "psi_full"),
    (FieldId::EventsMax, "hits"),
    (FieldId::EventsHigh, "throttles"),
];

/// One subject while its rows pass by.
struct Drawn {
    gauges: BTreeMap<&'static str, Bins>,
    counters: BTreeMap<&'static str, Rises>,
    peak: u64,
}

impl Drawn {
    fn new() -> Drawn {
        Drawn { gauges: BTreeMap::new(), counters: BTreeMap::new(), peak: 0 }
    }

    fn feed(
        &mut self,
        series: &Series,
        span: &Range<i64>,
        gauges: &[(FieldId, &'static str)],
        counters: &[(FieldId, &'static str)],
    ) {
        for (field, key) in gauges {
            let Some(column) = series.column(field.field()) else { continue };
            let bins = self.gauges.entry(key).or_insert_with(|| Bins::new(span.start, span.end, BINS));
            for (row, value) in column.iter().filter(|(_, value)| *value != UNLIMITED) {
                bins.push(series.time_us[row], value / 1024);
                if *key == "current" {
                    self.peak = self.peak.max(value);
                }
            }
        }
        for (field, key) in counters {
            let Some(column) = series.column(field.field()) else { continue };
            let rises = self.counters.entry(key).or_insert_with(|| Rises::new(span.start, span.end, BINS));
            column.iter().for_each(|(row, value)| rises.push(series.time_us[row], value));
        }
    }

    fn columns(self, span: &Range<i64>, only: Option<&[&str]>) -> Columns {
        let held = held(span);
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

/// A field that is read once a second holds until the next reading: for so many bins.
fn held(span: &Range<i64>) -> usize {
    (3_000_000.0 / ((span.end - span.start) as f64 / BINS as f64)).ceil() as usize
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

/// The plots of a time, and the least that the machine had left in it.
pub fn set(recording: &mut Recording, title: &str, span: Range<i64>, wanted: &Wanted<'_>) -> (Set, Option<Machine>) {
    let fields: Vec<FieldId> = GAUGES.iter().chain(&COUNTERS).map(|(field, _)| *field).collect();
    let query = Query { cgroups: wanted.cgroups, time: span.clone(), fields: &fields, lags: false };
    let mut drawn: BTreeMap<String, Drawn> = BTreeMap::new();
    recording.series(Table::Samples, &query, |series| {
        let one = drawn.entry(series.subject.cgroup.clone()).or_insert_with(Drawn::new);
        one.feed(&series, &span, &GAUGES, &COUNTERS);
    });
    let mut host = Drawn::new();
    let gauges =
        [(FieldId::MemTotal, "mem_total"), (FieldId::MemAvailable, "available"), (FieldId::SwapFree, "swap_free")];
    let counters = [(FieldId::HostPressureSome, "psi_some"), (FieldId::HostPressureFull, "psi_full")];
    let query = Query { cgroups: &|_| true, time: span.clone(), fields: &[], lags: false };
    let mut machine = None;
    recording.series(Table::Host, &query, |series| {
        least_available(&mut machine, &series);
        host.feed(&series, &span, &gauges, &counters);
    });
    let paths: Vec<String> = drawn.keys().cloned().collect();
    let charted: Vec<&str> =
        wanted.charted.iter().map(String::as_str).filter(|path| drawn.contains_key(*path)).collect();
    let is_above = |path: &str| charted.iter().any(|other| *other != path && is_below(other, path));
    let summed: Vec<&str> = charted.iter().copied().filter(|path| !is_above(path)).collect();
    let others = others(&drawn, &paths, &summed, held(&span));
    let rank = |path: &str| charted.iter().position(|one| *one == path).unwrap_or(usize::MAX);
    let count = charted.len();
    let plot = |(at, path, drawn): (usize, String, Drawn)| Plot {
        name: printable(wanted.named.title(&path).as_deref().unwrap_or(name(&path))),
        is_above: is_above(&path),
        columns: drawn.columns(&span, (at >= FULL.max(count)).then_some(&["current", "max"])),
        path,
    };
    let mut list: Vec<(String, Drawn)> = drawn.into_iter().collect();
    list.sort_by(|a, b| rank(&a.0).cmp(&rank(&b.0)).then(b.1.peak.cmp(&a.1.peak)).then(a.0.cmp(&b.0)));
    list.truncate(MOST.max(count));
    let set = Set {
        name: title.to_owned(),
        from_us: span.start,
        step_us: (span.end - span.start) as f64 / (BINS * 2) as f64,
        points: BINS * 2,
        host: host.columns(&span, None),
        charted: count,
        others,
        cgroups: list.into_iter().enumerate().map(|(at, (path, drawn))| plot((at, path, drawn))).collect(),
    };
    (set, machine)
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

/// The sum of all cgroups that have none below them, and that are not in the chart.
fn others(drawn: &BTreeMap<String, Drawn>, paths: &[String], summed: &[&str], held: usize) -> Option<Others> {
    let mut above: BTreeSet<&str> = BTreeSet::new();
    for path in paths {
        let mut at = path.as_str();
        while let Some(parent) = sampler::model::paths::parent(at).filter(|parent| above.insert(parent)) {
            at = parent;
        }
    }
    let mut sum: Vec<Option<u64>> = vec![None; BINS * 2];
    let mut count = 0;
    for (path, drawn) in drawn {
        let in_chart = summed.iter().any(|one| one == path || is_below(path, one));
        let Some(current) = drawn.gauges.get("current").filter(|_| !in_chart && !above.contains(path.as_str())) else {
            continue;
        };
        count += 1;
        for (all, one) in sum.iter_mut().zip(current.points(held)) {
            *all = match (*all, one) {
                (Some(all), Some(one)) => Some(all + one),
                (all, one) => all.or(one),
            };
        }
    }
    (count > 0).then(|| Others { count, current: Packed::of(&sum) })
}
