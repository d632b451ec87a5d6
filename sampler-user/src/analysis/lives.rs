//! The lives of one workload side by side: what each began with, how it rose, and what ended it.
//!
//! A life of seconds says nothing of a leak. That each of them fills its limit at the same even pace does. One judgement for all
//! who ask: the post-mortem, the analysis, the advice, the alerts.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::analysis::leak::blocks::{Block, Blocks};
use crate::analysis::leak::linear::median;
use crate::analysis::leak::track;
use crate::analysis::leak::track::Signal;
use crate::model::units::{bytes, micros, time_of_day};

/// Lives that are kept of a workload, the last ones.
pub const MOST: usize = 32;
/// Kills further apart than this are no loop.
pub const GAP_US: i64 = 6 * 3_600_000_000;
/// Kills closer together than this are one: of a group, or of what is started again and again in a cgroup that stays full.
pub const MOMENT_US: i64 = 1_000_000;
/// Kills that are all within this time are one incident, of siblings perhaps, and no loop.
const INCIDENT_US: i64 = 10_000_000;
/// A life shorter than this may be nothing but a start, which needs more than the limit.
pub const START_US: i64 = 10_000_000;
/// After a kill memory falls within this time, or the life goes on.
const EMPTIED_US: i64 = 10_000_000;

/// Parts that a life is divided into, of equal time.
const PARTS: usize = 8;
/// Points without which nothing is said of how a life rose.
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
/// A life that outlasts this many of those before it ends their loop.
const RESTS: f64 = 4.0;
/// Part of the lives that must agree on how they went.
const AGREE: f64 = 0.8;
/// Paces that agree are within this factor of the median.
const FACTOR: f64 = 2.0;

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

/// What the lives between kills of one workload have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loop {
    /// OOM kills up to the moment that is spoken of; those within a second are one.
    pub kills: u64,
    /// All that are known of the loop, later ones included.
    pub of: u64,
    /// The first of them, microseconds since 1970.
    pub since_us: i64,
    /// The last one that is known.
    pub last_us: i64,
    /// Time between two of them, seconds.
    pub every_s: f64,
    /// Lives that a kill ended and of which it is known how they went.
    pub lives: usize,
    /// How nearly all of them went; absent where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<Course>,
    /// Whether nearly all of them were too short to tell a leak from a start that needs more than the limit.
    pub brief: bool,
    /// Median pace of those that rise, bytes a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_bytes_per_s: Option<f64>,
    /// How sure `course` is, 0 to 1.
    pub confidence: f64,
}

impl Loop {
    /// Whether each life leaks: rises evenly from its start until it is killed.
    pub fn leaks(&self) -> bool {
        self.course == Some(Course::Rises) && !self.brief
    }

    /// Whether it may still go on at a time: it did not come to rest since its last kill.
    pub fn is_on(&self, at_us: i64) -> bool {
        (at_us - self.last_us) as f64 / 1e6 <= RESTS * self.every_s
    }

    /// In words, without who: `14th OOM kill since 16:50, one every 2.2 min; each life leaks 68 MiB/min from its start`.
    pub fn words(&self) -> String {
        let count = if self.kills < self.of {
            format!("{} of {} OOM kills since {}", ordinal(self.kills), self.of, minute(self.since_us))
        } else {
            format!("{} OOM kill since {}", ordinal(self.kills), minute(self.since_us))
        };
        format!("{count}, one every {}{}", micros((self.every_s * 1e6) as u64), self.each())
    }

    /// What each life does, after `; `; empty when that is not known.
    fn each(&self) -> String {
        let pace = self
            .rate_bytes_per_s
            .map_or_else(String::new, |rate| format!(" {}/min", bytes((rate * 60.0).max(0.0) as u64)));
        match self.course {
            _ if self.brief => "; each life is killed within seconds of its start".into(),
            Some(Course::Rises) => format!("; each life leaks{pace} from its start"),
            Some(Course::Stands) => "; each life reaches its level at its start and stays there".into(),
            Some(Course::Jumps) => "; each life jumps before its end".into(),
            Some(Course::Flattens) => "; each life grows ever slower".into(),
            _ => String::new(),
        }
    }

