//! Deaths that are no OOM kill: the main process of a container, or a large one, that a signal or a failure ended.
//!
//! One pure classifier for a recording and for the agent: it hears events in the order of time, waits for the witnesses of an
//! OOM kill, and gives each death once. A stop that was asked for and came in time is none.

pub mod sender;
pub mod words;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use self::sender::{Sender, SenderKind};
use crate::model::event::What;
use crate::model::evidence::{Constraint, SentSignal, SignalOrigin};
use crate::model::paths::{is_below, name};
use crate::model::recording::TimedEvent;

/// A process that is not the main one of its container is an incident from this size on, bytes.
pub const LARGE: u64 = 64 << 20;
/// A death is known as none of the OOM killer's after this time: witnesses of a kill need a moment. Microseconds.
pub const WAIT_US: i64 = 3_000_000;
/// Processes of one container that end within this time end together.
const TOGETHER_US: i64 = 2_000_000;
/// An OOM kill explains what ends in its cgroup until this long after it.
const AFTER_KILL_US: i64 = 5_000_000;
/// A kill is forgotten after this time.
const KILL_US: i64 = 30_000_000;
/// What a runtime did is forgotten after this time: a stop may take long.
const ACCOUNT_US: i64 = 900_000_000;
/// What is kept of each, at most.
const MOST: usize = 4096;

/// `SIGABRT`.
pub const ABORT: u8 = 6;
/// `SIGKILL`.
pub const KILL: u8 = 9;
/// `SIGTERM`.
pub const TERM: u8 = 15;
/// Signals that ask to end: INT, QUIT, TERM. HUP asks most servers to read their configuration.
const STOPS: [u8; 3] = [2, 3, TERM];
/// Signals by which a program ends because of itself: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
const CRASHES: [u8; 7] = [4, 5, ABORT, 7, 8, 11, 31];

/// A process that ended, and not by the OOM killer. What is not known is absent; names are hostile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Death {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// Its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Id of its container, where the runtime reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its pid, initial namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// Whether it was the main process of its container, or the last of its cgroup.
    pub main: bool,
    /// Whether it was the first of a pid namespace: it ignores signals that it has no handler for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    /// Exit code, if it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// Signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// How long it lived, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lived_us: Option<u64>,
    /// Its highest resident memory, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss: Option<u64>,
    /// Memory of its cgroup then, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<u64>,
    /// Limit of its cgroup, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Its limit of address space (`RLIMIT_AS`), bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_limit: Option<u64>,
    /// Who sent the signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// Who had asked it to end before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Sender>,
    /// What the runtime says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Account>,
    /// Other processes of its container that ended with it, by a signal or a failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: usize,
    /// Whether an OOM kill explains it.
    #[serde(skip)]
    explained: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What a runtime says of the end of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The runtime: `docker`.
    pub by: String,
    /// The signals that it sent, with the seconds before the end.
    pub sent: Vec<(f64, u8)>,
    /// Whether it says that the OOM killer came.
    pub oom: bool,
    /// The exit code that it saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
}

impl Death {
    /// The signal that ended it, also where it or a shell made a code of it.
    pub fn fatal(&self) -> Option<u8> {
        self.signal.or_else(|| self.code.filter(|code| (129..160).contains(code)).map(|code| code - 128))
    }

    /// Whether a program ended itself this way: a crash, or an abort.
    pub fn crashed(&self) -> bool {
        self.fatal().is_some_and(|signal| CRASHES.contains(&signal))
    }

    /// Whether a process that is not its own sent the signal: the kernel is none.
    fn by_another(&self) -> Option<&Sender> {
        self.sender.as_ref().filter(|sender| !sender.itself && sender.origin != SignalOrigin::Kernel)
    }

    /// Whether it ended of its own: a crash, or a code.
    pub fn by_itself(&self) -> bool {
        (self.crashed() || self.fatal().is_none()) && self.sender.as_ref().is_none_or(|sender| sender.itself)
    }

    /// Whether somebody had asked it to end: seconds before, and who, if the probe saw it.
    pub fn stop_before(&self) -> Option<(f64, Option<&Sender>)> {
        let seen = self.asked.as_ref().map(|asked| ((self.time_us - asked.time_us) as f64 / 1e6, Some(asked)));
        let told = || {
            let sent = &self.runtime.as_ref()?.sent;
            sent.iter().find(|(_, signal)| STOPS.contains(signal)).map(|(before_s, _)| (*before_s, None))
        };
        seen.or_else(told)
    }

