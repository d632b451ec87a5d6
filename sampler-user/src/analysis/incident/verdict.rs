//! The verdict in one sentence, and how sure it is.

use crate::analysis::incident::cause::{self, CauseClass, HigherLimit, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::describe;
use crate::analysis::incident::death::level::held;
use crate::analysis::incident::death::sender::SenderKind;
use crate::analysis::incident::incident_ref::{Afterwards, IncidentKind};
use crate::analysis::incident::kill_facts::KillFacts;
use crate::analysis::incident::limit::Owner;
use crate::analysis::incident::report;
use crate::model::evidence::Constraint;
use crate::model::fields::FieldId;
use crate::model::units::{bytes, time_of_day};

/// What happened, in one sentence.
pub fn sentence(context: &IncidentContext, cause: CauseClass) -> String {
    let why = match &context.logged {
        Some(_) => report::why(context, cause),
        None => (cause::of(cause).explain)(context).unwrap_or_default(),
    };
    let sentence = match context.kind {
        IncidentKind::OomKill => kill(context, &why),
        IncidentKind::AbruptEnd => end(context, &why),
        IncidentKind::Death => death(context, &why),
    };
    // What could not be read may hold another cause.
    match sentence.strip_suffix('.') {
        Some(words) if !context.is_whole => format!("{words}, as far as the recording could be read."),
        _ => sentence,
    }
}

fn kill(context: &IncidentContext, why: &str) -> String {
    let victims = context.victims();
    let facts = KillFacts {
        time_us: context.at_us,
        when: context.logged.as_ref().map(|logged| logged.words.as_str()),
        is_manual: context.kill().and_then(|kill| kill.report.as_ref()).is_some_and(|report| report.manual),
        comm: victims.first().and_then(|victim| victim.comm.as_deref()),
        pid: None,
        cgroup: context.victim_cgroup().map(|path| context.called(path)),
        others: victims.len().saturating_sub(1) as u64 + context.more,
        is_group: context.kills.iter().any(|(_, kill)| kill.report.as_ref().is_some_and(|report| report.group)),
        constraint: context.kill().map_or(Constraint::Unknown, |kill| kill.constraint),
        limit: context.limit(),
        limit_of: context.limit().cgroup.map(|path| context.called(&path)),
        swap: context.host.at(FieldId::SwapTotal, context.at_us),
    };
    let not = if facts.limit.owner == Owner::Own { "; not the machine, not a neighbour" } else { "" };
    let more = format!("{why}{not}");
    match &context.restarts {
        Some(restarts) => format!("{}: {}. It {}", facts.victim(), restarts.words(), facts.was_killed(&more)),
        None => facts.sentence(&more),
    }
}

fn end(context: &IncidentContext, why: &str) -> String {
    let at = time_of_day(context.at_us);
    let what = match context.afterwards {
        Some(Afterwards::SameBoot) => "the recorder ended, the machine went on",
        Some(Afterwards::NewBoot) => "the machine ended and was booted again",
        _ => "the machine or the recorder ended, and nothing came after",
    };
    format!("The recording stops at {at} UTC without a clean stop ({what}); {why}.")
}

fn death(context: &IncidentContext, why: &str) -> String {
    let Some(death) = &context.death else { return String::new() };
    let who = describe::who(death, |path| context.called(path));
    let at = time_of_day(context.at_us);
    let [verb, by] = describe::how(death);
    let others = match death.others {
        0 => String::new(),
        1 => ", with one more process".into(),
        count => format!(", with {count} more processes"),
    };
    let memory = match held(context) {
        Some((usage, Some(limit))) => format!("memory was {} of {}", bytes(usage), bytes(limit)),
        Some((usage, None)) => format!("memory was {}, without a limit", bytes(usage)),
        None => "its memory was not recorded".into(),
    };
    let is_daemon = death.sender.as_ref().is_some_and(|sender| sender.kind() == SenderKind::OomKiller);
    let not = match &death.runtime {
        Some(account) if account.oom => "Docker reports an OOM kill, which no other witness saw",
        _ if is_daemon => "not the kernel's OOM killer",
        _ if death.by_kernel() => "no OOM kill was seen",
        _ => "not an OOM kill",
    };
    format!("{who} {verb} at {at} UTC{by}{others}: {not}; {memory}{why}.")
}

/// How sure one life of which the detectors could not judge the growth can make a page of a leak at most.
const ONE_LIFE: f64 = 0.75;

/// The most a page is sure of where part of the recording could not be read: low.
const UNREAD: f64 = 0.5;

/// How sure the page is: of the cause, of the owner of the limit, and of what was seen at all.
pub fn confidence(context: &IncidentContext, causes: &[Judgement], cause: CauseClass) -> f64 {
    let score = causes.iter().find(|judgement| judgement.class == cause).map_or(0.3, |judgement| judgement.score);
    let seen = match (context.kind, context.limit().owner) {
        (IncidentKind::OomKill, Owner::Unknown) => 0.6,
        (IncidentKind::OomKill, _)
            if context.kill().is_some_and(|kill| kill.report.is_none() && kill.probe.is_none()) =>
        {
            0.8
        }
        _ => 1.0,
    };
    let could_leak = cause::of(cause).higher_limit == HigherLimit::Postpones;
    let most = if could_leak && context.is_one_short_life() { ONE_LIFE } else { 0.99 };
    // What could not be read may hold another cause.
    let most = if context.is_whole { most } else { UNREAD };
    (score * seen).clamp(0.05, most)
}

/// A confidence in a word.
pub fn sure(confidence: f64) -> &'static str {
    match confidence {
        c if c >= 0.8 => "high",
        c if c >= 0.6 => "medium",
        _ => "low",
    }
}
