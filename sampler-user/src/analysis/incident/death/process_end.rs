//! A death: a process that ended by a signal or a failure, and not by the OOM killer.

use serde::{Deserialize, Serialize};

use crate::analysis::incident::death::sender::{Sender, SenderKind};
use crate::model::evidence::SignalOrigin;
use crate::model::paths::{is_below, name};

/// A process that is not the main one of its container is an incident from this size on, bytes.
pub const LARGE: u64 = 64 << 20;

/// `SIGABRT`.
pub const ABORT: u8 = 6;
/// `SIGKILL`.
pub const KILL: u8 = 9;
/// `SIGTERM`.
pub const TERM: u8 = 15;
/// Signals that ask to end: INT, QUIT, TERM. HUP asks most servers to read their configuration.
pub(super) const STOPS: [u8; 3] = [2, 3, TERM];
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
    /// The account of the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Account>,
    /// Other processes of its container that ended with it, by a signal or a failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: usize,
    /// Whether an OOM kill explains it.
    #[serde(skip)]
    pub(super) explained: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A runtime's account of the end of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The runtime: `docker`.
    pub by: String,
    /// The signals that it sent, with the seconds before the end.
    pub sent: Vec<(f64, u8)>,
    /// Whether it reports an OOM kill.
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
    pub(super) fn by_another(&self) -> Option<&Sender> {
        self.sender.as_ref().filter(|sender| !sender.itself && sender.origin != SignalOrigin::Kernel)
    }

    /// Whether it ended of its own: a crash, or a code.
    pub fn by_itself(&self) -> bool {
        (self.crashed() || self.fatal().is_none()) && self.sender.as_ref().is_none_or(|sender| sender.itself)
    }

    /// Whether somebody had asked it to end: seconds before, and who, if the probe saw it.
    pub fn stop_before(&self) -> Option<(f64, Option<&Sender>)> {
        let seen = self.asked.as_ref().map(|asked| ((self.time_us - asked.time_us) as f64 / 1e6, Some(asked)));
        let reported = || {
            let sent = &self.runtime.as_ref()?.sent;
            sent.iter().find(|(_, signal)| STOPS.contains(signal)).map(|(before_s, _)| (*before_s, None))
        };
        seen.or_else(reported)
    }

    /// Whether it is of the container of another.
    pub(super) fn is_with(&self, other: &Death) -> bool {
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
    pub(super) fn matters(&self) -> bool {
        let sort = self.by_another().map(Sender::kind);
        let by_cgroup_kill = self.by_another().is_some_and(|sender| sender.origin == SignalOrigin::CgroupKill);
        // A runtime clears up behind a container whose main process has ended.
        let cleared = matches!(sort, Some(SenderKind::Runtime | SenderKind::Manager));
        if self.main || (by_cgroup_kill && !cleared) {
            // It never ran: the runtime reports why.
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
pub(super) fn is_own(path: &str) -> bool {
    path != "/" && !path.ends_with(".slice")
}

/// Whether the last process of a cgroup is its main one: not of a login, where shells come and go.
pub(super) fn has_main(path: &str) -> bool {
    let is_container = |part: &str| {
        let short = name(part);
        short.len() == 12 && short.bytes().all(|byte| byte.is_ascii_hexdigit()) && part.len() >= 64
    };
    is_own(path) && (!path.ends_with(".scope") || path.split('/').any(is_container))
}