    /// Whether it is of the container of another.
    fn is_with(&self, other: &Death) -> bool {
        let of = |death: &Death, other: &Death| {
            let (Some(container), Some(path)) = (&death.container, &other.cgroup) else { return false };
            path.contains(container.as_str())
        };
        match (&self.cgroup, &other.cgroup) {
            (Some(a), Some(b)) if is_own(a) && is_own(b) => is_below(a, b) || is_below(b, a),
            _ => of(self, other) || of(other, self) || (self.container.is_some() && self.container == other.container),
        }
    }

    /// Whether it is worth a page: nobody asks about the others.
    fn matters(&self) -> bool {
        let sort = self.by_another().map(Sender::kind);
        let by_cgroup_kill = self.by_another().is_some_and(|sender| sender.origin == SignalOrigin::CgroupKill);
        // A runtime clears up behind a container whose main process has ended.
        let cleared = matches!(sort, Some(SenderKind::Runtime | SenderKind::Manager));
        if self.main || (by_cgroup_kill && !cleared) {
            // It never ran: the runtime says why.
            let unborn = self.comm.as_deref().is_some_and(|comm| comm.starts_with("runc:["));
            return match self.fatal() {
                Some(KILL) => self.runtime.is_some() || !self.by_kernel(),
                Some(signal) => CRASHES.contains(&signal),
                None => !unborn && self.stop_before().is_none(),
            };
        }
        if self.peak_rss.unwrap_or(0) < LARGE {
            return false;
        }
        match self.signal {
            // Its own container's supervisor may do as it likes.
            Some(KILL) => !cleared && self.by_another().is_some_and(|sender| sender.cgroup != self.cgroup),
            Some(signal) => CRASHES.contains(&signal) && self.by_another().is_none(),
            None => false,
        }
    }

    /// Whether the kernel sent the signal of its own accord: the OOM killer, or because the main process of the container ended.
    pub fn by_kernel(&self) -> bool {
        self.sender.as_ref().is_some_and(|sender| !sender.itself && sender.origin == SignalOrigin::Kernel)
    }
}

/// Whether a cgroup is one container or service, and not a folder of many.
fn is_own(path: &str) -> bool {
    path != "/" && !path.ends_with(".slice")
}

/// Whether the last process of a cgroup is its main one: not of a login, where shells come and go.
fn has_main(path: &str) -> bool {
    let is_container = |part: &str| {
        let short = name(part);
        short.len() == 12 && short.bytes().all(|byte| byte.is_ascii_hexdigit()) && part.len() >= 64
    };
    is_own(path) && (!path.ends_with(".scope") || path.split('/').any(is_container))
}

/// An OOM kill that was witnessed.
#[derive(Clone, Debug)]
struct Kill {
    time_us: i64,
    pids: [i32; 2],
    cgroup: Option<String>,
    /// Its limit, where all below it may be killed or the victim is not known.
    limit: Option<String>,
    /// Whether nothing is known of whom it took.
    blind: bool,
}

impl Kill {
    /// Whether it explains a death.
    fn explains(&self, death: &Death) -> bool {
        let since = death.time_us - self.time_us;
        if death.pid.is_some_and(|pid| self.pids.contains(&pid)) {
            return since.abs() < KILL_US;
        }
        // Who sent it is known: not the OOM killer.
        if death.signal == Some(KILL) && death.by_another().is_some() {
            return false;
        }
        if !(-1_000_000..AFTER_KILL_US).contains(&since) {
            return false;
        }
        let Some(path) = &death.cgroup else {
            let named = |cgroup: &String| death.container.as_ref().is_some_and(|id| cgroup.contains(id.as_str()));
            return self.cgroup.as_ref().is_some_and(named) || self.blind;
        };
        let own = self.cgroup.as_ref().is_some_and(|own| is_own(own) && (is_below(own, path) || is_below(path, own)));
        own || self.limit.as_ref().is_some_and(|limit| is_below(path, limit)) || self.blind
    }
}

/// What a runtime did, as it was reported.
#[derive(Clone, Debug)]
struct Done {
    time_us: i64,
    container: String,
    action: String,
    signal: Option<u8>,
}

