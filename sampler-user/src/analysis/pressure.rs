//! When tasks waited for memory, and when limits were hit: episodes, from counters.

use serde::Serialize;

use crate::fields::FieldId;
use crate::recording::{Column, Series};

/// What an episode is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Tasks stalled (PSI).
    Stall,
    /// memory.high was exceeded: the kernel slowed the tasks down.
    Throttled,
    /// memory.max was hit and reclaim made room.
    LimitHits,
    /// Pages that were just thrown out were read again.
    Refaults,
}

/// A time of pressure in one cgroup.
#[derive(Clone, Debug, Serialize)]
pub struct Episode {
    /// The cgroup.
    pub path: String,
    /// What it shows.
    pub kind: Kind,
    /// Begin and end, microseconds since 1970.
    #[serde(skip)]
    pub time_us: (i64, i64),
    /// Length, seconds.
    pub duration_s: f64,
    /// Seconds in which a task stalled; absent without PSI.
    pub stall_s: Option<f64>,
    /// Highest part of a second in which a task stalled.
    pub peak_some: Option<f64>,
    /// Rise of memory.events max.
    pub limit_hits: u64,
    /// Rise of memory.events high.
    pub throttles: u64,
    /// Pages refaulted.
    pub refaults: u64,
}

/// An episode begins when some task stalls this part of a second (lmkd's partial stall), or all do `FULL`.
const SOME: f64 = 0.07;
const FULL: f64 = 0.02;
/// It ends after this time below half of both, microseconds.
const CALM_US: i64 = 10_000_000;
/// Hits and refaults in a second that are worth telling without PSI.
const HITS_A_SECOND: f64 = 1.0;
const REFAULTS_A_SECOND: f64 = 256.0;
/// Episodes kept of a cgroup.
const MOST: usize = 256;

/// Columns it reads.
pub const FIELDS: [FieldId; 5] =
    [FieldId::PressureSome, FieldId::PressureFull, FieldId::EventsMax, FieldId::EventsHigh, FieldId::RefaultFile];

/// Follows one cgroup.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    last: [Option<f64>; FIELDS.len()],
    rises: [f64; FIELDS.len()],
    /// Begin of the second that is summed.
    second_us: Option<i64>,
    open: Option<(Episode, i64)>,
    done: Vec<Episode>,
    id: u64,
}

impl Watch {
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
                    self.rises[i] += (value as f64 - before).max(0.0);
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
        let [some_us, full_us, hits, throttles, refaults] = self.rises;
        let psi = self.last[0].is_some();
        let (some, full) = (some_us / 1e6 / seconds, full_us / 1e6 / seconds);
        let kind = if psi && (some >= SOME || full >= FULL) {
            Some(Kind::Stall)
        } else if throttles / seconds >= HITS_A_SECOND {
            Some(Kind::Throttled)
        } else if hits / seconds >= HITS_A_SECOND {
            Some(Kind::LimitHits)
        } else if !psi && refaults / seconds >= REFAULTS_A_SECOND {
            Some(Kind::Refaults)
        } else {
            None
        };
        let goes_on = kind.is_some() || some >= SOME / 2.0 || full >= FULL / 2.0;
        // What was seen lasts no longer than a gap allows.
        if self.open.as_ref().is_some_and(|(_, last)| to_us - last > CALM_US && !goes_on || from_us - last > CALM_US) {
            self.close();
        }
        if self.open.is_none()
            && let Some(kind) = kind
        {
            let episode = Episode {
                path: path.to_owned(),
                kind,
                time_us: (from_us, to_us),
                duration_s: 0.0,
                stall_s: psi.then_some(0.0),
                peak_some: psi.then_some(0.0),
                limit_hits: 0,
                throttles: 0,
                refaults: 0,
            };
            self.open = Some((episode, to_us));
        }
        if let Some((episode, last)) = &mut self.open
            && goes_on
        {
            *last = to_us;
            episode.time_us.1 = to_us;
            episode.stall_s = episode.stall_s.map(|sum| sum + some_us / 1e6);
            episode.peak_some = episode.peak_some.map(|peak| peak.max(some.min(1.0)));
            episode.limit_hits += hits as u64;
            episode.throttles += throttles as u64;
            episode.refaults += refaults as u64;
            if kind == Some(Kind::Stall) {
                episode.kind = Kind::Stall;
            }
        }
    }

    fn close(&mut self) {
        if let Some((mut episode, _)) = self.open.take() {
            episode.duration_s = (episode.time_us.1 - episode.time_us.0) as f64 / 1e6;
            if self.done.len() < MOST {
                self.done.push(episode);
            }
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
    use super::*;
    use crate::fields::Table;
    use crate::recording::Subject;
    use crate::sample::Row;
    use std::sync::Arc;

    /// A minute and a half at 10 Hz with what `at` says of each tenth of a second.
    fn watched(at: impl Fn(u64) -> Vec<(FieldId, u64)>) -> Vec<Episode> {
        let subject = Subject { cgroup: "/a".into(), id: 1, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        for tick in 0..900u64 {
            let mut row = Row::new(1);
            at(tick).into_iter().for_each(|(field, value)| row.put(field.field(), value));
            series.push(tick as i64 * 100_000, &row);
        }
        let mut watch = Watch::default();
        watch.feed(&series);
        watch.end()
    }

    #[test]
    fn a_stall_is_one_episode_with_its_seconds() {
        let total = |tick: u64| tick.clamp(300, 400) * 20_000;
        let got =
            watched(|tick| vec![(FieldId::PressureSome, total(tick)), (FieldId::EventsMax, tick.clamp(300, 400))]);
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].kind, got[0].limit_hits), (Kind::Stall, 100));
        assert!((got[0].stall_s.unwrap() - 2.0).abs() < 1e-6 && (got[0].peak_some.unwrap() - 0.2).abs() < 1e-6);
        assert!((9.0..12.0).contains(&got[0].duration_s), "{}", got[0].duration_s);
        assert!((29_000_000..=30_000_000).contains(&got[0].time_us.0));
    }

    #[test]
    fn calm_is_nothing_and_two_storms_are_two() {
        assert!(watched(|tick| vec![(FieldId::PressureSome, tick * 1000)]).is_empty(), "1 % is no episode");
        let hits = |tick: u64| tick.min(100) + tick.clamp(500, 600) - 500;
        let got = watched(|tick| vec![(FieldId::EventsMax, hits(tick))]);
        assert_eq!(got.iter().map(|e| (e.kind, e.stall_s)).collect::<Vec<_>>(), [(Kind::LimitHits, None); 2]);
    }
}
