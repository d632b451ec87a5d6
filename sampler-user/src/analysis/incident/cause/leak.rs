//! Grew without bound: by the lives of the suspect's workload, or else by the leak detectors of its one life.

use crate::analysis::incident::advice::{Advice, limit_setting};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::cause::phrase::after;
use crate::analysis::incident::cause::{burst, ceiling_above_limit, forks, tmpfs};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::limit::Owner;
use crate::analysis::leak::detectors::Class as MemoryClass;
use crate::analysis::leak::linear::median;
use crate::model::fields::FieldId;
use crate::model::units::{bytes, micros};

pub const CAUSE: Cause = Cause {
    class: CauseClass::Leak,
    of: IncidentKind::OomKill,
    role: Role::Growth,
    higher_limit: HigherLimit::Postpones,
    judge,
    explain,
    advise,
};

/// A leak is at most this likely where a tmpfs filled the limit.
const OF_TMPFS: f64 = 0.4;
/// And where a heap had no reason to collect.
const OF_HEAP: f64 = 0.55;
/// Below this the other reading of a loop is shown.
const SURE: f64 = 0.8;
/// A growth that comes in one piece is no leak: no eighth of its time may hold more than this of it.
const LARGEST_PART: f64 = 0.4;

/// How sure an even growth is that began late in a life which is too short for the detectors.
const FROM_ONSET: f64 = 0.6;
/// What was watched for less, seconds, follows its work by chance: filling memory is work.
const BRIEF_S: f64 = 120.0;
/// It lasts so long at least, microseconds, and no eighth of it has more than this of the whole.
const LEAST_US: i64 = 10_000_000;
const EVEN_PART: f64 = 0.3;

/// Where an even growth began that lasts until the end: the last point that is still near the level of the first half.
fn even_end(points: &[(i64, u64)]) -> Option<(i64, u64)> {
    let &(last_us, last) = points.last()?;
    let first: Vec<f64> = points[..points.len().div_ceil(2)].iter().map(|point| point.1 as f64).collect();
    let base = median(&first);
    let whole = (last as f64 - base).max(0.0);
    let near = |point: &&(i64, u64)| point.1 as f64 <= base + 0.1 * whole;
    let since = *points.iter().rev().find(near)?;
    let (span, grown) = (last_us - since.0, last.saturating_sub(since.1) as f64);
    let level = |part: i64| {
        let at = since.0 + span * part / 8;
        points[..points.partition_point(|point| point.0 <= at)].last().map_or(since.1, |point| point.1) as f64
    };
    let rises: Vec<f64> = (0..8).map(|part| level(part + 1) - level(part)).collect();
    let is_even =
        rises.iter().filter(|rise| **rise > 0.0).count() >= 7 && rises.iter().all(|rise| *rise <= EVEN_PART * grown);
    (span >= LEAST_US && is_even).then_some(since)
}

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    judge_growth(context, judgement);
    // A leak of shared memory has one name on a page.
    if judgement.score > OF_TMPFS && tmpfs::is_one(context) {
        judgement.contra(OF_TMPFS, "what grew is tmpfs or shared memory, which is a cause of its own: tmpfs");
    }
    if ceiling_above_limit::is_one(context) {
        judgement.contra(OF_HEAP, "what grew is a heap that may hold more than the limit: garbage in it looks alike");
    }
}

