//! A death in words: who, how, by whom, at how much memory, and what to change.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::{CauseClass, ended_comm, own_ceiling};
use crate::analysis::incident::context::{HOUR_US, IncidentContext, MINUTE_US};
use crate::analysis::incident::death::sender::{Sender, SenderKind};
use crate::analysis::incident::death::{ABORT, Death, KILL, TERM};
use crate::model::evidence::SignalOrigin;
use crate::model::fields::FieldId;
use crate::model::units::{bytes, printable, time_of_day};

/// A signal by its name.
pub fn signal(number: u8) -> String {
    const NAMES: [&str; 15] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM",
    ];
    match number {
        1..=15 => format!("SIG{}", NAMES[usize::from(number) - 1]),
        24 => "SIGXCPU".into(),
        25 => "SIGXFSZ".into(),
        31 => "SIGSYS".into(),
        other => format!("signal {other}"),
    }
}

/// How a process ended.
pub fn end(death: &Death) -> String {
    match (death.signal, death.code, death.fatal()) {
        (Some(number), ..) => signal(number),
        (None, Some(code), Some(number)) => format!("exit code {code}, which stands for {}", signal(number)),
        (None, Some(code), None) => format!("exit code {code}"),
        _ => "an end that nobody saw".into(),
    }
}

/// Who sent a signal.
pub fn by(sender: &Sender) -> String {
    if sender.itself {
        return "itself".into();
    }
    if sender.origin == SignalOrigin::Kernel {
        return "the kernel".into();
    }
    let way = match sender.origin {
        SignalOrigin::CgroupKill => ", through cgroup.kill",
        SignalOrigin::ParentEnd => ", its parent, which ended",
        _ => "",
    };
    let user = if sender.uid == 0 { "root".into() } else { format!("user {}", sender.uid) };
    format!("`{}` (pid {}, {user}{way})", printable(&sender.comm), sender.pid)
}

/// Seconds before the end at which Docker says that it sent a signal.
pub fn docker(death: &Death, number: u8) -> Option<f64> {
    let sent = &death.runtime.as_ref()?.sent;
    sent.iter().find(|(_, signal)| *signal == number).map(|(before_s, _)| *before_s)
}

/// The memory of a death's cgroup up to its end, without what could be reclaimed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Level {
    /// At the end.
    pub end: u64,
    /// The highest of its life, as far as it is known.
    pub top: u64,
    /// For how long it stood within a tenth of the end, microseconds.
    pub flat_us: i64,
    /// Whether it had been much less before.
    pub grew: bool,
    /// Limit of the cgroup, as it was read.
    pub limit: Option<u64>,
}

/// The memory of a death's cgroup up to its end.
pub fn level(context: &IncidentContext) -> Level {
    let Some(death) = &context.death else { return Level::default() };
    let alone = death.peak_rss.unwrap_or(0);
    let Some(trace) = death.cgroup.as_ref().and_then(|path| context.cgroups.get(path)) else {
        return Level { end: alone, top: alone, ..Level::default() };
    };
    let at = context.at_us;
    let cache = context.cache(trace);
    // Of this life only: a container that is started again has the cgroup of before.
    let born = death.lived_us.map_or(at - HOUR_US, |lived| at - lived.min(HOUR_US as u64) as i64);
    let mut points = trace.footprints(born, (at - MINUTE_US).max(born));
    let fresh = trace.between(FieldId::Current, born.max(at - MINUTE_US), at);
    points.extend(fresh.iter().map(|(time, value)| (*time, value.saturating_sub(cache))));
    // As it ends it gives its memory back, which a last reading may have seen.
    let end = points.iter().filter(|(time, _)| *time > at - 1_200_000).map(|(_, value)| *value).max();
    let end = end.or(points.last().map(|(_, value)| *value)).unwrap_or(alone);
    let top = points.iter().map(|(_, value)| *value).max().unwrap_or(end).max(end);
    let below = points.iter().rfind(|(time, value)| *time < at - 300_000 && *value * 10 < end * 9);
    let first = points.first().map_or(at, |(time, _)| *time);
    Level {
        end,
        top,
        flat_us: at - below.map_or(first, |(time, _)| *time),
        grew: points.first().is_some_and(|(_, value)| *value * 3 < end * 2),
        limit: trace.limit(FieldId::Max, at),
    }
}

