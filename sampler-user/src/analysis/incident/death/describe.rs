//! A death in words: who, how, and by whom.

use crate::analysis::incident::death::process_end::{ABORT, Death, KILL, TERM};
use crate::analysis::incident::death::sender::Sender;
use crate::model::evidence::SignalOrigin;
use crate::model::units::printable;

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

/// Seconds before the end at which Docker sent a signal, by its own account.
pub fn docker(death: &Death, number: u8) -> Option<f64> {
    let sent = &death.runtime.as_ref()?.sent;
    sent.iter().find(|(_, signal)| *signal == number).map(|(before_s, _)| *before_s)
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
pub fn how(death: &Death) -> [String; 2] {
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

/// What could not be known of it.
pub fn unknown(death: &Death) -> Vec<String> {
    let mut all = Vec::new();
    if death.pid.is_none() {
        all.push("the kernel probe did not see it end: who sent a signal and how large it was are not known".into());
    } else if death.fatal() == Some(KILL) && death.sender.is_none() {
        all.push("who sent SIGKILL was not seen".into());
    } else if death.by_kernel() {
        all.push("the kernel sent the signal of its own accord, for a reason that it does not report".into());
    }
    if death.fatal() == Some(TERM) {
        all.push("a stop that was asked for looks the same".into());
    }
    all
}
