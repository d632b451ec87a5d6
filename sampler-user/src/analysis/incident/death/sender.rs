//! Who sends signals that end processes.

use serde::{Deserialize, Serialize};

use crate::model::evidence::{SentSignal, SignalOrigin};

/// The sender of a signal, as the kernel knows it. The name is hostile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sender {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// The signal.
    pub signal: u8,
    /// Where it came from.
    pub origin: SignalOrigin,
    /// Whether the process sent it to itself, or had a fault.
    pub itself: bool,
    /// Whether it is a fault (`si_code` above zero).
    pub fault: bool,
    /// Whether the process ignored it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
    /// Pid, initial namespace.
    pub pid: i32,
    /// Owner.
    pub uid: u32,
    /// Name.
    pub comm: String,
    /// cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

/// What kind of program a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderKind {
    /// A runtime of containers.
    Runtime,
    /// A manager of services.
    Manager,
    /// A user-space OOM killer.
    OomKiller,
    /// A shell, or a tool that a person or a script uses.
    Person,
    /// Any other.
    Other,
}

/// Programs by their name, of which the kernel keeps 15 bytes.
const TABLE: [(SenderKind, &[&str]); 4] = [
    (
        SenderKind::Runtime,
        &[
            "runc",
            "crun",
            "youki",
            "runsc",
            "containerd-shim",
            "containerd",
            "dockerd",
            "docker-init",
            "conmon",
            "podman",
            "crio",
            "kubelet",
            "lxd",
            "incusd",
        ],
    ),
    (SenderKind::Manager, &["systemd", "supervisord", "s6-supervise", "runsv", "init"]),
    (
        SenderKind::OomKiller,
        &["systemd-oomd", "earlyoom", "nohang", "oomd", "lmkd", "bustd", "low-memory-moni", "psi-notify", "oom-killer"],
    ),
    (
        SenderKind::Person,
        &[
            "bash", "sh", "dash", "zsh", "fish", "ksh", "kill", "pkill", "killall", "sudo", "su", "htop", "top",
            "busybox", "timeout", "tee", "gdb",
        ],
    ),
];

impl Sender {
    /// Who sent a signal to a process that ended: `time_us` and `mono_ns` are the same moment by both clocks.
    pub fn of(sent: &SentSignal, pid: i32, time_us: i64, mono_ns: u64) -> Sender {
        Sender {
            time_us: time_us - (mono_ns.saturating_sub(sent.time_ns) / 1000) as i64,
            signal: sent.signal,
            origin: sent.origin,
            itself: sent.sender_pid == pid && sent.origin == SignalOrigin::Process,
            fault: sent.code > 0,
            ignored: sent.ignored,
            pid: sent.sender_pid,
            uid: sent.sender_uid,
            comm: sent.sender_comm.clone(),
            cgroup: sent.sender_cgroup.clone(),
        }
    }

    /// What kind of program it is, by its name.
    pub fn kind(&self) -> SenderKind {
        let is = |names: &[&str]| names.iter().any(|name| *name == self.comm);
        if self.comm.starts_with("runc:[") {
            return SenderKind::Runtime;
        }
        TABLE.iter().find(|(_, names)| is(names)).map_or(SenderKind::Other, |(sort, _)| *sort)
    }
}