/// Memory then, of its limit.
fn held(context: &IncidentContext) -> Option<(u64, Option<u64>)> {
    let death = context.death.as_ref()?;
    let trace = death.cgroup.as_ref().and_then(|path| context.cgroups.get(path));
    let current = trace.and_then(|trace| trace.peak(FieldId::Current, context.at_us - 1_200_000, context.at_us));
    let usage = current.or(death.usage).or(death.peak_rss)?;
    Some((usage, death.limit.or_else(|| level(context).limit)))
}

/// Who ended, in which container.
pub fn who(death: &Death, called: impl Fn(&str) -> String) -> String {
    let cgroup = death.cgroup.as_deref().map(called);
    let container = || death.container.as_deref().map(|id| printable(&id.chars().take(12).collect::<String>()));
    match (death.comm.as_deref().map(printable), cgroup.or_else(container)) {
        (Some(comm), Some(cgroup)) if comm != cgroup => format!("`{comm}` in `{cgroup}`"),
        (Some(comm), _) => format!("`{comm}`"),
        (None, Some(cgroup)) => format!("The main process of `{cgroup}`"),
        (None, None) => "A process".into(),
    }
}

/// What happened, without who and when: for the line of a list.
pub fn what(death: &Death) -> String {
    let [verb, by] = how(death);
    format!("{verb}{by}")
}

/// How it ended, and by whom.
fn how(death: &Death) -> [String; 2] {
    let sent = death.sender.as_ref().filter(|sender| !sender.itself);
    let by = match (death.fatal(), sent) {
        (Some(_), Some(sender)) => format!(" by {}", by(sender)),
        (Some(KILL), None) if docker(death, KILL).is_some() => " by Docker".into(),
        (Some(KILL), None) => " by a sender that was not seen".into(),
        _ => String::new(),
    };
    let verb = match death.fatal() {
        Some(number) if number == KILL || sent.is_some() => format!("was killed ({})", signal(number)),
        Some(ABORT) => format!("ended itself ({})", end(death)),
        Some(_) => format!("crashed ({})", end(death)),
        None => format!("ended with {}", end(death)),
    };
    [verb, by]
}

/// What happened, in one sentence.
pub fn sentence(context: &IncidentContext, cause: CauseClass) -> String {
    let Some(death) = &context.death else { return String::new() };
    let who = who(death, |path| context.called(path));
    let at = time_of_day(context.at_us);
    let [mut verb, by] = how(death);
    if cause == CauseClass::OwnCeiling && death.crashed() {
        verb = format!("ended itself ({})", end(death));
    }
    let runtime = death.sender.as_ref().is_some_and(|sender| sender.kind() == SenderKind::Runtime);
    let more = match (cause, death.stop_before()) {
        (CauseClass::StopTimeout, Some((before_s, _))) => {
            format!(", because it did not stop within {before_s:.0} s of being asked to")
        }
        (CauseClass::Killed, _) if runtime => " (docker kill, docker rm -f, or the like)".into(),
        (CauseClass::OomDaemon, _) => ", which kills to save memory".into(),
        _ => String::new(),
    };
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
    let not = match &death.runtime {
        Some(account) if account.oom => "Docker says that the OOM killer came, which no other witness saw",
        _ if cause == CauseClass::OomDaemon => "not the kernel's OOM killer",
        _ if death.by_kernel() => "no OOM kill was seen",
        _ => "not an OOM kill",
    };
    let why = match cause {
        CauseClass::OwnCeiling => {
            let level = level(context);
            let known = own_ceiling(context);
            let ceiling = match death.address_limit {
                Some(limit) if known.is_none_or(|(_, sure)| sure < 0.6) => {
                    format!("its limit of address space (RLIMIT_AS) of {}", bytes(limit))
                }
                _ => known.map_or_else(|| "a ceiling of its own".into(), |(what, _)| what.to_owned()),
            };
            format!("; it stood at its own ceiling, {ceiling}, with {}", bytes(level.end))
        }
        CauseClass::ExitCode | CauseClass::Unknown => "; why is in its own output".into(),
        _ => String::new(),
    };
    format!("{who} {verb} at {at} UTC{by}{more}{others}: {not}; {memory}{why}.")
}

