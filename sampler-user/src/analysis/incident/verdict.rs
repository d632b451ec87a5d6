//! The verdict in one sentence, and how sure it is.

use super::Owner;
use super::cause::{Class, Judgement, burst_rise, fork_tasks, storm_step};
use super::death;
use super::memory::limits;
use super::occurrence::{Afterwards, Kind};
use super::report;
use super::scene::Scene;
use crate::evidence::Constraint;
use crate::fields::FieldId;
use crate::units::{bytes, micros, printable, time_of_day};

/// What happened, in one sentence.
pub fn sentence(scene: &Scene, cause: Class) -> String {
    match scene.kind {
        Kind::AbruptEnd => return end(scene, cause),
        Kind::Death => return death::words::sentence(scene, cause),
        Kind::OomKill => {}
    }
    let who = victim(scene);
    let at = match &scene.logged {
        Some(logged) => logged.words.clone(),
        None => format!(" at {} UTC", time_of_day(scene.at_us)),
    };
    let by = by(scene);
    let why = if scene.logged.is_some() { report::why(scene, cause) } else { why(scene, cause) };
    let not = not(scene, cause);
    match &scene.restarts {
        Some(said) => format!("{who}: {}. It was killed{at} by {by}{why}{not}.", said.words()),
        None => format!("{who} was killed{at} by {by}{why}{not}."),
    }
}

/// Who was killed.
fn victim(scene: &Scene) -> String {
    let first = scene.victims();
    let cgroup = scene.victim_cgroup().map(|path| scene.called(path));
    let comm = first.first().and_then(|victim| victim.comm.as_deref()).map(printable);
    let mut who = match (comm, cgroup) {
        (Some(comm), Some(cgroup)) if comm != cgroup => format!("`{comm}` in `{cgroup}`"),
        (Some(comm), _) => format!("`{comm}`"),
        (None, Some(cgroup)) => format!("A process of `{cgroup}`"),
        (None, None) => "A process".into(),
    };
    let others = scene.kills.len().saturating_sub(1) as u64 + scene.more;
    let group = scene.kills.iter().any(|(_, kill)| kill.report.as_ref().is_some_and(|report| report.group));
    if others > 0 {
        who += &format!(" with {others} more{}", if group { " of its group (memory.oom.group)" } else { "" });
    }
    who
}

/// By whose limit.
fn by(scene: &Scene) -> String {
    let limit = scene.limit();
    let kill = scene.kill();
    if kill.and_then(|kill| kill.report.as_ref()).is_some_and(|report| report.manual) {
        return "the kernel because somebody asked for it (SysRq f), and not because memory had run out".into();
    }
    let nodes = match kill.map(|kill| kill.constraint) {
        Some(Constraint::Cpuset) => Some("the NUMA nodes of its cpuset, which had no memory left"),
        Some(Constraint::MemoryPolicy) => Some("the NUMA nodes of its memory policy, which had no memory left"),
        Some(Constraint::Memcg) if limit.owner == Owner::Unknown => Some("the limit of a cgroup that no witness named"),
        _ => None,
    };
    if let Some(words) = nodes {
        return words.into();
    }
    if limit.owner == Owner::Machine && limit.limit.is_none() {
        return "the machine, which had no memory left".into();
    }
    let size = limit.limit.map_or_else(|| "unknown size".into(), bytes);
    let cgroup = limit.cgroup.as_deref().map(printable).unwrap_or_default();
    match limit.owner {
        Owner::Own => format!("its own limit of {size}"),
        Owner::Ancestor => format!("the limit of {size} of {cgroup} above it"),
        Owner::WslUser => format!("the limit of {size} that all WSL distributions share ({cgroup})"),
        Owner::Machine => match scene.host.at(FieldId::SwapTotal, scene.at_us) {
            Some(0) => format!("the machine, which has {size} and no swap"),
            Some(swap) => format!("the machine, which has {size} and {} of swap", bytes(swap)),
            None => format!("the machine, which has {size}"),
        },
        Owner::Unknown => "a limit that no witness named".into(),
    }
}

