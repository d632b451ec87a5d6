//! Something that happened, or time that was not seen.

use serde::{Deserialize, Serialize};

use crate::model::details::MemoryDetails;
use crate::model::evidence::{MoreOomKills, OomKill, OomReport, ProbeReport, SentSignal};
use crate::model::identity::Identity;
use crate::model::own_memory::OwnMemory;

/// What happened. The serde tag is the event's `kind` in every format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The agent began to sample.
    AgentStart {
        /// Version of the agent.
        version: String,
        /// Fast interval, microseconds.
        interval_us: u64,
        /// Slow interval, microseconds.
        slow_interval_us: u64,
    },
    /// The agent stopped cleanly. A recording without it ended abruptly.
    AgentStop {
        /// Why it stopped: a signal's name, or what ended.
        reason: String,
    },
    /// A protection, a source or a right is missing; the agent goes on without it.
    Degraded {
        /// What is missing, why, and what it costs.
        what: String,
    },
    /// A cgroup appeared.
    CgroupCreated,
    /// A cgroup went away.
    CgroupRemoved,
    /// What the runtime calls a cgroup. Recorded once it is known, which may be after the end of the cgroup, and again in each segment.
    Named(Box<Identity>),
    /// Somebody changed a limit. `None` is unlimited.
    LimitChanged {
        /// Column of the limit.
        limit: String,
        /// Value before.
        from: Option<u64>,
        /// Value now.
        to: Option<u64>,
    },
    /// memory.events counters rose, by notification.
    MemoryEvents {
        /// Column and by how much it rose.
        rose: Vec<(String, u64)>,
    },
    /// A PSI trigger fired: stalls of at least this much within the window.
    Pressure {
        /// `some` or `full`.
        of: String,
        /// Stall that fires the trigger, microseconds.
        stall_us: u64,
        /// Window, microseconds.
        window_us: u64,
    },
    /// What one witness of OOM kills saw.
    OomWitness {
        /// `kmsg`, `probe`, `memory.events` or `vmstat`.
        witness: String,
        /// Kills it counted.
        kills: u64,
        /// The kernel's report, when the witness is kmsg.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        report: Option<Box<OomReport>>,
        /// What the probe saw, when the witness is the probe.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probe: Option<Box<ProbeReport>>,
    },
    /// The kernel probe is in place.
    ProbeAttached {
        /// What each of its programs does, and by which way it is attached. What is refused is in a `degraded` event.
        jobs: Vec<(String, String)>,
    },
    /// What the probe read of a cgroup as it was removed: of one too brief for a sample, all there is.
    CgroupLast {
        /// Highest usage, bytes.
        peak: u64,
        /// OOM kills in it, without descendants.
        oom_kills: u64,
    },
    /// Tasks of the cgroup had to reclaim memory themselves before their request was served; in the last second, by the probe.
    Stalls {
        /// How many times.
        count: u64,
        /// How long in all, microseconds.
        time_us: u64,
        /// The longest since the probe was loaded, microseconds.
        longest_us: u64,
        /// Pages that were reclaimed.
        pages: u64,
        /// Bucket `n` counts the stalls of `2^n` up to `2^(n+1)` microseconds; without empty ones at the end.
        histogram: Vec<u64>,
    },
    /// A process was moved into the cgroup, by the probe. One that was born in it is not reported.
    ProcessJoined {
        /// Pid in the initial pid namespace.
        pid: i32,
        /// Pid in its own pid namespace.
        own_pid: i32,
        /// Name; untrusted.
        comm: String,
    },
    /// A process of the cgroup ended, by the probe: one that was killed, that had at least 4 MiB resident, or a main process that
    /// failed. At most 250 a second: `exits_left_out` counts the others.
    ProcessExit {
        /// Pid in the initial pid namespace.
        pid: i32,
        /// Pid in its own pid namespace.
        own_pid: i32,
        /// Name; untrusted.
        comm: String,
        /// Owner.
        uid: u32,
        /// How long it lived, microseconds.
        lived_us: u64,
        /// Highest resident memory, bytes.
        peak_rss: u64,
        /// Exit code, if it ended by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u8>,
        /// Signal that killed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<u8>,
        /// Whether it was the first of its pid namespace: the main process of a container.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        main: bool,
        /// Whether no other task was left in its cgroups.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        last: bool,
        /// Usage of the cgroup then, bytes; on kernels before 6.18 without the process's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<u64>,
        /// Limit of the cgroup then, bytes; absent where it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        /// Its limit of address space (`RLIMIT_AS`), bytes; absent where it had none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address_limit: Option<u64>,
        /// The signals that it was sent, the last four that may end a process.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        signals: Vec<SentSignal>,
    },
    /// Ends of processes that were not recorded one by one, because there were too many in a second.
    ExitsLeftOut {
        /// How many since the event before.
        count: u64,
    },
    /// What a runtime itself reports of the end of a container.
    ContainerEvent {
        /// The runtime: `docker`.
        runtime: String,
        /// Id of the container.
        container: String,
        /// Its word for it: `kill`, `stop`, `oom` or `die`.
        action: String,
        /// The signal that it sent, of `kill`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<u8>,
        /// Exit code, of `die`: 128 and the number of the signal where one ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u8>,
    },
    /// One kill, merged from its witnesses.
    OomKill(Box<OomKill>),
    /// Kills beyond those of a storm that are events of their own.
    MoreOomKills(Box<MoreOomKills>),
    /// The analysis that reads along has seen a leak in several looks in a row, or as often that there is none any more.
    Leak {
        /// Whether it leaks.
        leaks: bool,
        /// The kind of memory that grows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        component: Option<String>,
        /// Pace, bytes a second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_per_s: Option<f64>,
        /// Seconds until the first limit is reached: its own, an ancestor's or the machine's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time_to_limit_s: Option<f64>,
        /// How likely it grows without bound, 0 to 1.
        probability: f64,
        /// Why, in plain words.
        evidence: Vec<String>,
    },
    /// The guard did something, or would have: it only says so in a dry run.
    Guard {
        /// `begin`, `raise`, `restore`, `reclaim`, `tell_runtime`, or `hold`: nothing was done, and why.
        action: String,
        /// Whether it was done.
        applied: bool,
        /// Limits before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Guarded>,
        /// Limits after.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Guarded>,
        /// Bytes of page cache to reclaim.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// Why.
        reason: String,
        /// Why it could not be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// What holds memory, by name: when the recording begins, and when it has changed.
    MemoryDetails(Box<MemoryDetails>),
    /// Memory that a process of the cgroup manages by itself: when it was first seen, when it has changed, and now and then.
    OwnMemory(Box<OwnMemory>),
    /// Time that was not seen.
    Gap {
        /// First moment not seen, monotonic nanoseconds.
        from_ns: u64,
        /// First moment seen again, monotonic nanoseconds.
        to_ns: u64,
        /// Passes that were taken but lost.
        lost_passes: u64,
        /// Why.
        reason: String,
    },
    /// Ticks came too late to be kept.
    MissedTicks {
        /// How many since the event before.
        count: u64,
    },
    /// The wall clock was set.
    ClockStep {
        /// By how much, microseconds; negative is back.
        by_us: i64,
    },
    /// The rate of a cgroup (burst) or of the whole agent (budget) changed.
    RateChanged {
        /// Interval now, microseconds.
        interval_us: u64,
        /// Why.
        reason: String,
    },
    /// A journal of an earlier run was found unsealed and was recovered.
    Recovered {
        /// Segment file.
        segment: String,
        /// Whole frames found.
        frames: u64,
        /// Bytes of the torn tail that was cut.
        torn_bytes: u64,
        /// Bytes skipped as corrupt before the tail.
        corrupt_bytes: u64,
        /// Nothing before it was in them, monotonic nanoseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_ns: Option<u64>,
        /// Nothing after it was in them, monotonic nanoseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to_ns: Option<u64>,
    },
}

