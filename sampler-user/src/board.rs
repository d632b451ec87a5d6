//! The board: what is known of each cgroup now, and a short history. `top`, the alerts and the metrics look at it.
//!
//! It is a [`Sink`]: the recorder fills it directly, the tail of a journal and a recording fill it with the same calls.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;

use crate::analysis::limits::{Room, nearest};
use crate::analysis::linear::sen;
use crate::event::{Event, What};
use crate::fields::{FieldId, Table, UNLIMITED};
use crate::identity::{Identity, Names};
use crate::recording::Subject;
use crate::runtime::identify;
use crate::sample::{HOST, PassHead, Row, SubjectRef, slots};
use crate::sink::Sink;
use crate::time::Anchor;

/// How much history is kept.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Time between two points, microseconds.
    pub step_us: i64,
    /// Points of a cgroup.
    pub points: usize,
}

/// A cgroup or the host at one time. Sizes are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Wall-clock microseconds.
    pub time_us: i64,
    /// memory.current; of the host what is used.
    pub current: Option<u64>,
    /// What reclaim cannot take: all but the page cache.
    pub firm: Option<u64>,
    /// Anonymous memory.
    pub anon: Option<u64>,
    /// Page cache; of the host with buffers.
    pub file: Option<u64>,
    /// Swap in use.
    pub swap: Option<u64>,
    /// Its own limit; [`UNLIMITED`] is none.
    pub max: Option<u64>,
    /// Total time of waiting for memory, microseconds.
    pub stalled_us: Option<u64>,
    /// OOM kills so far.
    pub kills: Option<u64>,
}

/// A cgroup.
#[derive(Clone, Debug)]
pub struct Cgroup {
    /// Inode number: another one is another cgroup of the same path.
    pub id: u64,
    /// The newest value of each field.
    pub latest: Box<Row>,
    /// When the newest row was read.
    pub time_us: i64,
    /// Whether it was removed.
    pub gone: bool,
    /// Points, oldest first.
    pub history: VecDeque<Point>,
    /// Whether the recorder's detectors call it a leak; absent when they told nothing.
    pub leaks: Option<bool>,
    /// Kills and stalls that events told: time, kills, microseconds.
    told: VecDeque<(i64, u64, u64)>,
}

/// What is shown of a cgroup at one time. What is not known is absent; sizes are bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    /// Path.
    pub path: String,
    /// What it is called.
    pub name: String,
    /// The runtime, if one has it.
    pub runtime: Option<String>,
    /// Whether it is a container.
    pub container: bool,
    /// memory.current.
    pub current: Option<u64>,
    /// What reclaim cannot take.
    pub firm: Option<u64>,
    /// The limit that is reached first: its own, or what others leave it of an ancestor's.
    pub limit: Option<u64>,
    /// Whether it has a limit of its own; absent when that was not read.
    pub own_limit: Option<bool>,
    /// Its own limit, if it has one.
    pub max: Option<u64>,
    /// `current` of `limit`, 0 to 1.
    pub used: Option<f64>,
    /// `firm` of `limit`, 0 to 1.
    pub firm_used: Option<f64>,
    /// Anonymous memory.
    pub anon: Option<u64>,
    /// Page cache.
    pub file: Option<u64>,
    /// Swap.
    pub swap: Option<u64>,
    /// Growth of what cannot be reclaimed, a minute.
    pub growth_per_min: Option<f64>,
    /// Seconds until that reaches the limit.
    pub time_to_limit_s: Option<f64>,
    /// Part of the last seconds in which some task waited for memory, 0 to 1.
    pub pressure: Option<f64>,
    /// Time in which tasks reclaimed memory themselves in the last minute, microseconds, by the probe.
    pub stall_us: Option<u64>,
    /// Whether the recorder's detectors call it a leak; absent when they told nothing.
    pub leaks: Option<bool>,
    /// OOM kills since the board began.
    pub oom_kills: u64,
    /// Whether it was removed.
    pub gone: bool,
}

/// The machine at one time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Host name.
    pub host: String,
    /// WSL, if it is one.
    pub wsl: Option<String>,
    /// Memory of the machine or of the WSL2 VM.
    pub total: Option<u64>,
    /// Total less available.
    pub used: Option<u64>,
    /// Page cache and buffers.
    pub cache: Option<u64>,
    /// Swap in use.
    pub swap_used: Option<u64>,
    /// Swap.
    pub swap_total: Option<u64>,
    /// Part of the last seconds in which some task waited for memory.
    pub pressure: Option<f64>,
    /// Sum of the containers' own limits.
    pub limits: u64,
    /// Containers without a limit.
    pub unlimited: usize,
}