fn judge_growth(context: &IncidentContext, judgement: &mut Judgement) {
    let Some((path, trace)) = context.suspect_trace() else { return };
    let who = context.called(path);
    let span = micros((context.history_s * 1e6) as u64);
    if let Some(restarts) = context.suspect_loop() {
        if restarts.leaks() {
            judgement.pro(restarts.confidence, format!("{who}: {}", restarts.evidence()));
            if restarts.confidence < SURE {
                judgement.against.push(
                    "so few or so short lives may also be starts that need more than the limit: one with more room would show it".into(),
                );
            }
            return;
        }
        if restarts.brief || restarts.course.is_some() {
            judgement.contra(0.3, format!("{who}: {}", restarts.evidence()));
            return;
        }
    }
    let Some(history) = &context.history else {
        judgement.contra(0.3, format!("{who} was seen too briefly to recognise a leak"));
        return;
    };
    match history.verdict {
        MemoryClass::Leak => {
            judgement.pro(0.9 * history.probability, format!("the leak detectors find a leak in {who}, over {span}"));
            judgement.speaks_for.extend(history.evidence.iter().cloned());
        }
        MemoryClass::Undetermined => {
            judgement.against.extend(history.evidence.iter().cloned());
        }
        other => {
            let word = crate::model::word::word(&other);
            let why = history.evidence.first().cloned().unwrap_or_default();
            judgement.contra(0.3, format!("the leak detectors call {who} {word}, looking at {span}: {why}"));
        }
    }
    let points = trace.footprints(context.since_of(path), context.before_us());
    if let (Some(first), Some(last)) = (points.first(), points.last())
        && last.1 > first.1 + (first.1 / 5)
        && last.0 - first.0 > 15_000_000
    {
        let eighth = (last.0 - first.0) / 8;
        let level = |at: i64| trace.footprint(first.0 + eighth * at).unwrap_or(first.1) as f64;
        let largest = (0..8).map(|i| level(i + 1) - level(i)).fold(0.0, f64::max);
        let rising = (0..8).filter(|i| level(i + 1) > level(*i)).count();
        let whole = (last.1 - first.1) as f64;
        let growth = format!("{who} grew by {} in {}", bytes(last.1 - first.1), micros((last.0 - first.0) as u64));
        let is_leak = history.verdict == MemoryClass::Leak;
        if burst::is_one(context) {
            judgement.contra(0.45, "what it took in the last 5 s is no leak, whatever it did before");
        } else if forks::is_one(context) {
            judgement.contra(0.4, format!("{growth}, with ever more tasks"));
        } else if let Some(since) = even_end(&points)
            && (history.verdict == MemoryClass::Undetermined || context.history_s < BRIEF_S)
        {
            let (grown, span) = (last.1 - since.1, micros((last.0 - since.0) as u64));
            judgement.pro(FROM_ONSET, format!("{who} grew by {} in the last {span}, at an even pace", bytes(grown)));
        } else if largest > LARGEST_PART * whole && !is_leak {
            judgement.contra(
                0.4,
                format!("{growth}, but {:.0} % of it within an eighth of that time", 100.0 * largest / whole),
            );
        } else if rising >= 7 {
            judgement.pro(0.7, format!("{growth}, at an even pace"));
        }
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (path, trace) = context.suspect_trace()?;
    let after = after(context, "leaking", "had leaked")?;
    let part = context.grown_part().name();
    // The sentence has the pace of a loop already.
    if context.suspect_loop().is_some_and(|restarts| restarts.leaks()) {
        return Some(format!("{after} {part}"));
    }
    let rate = context.history.as_ref().and_then(|history| history.rate_bytes_per_s).filter(|rate| *rate > 0.0);
    let pace = match rate {
        Some(rate) => format!("{}/min", bytes((rate * 60.0) as u64)),
        None => bytes(context.growth(path, trace, context.since_us()).max(0) as u64),
    };
    let span_us = match context.history_s {
        span_s if span_s > 0.0 => (span_s * 1e6) as u64,
        _ => (context.at_us - context.since_of(path)).max(0) as u64,
    };
    Some(format!("{after} {pace} of {part} for {}", micros(span_us)))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (suspect, trace) = context.suspect_trace()?;
    let limit = context.limit();
    let total = limit.limit.unwrap_or(0);
    let end = context.at_end(suspect, trace);
    let rate = context.history.as_ref().and_then(|history| history.rate_bytes_per_s).filter(|rate| *rate > 0.0);
    let because = match rate {
        Some(rate) => format!(
            "at {}/min a limit of twice {} would be reached {} later",
            bytes((rate * 60.0) as u64),
            bytes(total),
            micros((total as f64 / rate * 1e6) as u64)
        ),
        None => format!("it held {} at the end", bytes(end)),
    };
    // Without a limit of its own it takes others with it.
    let own = trace.limit(FieldId::Max, context.at_us);
    let setting =
        (limit.owner != Owner::Own && own.is_none()).then(|| limit_setting(context, suspect, end.min(total / 2)));
    let who = context.called(suspect);
    let look = context.grown_part().look_for();
    let what = format!("Find the leak in {who}: look for {look}. A higher limit only postpones it.");
    Some(Advice { what, setting, because })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_growth_that_begins_late_is_found_from_its_onset() {
        let points = |level: &dyn Fn(i64) -> u64| (0..60).map(|s| (s * 1_000_000, level(s))).collect::<Vec<_>>();
        let late = points(&|s| 16 + 12 * s.saturating_sub(40).max(0) as u64);
        let (since, level) = even_end(&late).unwrap();
        assert!((40_000_000..43_000_000).contains(&since) && level <= 40, "{since} {level}");
        assert_eq!(even_end(&points(&|s| if s < 50 { 16 } else { 240 })), None, "a step");
        assert_eq!(even_end(&points(&|s| 16 + 40 * s.saturating_sub(55).max(0) as u64)), None, "too short");
        assert_eq!(even_end(&points(&|s| if s < 30 { 16 } else { 200 + s as u64 })), None, "a step and a slow rise");
        assert_eq!(even_end(&points(&|_| 16)), None);
        let (since, _) =
            even_end(&points(&|s| if s < 2 { 0 } else { 27 + 5 * s.saturating_sub(40).max(0) as u64 })).unwrap();
        assert!(since >= 40_000_000, "a start is not the onset: {since}");
        assert_eq!(even_end(&[]), None);
    }
}