impl EventKind {
    /// The event's kind, as in every format.
    pub fn kind(&self) -> &'static str {
        match self {
            EventKind::AgentStart { .. } => "agent_start",
            EventKind::AgentStop { .. } => "agent_stop",
            EventKind::Degraded { .. } => "degraded",
            EventKind::CgroupCreated => "cgroup_created",
            EventKind::CgroupRemoved => "cgroup_removed",
            EventKind::Named(_) => "named",
            EventKind::LimitChanged { .. } => "limit_changed",
            EventKind::MemoryEvents { .. } => "memory_events",
            EventKind::Pressure { .. } => "pressure",
            EventKind::OomWitness { .. } => "oom_witness",
            EventKind::ProbeAttached { .. } => "probe_attached",
            EventKind::CgroupLast { .. } => "cgroup_last",
            EventKind::Stalls { .. } => "stalls",
            EventKind::ProcessJoined { .. } => "process_joined",
            EventKind::ProcessExit { .. } => "process_exit",
            EventKind::ExitsLeftOut { .. } => "exits_left_out",
            EventKind::ContainerEvent { .. } => "container_event",
            EventKind::OomKill(_) => "oom_kill",
            EventKind::MoreOomKills(_) => "more_oom_kills",
            EventKind::Leak { .. } => "leak",
            EventKind::Guard { .. } => "guard",
            EventKind::MemoryDetails(_) => "memory_details",
            EventKind::OwnMemory(_) => "own_memory",
            EventKind::Gap { .. } => "gap",
            EventKind::MissedTicks { .. } => "missed_ticks",
            EventKind::ClockStep { .. } => "clock_step",
            EventKind::RateChanged { .. } => "rate_changed",
            EventKind::Recovered { .. } => "recovered",
        }
    }

    /// Whether the disk should have it before anything else happens.
    pub fn is_urgent(&self) -> bool {
        matches!(
            self,
            EventKind::OomKill(_)
                | EventKind::MoreOomKills(_)
                | EventKind::OomWitness { .. }
                | EventKind::Pressure { .. }
                | EventKind::AgentStop { .. }
        )
    }
}

/// Limits that the guard met or set, bytes. `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// memory.high, which throttles; absent on v1 too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<u64>,
    /// memory.max, which kills.
    pub max: Option<u64>,
}

/// An event, when and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub mono_ns: u64,
    /// Path of the cgroup it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

impl Event {
    /// An event about the host or the agent, now.
    pub fn now(what: EventKind) -> Event {
        Event { mono_ns: crate::model::time::mono_ns(), cgroup: None, what }
    }

    /// An event about a cgroup, now.
    pub fn of(cgroup: &str, what: EventKind) -> Event {
        Event { cgroup: Some(cgroup.to_owned()), ..Event::now(what) }
    }
}