    /// What the judgement rests on, in one sentence.
    pub fn evidence(&self) -> String {
        let n = self.lives;
        match self.course {
            _ if self.brief => format!(
                "{n} lives were each killed within {} of their start: a need that is above the limit cannot be told from a fast leak",
                micros(START_US as u64)
            ),
            Some(Course::Rises) => format!(
                "{n} lives were each ended by an OOM kill and rose evenly from their start until then, at {} a minute in the median",
                bytes((self.rate_bytes_per_s.unwrap_or(0.0).max(0.0) * 60.0) as u64)
            ),
            Some(Course::Stands) => {
                format!("{n} lives each reached their level at their start and stood there until they were killed")
            }
            Some(Course::Jumps) => format!("{n} lives each took most of what they held at once"),
            Some(Course::Flattens) => format!("{n} lives each grew ever slower until they were killed"),
            _ => format!("{n} lives were each ended by an OOM kill and went in different ways"),
        }
    }
}

/// `16:50`.
fn minute(us: i64) -> String {
    time_of_day(us).chars().take(5).collect()
}

/// `1st`, `2nd`, `14th`.
pub fn ordinal(n: u64) -> String {
    let ending = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// What the lives say together; `None` of fewer than two that a kill ended. `kills_us` are the times of the OOM kills, rising,
/// and `at_us` the one that is spoken of.
pub fn loop_of(lives: &[Life], kills_us: &[i64], at_us: i64) -> Option<Loop> {
    let moments = chain(kills_us, at_us);
    let (&since_us, &last_us) = (moments.first()?, moments.last()?);
    if moments.len() < 2 || last_us - since_us <= INCIDENT_US {
        return None;
    }
    let until = moments.partition_point(|time| *time <= at_us + MOMENT_US).max(1);
    let every_s = (last_us - since_us) as f64 / 1e6 / (moments.len() - 1) as f64;
    Some(Loop { kills: until as u64, of: moments.len() as u64, since_us, last_us, every_s, ..judge(lives) })
}

/// The kills around a time with no gap that is too long, each moment once.
fn chain(kills_us: &[i64], at_us: i64) -> Vec<i64> {
    let mut moments: Vec<i64> = Vec::new();
    let mut last = i64::MIN;
    for &time in kills_us {
        if last != i64::MIN && time - last > GAP_US {
            if last >= at_us {
                break;
            }
            moments.clear();
            last = i64::MIN;
        }
        // The end of a moment moves with each kill in it.
        if last == i64::MIN || time - last > MOMENT_US {
            moments.push(time);
        }
        last = time;
    }
    moments
}

/// What the lives that a kill ended have in common. Of kills and times nothing is said.
fn judge(lives: &[Life]) -> Loop {
    let killed: Vec<&Life> = lives.iter().filter(|life| life.ended == Ended::OomKill).collect();
    let seconds = |life: &&Life| life.span_us() as f64 / 1e6;
    let is_brief = |life: &&&Life| life.span_us() < START_US;
    let known: Vec<&Life> =
        killed.iter().filter(|life| life.course != Course::Unseen || is_brief(life)).copied().collect();
    let n = known.len();
    let nearly_all = |count: usize| count >= 2 && count as f64 >= AGREE * n as f64;
    let mut said = Loop {
        kills: 0,
        of: 0,
        since_us: 0,
        last_us: 0,
        every_s: 0.0,
        lives: n,
        course: None,
        brief: false,
        rate_bytes_per_s: None,
        confidence: 0.0,
    };
    let stand = known.iter().filter(|life| life.course == Course::Stands).count();
    if nearly_all(known.iter().filter(is_brief).count()) && !nearly_all(stand) {
        (said.brief, said.confidence) = (true, BRIEF);
        return said;
    }
    let courses = [Course::Rises, Course::Stands, Course::Jumps, Course::Flattens];
    for course in courses {
        let same: Vec<&Life> = known.iter().filter(|life| life.course == course).copied().collect();
        if !nearly_all(same.len()) {
            continue;
        }
        let paces: Vec<f64> = same.iter().filter_map(|life| life.rate_bytes_per_s).collect();
        let middle = median(&paces);
        let within = paces.iter().filter(|pace| **pace >= middle / FACTOR && **pace <= middle * FACTOR).count();
        if course == Course::Rises {
            if !nearly_all(within) {
                return said;
            }
            said.rate_bytes_per_s = Some(middle);
        }
        let spans: Vec<f64> = same.iter().map(seconds).collect();
        said.course = Some(course);
        said.confidence = sure(same.len(), median(&spans)) * same.len() as f64 / n as f64;
        return said;
    }
    said
}

/// How sure brief lives are to need more than the limit at their start.
const BRIEF: f64 = 0.55;

/// More lives make it surer; short ones may be starts, however many there are.
fn sure(lives: usize, median_s: f64) -> f64 {
    let by_lives = 0.95 - 0.35 * 0.72f64.powi(lives.saturating_sub(2).min(64) as i32);
    let at_most = match median_s {
        s if s < 30.0 => 0.75,
        s if s < 60.0 => 0.85,
        _ => 0.95,
    };
    by_lives.min(at_most)
}

/// A life that was tracked, whose end was this kill of its own limit (`Some(Some(limit))`), of another one (`Some(None)`), or none.
fn of_track(life: &track::Life, killed: Option<(i64, Option<u64>)>, ended: Ended) -> Life {
    let blocks = &life.blocks;
    let signal = blocks.signal(Signal::Footprint as usize);
    let middle = |at: usize| blocks.begin_us + at as i64 * blocks.width_us + blocks.width_us / 2;
    let (from_us, to_us) = (life.from_us, killed.map_or(life.to_us, |(time, _)| time.max(life.from_us)));
    let mut points: Vec<(i64, f64)> = signal
        .iter()
        .enumerate()
        .filter_map(|(at, block)| Some((middle(at).min(to_us), Block::mean(block)?)))
        .collect();
    let read = life.limit.filter(|limit| limit.is_finite()).map(|limit| limit as u64);
    let own = killed.and_then(|(_, limit)| limit);
    if let Some(limit) = own {
        // At that moment the limit was full, whatever was read last.
        let cache = blocks.means(Signal::Cache as usize).next_back().unwrap_or(0.0);
        full(&mut points, to_us, (limit as f64 - cache).max(0.0));
    }
    Life::of(&points, from_us, to_us, own.or(read), ended)
}

/// The limit was full at the end.
fn full(points: &mut Vec<(i64, f64)>, to_us: i64, level: f64) {
    if points.last().is_some_and(|(_, last)| *last < level) {
        points.push((to_us, level));
    }
}

/// An OOM kill of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kill<'a> {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// cgroup of the victim.
    pub cgroup: &'a str,
    /// The limit, when it was the cgroup's own.
    pub limit: Option<u64>,
}