/// All of it.
#[derive(Debug)]
pub struct Board {
    depth: Depth,
    anchor: Anchor,
    subjects: HashMap<SubjectRef, (String, Table)>,
    /// cgroups by path.
    pub cgroups: BTreeMap<String, Cgroup>,
    /// The host.
    pub host: Cgroup,
    /// Names that were told.
    pub names: Names,
    /// Host name and WSL version.
    pub origin: (String, Option<String>),
    /// Newest time.
    pub now_us: i64,
    time_us: i64,
}

/// Growth is measured over this time.
const GROWTH_US: i64 = 5 * 60 * 1_000_000;
/// And at most by this many points.
const GROWTH_POINTS: usize = 24;
/// Growth over less time is not told.
const LEAST_US: i64 = 20 * 1_000_000;
/// Pressure is of this time.
const PRESSURE_US: i64 = 10 * 1_000_000;
/// Removed cgroups stay for this time.
const GONE_US: i64 = 5 * 60 * 1_000_000;
/// Events of a cgroup that are kept.
const TOLD: usize = 64;

impl Cgroup {
    fn new(id: u64) -> Cgroup {
        let (history, told) = (VecDeque::new(), VecDeque::new());
        Cgroup { id, latest: Box::new(Row::new(0)), time_us: i64::MIN, gone: false, history, leaks: None, told }
    }

    /// Takes the number of the cgroup of the path now: another one begins anew, one that only events told of gets its number.
    fn become_one(&mut self, id: u64) {
        if self.id == 0 {
            self.id = id;
        } else if self.id != id {
            *self = Cgroup::new(id);
        }
    }

    /// Newest value of a field, if it was read.
    pub fn get(&self, id: FieldId) -> Option<u64> {
        self.latest.get(id.field())
    }

    fn take(&mut self, time_us: i64, row: &Row, depth: Depth, host: bool) {
        for slot in slots(row.mask) {
            self.latest.set(slot, row.values[slot]);
        }
        self.time_us = self.time_us.max(time_us);
        let due = self.history.back().is_none_or(|last| time_us - last.time_us >= depth.step_us);
        // What the slow pass reads belongs to the point that stands there.
        let amends = !due && self.history.back().is_some_and(|last| last.anon.is_none() || last.max.is_none() && !host);
        if !(due || amends) {
            return;
        }
        let at = self.history.back().filter(|_| amends).map_or(time_us, |last| last.time_us);
        let point = if host { self.host_point(at) } else { self.point(at) };
        if amends {
            self.history.pop_back();
        } else if self.history.len() == depth.points {
            self.history.pop_front();
        }
        self.history.push_back(point);
    }

    fn point(&self, time_us: i64) -> Point {
        let current = self.get(FieldId::Current);
        let file = self.get(FieldId::File);
        // Page cache without tmpfs, which nothing can reclaim.
        let cache = file.map(|file| file.saturating_sub(self.get(FieldId::Shmem).unwrap_or(0)));
        Point {
            time_us,
            current,
            firm: current.zip(cache).map(|(current, cache)| current.saturating_sub(cache)),
            anon: self.get(FieldId::Anon),
            file,
            swap: self.get(FieldId::SwapCurrent),
            max: self.get(FieldId::Max),
            stalled_us: self.get(FieldId::PressureSome),
            kills: self.get(FieldId::LocalOomKill),
        }
    }

    fn host_point(&self, time_us: i64) -> Point {
        let used = self.get(FieldId::MemTotal).zip(self.get(FieldId::MemAvailable)).map(|(t, a)| t.saturating_sub(a));
        Point {
            time_us,
            current: used,
            firm: used,
            anon: self.get(FieldId::AnonPages),
            file: self.get(FieldId::Cached).map(|cached| cached + self.get(FieldId::Buffers).unwrap_or(0)),
            swap: self.get(FieldId::SwapTotal).zip(self.get(FieldId::SwapFree)).map(|(t, f)| t.saturating_sub(f)),
            max: None,
            stalled_us: self.get(FieldId::HostPressureSome),
            kills: self.get(FieldId::VmOomKill),
        }
    }

    /// The points up to a time.
    pub fn until(&self, at_us: i64) -> impl DoubleEndedIterator<Item = &Point> {
        let end = self.history.partition_point(|point| point.time_us <= at_us);
        self.history.range(..end)
    }

