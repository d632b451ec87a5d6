//! Finds the deaths among the events of a recording, or as an agent sees them.
//!
//! One pure classifier for both: it takes events in the order of time, waits for the witnesses of an OOM kill, and returns each
//! death once. A stop that was asked for and came in time is none.

use std::collections::VecDeque;

use crate::analysis::incident::death::process_end::{Account, Death, KILL, STOPS, has_main, is_own};
use crate::analysis::incident::death::sender::Sender;
use crate::model::event::EventKind;
use crate::model::evidence::{Constraint, SentSignal};
use crate::model::paths::is_below;
use crate::model::recording::TimedEvent;

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
pub(super) const MOST: usize = 4096;

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
pub struct DeathFinder {
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

impl DeathFinder {
    /// Whether an event matters for a death.
    pub fn wants(what: &EventKind) -> bool {
        matches!(
            what,
            EventKind::OomKill(_)
                | EventKind::MoreOomKills(_)
                | EventKind::OomWitness { .. }
                | EventKind::ContainerEvent { .. }
                | EventKind::ProcessExit { .. }
        )
    }

    /// Takes an event.
    pub fn on_event(&mut self, event: &TimedEvent) {
        let (time_us, cgroup) = (event.time_us, event.event.cgroup.clone());
        match &event.event.what {
            EventKind::OomKill(kill) => {
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
            EventKind::MoreOomKills(more) => {
                let blind = more.victim_cgroup.is_none() && more.limit_cgroup.is_none();
                let limit = more.limit_cgroup.clone();
                self.kill(Kill { time_us, pids: [0, 0], cgroup: more.victim_cgroup.clone(), limit, blind });
            }
            // The witnesses come before the merged kill.
            EventKind::OomWitness { report, probe, kills, .. } if *kills > 0 => {
                let reported = report.as_ref().map_or(0, |report| report.victim.pid);
                let seen = probe.as_ref().map_or(0, |probe| probe.victim.pid);
                if reported != 0 || seen != 0 || cgroup.is_some() {
                    self.kill(Kill { time_us, pids: [reported, seen], cgroup, limit: None, blind: false });
                }
            }
            EventKind::ContainerEvent { runtime, container, action, signal, code } => {
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
            EventKind::ProcessExit { signal: None, code: Some(0) | None, .. } => {}
            EventKind::ProcessExit {
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
    // The runtime's account is of the main process.
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
///
/// ```
/// use sampler::analysis::incident::death::{describe, find};
/// use sampler::model::recording::TimedEvent;
///
/// let exit = r#"{"mono_ns": 5, "cgroup": "/docker/web", "kind": "process_exit", "pid": 7, "own_pid": 1, "comm": "nginx", "uid": 0,
///     "lived_us": 1, "peak_rss": 900000000, "signal": 11, "main": true}"#;
/// let deaths = find(&[TimedEvent { time_us: 5, event: serde_json::from_str(exit)? }]);
/// assert_eq!(describe::who(&deaths[0], |path| path.to_owned()), "`nginx` in `/docker/web`");
/// assert_eq!(describe::what(&deaths[0]), "crashed (SIGSEGV)");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn find(events: &[TimedEvent]) -> Vec<Death> {
    let mut deaths = DeathFinder::default();
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
        EventKind::ProbeAttached { jobs } => jobs.iter().any(|(job, _)| job == "process_exit"),
        _ => false,
    };
    events.iter().any(sees)
}

/// The all-clear of a recording without an incident.
pub fn all_clear(events: &[TimedEvent]) -> &'static str {
    if watched(events) {
        "no incident: no OOM kill, no container or large process that failed, and each run ended with a clean stop of the recorder"
    } else {
        "no incident: no OOM kill, and each run ended with a clean stop of the recorder; processes that ended for another reason were not \
         watched (that needs the kernel probe)"
    }
}
