//! The verdict on one cgroup.

use serde::Serialize;

use crate::analysis::leak::detectors::{Class, Evidence, Finding, ask, part_that_grew, rising};
use crate::analysis::leak::eta::{eta, growing_part, onset, rate};
use crate::analysis::leak::facts::{Facts, facts};
use crate::analysis::leak::signal::Signal;
use crate::analysis::leak::track::{Life, Track};
use crate::analysis::leak::trend::Trend;
use crate::analysis::limits::Bounds;
use crate::analysis::lives::{Loop, loop_of, of_tracks};

/// What is said of one cgroup. Times are seconds, sizes bytes; what is not known is absent.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// What its memory does.
    pub verdict: Class,
    /// The detector that said so.
    pub detector: &'static str,
    /// The kind of memory that grows.
    pub component: Option<Signal>,
    /// How likely it grows without bound, 0 to 1.
    pub probability: f64,
    /// Whether to raise an alarm now: a leak that has grown for long enough to be drawn on to its limit.
    pub alarm: bool,
    /// Whether a leak has doubled what was there.
    #[serde(skip)]
    pub doubled: bool,
    /// Pace of the growth.
    pub rate_bytes_per_s: Option<f64>,
    /// 90 % interval of the pace.
    pub rate_ci90: Option<[f64; 2]>,
    /// When the growth began, microseconds since 1970.
    #[serde(skip)]
    pub onset_us: Option<i64>,
    /// Seconds from the end of the recording until the limit is reached.
    pub time_to_limit_s: Option<f64>,
    /// 90 % interval; the upper end is absent when it may not come to it.
    pub time_to_limit_ci90: Option<[Option<f64>; 2]>,
    /// The limit that it reaches first: its own, an ancestor's less what others hold of it, or what it holds without page
    /// cache and what is available on the machine (without swap); absent when none is known.
    pub limit_bytes: Option<u64>,
    /// Whose limit that is: the path of a cgroup, or an empty path, which is the machine.
    pub limit_owner: Option<String>,
    /// Size at the end.
    pub last_bytes: Option<u64>,
    /// OOM kills that cut the growth.
    pub restarts: usize,
    /// OOM kills in all.
    pub oom_kills: u64,
    /// Why, in plain words.
    pub evidence: Vec<String>,
    /// How much longer to watch, when it is undetermined.
    pub needs_s: Option<f64>,
    /// How it went, whatever the reason: what several recordings together are judged by.
    #[serde(skip)]
    pub slope: Option<Slope>,
}

/// The trend of what a life cannot give back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Points it is of.
    pub points: usize,
    /// Bytes a second.
    pub bytes_per_s: f64,
    /// Its standard error, bytes a second.
    pub se: f64,
    /// The statistic of the test: below a standard normal without a trend.
    pub z: f64,
    /// Standard deviation of the noise around it, bytes.
    pub noise: f64,
}

impl Slope {
    fn of(facts: &Facts) -> Slope {
        let per_s = 1.0 / (facts.floor.stride * facts.block_s);
        let Trend { slope, se, z, .. } = facts.all;
        let points = facts.floor.points.len();
        Slope { points, bytes_per_s: slope * per_s, se: se * per_s, z, noise: facts.noise }
    }
}

/// Judges what was tracked of a cgroup; `None` before it has a row with memory in it.
///
/// ```
/// use sampler::analysis::leak::detectors::Class;
/// use sampler::analysis::leak::track::Track;
/// use sampler::analysis::leak::verdict::judge;
/// use sampler::model::fields::FieldId;
///
/// let mut track = Track::default();
/// assert!(judge(&mut track, None).is_none());
/// // 1 MiB a minute, a row a second; only its size was read.
/// for second in 0..3600_u64 {
///     let held = (100 << 20) + second * (1 << 20) / 60;
///     track.row(second as i64 * 1_000_000, false, |id| (id == FieldId::Current).then_some(held));
/// }
/// let verdict = judge(&mut track, Some(("/web", 256e6))).unwrap();
/// assert_eq!(verdict.verdict, Class::Leak);
/// // It holds 160 MiB of 256 MB, and 17 476 bytes come each second.
/// assert!((verdict.time_to_limit_s.unwrap() / 5049.0 - 1.0).abs() < 0.05);
/// ```
///
/// The detectors do not know the machine's end: what is left of it is left to all, and one that empties it is not yet one
/// that grows. It counts for the time that is left, and it makes an alarm earlier, never later.
///
/// Its lives are those of the track; see [`judge_among`] for a workload whose lives have paths of their own.
pub fn judge<'a>(track: &mut Track, limits: impl Into<Bounds<'a>>) -> Option<Verdict> {
    let restarts = own_loop(track);
    judge_among(track, limits, restarts.as_ref())
}

