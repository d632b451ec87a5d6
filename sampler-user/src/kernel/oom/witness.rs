//! What the witnesses of OOM kills saw.

use crate::model::evidence::{OomReport, ProbeReport, Usage};

/// What a witness saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Witness {
    /// The kernel's log.
    Kmsg {
        /// When it was read, monotonic nanoseconds.
        time_ns: u64,
        /// The report.
        report: Box<OomReport>,
    },
    /// The kernel probe.
    Probe {
        /// What it saw.
        report: Box<ProbeReport>,
    },
    /// memory.events.local (v1: memory.oom_control) of one cgroup, without descendants.
    Counter {
        /// When it was read, monotonic nanoseconds.
        time_ns: u64,
        /// When it was read before: the kills lie between.
        since_ns: u64,
        /// The cgroup.
        cgroup: String,
        /// Victims in this cgroup.
        kills: u64,
        /// OOMs by this cgroup's own limit.
        ooms: u64,
        /// Group kills.
        group_kills: u64,
    },
    /// The OOM notification of cgroup v1 (memory.oom_control by eventfd), which the cgroup whose limit was hit gets before a kill, and
    /// all below it.
    Notified {
        /// When it came, monotonic nanoseconds.
        time_ns: u64,
        /// Who got it.
        cgroup: String,
        /// What it held then, and its limit.
        usage: Option<Usage>,
    },
    /// The host's count.
    Vmstat {
        /// When it was read, monotonic nanoseconds.
        time_ns: u64,
        /// When it was read before.
        since_ns: u64,
        /// Victims on the whole host.
        kills: u64,
    },
}

impl Witness {
    /// When it was seen or read, monotonic nanoseconds.
    pub(super) fn time_ns(&self) -> u64 {
        match self {
            Witness::Kmsg { time_ns, .. }
            | Witness::Counter { time_ns, .. }
            | Witness::Notified { time_ns, .. }
            | Witness::Vmstat { time_ns, .. } => *time_ns,
            Witness::Probe { report } => report.time_ns,
        }
    }
}

/// Which witnesses can be read beside the counters. A kill that all of them have seen need not wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The kernel's log can be read.
    pub kmsg: bool,
    /// The probe sees victims.
    pub probe: bool,
}
