//! When tasks waited for memory, when limits were hit, and when pages went in circles: episodes, from counters.

mod episode;
mod host;
pub mod neighbour;

use crate::analysis::pressure::episode::{CALM_US, MOST};
use crate::model::fields::FieldId;
use crate::model::recording::{Column, Series};

pub use self::episode::{Cause, Episode, EpisodeKind};
pub use self::host::{HOST_FIELDS, HostWatch};

/// An episode begins when some task stalls this part of a second (lmkd's partial stall), or all do `FULL`.
const SOME: f64 = 0.07;
const FULL: f64 = 0.02;
/// Hits in a second that are worth a finding without PSI.
const HITS_A_SECOND: f64 = 1.0;
/// A MiB a second that is read again, goes to swap and comes back, or is taken back on demand.
const PAGES_A_SECOND: f64 = 256.0;
/// Pages of the kernel, bytes.
const PAGE: f64 = 4096.0;

/// Counters it reads, and at the end what the page cache holds.
pub const FIELDS: [FieldId; 12] = [
    FieldId::PressureSome,
    FieldId::PressureFull,
    FieldId::EventsMax,
    FieldId::EventsHigh,
    FieldId::RefaultFile,
    FieldId::RefaultAnon,
    FieldId::Pswpin,
    FieldId::Pswpout,
    FieldId::Pgsteal,
    FieldId::PgstealProactive,
    FieldId::File,
    FieldId::Shmem,
];
const COUNTERS: usize = FIELDS.len() - 2;

/// Follows one cgroup.
#[derive(Clone, Debug, Default)]
pub struct CgroupWatch {
    last: [Option<f64>; FIELDS.len()],
    rises: [f64; COUNTERS],
    /// Begin of the second that is summed.
    second_us: Option<i64>,
    open: Option<Open>,
    done: Vec<Episode>,
    id: u64,
}

/// An episode that goes on, the last second that belonged to it, and the page cache meanwhile.
#[derive(Clone, Debug)]
struct Open {
    episode: Episode,
    last_us: i64,
    cache: (f64, u32),
    swaps: bool,
}

impl CgroupWatch {
    /// Takes rows, which follow those taken before.
    pub fn feed(&mut self, series: &Series) {
        if self.id != series.subject.id {
            self.last = Default::default();
            self.id = series.subject.id;
        }
        let mut columns = FIELDS.map(|id| series.column(id.field()).map_or((&[][..], &[][..]), still));
        let times = &series.time_us;
        let mut row = 0;
        while row < times.len() {
            let begin = *self.second_us.get_or_insert(times[row]);
            let end = times[row..].iter().position(|time| time - begin >= 1_000_000).map(|after| row + after);
            row = end.map_or(times.len(), |end| end + 1);
            for (i, (rows, values)) in columns.iter_mut().enumerate() {
                let here = rows.iter().take_while(|at| (**at as usize) < row).count();
                for &value in &values[..here] {
                    let before = self.last[i].replace(value as f64).unwrap_or(value as f64);
                    // A counter that fell was reset.
                    if let Some(rise) = self.rises.get_mut(i) {
                        *rise += (value as f64 - before).max(0.0);
                    }
                }
                (*rows, *values) = (&rows[here..], &values[here..]);
            }
            if let Some(end) = end {
                self.second(&series.subject.cgroup, begin, times[end]);
                self.second_us = Some(times[end]);
                self.rises = Default::default();
            }
        }
    }

