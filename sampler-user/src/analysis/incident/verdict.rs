//! The verdict in one sentence, and how sure it is.

use crate::analysis::incident::cause::{CauseClass, Judgement, burst_rise, fork_tasks, storm_step};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::{Afterwards, IncidentKind};
use crate::analysis::incident::memory::limits;
use crate::analysis::incident::{Owner, death};
use crate::model::fields::FieldId;
use crate::model::units::{bytes, micros, printable, time_of_day};

/// What happened, in one sentence.
pub fn sentence(context: &IncidentContext, cause: CauseClass) -> String {
    match context.kind {
        IncidentKind::AbruptEnd => return end(context, cause),
        IncidentKind::Death => return death::words::sentence(context, cause),
        IncidentKind::OomKill => {}
    }
    let who = victim(context);
    let at = time_of_day(context.at_us);
    let by = by(context);
    let why = why(context, cause);
    let not = not(context, cause);
    match &context.restarts {
        Some(restarts) => format!("{who}: {}. It was killed at {at} UTC by {by}{why}{not}.", restarts.words()),
        None => format!("{who} was killed at {at} UTC by {by}{why}{not}."),
    }
}

/// Who was killed.
fn victim(context: &IncidentContext) -> String {
    let first = context.victims();
    let cgroup = context.victim_cgroup().map(|path| context.called(path));
    let comm = first.first().and_then(|victim| victim.comm.as_deref()).map(printable);
    let mut who = match (comm, cgroup) {
        (Some(comm), Some(cgroup)) if comm != cgroup => format!("`{comm}` in `{cgroup}`"),
        (Some(comm), _) => format!("`{comm}`"),
        (None, Some(cgroup)) => format!("A process of `{cgroup}`"),
        (None, None) => "A process".into(),
    };
    let others = context.kills.len().saturating_sub(1) as u64 + context.more;
    let group = context.kills.iter().any(|(_, kill)| kill.report.as_ref().is_some_and(|report| report.group));
    if others > 0 {
        who += &format!(" with {others} more{}", if group { " of its group (memory.oom.group)" } else { "" });
    }
    who
}

/// By whose limit.
fn by(context: &IncidentContext) -> String {
    let limit = context.limit();
    let size = limit.limit.map_or_else(|| "unknown size".into(), bytes);
    let cgroup = limit.cgroup.as_deref().map(printable).unwrap_or_default();
    match limit.owner {
        Owner::Own => format!("its own limit of {size}"),
        Owner::Ancestor => format!("the limit of {size} of {cgroup} above it"),
        Owner::WslUser => format!("the limit of {size} that all WSL distributions share ({cgroup})"),
        Owner::Machine => match context.host.at(FieldId::SwapTotal, context.at_us) {
            Some(0) => format!("the machine, which has {size} and no swap"),
            Some(swap) => format!("the machine, which has {size} and {} of swap", bytes(swap)),
            None => format!("the machine, which has {size}"),
        },
        Owner::Unknown => "a limit that no witness named".into(),
    }
}