/// The lives of one workload from the tracks of its cgroups, by path, and its kills, in the order of time.
pub fn of_tracks(tracks: &[(&str, &track::Track)], kills: &[Kill<'_>]) -> Vec<Life> {
    let mut all = Vec::new();
    for (path, track) in tracks {
        let lives: Vec<&track::Life> = track.lives.iter().filter(|life| life.rows > 0).collect();
        for (at, life) in lives.iter().enumerate() {
            // The next life of the path begins after the kill that ended this one.
            let next_us = lives.get(at + 1).map_or(i64::MAX, |next| next.from_us);
            let until = next_us.min(life.to_us.saturating_add(EMPTIED_US));
            let is_its = |kill: &&Kill<'_>| kill.cgroup == *path && (life.from_us..=until).contains(&kill.time_us);
            let kill = kills.iter().rev().find(is_its).filter(|kill| {
                // What goes on for long after a kill was not ended by it.
                life.to_us - kill.time_us <= EMPTIED_US
            });
            let is_last = at + 1 == lives.len();
            let killed = kill.map(|kill| (kill.time_us, kill.limit));
            // Where no event tells of it the counter does; a life without another after it may go on.
            let counted = killed.is_none() && life.kills > 0 && !is_last;
            let ended = match () {
                () if killed.is_some() || counted => Ended::OomKill,
                () if is_last => Ended::Runs,
                () => Ended::Other,
            };
            let killed = killed.or(counted.then_some((life.to_us, None)));
            all.push(of_track(life, killed, ended));
        }
    }
    all.sort_by_key(|life| life.from_us);
    all
}

/// The lives of a workload while they pass by, for who watches: bounded, the last [`MOST`] are kept.
///
/// Feed it what is known, in the order of time: [`Lives::begin`] when a cgroup of it is made, [`Lives::level`] with what it holds
/// (as often as wanted; without it only kills are counted), [`Lives::kill`] at an OOM kill, [`Lives::end`] when a cgroup goes.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    past: VecDeque<Life>,
    now: Option<Now>,
    kills: u64,
    since_us: i64,
    last_us: i64,
}