    fn second(&mut self, path: &str, from_us: i64, to_us: i64) {
        let seconds = (to_us - from_us) as f64 / 1e6;
        let [some_us, full_us, hits, throttles, refaults, refaults_anon, swap_in, swap_out, stolen, asked] = self.rises;
        let psi = self.last[0].is_some();
        let (some, full) = (some_us / 1e6 / seconds, full_us / 1e6 / seconds);
        // Out alone is healthy. Where the kernel does not count pages of swap, anonymous ones that come back show it.
        let knows_swap = self.last[6].is_some();
        let back = if knows_swap { swap_in.min(swap_out) } else { refaults_anon };
        let swaps = back / seconds >= PAGES_A_SECOND;
        let on_demand = asked / seconds >= PAGES_A_SECOND && asked >= 0.8 * stolen;
        let kind = if psi && (some >= SOME || full >= FULL) {
            Some(EpisodeKind::Stall)
        } else if swaps {
            Some(EpisodeKind::SwapStorm)
        } else if throttles / seconds >= HITS_A_SECOND {
            Some(EpisodeKind::Throttled)
        } else if hits / seconds >= HITS_A_SECOND {
            Some(EpisodeKind::LimitHits)
        } else if refaults / seconds >= PAGES_A_SECOND && !(psi && on_demand) {
            Some(EpisodeKind::Refaults)
        } else {
            on_demand.then_some(EpisodeKind::Reclaimed)
        };
        let goes_on = kind.is_some() || some >= SOME / 2.0 || full >= FULL / 2.0;
        // A gap is one long second: what rose in it is a pace of all of it.
        let quiet = |open: &Open| to_us - open.last_us > CALM_US && !goes_on;
        if self.open.as_ref().is_some_and(quiet) {
            self.close();
        }
        if self.open.is_none()
            && let Some(kind) = kind
        {
            let mut episode = Episode::new(path, kind, (from_us, to_us));
            (episode.stall_s, episode.peak_some) = (psi.then_some(0.0), psi.then_some(0.0));
            self.open = Some(Open { episode, last_us: to_us, cache: (0.0, 0), swaps: false });
        }
        let cache = self.last[COUNTERS].map(|file| (file - self.last[COUNTERS + 1].unwrap_or(0.0)).max(0.0));
        if let Some(open) = &mut self.open
            && goes_on
        {
            open.last_us = to_us;
            open.swaps |= swaps;
            if let Some(cache) = cache {
                open.cache = (open.cache.0 + cache, open.cache.1 + 1);
            }
            let episode = &mut open.episode;
            episode.time_us.1 = to_us;
            episode.stall_s = episode.stall_s.map(|sum| sum + some_us / 1e6);
            episode.peak_some = episode.peak_some.map(|peak| peak.max(some.min(1.0)));
            episode.limit_hits += hits as u64;
            episode.throttles += throttles as u64;
            episode.refaults += refaults as u64;
            episode.swapped += (swap_in + swap_out) as u64;
            episode.reclaimed += asked as u64;
            // The strongest that was seen names it.
            let rank = |kind: EpisodeKind| match kind {
                EpisodeKind::Stall => 3,
                EpisodeKind::Throttled | EpisodeKind::SwapStorm => 2,
                EpisodeKind::LimitHits | EpisodeKind::Refaults => 1,
                _ => 0,
            };
            episode.kind = kind.filter(|kind| rank(*kind) > rank(episode.kind)).unwrap_or(episode.kind);
        }
    }

    fn close(&mut self) {
        let Some(Open { mut episode, cache, swaps, .. }) = self.open.take() else { return };
        episode.duration_s = (episode.time_us.1 - episode.time_us.0) as f64 / 1e6;
        // lmkd's measure: as much was read again as the whole cache holds.
        let again = episode.refaults as f64 * PAGE;
        let held = if cache.1 > 0 { cache.0 / f64::from(cache.1) } else { f64::INFINITY };
        let stalls = episode.peak_some.is_none_or(|peak| peak >= SOME);
        if matches!(
            episode.kind,
            EpisodeKind::Stall | EpisodeKind::LimitHits | EpisodeKind::Throttled | EpisodeKind::Refaults
        ) {
            if swaps {
                episode.kind = EpisodeKind::SwapStorm;
            } else if stalls && again >= held.max(4.0 * PAGES_A_SECOND * PAGE) {
                episode.kind = EpisodeKind::Thrashing;
            }
        }
        if self.done.len() < MOST {
            self.done.push(episode);
        }
    }

    /// The episodes, in the order of time.
    pub fn end(mut self) -> Vec<Episode> {
        self.close();
        self.done
    }
}