/// The restart loop that a track alone shows, by the counters of kills in its rows.
fn own_loop(track: &Track) -> Option<Loop> {
    let lives = of_tracks(&[("", track)], &[]);
    let killed = lives.iter().filter(|life| life.ended == crate::analysis::lives::Ended::OomKill);
    let kills: Vec<i64> = killed.map(|life| life.to_us).collect();
    loop_of(&lives, &kills, *kills.last()?)
}

/// As [`judge`], of a cgroup that is one of the lives of a workload: `restarts` is what all of these say.
pub fn judge_among<'a>(track: &mut Track, limits: impl Into<Bounds<'a>>, restarts: Option<&Loop>) -> Option<Verdict> {
    let limits = limits.into();
    let restarts = restarts.filter(|said| track.lives.last().is_some_and(|life| said.is_on(life.to_us)));
    for life in &mut track.lives {
        life.blocks.fit(Signal::Footprint as usize);
    }
    let lives = &track.lives;
    let own = limits.cgroup.map(|(_, bytes)| bytes);
    let limit =
        limits.tightest(lives.last().and_then(|life| life.blocks.means(Signal::Footprint as usize).next_back()));
    let bytes = limit.map(|(_, bytes)| bytes);
    let Judged { at, footprint, detector, finding } = judged(track, own, restarts)?;
    let (life, is_last) = (&lives[at], lives.iter().skip(at + 1).all(is_empty));
    let ended = life.kills > 0;
    let finite = |value: f64| value.is_finite().then_some(value);
    let mut verdict = Verdict {
        verdict: finding.class,
        detector,
        component: None,
        probability: match restarts.filter(|said| said.leaks()) {
            Some(said) => said.confidence,
            None => probability(&finding, footprint.as_ref()),
        },
        alarm: false,
        doubled: false,
        rate_bytes_per_s: None,
        rate_ci90: None,
        onset_us: None,
        time_to_limit_s: None,
        time_to_limit_ci90: None,
        limit_bytes: bytes.map(|bytes| bytes as u64),
        limit_owner: limit.map(|(owner, _)| owner.to_owned()),
        last_bytes: life.sizes().next_back().map(|v| v as u64),
        restarts: finding.restarts,
        oom_kills: lives.iter().map(|life| life.kills).sum(),
        needs_s: finding.needs_s,
        slope: footprint.as_ref().map(Slope::of),
        evidence: finding.evidence,
    };
    if let Some((most, why)) = alone(life).filter(|_| verdict.verdict == Class::Leak) {
        verdict.probability = verdict.probability.min(most);
        verdict.evidence.push(why.into());
    }
    let grows = matches!(
        finding.class,
        Class::Leak | Class::Undetermined | Class::Load | Class::WarmUp | Class::Garbage | Class::OwnCeiling
    );
    if let Some(facts) = footprint.as_ref().filter(|_| grows) {
        let from = growing_part(facts);
        let block = facts.cut + (from as f64 * facts.floor.stride) as usize;
        let pace = rate(facts, from);
        verdict.component = part_that_grew(life, block).map(|(part, _)| part);
        verdict.rate_bytes_per_s = Some(pace.middle);
        verdict.rate_ci90 = Some([pace.ci90.0, pace.ci90.1]);
        if finding.class == Class::Leak {
            let begun = onset(facts, from);
            let block = facts.cut + (begun as f64 * facts.floor.stride) as usize;
            verdict.onset_us = Some(life.blocks.begin_us + block as i64 * life.blocks.width_us);
            let time_left = bytes.and_then(|limit| eta(facts, &pace, limit));
            let grew_s = (facts.floor.points.len() - begun) as f64 * facts.floor.stride * facts.block_s;
            let left_s = time_left.map(|eta| eta.middle);
            let is_near = is_near(facts, left_s, grew_s) || own.is_none() && is_near(facts, None, grew_s);
            verdict.alarm = finding.restarts > 0 || ended || is_near;
            verdict.doubled = facts.growth() >= facts.level.0;
            if let Some(pace) = restarts.filter(|said| said.leaks()).and_then(|said| said.rate_bytes_per_s) {
                (verdict.rate_bytes_per_s, verdict.rate_ci90) = (Some(pace), None);
            }
            if ended {
                verdict.evidence.push("an OOM kill ended it".into());
            }
            if let Some(eta) = time_left.filter(|_| is_last && !ended) {
                verdict.time_to_limit_s = finite(eta.middle);
                verdict.time_to_limit_ci90 = Some([finite(eta.ci90.0), finite(eta.ci90.1)]);
            }
        }
    } else if finding.class == Class::Leak {
        verdict.component = part_that_grew(life, 0).map(|(part, _)| part);
        verdict.rate_bytes_per_s = restarts.and_then(|said| said.rate_bytes_per_s);
        verdict.onset_us = lives.first().map(|life| life.from_us);
        verdict.alarm = true;
    }
    Some(verdict)
}