    fn pressure(&self, at_us: i64) -> Option<f64> {
        let mut points = self.until(at_us).rev().filter_map(|point| Some((point.time_us, point.stalled_us?)));
        let (end, total) = points.next()?;
        let (begin, before) = points
            .take_while(|(time, _)| end - time <= 3 * PRESSURE_US)
            .find(|(time, _)| end - time >= PRESSURE_US / 2)?;
        Some((total.checked_sub(before)? as f64 / (end - begin) as f64).min(1.0))
    }

    /// Pace of what cannot be reclaimed, bytes a minute; as little as the last half and the last quarter of the time show, so that a warm-up that ends
    /// is no growth.
    fn growth(&self, at_us: i64) -> Option<f64> {
        let recent: Vec<(i64, f64)> = self
            .until(at_us)
            .rev()
            .take_while(|point| at_us - point.time_us <= GROWTH_US)
            .filter_map(|point| Some((point.time_us, point.firm? as f64)))
            .collect();
        let (newest, oldest) = (recent.first()?.0, recent.last()?.0);
        if newest - oldest < LEAST_US {
            return None;
        }
        let every = recent.len().div_ceil(GROWTH_POINTS);
        let mut values: Vec<f64> = recent.iter().step_by(every).map(|(_, value)| *value).collect();
        values.reverse();
        if values.len() < 4 {
            return None;
        }
        let per_min = 60e6 * (values.len() - 1) as f64 / (newest - oldest) as f64;
        let of = |part: &[f64]| if part.len() < 2 { f64::INFINITY } else { sen(part) };
        let whole = sen(&values);
        let late = of(&values[values.len() / 2..]).min(of(&values[values.len() * 3 / 4..])).max(0.0);
        Some(if whole > 0.0 { whole.min(late) } else { whole } * per_min)
    }
}

impl Board {
    /// An empty board. `origin` is the host's name and its WSL version.
    pub fn new(depth: Depth, anchor: Anchor, origin: (String, Option<String>)) -> Board {
        Board {
            depth,
            anchor,
            subjects: HashMap::new(),
            cgroups: BTreeMap::new(),
            host: Cgroup::new(0),
            names: Names::default(),
            origin,
            now_us: i64::MIN,
            time_us: 0,
        }
    }

    /// The clocks of the rows that follow: each segment has its own.
    pub fn set_anchor(&mut self, anchor: Anchor) {
        self.anchor = anchor;
    }

    /// Takes a row of a cgroup, or of the host when there is no path.
    pub fn feed(&mut self, cgroup: Option<(&str, u64)>, time_us: i64, row: &Row) {
        self.now_us = self.now_us.max(time_us);
        let depth = self.depth;
        let Some((path, id)) = cgroup else { return self.host.take(time_us, row, depth, true) };
        let known = match self.cgroups.get_mut(path) {
            Some(known) => known,
            None => self.cgroups.entry(path.to_owned()).or_insert_with(|| Cgroup::new(id)),
        };
        known.become_one(id);
        known.take(time_us, row, depth, false);
    }

    /// Takes an event at a wall-clock time.
    pub fn hear(&mut self, time_us: i64, event: &Event) {
        let Some(path) = &event.cgroup else { return };
        match &event.what {
            What::Named(identity) => self.names.learn(path, identity),
            What::Leak { leaks, .. } => {
                if let Some(cgroup) = self.cgroups.get_mut(path) {
                    cgroup.leaks = Some(*leaks);
                }
            }
            What::CgroupRemoved => {
                if let Some(cgroup) = self.cgroups.get_mut(path) {
                    cgroup.gone = true;
                }
            }
            What::OomKill(_) | What::Stalls { .. } => {
                let cgroup = self.cgroups.entry(path.clone()).or_insert_with(|| Cgroup::new(0));
                let (kills, stall) = match &event.what {
                    What::Stalls { time_us, .. } => (0, *time_us),
                    _ => (1, 0),
                };
                cgroup.told.push_back((time_us, kills, stall));
                cgroup.time_us = cgroup.time_us.max(time_us);
                if cgroup.told.len() > TOLD {
                    cgroup.told.pop_front();
                }
            }
            _ => {}
        }
    }

    /// Forgets cgroups that went away some time ago.
    pub fn tidy(&mut self) {
        let now = self.now_us;
        self.cgroups.retain(|_, cgroup| !(cgroup.gone && now.saturating_sub(cgroup.time_us) > GONE_US));
    }

    /// Who a cgroup is.
    pub fn who(&self, path: &str) -> Option<Identity> {
        self.names.of(path, identify)
    }