/// Rows and values of a column; of one that never moves, which most do, only the first.
fn still(column: &Column) -> (&[u32], &[u64]) {
    let moves = column.values.iter().any(|value| *value != column.values[0]);
    let most = if moves { column.values.len() } else { column.values.len().min(1) };
    (&column.rows[..most], &column.values[..most])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fields::Table;
    use crate::model::recording::Subject;
    use crate::model::sample::Row;

    /// A minute and a half at 10 Hz with what `at` says of each tenth of a second.
    fn watched(at: impl Fn(u64) -> Vec<(FieldId, u64)>) -> Vec<Episode> {
        let subject = Subject { cgroup: "/a".into(), id: 1, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        for tick in 0..900u64 {
            let mut row = Row::new(1);
            at(tick).into_iter().for_each(|(field, value)| row.put(field.field(), value));
            series.push(tick as i64 * 100_000, &row);
        }
        let mut watch = CgroupWatch::default();
        watch.feed(&series);
        watch.end()
    }

    #[test]
    fn a_stall_is_one_episode_with_its_seconds() {
        let total = |tick: u64| tick.clamp(300, 400) * 20_000;
        let got =
            watched(|tick| vec![(FieldId::PressureSome, total(tick)), (FieldId::EventsMax, tick.clamp(300, 400))]);
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].kind, got[0].limit_hits), (EpisodeKind::Stall, 100));
        assert!((got[0].stall_s.unwrap() - 2.0).abs() < 1e-6 && (got[0].peak_some.unwrap() - 0.2).abs() < 1e-6);
        assert!((9.0..12.0).contains(&got[0].duration_s), "{}", got[0].duration_s);
        assert!((29_000_000..=30_000_000).contains(&got[0].time_us.0));
    }

    #[test]
    fn calm_is_nothing_and_two_storms_are_two() {
        assert!(watched(|tick| vec![(FieldId::PressureSome, tick * 1000)]).is_empty(), "1 % is no episode");
        let hits = |tick: u64| tick.min(100) + tick.clamp(500, 600) - 500;
        let got = watched(|tick| vec![(FieldId::EventsMax, hits(tick))]);
        assert_eq!(got.iter().map(|e| (e.kind, e.stall_s)).collect::<Vec<_>>(), [(EpisodeKind::LimitHits, None); 2]);
    }

    #[test]
    fn what_is_read_again_as_often_as_it_is_held_is_thrashing() {
        let at = |tick: u64, each: u64| {
            vec![
                (FieldId::RefaultFile, tick.clamp(300, 500) * each),
                (FieldId::File, 40 << 20),
                (FieldId::Shmem, 8 << 20),
            ]
        };
        // 20 s: 62 MiB of a cache of 32 MiB; then 23 MiB.
        assert_eq!(watched(|tick| at(tick, 80)).iter().map(|e| e.kind).collect::<Vec<_>>(), [EpisodeKind::Thrashing]);
        assert_eq!(watched(|tick| at(tick, 30)).iter().map(|e| e.kind).collect::<Vec<_>>(), [EpisodeKind::Refaults]);
    }

    #[test]
    fn swap_that_goes_out_is_no_storm_and_swap_that_comes_back_is() {
        let at = |tick: u64, back: u64| {
            vec![(FieldId::Pswpout, tick.clamp(300, 500) * 100), (FieldId::Pswpin, tick.clamp(300, 500) * back)]
        };
        assert!(watched(|tick| at(tick, 1)).is_empty());
        let storm = watched(|tick| at(tick, 90));
        assert_eq!(
            storm.iter().map(|e| (e.kind, e.swapped)).collect::<Vec<_>>(),
            [(EpisodeKind::SwapStorm, 190 * 200)]
        );
    }

    #[test]
    fn memory_that_is_given_back_on_demand_blames_nobody() {
        let at = |tick: u64, all: u64| {
            let asked = tick.clamp(300, 500) * 100;
            vec![(FieldId::PgstealProactive, asked), (FieldId::Pgsteal, asked * all), (FieldId::PressureSome, 0)]
        };
        let got = watched(|tick| at(tick, 1));
        assert_eq!(got.iter().map(|e| (e.kind, e.reclaimed)).collect::<Vec<_>>(), [(EpisodeKind::Reclaimed, 20_000)]);
        assert!(watched(|tick| at(tick, 3)).is_empty(), "most was freed because the kernel had to");
    }

    #[test]
    fn a_machine_with_nothing_left_is_one_episode() {
        let mut series = Series::new(Arc::new(Subject::host()), Table::Host);
        for second in 0..100i64 {
            let mut row = Row::new(1);
            row.put(FieldId::MemTotal.field(), 1000 << 20);
            row.put(FieldId::MemAvailable.field(), if (40..60).contains(&second) { 30 << 20 } else { 500 << 20 });
            series.push(second * 1_000_000, &row);
        }
        let mut watch = HostWatch::default();
        watch.feed(&series);
        assert_eq!(watch.available(), Some(500 << 20));
        let got = watch.end();
        assert_eq!(got.len(), 1);
        assert_eq!(
            (got[0].kind, got[0].time_us, got[0].least_available),
            (EpisodeKind::HostExhausted, (40_000_000, 59_000_000), Some(30 << 20))
        );
    }

    /// A row of a cgroup: its id, the second, and values.
    type At = (u64, u64, Vec<(FieldId, u64)>);

    fn fed(rows: impl IntoIterator<Item = At>) -> Vec<Episode> {
        let mut watch = CgroupWatch::default();
        for (id, second, values) in rows {
            let subject = Subject { cgroup: "/a".into(), id, process: None };
            let mut series = Series::new(Arc::new(subject), Table::Samples);
            let mut row = Row::new(1);
            values.iter().for_each(|(field, value)| row.put(field.field(), *value));
            series.push(second as i64 * 1_000_000, &row);
            watch.feed(&series);
        }
        watch.end()
    }

    #[test]
    fn counters_of_another_cgroup_or_that_were_reset_are_no_rise() {
        let hits = |id, second, count| (id, second, vec![(FieldId::EventsMax, count)]);
        let then = |id, count| fed((0..40).map(|t| if t < 20 { hits(1, t, 5000) } else { hits(id, t, count) }));
        assert!(then(2, 9000).is_empty(), "another cgroup of the path");
        assert!(then(1, 7).is_empty(), "a counter that fell");
        assert_eq!(then(1, 9000).len(), 1, "the same that rose");
    }

    #[test]
    fn what_rose_in_a_gap_is_a_pace_and_a_gap_ends_an_episode() {
        let stall =
            |t: u64| t.min(20) * 100_000 + if t >= 620 { 12_000_000 } else { 0 } + t.saturating_sub(640) * 100_000;
        let rows = (0..660).filter(|t| !(30..620).contains(t)).map(|t| (1, t, vec![(FieldId::PressureSome, stall(t))]));
        let got = fed(rows);
        let times: Vec<_> = got.iter().map(|e| (e.time_us.0 / 1_000_000, e.time_us.1 / 1_000_000)).collect();
        assert_eq!(times, [(0, 20), (640, 659)], "12 s in ten minutes are no stall");
    }

    #[test]
    fn each_kind_of_pressure_has_its_name() {
        use FieldId::*;
        let rise = |t: u64, each: u64| t.clamp(300, 500) * each;
        let kinds = |at: &dyn Fn(u64) -> Vec<(FieldId, u64)>| watched(at).iter().map(|e| e.kind).collect::<Vec<_>>();
        // All stall for 3 % of the time, which is less than some of them may.
        assert_eq!(
            kinds(&|t| vec![(PressureSome, rise(t, 3000)), (PressureFull, rise(t, 3000))]),
            [EpisodeKind::Stall]
        );
        assert_eq!(kinds(&|t| vec![(EventsHigh, rise(t, 1))]), [EpisodeKind::Throttled]);
        assert_eq!(
            kinds(&|t| vec![(RefaultAnon, rise(t, 100))]),
            [EpisodeKind::SwapStorm],
            "pages of swap are not counted"
        );
        let out_only = |t| vec![(RefaultAnon, rise(t, 100)), (Pswpout, rise(t, 100)), (Pswpin, 0)];
        assert_eq!(kinds(&out_only), [], "they are, and none came back");
        // The strongest of what was seen names it: hits of the limit, then stalls.
        assert_eq!(
            kinds(&|t| vec![(EventsMax, rise(t, 1)), (PressureSome, t.clamp(400, 500) * 20_000)]),
            [EpisodeKind::Stall]
        );
        let asked = |t| vec![(PgstealProactive, rise(t, 100)), (Pgsteal, rise(t, 100)), (RefaultFile, rise(t, 100))];
        assert_eq!(kinds(&|t| [asked(t), vec![(PressureSome, 0)]].concat()), [EpisodeKind::Reclaimed], "nobody waited");
    }

    #[test]
    fn episodes_are_bounded() {
        let rows = (0..30 * MOST as u64 * 2).map(|t| (1, t, vec![(FieldId::EventsMax, t / 30 * 50)]));
        assert_eq!(fed(rows).len(), MOST);
    }

    #[test]
    fn the_machine_is_exhausted_until_twice_as_much_is_left_and_not_in_a_gap() {
        let watched = |left: &dyn Fn(i64) -> Option<Option<u64>>| {
            let mut series = Series::new(Arc::new(Subject::host()), Table::Host);
            for second in 0..100i64 {
                let Some(left) = left(second) else { continue };
                let mut row = Row::new(0);
                if second == 0 {
                    row.put(FieldId::MemTotal.field(), 1000 << 20);
                }
                left.into_iter().for_each(|left| row.put(FieldId::MemAvailable.field(), left << 20));
                series.push(second * 1_000_000, &row);
            }
            let mut watch = HostWatch::default();
            watch.feed(&series);
            let available = watch.available();
            (
                available,
                watch.end().iter().map(|e| (e.time_us.0 / 1_000_000, e.time_us.1 / 1_000_000)).collect::<Vec<_>>(),
            )
        };
        let (available, times) =
            watched(&|t| Some(Some(if (40..60).contains(&t) { 30 + t as u64 % 2 * 50 } else { 400 })));
        assert_eq!((available, times), (Some(400 << 20), vec![(40, 59)]), "8 % are not yet enough");
        let (_, times) =
            watched(&|t| (!(20..80).contains(&t)).then_some(Some(if (10..=90).contains(&t) { 30 } else { 400 })));
        assert_eq!(times, [(10, 19), (80, 90)]);
        let (available, _) = watched(&|t| Some((t % 3 == 0).then_some(400).filter(|_| t < 99)));
        assert_eq!(available, Some(400 << 20), "it is not in each row");
    }
}
