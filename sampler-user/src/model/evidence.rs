//! What is known of an OOM kill: what each witness saw, and the kill merged from them.

use serde::{Deserialize, Serialize};

/// Why the OOM killer came (`enum oom_constraint`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// A memory cgroup hit its limit.
    Memcg,
    /// The whole machine ran out.
    None,
    /// The nodes of a cpuset ran out.
    Cpuset,
    /// The nodes of a memory policy ran out.
    MemoryPolicy,
    /// No witness said.
    #[default]
    Unknown,
}

/// The task that asked for the memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Name; hostile.
    pub comm: String,
    /// Allocation flags as printed.
    pub gfp_mask: String,
    /// Order of the request.
    pub order: i64,
    /// Its `oom_score_adj`.
    pub oom_score_adj: i64,
}

/// The task that was killed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Victim {
    /// Pid in the initial pid namespace.
    pub pid: i32,
    /// Name; hostile.
    pub comm: String,
    /// Owner.
    pub uid: u32,
    /// Virtual size, bytes; 0 where no witness reported any of the sizes, as no process that is killed has none.
    pub total_vm: u64,
    /// Resident anonymous memory, bytes.
    pub anon_rss: u64,
    /// Resident mapped files, bytes.
    pub file_rss: u64,
    /// Resident shared memory, bytes.
    pub shmem_rss: u64,
    /// Page tables, bytes.
    pub pgtables: u64,
    /// Its `oom_score_adj`.
    pub oom_score_adj: i64,
}

/// A line of the kernel's table of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    /// Pid in the initial pid namespace.
    pub pid: i32,
    /// Owner.
    pub uid: u32,
    /// Virtual size, bytes.
    pub total_vm: u64,
    /// Resident memory, bytes.
    pub rss: u64,
    /// Swap, bytes.
    pub swap: u64,
    /// Page tables, bytes.
    pub pgtables: u64,
    /// Its `oom_score_adj`.
    pub oom_score_adj: i64,
    /// Name; hostile.
    pub comm: String,
}

/// Usage and limit as the report prints them, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Usage.
    pub usage: u64,
    /// Limit; `None` is unlimited.
    pub limit: Option<u64>,
    /// Times the limit was hit.
    pub failcnt: u64,
}

/// The memory of the machine as a report prints it (`Mem-Info`), bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineMemory {
    /// What the kernel manages: all pages but the reserved ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Swap there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_total: Option<u64>,
    /// Swap that was free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_free: Option<u64>,
    /// What the memory was: `active_anon`, `slab_unreclaimable`, `free` and others, as the kernel calls them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(String, u64)>,
    /// Its zones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    /// Set aside for huge pages, used or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub huge_pages: Option<u64>,
    /// The largest caches of the slab that cannot be reclaimed, where they are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slabs: Vec<(String, u64)>,
}

impl MachineMemory {
    /// A part by the kernel's name for it, bytes.
    pub fn part(&self, name: &str) -> Option<u64> {
        self.parts.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

/// A zone of the machine's memory, bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// NUMA node.
    pub node: u32,
    /// `DMA`, `DMA32`, `Normal`, `HighMem`, `Movable`.
    pub name: String,
    /// Free.
    pub free: u64,
    /// Below so much only few allocations are served.
    pub min: u64,
    /// What the kernel manages of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<u64>,
}

/// The kernel's report of one kill, from its log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OomReport {
    /// Sequence number of the record that names the victim.
    pub seq: u64,
    /// Its time by the log's clock, microseconds since boot.
    pub time_us: u64,
    /// Why the OOM killer came.
    pub constraint: Constraint,
    /// cgroup whose limit was hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_memcg: Option<String>,
    /// cgroup of the victim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_memcg: Option<String>,
    /// Who asked for the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Who was killed.
    pub victim: Victim,
    /// Memory of the limit's cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Usage>,
    /// Swap of the limit's cgroup (on v1 memory and swap).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<Usage>,
    /// Kernel memory of the limit's cgroup, which v1 counts by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kmem: Option<Usage>,
    /// memory.stat of the limit's cgroup as printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stats: Vec<(String, u64)>,
    /// The table of tasks; of a long one the largest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskRow>,
    /// Rows that the table had; absent without a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_rows: Option<u64>,
    /// Pid and name of the process that the kernel chose, where its child was killed in its place; the name is hostile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<(i32, String)>,
    /// Memory of the machine, which the kernel prints when no limit of a cgroup was hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Box<MachineMemory>>,
    /// Release of the kernel, as the report has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Whether somebody asked for the kill (SysRq f), and memory was not why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manual: bool,
    /// Whether the whole cgroup was to be killed (memory.oom.group).
    #[serde(default)]
    pub group: bool,
    /// Whether the report was too long to keep, or lines of it were lost.
    #[serde(default)]
    pub truncated: bool,
}