    /// All cgroups as they were at a time, by path.
    pub fn lines(&self, at_us: i64) -> Vec<Line> {
        let size = |value: u64| if value == UNLIMITED { f64::INFINITY } else { value as f64 };
        let past = at_us < self.now_us;
        let state = |cgroup: &Cgroup| {
            if past { cgroup.until(at_us).next_back().copied() } else { Some(cgroup.point(cgroup.time_us)) }
        };
        let rooms: BTreeMap<String, Room> = self
            .cgroups
            .iter()
            .filter_map(|(path, cgroup)| {
                let point = state(cgroup)?;
                let limit = point.max.map_or(f64::INFINITY, size);
                Some((path.clone(), Room { current: point.current? as f64, limit }))
            })
            .collect();
        let line = |(path, cgroup): (&String, &Cgroup)| {
            let point = state(cgroup)?;
            let who = self.who(path);
            let limit = nearest(path, &rooms).map(|(_, limit)| limit as u64);
            let part = |value: Option<u64>| value.zip(limit).map(|(value, limit)| value as f64 / limit.max(1) as f64);
            let growth = cgroup.growth(at_us);
            let left = limit.zip(point.firm).map(|(limit, firm)| limit.saturating_sub(firm) as f64);
            let first = cgroup.history.iter().find_map(|point| point.kills);
            let counted = point.kills.zip(first).map_or(0, |(last, first)| last.saturating_sub(first));
            let told = || cgroup.told.iter().filter(|(time, _, _)| *time <= at_us);
            let minute = told().filter(|(time, _, _)| at_us - time <= 60_000_000).map(|(_, _, stall)| *stall).sum();
            Some(Line {
                name: who.as_ref().and_then(Identity::title).unwrap_or_else(|| path.clone()),
                container: who.as_ref().is_some_and(|who| who.container.is_some() && who.inner.is_none()),
                runtime: who.map(|who| who.runtime),
                path: path.clone(),
                current: point.current,
                firm: point.firm,
                limit,
                own_limit: point.max.map(|max| max != UNLIMITED),
                max: point.max.filter(|max| *max != UNLIMITED),
                used: part(point.current),
                firm_used: part(point.firm),
                anon: point.anon,
                file: point.file,
                swap: point.swap,
                growth_per_min: growth,
                time_to_limit_s: growth
                    .zip(left)
                    .filter(|(growth, _)| *growth > 65536.0)
                    .map(|(growth, left)| 60.0 * left / growth),
                pressure: cgroup.pressure(at_us),
                stall_us: if cgroup.told.is_empty() { None } else { Some(minute) },
                leaks: cgroup.leaks,
                oom_kills: counted.max(told().map(|(_, kills, _)| kills).sum()),
                gone: cgroup.gone,
            })
        };
        self.cgroups.iter().filter_map(line).collect()
    }

    /// The machine as it was at a time.
    pub fn machine(&self, at_us: i64, lines: &[Line]) -> Machine {
        let get = |id: FieldId| self.host.get(id);
        let past = self.host.until(at_us).next_back();
        let own = |line: &&Line| line.container && !line.gone;
        Machine {
            host: self.origin.0.clone(),
            wsl: self.origin.1.clone(),
            total: get(FieldId::MemTotal),
            used: past.and_then(|point| point.current),
            cache: past.and_then(|point| point.file),
            swap_used: past.and_then(|point| point.swap),
            swap_total: get(FieldId::SwapTotal),
            pressure: self.host.pressure(at_us),
            limits: lines.iter().filter(own).filter_map(|line| line.max).sum(),
            unlimited: lines.iter().filter(own).filter(|line| line.own_limit == Some(false)).count(),
        }
    }

    /// Which field of the table is needed to fill a board.
    pub fn fields() -> Vec<FieldId> {
        use FieldId::*;
        vec![Current, SwapCurrent, PressureSome, Max, Anon, File, Shmem, LocalOomKill]
    }
}

