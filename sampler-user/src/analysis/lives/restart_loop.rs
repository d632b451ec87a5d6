//! What the lives between the kills of one workload have in common.

use serde::{Deserialize, Serialize};

use crate::analysis::leak::linear::median;
use crate::analysis::lives::life::{Course, Ended, Life};
use crate::model::units::{bytes, micros, time_of_day};

/// Kills further apart than this are no loop.
pub const GAP_US: i64 = 6 * 3_600_000_000;
/// Kills closer together than this are one: of a group, or of what is started again and again in a cgroup that stays full.
pub const MOMENT_US: i64 = 1_000_000;
/// Kills that are all within this time are one incident, of siblings perhaps, and no loop.
pub(super) const INCIDENT_US: i64 = 10_000_000;
/// A life shorter than this may be nothing but a start, which needs more than the limit.
pub const START_US: i64 = 10_000_000;

/// A life that outlasts this many of those before it ends their loop.
const RESTS: f64 = 4.0;
/// Part of the lives that must agree on how they went.
const AGREE: f64 = 0.8;
/// Paces that agree are within this factor of the median.
const FACTOR: f64 = 2.0;

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
    /// Whether nearly all of them were too short to distinguish a leak from a start that needs more than the limit.
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
                "{n} lives were each killed within {} of their start: a need that is above the limit cannot be distinguished from a fast leak",
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

/// What the lives have in common; `None` of fewer than two that a kill ended. `kills_us` are the times of the OOM kills, rising,
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

/// What the lives that a kill ended have in common. Of kills and times nothing is common.
pub(super) fn judge(lives: &[Life]) -> Loop {
    let killed: Vec<&Life> = lives.iter().filter(|life| life.ended == Ended::OomKill).collect();
    let seconds = |life: &&Life| life.span_us() as f64 / 1e6;
    let is_brief = |life: &&&Life| life.span_us() < START_US;
    let known: Vec<&Life> =
        killed.iter().filter(|life| life.course != Course::Unseen || is_brief(life)).copied().collect();
    let n = known.len();
    let nearly_all = |count: usize| count >= 2 && count as f64 >= AGREE * n as f64;
    let mut common = Loop {
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
        (common.brief, common.confidence) = (true, BRIEF);
        return common;
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
                return common;
            }
            common.rate_bytes_per_s = Some(middle);
        }
        let spans: Vec<f64> = same.iter().map(seconds).collect();
        common.course = Some(course);
        common.confidence = sure(same.len(), median(&spans)) * same.len() as f64 / n as f64;
        return common;
    }
    common
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
