//! What wakes the control loop, already read from the kernel.

use crate::kernel::oom::witness::Expected;
use crate::kernel::probe::events::ProbeEvent;
use crate::model::evidence::OomReport;
use crate::model::time::Anchor;
use crate::record::notices::Notice;

/// What woke the control loop.
#[derive(Debug)]
pub enum Wake {
    /// The recording begins.
    Start(Start),
    /// A cgroup existed before the recording began.
    Found {
        /// Path below the root.
        path: String,
        /// Its kernfs id.
        id: u64,
    },
    /// A cgroup appeared.
    Created {
        /// Path below the root.
        path: String,
        /// Its kernfs id; 0 if it was gone before it could be looked at.
        id: u64,
    },
    /// A cgroup went away.
    Removed {
        /// Path below the root.
        path: String,
        /// The kernfs id it had; 0 if it was never known.
        id: u64,
        /// What its counters still reported.
        last: Vec<Notice>,
    },
    /// Notices of counters and pressure triggers.
    Notices(Vec<Notice>),
    /// OOM reports of the kernel's log.
    Log(Vec<OomReport>),
    /// Events of the kernel probe.
    Probe(Vec<ProbeEvent>),
    /// Loading the kernel probe has ended.
    ProbeLoaded {
        /// What is attached by which method; `None` without a probe.
        attached: Option<Attached>,
        /// What the probe lacks, in words.
        lacks: Vec<String>,
    },
    /// The host's count of OOM kills was read; `None` if it cannot be.
    HostKills(Option<u64>),
    /// The deadline of [`Control::deadline`](super::control::Control::deadline) has passed.
    Due,
    /// A second has passed.
    Second(Second),
    /// The recording is to end: all other sources were read one last time.
    Stop {
        /// What the probe counts.
        probe: ProbeCounts,
        /// The host's count of OOM kills.
        host_kills: Option<u64>,
    },
    /// The sampling threads have ended.
    Stopped {
        /// Why the recording ended.
        reason: String,
    },
}

/// The state of things when the recording begins.
#[derive(Debug)]
pub struct Start {
    /// Both clocks.
    pub clock: Anchor,
    /// CPU time of this process, nanoseconds.
    pub cpu_ns: u64,
    /// The host's count of OOM kills.
    pub host_kills: Option<u64>,
    /// Which witnesses of kills can be read so far.
    pub expected: Expected,
    /// Protections and sources that are missing, in words.
    pub degraded: Vec<String>,
}

/// What the kernel probe does.
#[derive(Debug)]
pub struct Attached {
    /// Its features and how they are attached.
    pub jobs: Vec<(String, String)>,
    /// Whether it sees the victims of OOM kills.
    pub sees_victims: bool,
}

/// What is read once a second.
#[derive(Debug)]
pub struct Second {
    /// Both clocks.
    pub clock: Anchor,
    /// CPU time of this process, nanoseconds.
    pub cpu_ns: u64,
    /// The host's count of OOM kills.
    pub host_kills: Option<u64>,
    /// What the probe counts.
    pub probe: ProbeCounts,
}

/// What the kernel probe counted since the last look.
#[derive(Debug, Default)]
pub struct ProbeCounts {
    /// Whether the kernel refused a walk.
    pub walk_failed: bool,
    /// Stalls, by kernfs id of the cgroup.
    pub stalls: Vec<(u64, sampler_ebpf::Stalls)>,
    /// Events that came faster than they were read.
    pub lost: u64,
}