/// After what.
fn why(scene: &Scene, cause: Class) -> String {
    let Some((path, trace)) = scene.suspect_trace() else { return String::new() };
    let suspect = scene.called(path);
    let is_victim = scene.victim_cgroup() == Some(path);
    let end = scene.at_end(path, trace);
    let growth = scene.growth(path, trace, scene.since_us()).max(0) as u64;
    let span = micros((scene.at_us - scene.since_of(path)).max(0) as u64);
    let who =
        |verb: &str, own: &str| if is_victim { format!(" after {own}") } else { format!(" after `{suspect}` {verb}") };
    match cause {
        // The loop has the pace already.
        Class::Leak if scene.suspect_loop().is_some_and(|said| said.leaks()) => {
            format!("{} {}", who("had leaked", "leaking"), scene.component())
        }
        Class::Leak => {
            let rate = scene.history.as_ref().and_then(|history| history.rate_bytes_per_s);
            let pace = match rate.filter(|rate| *rate > 0.0) {
                Some(rate) => format!("{}/min of {}", bytes((rate * 60.0) as u64), scene.component()),
                None => format!("{} of {}", bytes(growth), scene.component()),
            };
            let span = if scene.history_s > 0.0 { micros((scene.history_s * 1e6) as u64) } else { span };
            format!("{} {pace} for {span}", who("had leaked", "leaking"))
        }
        Class::Neighbour => {
            let own = scene
                .victim_cgroup()
                .and_then(|victim| scene.cgroups.get(victim))
                .and_then(|t| t.footprint(scene.at_us));
            let stood = own.map(|own| format!(", while it stood at {} itself", bytes(own))).unwrap_or_default();
            format!(" because `{suspect}` under the same limit grew by {} in {span}{stood}", bytes(growth))
        }
        Class::Burst => {
            let rise = burst_rise(scene).map_or(growth, |(before, end)| end - before);
            format!("{} {} within 5 s", who("had allocated", "allocating"), bytes(rise))
        }
        Class::LoadSpike => format!("{} by {} with its work in {span}", who("had grown", "growing"), bytes(growth)),
        Class::Tmpfs => {
            let shmem = trace.at(FieldId::Shmem, scene.at_us).unwrap_or(end);
            let whose = if is_victim { String::new() } else { format!(" of `{suspect}`") };
            format!(" with {} of tmpfs files or shared memory{whose}, which no kill of a process frees", bytes(shmem))
        }
        Class::Cache => " with page cache that could not be reclaimed".into(),
        Class::LimitTooLow if scene.suspect_loop().is_some_and(|said| said.brief) => {
            ", which its start fills: too low for what it needs then, or a leak too fast to be told apart".into()
        }
        Class::LimitTooLow => {
            let scope = scene.limit().cgroup.unwrap_or_default();
            let peak = scene
                .cgroups
                .get(&scope)
                .map(|t| t.footprints(scene.since_of(&scope), scene.at_us).iter().map(|(_, v)| *v).max().unwrap_or(0));
            format!(", too low for a working set of up to {} that did not grow", bytes(peak.unwrap_or(end).max(end)))
        }
        Class::LimitsExceed => {
            let (sum, count) = limits(scene, scene.limit().cgroup.as_deref().unwrap_or("/")).unwrap_or((0, 0));
            format!(": {count} cgroups may use {} together, and each stayed below its own limit", bytes(sum))
        }
        Class::Storm => {
            let (many, rise) = (0..4).map(|i| storm_step(scene, scene.at_us - i * 500_000)).max().unwrap_or((0, 0));
            format!(" when {many} cgroups rose in step by {} within 2 s", bytes(rise))
        }
        Class::Forks => {
            let (first, last) = fork_tasks(scene).unwrap_or((0, 0));
            format!("{} from {first} to {last} tasks", who("had gone", "going"))
        }
        Class::Swap
        | Class::Exhausted
        | Class::NotMemory
        | Class::Killed
        | Class::StopTimeout
        | Class::OomDaemon
        | Class::OwnCeiling
        | Class::Crash
        | Class::ExitCode
        | Class::Unknown => {
            format!("; why is not clear, `{suspect}` held most that grew ({})", bytes(end))
        }
    }
}

/// What it was not.
fn not(scene: &Scene, cause: Class) -> String {
    let owner = scene.limit().owner;
    let mut not = Vec::new();
    if owner == Owner::Own {
        not.push("not the machine");
        not.push("not a neighbour");
    } else if cause == Class::Neighbour {
        not.push("not its own growth");
    }
    if not.is_empty() { String::new() } else { format!("; {}", not.join(", ")) }
}

fn end(scene: &Scene, cause: Class) -> String {
    let at = time_of_day(scene.at_us);
    let get = |field| scene.host.at(field, scene.at_us);
    let room = match (get(FieldId::MemAvailable), get(FieldId::MemTotal)) {
        (Some(available), Some(total)) => format!("{} of {} were available", bytes(available), bytes(total)),
        _ => "the machine's memory was not recorded".into(),
    };
    let what = match scene.afterwards {
        Some(Afterwards::SameBoot) => "the recorder ended, the machine went on",
        Some(Afterwards::NewBoot) => "the machine ended and was booted again",
        _ => "the machine or the recorder ended, and nothing came after",
    };
    let why = match cause {
        Class::Exhausted => format!("the machine had no memory left: {room}"),
        Class::NotMemory => format!("memory was not short: {room}, and no OOM kill was seen"),
        _ => format!("whether memory was why is not clear: {room}"),
    };
    format!("The recording stops at {at} UTC without a goodbye ({what}); {why}.")
}

/// How sure the page is: of the cause, of the owner of the limit, and of what was seen at all.
pub fn confidence(scene: &Scene, causes: &[Judgement], cause: Class) -> f64 {
    let score = causes.iter().find(|judgement| judgement.class == cause).map_or(0.3, |judgement| judgement.score);
    let seen = match (scene.kind, scene.limit().owner) {
        (Kind::OomKill, Owner::Unknown) => 0.6,
        (Kind::OomKill, _) if scene.kill().is_some_and(|kill| kill.report.is_none() && kill.probe.is_none()) => 0.8,
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
