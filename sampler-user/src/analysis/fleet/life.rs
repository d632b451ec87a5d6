//! One life as the merge counts it: joined from the pieces that several recordings have of it.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use crate::analysis::leak::detectors::Class;
use crate::analysis::workloads::Course;
use crate::model::findings::LifeRow;
use crate::model::word;

/// A text that many rows share.
type Text = Arc<str>;

/// A pause in the recording that a life outlasts, microseconds.
const PAUSE_US: i64 = 3_600_000_000;

/// A life of a cgroup in the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetLife {
    /// The machine.
    pub host: Text,
    boot_id: Text,
    cgroup: Text,
    cgroup_id: u64,
    /// Its workload; `None` where it has no name that is the same elsewhere, or is a part or the sum of others.
    pub workload: Option<Text>,
    /// What a person calls it.
    pub name: Option<Text>,
    /// Its image without the version.
    pub image: Option<Text>,
    /// The version; empty where none is known.
    pub version: Text,
    /// First and last row, microseconds since 1970.
    pub from_us: i64,
    /// Last row.
    pub to_us: i64,
    goes_on: bool,
    rows: u64,
    /// What it does.
    pub class: Option<Class>,
    /// Pace of its growth, bytes a second.
    pub rate: Option<f64>,
    /// From its start to its end.
    pub course: Option<Course>,
    /// Whether it is one of a restart loop, whose lives were judged together.
    pub in_loop: bool,
    /// Standard deviation around its course, bytes.
    pub noise: Option<f64>,
    /// Time that its tasks waited, seconds.
    pub stalled_s: f64,
    /// OOM kills.
    pub kills: u64,
    /// Its own limit, and the one that is advised where that is sure enough; bytes.
    pub limit: Option<u64>,
    /// The limit that is advised.
    pub advised: Option<u64>,
}

impl FleetLife {
    /// Seconds.
    pub fn span_s(&self) -> f64 {
        (self.to_us - self.from_us) as f64 / 1e6
    }

    fn span_us(&self) -> i64 {
        self.to_us - self.from_us
    }

    fn key(&self) -> (&str, &str, &str, u64) {
        (&self.host, &self.boot_id, &self.cgroup, self.cgroup_id)
    }

    /// Joins the piece that comes after it.
    fn join(&mut self, next: FleetLife) {
        let decided = |class: Option<Class>| class.filter(|class| *class != Class::Undetermined);
        // The longer piece knows better what it does; a leak in most of the time is one.
        let longer = next.span_us() > self.span_us();
        let (mine, theirs) = (decided(self.class), decided(next.class));
        if mine.is_none() || theirs.is_some() && longer {
            (self.class, self.rate) = (next.class.or(self.class), next.rate.or(self.rate));
        }
        self.course = match (self.course, next.course) {
            (Some(first), Some(last)) => Some(Course {
                growth: last.level + last.growth - first.level,
                level: first.level,
                span_s: (next.to_us - self.from_us) as f64 / 1e6,
            }),
            (first, last) => last.or(first),
        };
        self.to_us = next.to_us;
        self.goes_on = next.goes_on;
        self.rows += next.rows;
        self.in_loop |= next.in_loop;
        self.noise = self.noise.into_iter().chain(next.noise).reduce(f64::max);
        self.stalled_s += next.stalled_s;
        self.kills += next.kills;
        // A name may be known late; a limit and advice are those of the end.
        self.workload = next.workload.or(self.workload.take());
        self.name = next.name.or(self.name.take());
        self.image = next.image.or(self.image.take());
        if !next.version.is_empty() {
            self.version = next.version;
        }
        (self.limit, self.advised) = (next.limit, next.advised);
    }
}

/// The pieces of lives, in no order.
#[derive(Default)]
pub struct Pieces {
    texts: HashSet<Text>,
    all: Vec<FleetLife>,
}

impl Pieces {
    fn text(&mut self, text: &str) -> Text {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Text = text.into();
        self.texts.insert(new.clone());
        new
    }

    /// Takes the row of a life. A cgroup inside a container is a part of it, and one with others below it the sum of them.
    pub fn take(&mut self, row: &LifeRow) {
        let counts = row.inner.is_none() && (row.container.is_some() || row.leaf);
        let workload = row.workload.as_deref().filter(|_| counts);
        let course = row.level_bytes.zip(row.growth_bytes);
        let span_s = (row.last_seen.0 - row.first_seen.0) as f64 / 1e6;
        let piece = FleetLife {
            host: self.text(&row.host),
            boot_id: self.text(&row.boot_id),
            cgroup: self.text(&row.cgroup),
            cgroup_id: row.cgroup_id,
            workload: workload.map(|text| self.text(text)),
            name: row.name.as_deref().map(|text| self.text(text)),
            image: row.image_name.as_deref().map(|text| self.text(text)),
            version: self.text(row.version.as_deref().unwrap_or_default()),
            from_us: row.first_seen.0,
            to_us: row.last_seen.0,
            goes_on: row.ended == "runs",
            rows: row.rows,
            class: row.verdict.as_deref().and_then(word::value),
            rate: row.rate,
            course: course.map(|(level, growth)| Course { growth, level, span_s }),
            in_loop: row.loop_kills.is_some(),
            noise: row.noise_bytes,
            stalled_s: row.stalled_s,
            kills: row.kills,
            limit: row.own_limit_bytes,
            advised: row.advised_bytes,
        };
        self.all.push(piece);
    }

    /// The lives, in an order that does not depend on that of the rows: what was given twice counts once, and the pieces of a life are
    /// one.
    pub fn lives(mut self) -> Vec<FleetLife> {
        self.all.sort_by(|a, b| {
            let order = |one: &FleetLife| (one.from_us, Reverse(one.to_us), Reverse(one.rows), one.class);
            let rate = |one: &FleetLife| one.rate.unwrap_or(f64::NEG_INFINITY);
            a.key().cmp(&b.key()).then_with(|| order(a).cmp(&order(b))).then_with(|| rate(a).total_cmp(&rate(b)))
        });
        let mut pieces: Vec<FleetLife> = Vec::with_capacity(self.all.len());
        for piece in self.all {
            match pieces.last_mut().filter(|last| last.key() == piece.key() && piece.from_us < last.to_us) {
                // Two recordings have the same time of it.
                Some(last) if piece.span_us() > last.span_us() => *last = piece,
                Some(_) => {}
                None => pieces.push(piece),
            }
        }
        let mut lives: Vec<FleetLife> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let before = lives
                .last_mut()
                .filter(|last| last.goes_on && last.key() == piece.key() && piece.from_us - last.to_us <= PAUSE_US);
            match before {
                Some(life) => life.join(piece),
                None => lives.push(piece),
            }
        }
        lives
    }
}