/// Finds deaths in events as they come.
#[derive(Clone, Debug, Default)]
pub struct Deaths {
    waiting: VecDeque<Death>,
    kills: VecDeque<Kill>,
    done: VecDeque<Done>,
}

fn push<T>(last: &mut VecDeque<T>, one: T) {
    if last.len() == MOST {
        last.pop_front();
    }
    last.push_back(one);
}

impl Deaths {
    /// Whether an event says something of a death.
    pub fn wants(what: &What) -> bool {
        matches!(
            what,
            What::OomKill(_)
                | What::MoreOomKills(_)
                | What::OomWitness { .. }
                | What::ContainerEvent { .. }
                | What::ProcessExit { .. }
        )
    }

    /// Takes an event.
    pub fn on_event(&mut self, event: &TimedEvent) {
        let (time_us, cgroup) = (event.time_us, event.event.cgroup.clone());
        match &event.event.what {
            What::OomKill(kill) => {
                let victim = kill.victim.as_ref().map_or(0, |victim| victim.pid);
                let thread = kill.probe.as_ref().map_or(0, |probe| probe.thread);
                let group = kill.report.as_ref().is_some_and(|report| report.group);
                let limit = kill.limit_cgroup.clone().filter(|_| group || kill.victim_cgroup.is_none());
                let unplaced = kill.constraint == Constraint::Unknown || kill.limit_cgroup.is_none();
                let blind = victim == 0 && kill.victim_cgroup.is_none() && unplaced;
                let pids = [victim, thread];
                self.kill(Kill { time_us, pids, cgroup: kill.victim_cgroup.clone(), limit, blind });
            }
            // Of a storm's kills no more is known than where they were.
            What::MoreOomKills(more) => {
                let blind = more.victim_cgroup.is_none() && more.limit_cgroup.is_none();
                let limit = more.limit_cgroup.clone();
                self.kill(Kill { time_us, pids: [0, 0], cgroup: more.victim_cgroup.clone(), limit, blind });
            }
            // The witnesses come before the merged kill.
            What::OomWitness { report, probe, kills, .. } if *kills > 0 => {
                let reported = report.as_ref().map_or(0, |report| report.victim.pid);
                let seen = probe.as_ref().map_or(0, |probe| probe.victim.pid);
                if reported != 0 || seen != 0 || cgroup.is_some() {
                    self.kill(Kill { time_us, pids: [reported, seen], cgroup, limit: None, blind: false });
                }
            }
            What::ContainerEvent { runtime, container, action, signal, code } => {
                let by = runtime.clone();
                if action != "die" {
                    let (container, action, signal) = (container.clone(), action.clone(), *signal);
                    push(&mut self.done, Done { time_us, container, action, signal });
                    return;
                }
                if *code == Some(0) {
                    return;
                }
                let of = |done: &&Done| done.container == *container && time_us - done.time_us < ACCOUNT_US;
                let done: Vec<&Done> = self.done.iter().filter(of).collect();
                let before = |done: &&Done| Some(((time_us - done.time_us) as f64 / 1e6, done.signal?));
                let account = Account {
                    by,
                    sent: done.iter().filter_map(before).collect(),
                    oom: done.iter().any(|done| done.action == "oom" && time_us - done.time_us < KILL_US),
                    code: *code,
                };
                self.done.retain(|done| done.container != *container);
                let death = Death {
                    time_us,
                    cgroup,
                    container: Some(container.clone()),
                    main: true,
                    code: *code,
                    runtime: Some(account),
                    ..Death::default()
                };
                self.death(death);
            }
            What::ProcessExit { signal: None, code: Some(0) | None, .. } => {}
            What::ProcessExit {
                pid,
                comm,
                lived_us,
                peak_rss,
                code,
                signal,
                main,
                last,
                usage,
                limit,
                address_limit,
                signals,
                ..
            } => {
                let path = cgroup.as_deref().unwrap_or("/");
                let sent = |sent: &SentSignal| Sender::of(sent, *pid, time_us, event.event.mono_ns);
                let fatal = signals.iter().rev().find(|sent| Some(sent.signal) == *signal && !sent.ignored).map(sent);
                let asks = |sent: &&SentSignal| STOPS.contains(&sent.signal) && sent.sender_pid != *pid;
                let death = Death {
                    time_us,
                    main: (*main || *last) && has_main(path),
                    init: *main,
                    pid: Some(*pid),
                    comm: Some(comm.clone()),
                    code: *code,
                    signal: *signal,
                    lived_us: Some(*lived_us),
                    peak_rss: Some(*peak_rss),
                    usage: *usage,
                    limit: *limit,
                    address_limit: *address_limit,
                    sender: fatal,
                    asked: signals.iter().find(asks).filter(|asked| Some(asked.signal) != *signal).map(sent),
                    cgroup,
                    ..Death::default()
                };
                self.death(death);
            }
            _ => {}
        }
    }