/// What the kernel probe saw of one kill, at the moment the victim was marked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// Victim. Its sizes are 0 where [`ProbeReport::has_sizes`] is not set.
    pub victim: Victim,
    /// Whether the sizes of the victim are known.
    pub has_sizes: bool,
    /// Swap of the victim, bytes.
    pub swap: u64,
    /// Pid of the victim in its own pid namespace; 0 is unknown.
    pub own_pid: i32,
    /// Thread of the victim that was marked; the kernel's log may name it.
    pub thread: i32,
    /// cgroup of the victim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim_cgroup: Option<String>,
    /// Task that asked for the memory: pid in the initial pid namespace.
    pub trigger_pid: i32,
    /// Its name; hostile.
    pub trigger_comm: String,
    /// The request, where the kernel lets the probe see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<OomRequest>,
    /// Whether the kernel sent the kill; `false` is a task that was dying already and only marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<bool>,
}

/// The request for memory that led to a kill.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OomRequest {
    /// Why the OOM killer came.
    pub constraint: Constraint,
    /// cgroup whose limit was hit; `None` with constraint `none` is the whole machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_cgroup: Option<String>,
    /// Its usage, bytes.
    pub usage: u64,
    /// Its limit, bytes; `None` is unlimited.
    pub limit: Option<u64>,
    /// Allocation flags, as the kernel's number.
    pub gfp: u32,
    /// Order; negative is by sysrq.
    pub order: i32,
}

/// A source that saw a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WitnessKind {
    /// The kernel's log.
    #[serde(rename = "kmsg")]
    Kmsg,
    /// The kernel probe.
    #[serde(rename = "probe")]
    Probe,
    /// The counters of memory.events.local (v1: memory.oom_control).
    #[serde(rename = "memory.events")]
    MemoryEvents,
    /// The host's count in /proc/vmstat.
    #[serde(rename = "vmstat")]
    Vmstat,
}

/// One kill, merged from its witnesses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OomKill {
    /// When it was seen first, monotonic nanoseconds.
    pub time_ns: u64,
    /// Why the OOM killer came.
    pub constraint: Constraint,
    /// cgroup of the victim.
    pub victim_cgroup: Option<String>,
    /// cgroup whose limit was hit; `None` with constraint `none` is the whole machine.
    pub limit_cgroup: Option<String>,
    /// The victim, when the kernel's log named it.
    pub victim: Option<Victim>,
    /// Who saw it.
    pub witnesses: Vec<WitnessKind>,
    /// The kernel's report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<OomReport>>,
    /// What the kernel probe saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Box<ProbeReport>>,
    /// What was read of the limit's cgroup as it was notified, on cgroup v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<Usage>,
}

/// Kills of one cgroup by one limit that came too fast to be reported one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoreOomKills {
    /// How many, beyond those that have events of their own.
    pub count: u64,
    /// When the first and the last of them were seen, monotonic nanoseconds.
    pub first_ns: u64,
    /// The last.
    pub last_ns: u64,
    /// Why the OOM killer came.
    pub constraint: Constraint,
    /// cgroup of the victims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim_cgroup: Option<String>,
    /// cgroup whose limit was hit; `None` with constraint `none` is the whole machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_cgroup: Option<String>,
}

impl OomKill {
    /// Usage and limit of the cgroup whose limit was hit, bytes, as the kernel's log, or else the probe has them, or else as
    /// they were read at the notification; `None` where none does.
    pub fn usage(&self) -> Option<Usage> {
        let reported = self.report.as_ref().and_then(|report| report.memory);
        let request = self.probe.as_ref().and_then(|probe| probe.request.as_ref());
        reported.or_else(|| request.map(|r| Usage { usage: r.usage, limit: r.limit, failcnt: 0 })).or(self.hit)
    }

    /// The limit that was hit, bytes.
    pub fn limit(&self) -> Option<u64> {
        self.usage()?.limit
    }
}

/// Where a signal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalOrigin {
    /// A process that asked for it; a fault or an `abort` of its own when the sender is the receiver.
    Process,
    /// The kernel: the OOM killer, the end of a pid namespace, a terminal, a limit.
    Kernel,
    /// A write to `cgroup.kill`.
    CgroupKill,
    /// The end of its parent, as it had asked for (`PR_SET_PDEATHSIG`).
    ParentEnd,
}

/// A signal that a process was sent, as the kernel probe saw it (tracepoint `signal_generate`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentSignal {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// Number.
    pub signal: u8,
    /// `si_code`: 0 by `kill`, -6 by `tgkill`, above zero a fault.
    pub code: i32,
    /// Where it came from.
    pub origin: SignalOrigin,
    /// Whether the process ignored it: the first of a pid namespace ignores what it has no handler for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
    /// Pid of the sender, initial pid namespace.
    pub sender_pid: i32,
    /// Owner of the sender.
    pub sender_uid: u32,
    /// Name of the sender; hostile.
    pub sender_comm: String,
    /// cgroup of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_cgroup: Option<String>,
}
