//! What the kills of a recording say of limits: the post-mortem names their cause.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use crate::advise::facts::OtherKill;
use crate::analysis::incident::cause::{self, CauseClass, HigherLimit};
use crate::analysis::incident::{Incident, Owner};
use crate::analysis::leak::linear::median;
use crate::model::problem::Problem;
use crate::reading::demand::limited;
use crate::reading::incidents::Incidents;
use crate::reading::names::Named;

/// Kills of one cgroup.
#[derive(Default)]
pub struct Killed {
    /// Limits at which its working set did not fit.
    pub at: Vec<u64>,
    /// Kills that more memory does not answer.
    pub other: Vec<OtherKill>,
    /// Whether it leaked.
    pub leaks: bool,
    /// Whether it was killed while it grew, and was not seen for long enough to know why.
    pub grows: bool,
    /// Processes of it that were killed.
    pub victims: u64,
}

/// Pages that are shown at most, the last of each limit: each reads an hour of the recording.
const MOST: usize = 12;

/// By workload, as [`limited`] has it. The last kill of each limit is looked into. What could not be read is added to `problems`.
pub fn kills(
    dir: &Path,
    range: &Range<i64>,
    named: &Named,
    problems: &mut Vec<Problem>,
) -> anyhow::Result<BTreeMap<String, Killed>> {
    let key = |path: &str| limited(named, path);
    let mut incidents = Incidents::of(dir)?;
    let mut of: BTreeMap<String, Killed> = BTreeMap::new();
    let all: Vec<_> =
        incidents.all.iter().filter(|o| !o.kills.is_empty() && range.contains(&o.at_us)).cloned().collect();
    let mut known = BTreeSet::new();
    for incident in all.iter().rev() {
        for (_, kill) in &incident.kills {
            if let Some(victim) = &kill.victim_cgroup {
                of.entry(key(victim)).or_default().victims += 1;
            }
        }
        let Some((_, first)) = incident.kills.first() else { continue };
        if let Some(victim) = &first.victim_cgroup {
            of.entry(key(victim)).or_default().victims += incident.more;
        }
        let whose = (first.limit_cgroup.as_deref().map(key), first.victim_cgroup.as_deref().map(key));
        if known.len() >= MOST || !known.insert(whose) {
            continue;
        }
        take(&incidents.explain(incident)?, &key, &mut of);
    }
    incidents.problems().iter().for_each(|problem| Problem::add(problems, problem.clone()));
    Ok(of)
}

/// What it held before the moment of the kill moved by no more than this part of the limit, where it stood.
const MOVED: f64 = 0.1;
/// Part of what came that may have come more than a second before the kill.
const BEGUN: f64 = 0.25;
/// The moment of the kill, seconds.
const MOMENT_S: f64 = 8.0;
/// Fewest points of the timeline before it, which are five seconds apart.
const LEAST_POINTS: usize = 3;

/// Whether what was killed had stood before, so that it is known what it held at rest: a leak of seconds looks like an allocation
/// of a moment, and a start that is killed each time like either.
fn stood(page: &Incident) -> bool {
    if page.restarts.as_ref().is_some_and(|restarts| restarts.brief) {
        return false;
    }
    if page.cause == CauseClass::LimitTooLow {
        return true;
    }
    let Some(limit) = page.limit.limit else { return false };
    let before = page.timeline.minute.iter().filter(|point| point.before_s >= MOMENT_S);
    let held: Vec<f64> = before.filter_map(|point| point.suspect).map(|bytes| bytes as f64).collect();
    let begun = page.timeline.second.iter().find_map(|point| point.suspect).map(|bytes| bytes as f64);
    came_at_once(&held, begun, limit as f64)
}

/// Whether what filled the limit came within the last second, by what was held before the moment of the kill and a second before it.
fn came_at_once(held: &[f64], begun: Option<f64>, limit: f64) -> bool {
    let (early, late) = held.split_at(held.len() / 2);
    let rest = median(late);
    let stood = held.len() >= LEAST_POINTS && (median(early) - rest).abs() <= MOVED * limit;
    stood && begun.is_none_or(|begun| begun - rest <= BEGUN * (limit - rest))
}

fn take(page: &Incident, key: &dyn Fn(&str) -> String, of: &mut BTreeMap<String, Killed>) {
    let only_postponed = |class: CauseClass| cause::of(class).higher_limit == HigherLimit::Postpones;
    let leaks = only_postponed(page.cause) || page.contributing.iter().copied().any(only_postponed);
    if let Some(suspect) = page.suspect.as_ref().filter(|_| leaks) {
        of.entry(key(suspect)).or_default().leaks = true;
    }
    let Some(limited) = page.limit.cgroup.as_ref().filter(|_| page.limit.owner != Owner::Machine) else { return };
    let killed = of.entry(key(limited)).or_default();
    match cause::of(page.cause).higher_limit {
        HigherLimit::Answers if stood(page) => killed.at.extend(page.limit.limit),
        HigherLimit::Answers => killed.grows = true,
        // What is below it leaks.
        HigherLimit::Postpones => killed.leaks = true,
        HigherLimit::ChangesNothing => killed.other.push(OtherKill {
            cause: page.cause.word(),
            instead: page.advice.first().map(|advice| advice.what.clone()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growth_of_seconds_did_not_come_at_once() {
        let (limit, rest) = (64.0, [19.7; 7]);
        assert!(came_at_once(&rest, Some(20.4), limit) && came_at_once(&rest, None, limit));
        assert!(!came_at_once(&rest, Some(34.0), limit), "30 MiB a second after a rest");
        assert!(!came_at_once(&[], Some(40.0), limit), "the demo: from its start to its kill in 3 s");
        assert!(!came_at_once(&[20.0, 25.0, 30.0, 35.0, 40.0, 45.0], Some(61.0), limit), "a MiB a second");
    }
}