    /// Kills and deaths are matched as they come: in a storm neither is kept until the other is looked at.
    fn kill(&mut self, kill: Kill) {
        for death in &mut self.waiting {
            death.explained |= kill.explains(death);
        }
        push(&mut self.kills, kill);
    }

    fn death(&mut self, mut death: Death) {
        death.explained = self.kills.iter().any(|kill| kill.explains(&death));
        push(&mut self.waiting, death);
    }

    /// The deaths that are known by now to be none of the OOM killer's, in order.
    pub fn poll(&mut self, now_us: i64) -> Vec<Death> {
        let mut found = Vec::new();
        while let Some(first) = self.waiting.front() {
            if first.time_us.saturating_add(WAIT_US) > now_us {
                break;
            }
            let Some(first) = self.waiting.pop_front() else { break };
            let mut together = vec![first];
            let mut at = 0;
            while let Some(next) = self.waiting.get(at) {
                if next.time_us - together[0].time_us < TOGETHER_US && next.is_with(&together[0]) {
                    together.extend(self.waiting.remove(at));
                } else {
                    at += 1;
                }
            }
            found.extend(one(together));
        }
        while self.kills.front().is_some_and(|kill| kill.time_us.saturating_add(KILL_US) < now_us) {
            self.kills.pop_front();
        }
        found
    }
}

/// The death that stands for all of a container that ended together, if they matter and the OOM killer does not explain them.
fn one(mut together: Vec<Death>) -> Option<Death> {
    // What the runtime says is of the main process.
    if let Some(at) = together.iter().position(|death| death.pid.is_none())
        && let Some(main) = together.iter().position(|death| death.main && death.pid.is_some())
    {
        let account = together[at].clone();
        (together[main].runtime, together[main].container) = (account.runtime, account.container);
        together.retain(|death| death.pid.is_some());
    }
    together.retain(|death| !death.explained);
    // The main process was asked to end and did: what ended with it is cleared up.
    if together.iter().any(|death| death.main && !death.matters()) && !together.iter().any(Death::crashed) {
        return None;
    }
    // What a signal ended comes before what passes that on as a code.
    let first = |death: &&Death| (death.signal.is_some(), death.peak_rss, death.main);
    let mattering = together.iter().filter(|death| death.matters()).max_by_key(first)?;
    // A shell that passes a code on is not the one that failed.
    let failed = together.iter().filter(|death| death.by_itself() && mattering.by_itself()).max_by_key(first);
    let mut death = failed.unwrap_or(mattering).clone();
    let main = together.iter().find(|death| death.runtime.is_some());
    death.runtime = main.and_then(|main| main.runtime.clone());
    Some(Death { others: together.len() - 1, ..death })
}

/// The deaths of a recording, in the order of time.
pub fn find(events: &[TimedEvent]) -> Vec<Death> {
    let mut deaths = Deaths::default();
    let mut found = Vec::new();
    for event in events {
        found.extend(deaths.poll(event.time_us));
        deaths.on_event(event);
    }
    found.extend(deaths.poll(i64::MAX));
    found
}

/// Whether processes that end were watched for at all: by the probe, which sees each.
pub fn watched(events: &[TimedEvent]) -> bool {
    let sees = |event: &TimedEvent| match &event.event.what {
        What::ProbeAttached { jobs } => jobs.iter().any(|(job, _)| job == "process_exit"),
        _ => false,
    };
    events.iter().any(sees)
}

/// What a recording without an incident says of itself.
pub fn all_clear(events: &[TimedEvent]) -> &'static str {
    if watched(events) {
        "no incident: no OOM kill, no container or large process that failed, and each run ends with the recorder's goodbye"
    } else {
        "no incident: no OOM kill, and each run ends with the recorder's goodbye; processes that ended for another reason were not \
         watched (that needs the kernel probe)"
    }
}

#[cfg(test)]
mod tests;
