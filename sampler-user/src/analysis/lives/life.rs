//! One life of a workload: what it began with, how it rose, and what ended it.

use serde::{Deserialize, Serialize};

/// After a kill memory falls within this time, or the life goes on.
pub(super) const EMPTIED_US: i64 = 10_000_000;

/// Parts that a life is divided into, of equal time.
const PARTS: usize = 8;
/// Fewest points by which the course of a life is judged.
const LEAST_POINTS: usize = 5;
/// A growth that matters: bytes, and a part of what was held at the end.
const LEAST_BYTES: f64 = 1024.0 * 1024.0;
const LEAST_PART: f64 = 0.15;
/// What comes in one part of eight by more than this of the whole is a jump.
const JUMP: f64 = 0.45;
/// An even rise has three sevenths of its growth in its last three parts; one with less than this flattens.
const FLATTENS: f64 = 0.2;
/// Of seven parts after the start at least these rise.
const LEAST_RISING: usize = 5;

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// By the OOM killer.
    OomKill,
    /// Otherwise, or nobody saw how.
    Other,
    /// It runs.
    Runs,
}

/// How the memory of a life went after its start, which is its first eighth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// At an even pace up to its end.
    Rises,
    /// It reached its level in its start and stayed there.
    Stands,
    /// Much at once, late.
    Jumps,
    /// Ever slower, or in a step after which it stayed.
    Flattens,
    /// None of these.
    Uneven,
    /// There are too few points.
    Unseen,
}

/// One life of a workload. Times are microseconds since 1970, sizes bytes of what cannot be reclaimed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Life {
    /// First row, or when its cgroup was made.
    pub from_us: i64,
    /// Last row, or when it was ended.
    pub to_us: i64,
    /// What it held at first; absent when it was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_bytes: Option<u64>,
    /// What it held at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_bytes: Option<u64>,
    /// Its limit at the end; absent when it has none or none was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// Pace after its start, bytes a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_bytes_per_s: Option<f64>,
    /// How it went.
    pub course: Course,
    /// How it ended.
    pub ended: Ended,
}

impl Life {
    /// A life from its points in time, which rise.
    pub fn of(points: &[(i64, f64)], from_us: i64, to_us: i64, limit_bytes: Option<u64>, ended: Ended) -> Life {
        let (course, rate_bytes_per_s) = course(points, to_us);
        let size = |point: Option<&(i64, f64)>| point.map(|(_, value)| value.max(0.0) as u64);
        Life {
            from_us,
            to_us,
            start_bytes: size(points.first()),
            end_bytes: size(points.last()),
            limit_bytes,
            rate_bytes_per_s,
            course,
            ended,
        }
    }

    /// How long it was, microseconds.
    pub fn span_us(&self) -> i64 {
        (self.to_us - self.from_us).max(0)
    }
}

/// How it went, and the pace after the start.
fn course(points: &[(i64, f64)], to_us: i64) -> (Course, Option<f64>) {
    let (Some(&(first_us, _)), true) = (points.first(), points.len() >= LEAST_POINTS) else {
        return (Course::Unseen, None);
    };
    let span = (to_us - first_us).max(1);
    let levels: Vec<f64> =
        (0..=PARTS).map(|part| level(points, first_us + span * part as i64 / PARTS as i64)).collect();
    let rises: Vec<f64> = levels[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (last, whole) = (levels[PARTS], levels[PARTS] - levels[1]);
    let pace = whole / (span as f64 / 1e6 * (PARTS - 1) as f64 / PARTS as f64);
    let course = if whole.abs() < LEAST_BYTES.max(LEAST_PART * last) {
        Course::Stands
    } else if rises[PARTS - 4..].iter().sum::<f64>() < FLATTENS * whole {
        Course::Flattens
    } else if rises.iter().copied().fold(0.0, f64::max) > JUMP * whole.abs() {
        Course::Jumps
    } else if rises.iter().filter(|rise| **rise > 0.0).count() >= LEAST_RISING {
        Course::Rises
    } else {
        Course::Uneven
    };
    (course, Some(pace))
}

/// The level at a time, on the line between the points beside it.
fn level(points: &[(i64, f64)], at_us: i64) -> f64 {
    let after = points.partition_point(|(time, _)| *time <= at_us);
    match (after.checked_sub(1).and_then(|at| points.get(at)), points.get(after)) {
        (Some((t0, a)), Some((t1, b))) => a + (b - a) * (at_us - t0) as f64 / (t1 - t0).max(1) as f64,
        (Some((_, a)), None) => *a,
        (None, point) => point.map_or(0.0, |(_, b)| *b),
    }
}

/// The limit was full at the end.
pub(super) fn full(points: &mut Vec<(i64, f64)>, to_us: i64, level: f64) {
    if points.last().is_some_and(|(_, last)| *last < level) {
        points.push((to_us, level));
    }
}