/// Points of the life that runs.
const POINTS: usize = 32;

#[derive(Clone, Debug)]
struct Now {
    from_us: i64,
    last_us: i64,
    points: Blocks<1>,
    last: f64,
    highest: f64,
    limit: Option<u64>,
    /// A kill that has not been followed by a fall yet, and the limit that it hit when it was its own.
    killed: Option<(i64, Option<u64>)>,
}

impl Lives {
    /// A cgroup of it appeared: the life before is over.
    pub fn begin(&mut self, time_us: i64) {
        self.close(time_us);
        self.now = Some(Now {
            from_us: time_us,
            last_us: time_us,
            points: Blocks::of(POINTS),
            last: 0.0,
            highest: 0.0,
            limit: None,
            killed: None,
        });
    }

    /// It holds so many bytes (that cannot be reclaimed, where that is known), and has this limit.
    pub fn level(&mut self, time_us: i64, held: u64, limit: Option<u64>) {
        let value = held as f64;
        let fell = self.now.as_ref().is_some_and(|now| {
            now.killed.is_some_and(|(killed, _)| time_us - killed <= EMPTIED_US) && value < 0.5 * now.highest
        });
        if self.now.is_none() || fell {
            self.begin(time_us);
        }
        let Some(now) = &mut self.now else { return };
        now.killed = now.killed.filter(|(killed, _)| time_us - killed <= EMPTIED_US);
        now.points.push(0, time_us, value);
        (now.last_us, now.last) = (time_us, value);
        now.highest = now.highest.max(value);
        now.limit = limit.or(now.limit);
    }

    /// A process of it was killed by the OOM killer. `limit`: the limit that was hit, when it is the cgroup's own.
    pub fn kill(&mut self, time_us: i64, limit: Option<u64>) {
        if self.kills > 0 && time_us - self.last_us > GAP_US {
            (self.kills, self.past) = (0, VecDeque::new());
        }
        if self.kills == 0 {
            self.since_us = time_us;
        }
        if self.kills == 0 || time_us - self.last_us > MOMENT_US {
            self.kills += 1;
        }
        self.last_us = time_us;
        if let Some(now) = &mut self.now {
            now.killed = Some((time_us, limit));
            now.limit = limit.or(now.limit);
        }
    }

    /// Its cgroup went away.
    pub fn end(&mut self, time_us: i64) {
        self.close(time_us);
    }

    fn close(&mut self, time_us: i64) {
        let Some(now) = self.now.take() else { return };
        let killed = now.killed.filter(|(killed, _)| time_us - killed <= EMPTIED_US);
        self.past.push_back(now.life(killed));
        if self.past.len() > MOST {
            self.past.pop_front();
        }
    }

    /// The lives that ended, oldest first.
    pub fn past(&self) -> impl Iterator<Item = &Life> {
        self.past.iter()
    }

    /// When the last kill was, microseconds since 1970; 0 when there was none.
    pub fn last_kill_us(&self) -> i64 {
        self.last_us
    }

    /// The restart loop; `None` before the second kill.
    pub fn restart_loop(&self) -> Option<Loop> {
        if self.kills < 2 || self.last_us - self.since_us <= INCIDENT_US {
            return None;
        }
        // The life that was just killed counts, although its cgroup may still be there.
        let last = self.now.as_ref().and_then(|now| Some(now.life(Some(now.killed?))));
        let lives: Vec<Life> = self.past.iter().cloned().chain(last).collect();
        Some(Loop {
            kills: self.kills,
            of: self.kills,
            since_us: self.since_us,
            last_us: self.last_us,
            every_s: (self.last_us - self.since_us) as f64 / 1e6 / (self.kills - 1) as f64,
            ..judge(&lives)
        })
    }
}

