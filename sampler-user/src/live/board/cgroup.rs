//! One cgroup, or the host: what is known of it now, and its last points.

use std::collections::VecDeque;

use crate::analysis::leak::linear::sen;
use crate::analysis::leak::own_memory::OwnMemories;
use crate::model::fields::FieldId;
use crate::model::memory;
use crate::model::sample::{Row, slots};

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
    pub unreclaimable: Option<u64>,
    /// Anonymous memory.
    pub anon: Option<u64>,
    /// Page cache; of the host with buffers.
    pub file: Option<u64>,
    /// Swap in use.
    pub swap: Option<u64>,
    /// Its own limit; [`UNLIMITED`](crate::model::fields::UNLIMITED) is none.
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
    /// When its first row was read.
    begun_us: Option<i64>,
    /// Whether it was removed.
    pub gone: bool,
    /// Points, oldest first.
    pub history: VecDeque<Point>,
    /// Whether the recorder's detectors call it a leak; absent when they reported nothing.
    pub leaks: Option<bool>,
    /// What its processes said of the memory that they manage by themselves.
    pub own: OwnMemories,
    /// What people call it, once that was asked.
    pub(super) title: Option<String>,
    /// Kills and stalls that events reported: time, kills, microseconds.
    pub(super) reported: VecDeque<(i64, u64, u64)>,
}

/// Growth is measured over this time.
const GROWTH_US: i64 = 5 * 60 * 1_000_000;
/// And at most by this many points.
const GROWTH_POINTS: usize = 24;
/// Growth over less time is not shown.
const LEAST_US: i64 = 20 * 1_000_000;
/// Pressure is of this time.
const PRESSURE_US: i64 = 10 * 1_000_000;

impl Cgroup {
    pub(super) fn new(id: u64) -> Cgroup {
        let (history, reported) = (VecDeque::new(), VecDeque::new());
        Cgroup {
            id,
            latest: Box::new(Row::new(0)),
            time_us: i64::MIN,
            begun_us: None,
            gone: false,
            history,
            leaks: None,
            own: OwnMemories::default(),
            title: None,
            reported,
        }
    }

    /// Takes the number of the cgroup of the path now: another one begins anew, one that only events named gets its number.
    pub(super) fn become_one(&mut self, id: u64) {
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

    pub(super) fn take(&mut self, time_us: i64, row: &Row, depth: Depth, host: bool) {
        for slot in slots(row.mask) {
            self.latest.set(slot, row.values[slot]);
        }
        self.time_us = self.time_us.max(time_us);
        self.begun_us.get_or_insert(time_us);
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

    pub(super) fn point(&self, time_us: i64) -> Point {
        let current = self.get(FieldId::Current);
        let file = self.get(FieldId::File);
        Point {
            time_us,
            current,
            unreclaimable: memory::working_set(|field| self.get(field)),
            anon: self.get(FieldId::Anon),
            file,
            swap: self.get(FieldId::SwapCurrent),
            max: self.get(FieldId::Max),
            stalled_us: self.get(FieldId::PressureSome),
            kills: self.get(FieldId::LocalOomKill),
        }
    }

    pub(super) fn host_point(&self, time_us: i64) -> Point {
        let used = self.get(FieldId::MemTotal).zip(self.get(FieldId::MemAvailable)).map(|(t, a)| t.saturating_sub(a));
        Point {
            time_us,
            current: used,
            unreclaimable: used,
            anon: self.get(FieldId::AnonPages),
            file: self.get(FieldId::Cached).map(|cached| cached + self.get(FieldId::Buffers).unwrap_or(0)),
            swap: self.get(FieldId::SwapTotal).zip(self.get(FieldId::SwapFree)).map(|(t, f)| t.saturating_sub(f)),
            max: None,
            stalled_us: self.get(FieldId::HostPressureSome),
            kills: self.get(FieldId::VmOomKill),
        }
    }

    /// For how long its rows have come, microseconds; the history may be shorter.
    pub fn watched_us(&self) -> i64 {
        self.begun_us.map_or(0, |begun| self.time_us - begun)
    }

    /// The points up to a time.
    pub fn until(&self, at_us: i64) -> impl DoubleEndedIterator<Item = &Point> {
        let end = self.history.partition_point(|point| point.time_us <= at_us);
        self.history.range(..end)
    }

    pub(super) fn pressure(&self, at_us: i64) -> Option<f64> {
        let mut points = self.until(at_us).rev().filter_map(|point| Some((point.time_us, point.stalled_us?)));
        let (end, total) = points.next()?;
        let (begin, before) = points
            .take_while(|(time, _)| end - time <= 3 * PRESSURE_US)
            .find(|(time, _)| end - time >= PRESSURE_US / 2)?;
        Some((total.checked_sub(before)? as f64 / (end - begin) as f64).min(1.0))
    }

    /// Pace of what cannot be reclaimed, bytes a minute; as little as the last half and the last quarter of the time show, so that a warm-up that ends
    /// is no growth.
    pub(super) fn growth(&self, at_us: i64) -> Option<f64> {
        let recent: Vec<(i64, f64)> = self
            .until(at_us)
            .rev()
            .take_while(|point| at_us - point.time_us <= GROWTH_US)
            .filter_map(|point| Some((point.time_us, point.unreclaimable? as f64)))
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