impl Sink for Board {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        let table = if subject.process.is_some() { Table::Processes } else { Table::Samples };
        self.subjects.insert(number, (subject.cgroup.clone(), table));
        if table == Table::Samples {
            let known = self.cgroups.entry(subject.cgroup.clone()).or_insert_with(|| Cgroup::new(subject.id));
            known.become_one(subject.id);
        }
    }

    fn forget(&mut self, number: SubjectRef) {
        self.subjects.remove(&number);
    }

    fn pass(&mut self, head: PassHead) {
        self.time_us = self.anchor.wall_us(head.mono_ns);
    }

    fn row(&mut self, _: PassHead, row: &Row) {
        let time_us = self.time_us;
        if row.subject == HOST {
            return self.feed(None, time_us, row);
        }
        let Some((path, Table::Samples)) = self.subjects.get(&row.subject) else { return };
        let Some(cgroup) = self.cgroups.get_mut(path) else { return };
        cgroup.take(time_us, row, self.depth, false);
        self.now_us = self.now_us.max(time_us);
    }

    fn event(&mut self, event: &Event) {
        let time_us = self.anchor.wall_us(event.mono_ns);
        self.hear(time_us, event);
    }

    fn flush(&mut self, _: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn board() -> Board {
        Board::new(Depth { step_us: S, points: 600 }, Anchor { mono_ns: 0, wall_ns: 0 }, ("h".into(), None))
    }

    fn row(values: &[(FieldId, u64)]) -> Row {
        let mut row = Row::new(1);
        values.iter().for_each(|(id, value)| row.put(id.field(), *value));
        row
    }

    fn grow(board: &mut Board, size: impl Fn(i64) -> (u64, u64)) {
        for t in 0..300 {
            let (anon, file) = size(t);
            let values = [
                (FieldId::Current, anon + file),
                (FieldId::Anon, anon),
                (FieldId::File, file),
                (FieldId::Shmem, 0),
                (FieldId::Max, 1 << 30),
                (FieldId::PressureSome, t as u64 * 250_000),
            ];
            board.feed(Some(("/a", 1)), t * S, &row(&values));
        }
    }

    #[test]
    fn growth_is_of_what_cannot_be_reclaimed_and_leads_to_the_limit() {
        let mut leak = board();
        grow(&mut leak, |t| ((100 + t as u64) << 20, 5 << 20));
        let line = &leak.lines(leak.now_us)[0];
        let growth = line.growth_per_min.unwrap();
        assert!((growth / f64::from(60 << 20) - 1.0).abs() < 0.05, "{growth}");
        assert!(line.time_to_limit_s.unwrap() > 600.0 && line.time_to_limit_s.unwrap() < 700.0, "{line:?}");
        assert!((line.pressure.unwrap() - 0.25).abs() < 0.01);
        let mut cache = board();
        grow(&mut cache, |t| (100 << 20, (t as u64) << 20));
        assert_eq!(cache.lines(cache.now_us)[0].time_to_limit_s, None);
        let mut warm = board();
        grow(&mut warm, |t| ((t as u64).min(60) << 22, 0));
        assert_eq!(warm.lines(warm.now_us)[0].time_to_limit_s, None, "it does not grow any more");
    }

    #[test]
    fn the_past_can_be_looked_at_and_another_cgroup_of_the_path_begins_anew() {
        let mut board = board();
        grow(&mut board, |t| ((t as u64) << 20, 0));
        assert_eq!(board.lines(100 * S)[0].current, Some(100 << 20));
        board.feed(Some(("/a", 2)), 300 * S, &row(&[(FieldId::Current, 7)]));
        let line = &board.lines(board.now_us)[0];
        assert_eq!((line.current, line.anon, line.limit, line.own_limit), (Some(7), None, None, None));
    }

    #[test]
    fn a_limit_of_the_past_is_the_one_of_then() {
        let mut board = board();
        for t in 0..10 {
            let max = if t < 5 { UNLIMITED } else { 64 };
            board.feed(
                Some(("/a", 1)),
                t * S,
                &row(&[(FieldId::Current, 32), (FieldId::Anon, 9), (FieldId::Max, max)]),
            );
        }
        let limit = |t: i64| (board.lines(t * S)[0].limit, board.lines(t * S)[0].own_limit);
        assert_eq!((limit(3), limit(7)), ((None, Some(false)), (Some(64), Some(true))));
    }

    #[test]
    fn a_kill_counts_once_whether_the_counter_or_the_event_tells_it() {
        let mut board = board();
        board.feed(Some(("/a", 1)), 0, &row(&[(FieldId::LocalOomKill, 5)]));
        board.feed(Some(("/a", 1)), S, &row(&[(FieldId::LocalOomKill, 6)]));
        assert_eq!(board.lines(S)[0].oom_kills, 1);
        let kill = What::Stalls { count: 1, time_us: 9, longest_us: 9, pages: 1, histogram: vec![1] };
        board.hear(S, &Event { mono_ns: 0, cgroup: Some("/a".into()), what: kill });
        assert_eq!((board.lines(S)[0].oom_kills, board.lines(S)[0].stall_us), (1, Some(9)));
    }
}