/// After what.
fn why(context: &IncidentContext, cause: CauseClass) -> String {
    let Some((path, trace)) = context.suspect_trace() else { return String::new() };
    let suspect = context.called(path);
    let is_victim = context.victim_cgroup() == Some(path);
    let end = context.at_end(path, trace);
    let growth = context.growth(path, trace, context.since_us()).max(0) as u64;
    let span = micros((context.at_us - context.since_of(path)).max(0) as u64);
    let who =
        |verb: &str, own: &str| if is_victim { format!(" after {own}") } else { format!(" after `{suspect}` {verb}") };
    match cause {
        // The loop has the pace already.
        CauseClass::Leak if context.suspect_loop().is_some_and(|restarts| restarts.leaks()) => {
            format!("{} {}", who("had leaked", "leaking"), context.component())
        }
        CauseClass::Leak => {
            let rate = context.history.as_ref().and_then(|history| history.rate_bytes_per_s);
            let pace = match rate.filter(|rate| *rate > 0.0) {
                Some(rate) => format!("{}/min of {}", bytes((rate * 60.0) as u64), context.component()),
                None => format!("{} of {}", bytes(growth), context.component()),
            };
            let span = if context.history_s > 0.0 { micros((context.history_s * 1e6) as u64) } else { span };
            format!("{} {pace} for {span}", who("had leaked", "leaking"))
        }
        CauseClass::Neighbour => {
            let own = context
                .victim_cgroup()
                .and_then(|victim| context.cgroups.get(victim))
                .and_then(|t| t.footprint(context.at_us));
            let stood = own.map(|own| format!(", while it stood at {} itself", bytes(own))).unwrap_or_default();
            format!(" because `{suspect}` under the same limit grew by {} in {span}{stood}", bytes(growth))
        }
        CauseClass::Burst => {
            let rise = burst_rise(context).map_or(growth, |(before, end)| end - before);
            format!("{} {} within 5 s", who("had allocated", "allocating"), bytes(rise))
        }
        CauseClass::LoadSpike => {
            format!("{} by {} with its work in {span}", who("had grown", "growing"), bytes(growth))
        }
        CauseClass::Tmpfs => {
            let shmem = trace.at(FieldId::Shmem, context.at_us).unwrap_or(end);
            let whose = if is_victim { String::new() } else { format!(" of `{suspect}`") };
            format!(" with {} of tmpfs files or shared memory{whose}, which no kill of a process frees", bytes(shmem))
        }
        CauseClass::Cache => " with page cache that could not be reclaimed".into(),
        CauseClass::LimitTooLow if context.suspect_loop().is_some_and(|restarts| restarts.brief) => {
            ", which its start fills: too low for what it needs then, or a leak too fast to be told apart".into()
        }
        CauseClass::LimitTooLow => {
            let scope = context.limit().cgroup.unwrap_or_default();
            let peak = context.cgroups.get(&scope).map(|t| {
                t.footprints(context.since_of(&scope), context.at_us).iter().map(|(_, v)| *v).max().unwrap_or(0)
            });
            format!(", too low for a working set of up to {} that did not grow", bytes(peak.unwrap_or(end).max(end)))
        }
        CauseClass::LimitsExceed => {
            let (sum, count) = limits(context, context.limit().cgroup.as_deref().unwrap_or("/")).unwrap_or((0, 0));
            format!(": {count} cgroups may use {} together, and each stayed below its own limit", bytes(sum))
        }
        CauseClass::Storm => {
            let (many, rise) = (0..4).map(|i| storm_step(context, context.at_us - i * 500_000)).max().unwrap_or((0, 0));
            format!(" when {many} cgroups rose in step by {} within 2 s", bytes(rise))
        }
        CauseClass::Forks => {
            let (first, last) = fork_tasks(context).unwrap_or((0, 0));
            format!("{} from {first} to {last} tasks", who("had gone", "going"))
        }
        CauseClass::Swap
        | CauseClass::Exhausted
        | CauseClass::NotMemory
        | CauseClass::Killed
        | CauseClass::StopTimeout
        | CauseClass::OomDaemon
        | CauseClass::OwnCeiling
        | CauseClass::Crash
        | CauseClass::ExitCode
        | CauseClass::Unknown => {
            format!("; why is not clear, `{suspect}` held most that grew ({})", bytes(end))
        }
    }
}

/// What it was not.
fn not(context: &IncidentContext, cause: CauseClass) -> String {
    let owner = context.limit().owner;
    let mut not = Vec::new();
    if owner == Owner::Own {
        not.push("not the machine");
        not.push("not a neighbour");
    } else if cause == CauseClass::Neighbour {
        not.push("not its own growth");
    }
    if not.is_empty() { String::new() } else { format!("; {}", not.join(", ")) }
}

fn end(context: &IncidentContext, cause: CauseClass) -> String {
    let at = time_of_day(context.at_us);
    let get = |field| context.host.at(field, context.at_us);
    let room = match (get(FieldId::MemAvailable), get(FieldId::MemTotal)) {
        (Some(available), Some(total)) => format!("{} of {} were available", bytes(available), bytes(total)),
        _ => "the machine's memory was not recorded".into(),
    };
    let what = match context.afterwards {
        Some(Afterwards::SameBoot) => "the recorder ended, the machine went on",
        Some(Afterwards::NewBoot) => "the machine ended and was booted again",
        _ => "the machine or the recorder ended, and nothing came after",
    };
    let why = match cause {
        CauseClass::Exhausted => format!("the machine had no memory left: {room}"),
        CauseClass::NotMemory => format!("memory was not short: {room}, and no OOM kill was seen"),
        _ => format!("whether memory was why is not clear: {room}"),
    };
    format!("The recording stops at {at} UTC without a goodbye ({what}); {why}.")
}

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
    (score * seen).clamp(0.05, 0.99)
}

/// A confidence in a word.
pub fn sure(confidence: f64) -> &'static str {
    match confidence {
        c if c >= 0.8 => "high",
        c if c >= 0.6 => "medium",
        _ => "low",
    }
}