/// What to change.
pub fn advice(context: &IncidentContext, cause: CauseClass) -> Vec<Advice> {
    let Some(death) = &context.death else { return Vec::new() };
    let called = death.cgroup.as_deref().map_or_else(|| "the container".into(), |path| context.called(path));
    let new = |what: String, setting: Option<&str>, because: String| {
        vec![Advice { what, setting: setting.map(str::to_owned), because }]
    };
    let memory = held(context).map_or_else(
        || "its memory was not recorded".to_owned(),
        |(usage, limit)| match limit {
            Some(limit) => format!("it used {} of {}", bytes(usage), bytes(limit)),
            None => format!("it used {}, and has no limit", bytes(usage)),
        },
    );
    match cause {
        CauseClass::Killed => {
            let sender = death.sender.as_ref();
            let ask = match sender {
                Some(sender) if sender.kind() == SenderKind::Runtime => {
                    "Look for who called the runtime (docker events, the log of the daemon, a script of a deployment)"
                        .into()
                }
                Some(sender) => format!("Ask who ran {}", by(sender)),
                None => "Look for who sent it (docker events, audit, shell histories)".to_owned(),
            };
            new(format!("{ask}; a higher memory limit would have changed nothing."), None, memory)
        }
        CauseClass::StopTimeout => {
            let ignored = death.asked.as_ref().is_some_and(|asked| asked.ignored);
            let (what, setting) = if ignored {
                (
                    format!(
                        "Give {called} an init, or a handler for SIGTERM: as the first process of a container it ignores it."
                    ),
                    "compose: init: true   docker run --init",
                )
            } else {
                (
                    format!(
                        "Let {called} end when it is asked to (handle SIGTERM; `exec` in its start script), or give it more time."
                    ),
                    "compose: stop_grace_period: 30s   docker stop --time 30",
                )
            };
            let before = death.stop_before().map_or(0.0, |(before_s, _)| before_s);
            new(what, Some(setting), format!("it still ran {before:.0} s after it was asked to end"))
        }
        CauseClass::OomDaemon => new(
            format!(
                "Give the machine more memory or {called} a limit of its own, so that it meets that first; or exempt it from the daemon."
            ),
            Some("systemd: ManagedOOMPreference=avoid   earlyoom: --avoid REGEX"),
            memory,
        ),
        CauseClass::OwnCeiling => {
            let comm = ended_comm(context);
            let node = comm.is_some_and(|comm| comm != "java" && !comm.starts_with("python"));
            let setting = match (comm, death.address_limit) {
                (Some("java"), _) => {
                    "java -Xmx… or -XX:MaxRAMPercentage=75; -XX:+HeapDumpOnOutOfMemoryError shows what fills it"
                }
                (_, Some(_)) => "ulimit -v unlimited   systemd: LimitAS=infinity",
                _ if node => {
                    "NODE_OPTIONS=--max-old-space-size=MIB; --heapsnapshot-near-heap-limit=1 shows what fills it"
                }
                _ => "its own setting of memory",
            };
            new(
                format!(
                    "Find what fills the heap of {called}, or raise its own ceiling; raising the limit of the container alone changes nothing."
                ),
                Some(setting),
                memory,
            )
        }
        CauseClass::Crash => new(
            format!("Look at the output of {called} and at a core dump; memory was not why."),
            Some("coredumpctl info   docker logs"),
            memory,
        ),
        CauseClass::ExitCode => new(
            format!("Look at the last lines that {called} wrote; memory was not why it ended."),
            Some("docker logs --tail 50"),
            memory,
        ),
        _ => new(
            format!("Look at the output of {called}; record with the kernel probe (as root) to see who sends signals."),
            None,
            "no cause has enough evidence".into(),
        ),
    }
}

/// What could not be known of it.
pub fn unknown(death: &Death) -> Vec<String> {
    let mut all = Vec::new();
    if death.pid.is_none() {
        all.push("the kernel probe did not see it end: who sent a signal and how large it was are not known".into());
    } else if death.fatal() == Some(KILL) && death.sender.is_none() {
        all.push("who sent SIGKILL was not seen".into());
    } else if death.by_kernel() {
        all.push("the kernel sent the signal of its own accord, and does not say why".into());
    }
    if death.fatal() == Some(TERM) {
        all.push("a stop that was asked for looks the same".into());
    }
    all
}