impl Now {
    fn life(&self, killed: Option<(i64, Option<u64>)>) -> Life {
        let to_us = killed.map_or(self.last_us, |(time, _)| time);
        let points = &self.points;
        let middle = |at: usize| points.begin_us + at as i64 * points.width_us + points.width_us / 2;
        let means = points.signal(0).iter().enumerate();
        let mut list: Vec<(i64, f64)> =
            means.filter_map(|(at, block)| Some((middle(at).min(to_us), block.mean()?))).collect();
        if let Some((_, last)) = list.last_mut().filter(|(time, _)| *time >= to_us) {
            *last = self.last;
        }
        if let Some((_, Some(limit))) = killed {
            full(&mut list, to_us, limit as f64);
        }
        let ended = if killed.is_some() { Ended::OomKill } else { Ended::Other };
        Life::of(&list, self.from_us, to_us, self.limit, ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;
    const S: i64 = 1_000_000;

    /// Lives one after the other, each from its points (second, MiB) to a kill at its own limit of MiB.
    fn told(lives: &[Vec<(f64, f64)>], limit: u64) -> Option<Loop> {
        let mut all = Lives::default();
        let mut at = 1_000 * S;
        for life in lives {
            all.begin(at);
            for (second, mib) in life {
                all.level(at + (second * 1e6) as i64, (mib * MIB) as u64, Some(limit << 20));
            }
            at += (life.last().unwrap().0 * 1e6) as i64 + 200_000;
            all.kill(at, Some(limit << 20));
            all.end(at + 300_000);
            at += S;
        }
        all.restart_loop()
    }

    /// Each tenth of a second of `span` seconds.
    fn life(span: f64, mib: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..(span * 10.0) as usize).map(|n| (n as f64 / 10.0, mib(n as f64 / 10.0))).collect()
    }

    #[test]
    fn a_leak_that_a_kill_cuts_every_14_or_130_seconds_is_a_leak_from_the_second_life_on() {
        for (span, limit) in [(14.0, 96.0), (130.0, 160.0)] {
            for n in 2..=9 {
                let jitter = |n: usize| 1.0 + 0.1 * (n % 3) as f64;
                let one = |n: usize| life(span * jitter(n), |t| 8.0 + (limit - 8.0) * t / (span * jitter(n)));
                let lives: Vec<_> = (0..n).map(one).collect();
                let said = told(&lives, limit as u64).unwrap();
                assert!(said.leaks(), "{n} lives of {span} s: {said:?}");
                let want = (limit - 8.0) * MIB / (span * 1.1);
                assert!((said.rate_bytes_per_s.unwrap() / want - 1.0).abs() < 0.15, "{said:?}");
                assert_eq!((said.kills, said.lives), (n as u64, n));
                assert!(n > 2 || said.confidence < 0.8, "two lives are not sure: {said:?}");
                assert!(said.confidence >= 0.5);
            }
        }
        let one = life(130.0, |t| 8.0 + 152.0 * t / 130.0);
        assert_eq!(told(std::slice::from_ref(&one), 160), None, "one life is no loop");
        let sure = |span: f64| {
            let one = life(span, |t| 8.0 + 152.0 * t / span);
            told(&vec![one; 12], 160).unwrap().confidence
        };
        assert!(sure(130.0) > 0.9 && sure(14.0) < 0.8, "short lives may be starts");
    }

    #[test]
    fn what_is_killed_at_each_start_needs_more_or_leaks_and_nobody_can_tell() {
        let said = told(&vec![life(2.5, |t| 5.0 + 36.0 * t); 8], 96).unwrap();
        assert!(said.brief && !said.leaks() && said.confidence < 0.6, "{said:?}");
        assert!(said.evidence().contains("cannot be told"), "{}", said.evidence());
    }

    #[test]
    fn a_steep_start_and_a_level_is_no_leak_and_neither_is_a_jump() {
        let stands = told(&vec![life(40.0, |t| (45.0 * t).min(93.0)); 6], 96).unwrap();
        assert_eq!((stands.course, stands.leaks()), (Some(Course::Stands), false));
        let jumps = told(&vec![life(60.0, |t| if t < 58.0 { 20.0 } else { 90.0 }); 6], 96).unwrap();
        assert_eq!(jumps.course, Some(Course::Jumps), "{jumps:?}");
        let flattens = told(&vec![life(60.0, |t| 95.0 * (1.0 - (-t / 12.0).exp())); 6], 96).unwrap();
        assert_eq!(flattens.course, Some(Course::Flattens), "{flattens:?}");
        // The limit was full at the kill, although the last reading before it does not show it.
        let unseen = told(&vec![life(60.0, |_| 20.0); 6], 96).unwrap();
        assert_eq!(unseen.course, Some(Course::Jumps), "{unseen:?}");
    }

    #[test]
    fn lives_that_differ_have_nothing_in_common() {
        let at = |pace: f64| life(80.0 / pace, |t| 10.0 + pace * t);
        let said = told(&[at(0.5), at(5.0), at(1.0), at(6.0)], 96).unwrap();
        assert_eq!((said.course, said.confidence), (None, 0.0), "{said:?}");
        let mut most = vec![life(40.0, |t| 10.0 + 2.0 * t); 9];
        most.push(life(40.0, |t| if t < 38.0 { 20.0 } else { 90.0 }));
        assert!(told(&most, 96).unwrap().leaks(), "one of ten may go its own way");
    }

    #[test]
    fn kills_in_a_cgroup_that_stays_full_divide_no_life() {
        let mut storm = Lives::default();
        for n in 0..200 {
            storm.level(n * 300_000, 100 << 20, Some(100 << 20));
            storm.kill(n * 300_000 + 1, Some(100 << 20));
        }
        assert_eq!(storm.restart_loop(), None, "one moment that never pauses");
        let mut worker = Lives::default();
        for n in 0..8i64 {
            for t in 0..20 {
                worker.level((n * 21 + t) * S, ((30 + 6 * t) as u64) << 20, Some(150 << 20));
            }
            worker.kill((n * 21 + 20) * S, Some(150 << 20));
        }
        let said = worker.restart_loop().unwrap();
        assert!(said.leaks() && said.lives == 8, "a worker is made again while its server lives: {said:?}");
        assert!(worker.past().all(|life| life.start_bytes < Some(60 << 20)), "{:?}", worker.past().next());
    }

    #[test]
    fn a_loop_is_bounded_and_old_kills_are_another() {
        let many = told(&vec![life(14.0, |t| 8.0 + 6.0 * t); 100], 96).unwrap();
        assert_eq!((many.kills, many.lives), (100, MOST));
        let mut lives = Lives::default();
        for time in [0, 20 * S, 40 * S, 40 * S + GAP_US + 1] {
            lives.kill(time, None);
        }
        assert_eq!(lives.restart_loop(), None);
        lives.kill(80 * S + GAP_US, None);
        let said = lives.restart_loop().unwrap();
        assert_eq!((said.kills, said.course), (2, None), "kills alone are counted");
        let of = |at| loop_of(&[], &[0, 20 * S, 40 * S, 40 * S + GAP_US + 1, 60 * S + GAP_US], at).unwrap();
        assert_eq!((of(20 * S).kills, of(20 * S).of), (2, 3));
        assert_eq!((of(60 * S + GAP_US).kills, of(60 * S + GAP_US).of), (2, 2));
    }

    #[test]
    fn a_loop_in_words() {
        let lives = vec![life(130.0, |t| 8.0 + 68.0 * t / 60.0); 14];
        let said = told(&lives, 160).unwrap();
        let words = said.words();
        assert!(words.starts_with("14th OOM kill since 00:"), "{words}");
        assert!(
            words.contains("one every 2.2 min; each life leaks ") && words.ends_with("MiB/min from its start"),
            "{words}"
        );
        for (n, want) in [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (12, "12th"), (21, "21st"), (104, "104th")]
        {
            assert_eq!(ordinal(n), want);
        }
    }
}