/// What is said of one life.
struct Judged {
    at: usize,
    footprint: Option<Facts>,
    detector: &'static str,
    finding: Finding,
}

/// Lives before the last that are looked at.
const LIVES: usize = 4;

/// The last life that is long enough, or else the longest. A life that leaked until it was killed says more than a shorter one
/// after it that does not show it yet.
fn judged(track: &Track, limit: Option<f64>, restarts: Option<&Loop>) -> Option<Judged> {
    let lives = &track.lives;
    let ask_life = |at: usize, footprint: Option<Facts>| {
        let life = &lives[at];
        let cache = facts(&life.blocks, Signal::Cache);
        let evidence =
            Evidence { life, footprint: footprint.as_ref(), cache: cache.as_ref(), limit, restarts, own: &track.own };
        let (detector, finding) = ask(&evidence);
        Judged { at, footprint, detector, finding }
    };
    let mut measured = lives
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, life)| !is_empty(life))
        .take(LIVES)
        .filter_map(|(at, life)| Some((at, facts(&life.blocks, Signal::Footprint)?)));
    let Some((at, footprint)) = measured.next() else {
        let at = (0..lives.len()).max_by_key(|at| lives[*at].rows)?;
        return Some(ask_life(at, None));
    };
    let span_s = footprint.span_s();
    let last = ask_life(at, Some(footprint));
    if last.finding.class == Class::Leak {
        return Some(last);
    }
    for (at, footprint) in measured {
        if lives[at].kills > 0 && footprint.span_s() > 0.5 * span_s {
            let before = ask_life(at, Some(footprint));
            if before.finding.class == Class::Leak {
                return Some(before);
            }
        }
    }
    Some(last)
}

/// Whether nobody lived in it: the cgroup after its last process was killed.
fn is_empty(life: &Life) -> bool {
    let most = life.sizes().fold(0.0, f64::max);
    let tasks =
        life.blocks.means(Signal::Pids as usize).fold(None, |most: Option<f64>, n| Some(most.unwrap_or(0.0).max(n)));
    tasks == Some(0.0) || most < 1024.0 * 1024.0 && tasks.is_none_or(|n| n < 1.0)
}

/// What a leak is believed at most where one number was recorded and not what it is made of, as in data from elsewhere.
fn alone(life: &Life) -> Option<(f64, &'static str)> {
    let has = |signal: Signal| !life.blocks.signal(signal as usize).is_empty();
    match (has(Signal::Current), has(Signal::Anon)) {
        (true, false) => Some((
            0.75,
            "only its size was recorded: page cache in it cannot be distinguished from memory that it holds",
        )),
        (false, true) => {
            Some((0.85, "only anonymous memory was recorded: nothing confirms that the whole grew with it"))
        }
        _ => None,
    }
}

/// Without a limit there is no hurry: a growth is watched for this long, seconds, because most caches are full by then.
const UNLIMITED_S: f64 = 1200.0;

/// A line is drawn on for twice as long as it was seen, not further: what fills evenly may be a cache that is full before.
/// Without a limit the growth must have doubled what was there.
fn is_near(facts: &Facts, left_s: Option<f64>, grew_s: f64) -> bool {
    match left_s {
        Some(left_s) => left_s <= 2.0 * grew_s,
        None => facts.growth() >= facts.level.0 && grew_s >= UNLIMITED_S,
    }
}

/// Grades the finding: how far the evidence is from the border between leak and no leak.
fn probability(finding: &Finding, facts: Option<&Facts>) -> f64 {
    let Some(facts) = facts else { return if finding.class == Class::Leak { 0.9 } else { 0.5 } };
    if finding.class != Class::Leak && !facts.matters() {
        return 0.01;
    }
    let z = rising(facts);
    let score =
        0.8 * (z - 2.326) + 1.5 * (facts.late.clamp(0.0, 1.0) - 0.5) - 0.05 * facts.shape.saturates.clamp(0.0, 40.0);
    let raw = 1.0 / (1.0 + (-score).exp());
    match finding.class {
        Class::Leak => raw.clamp(0.8, 0.97),
        Class::Undetermined => raw.clamp(0.2, 0.8),
        _ => raw.clamp(0.01, 0.1),
    }
}
