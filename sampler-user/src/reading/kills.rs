//! What the kills of a recording say of limits: the post-mortem names their cause.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use crate::advise::facts::OtherKill;
use crate::analysis::incident::cause::{self, CauseClass, HigherLimit};
use crate::analysis::incident::{Incident, Owner};
use crate::reading::demand::key;
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
    /// Processes of it that were killed.
    pub victims: u64,
}

/// Pages that are told at most, the last of each limit: each reads an hour of the recording.
const MOST: usize = 12;

/// By workload, as [`key`] has it. The last kill of each limit is looked into.
pub fn kills(dir: &Path, range: &Range<i64>, named: &Named) -> anyhow::Result<BTreeMap<String, Killed>> {
    let key = |path: &str| key(named, path);
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
    Ok(of)
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
        HigherLimit::Answers => killed.at.extend(page.limit.limit),
        // What is below it leaks.
        HigherLimit::Postpones => killed.leaks = true,
        HigherLimit::ChangesNothing => killed.other.push(OtherKill {
            cause: page.cause.word(),
            instead: page.advice.first().map(|advice| advice.what.clone()),
        }),
    }
}
