//! Event types shared by the kernel probe and the agent.
//!
//! Every type is `repr(C)`, has no hidden padding (asserted below), and holds only integers and byte arrays, so that the
//! bytes the probe writes are the bytes the agent reads. No dependency, no allocation.
#![no_std]

/// An OOM kill as the kernel's OOM killer sees it, at the moment the victim is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct OomKill {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// kernfs id of the cgroup whose limit was hit; 0 when the whole machine ran out.
    pub limit_cgroup: u64,
    /// kernfs id of the victim's memory cgroup.
    pub victim_cgroup: u64,
    /// Usage of the limit cgroup, bytes.
    pub usage: u64,
    /// Limit of the limit cgroup, bytes; `u64::MAX` when it has none.
    pub limit: u64,
    /// Anonymous memory of the victim, bytes.
    pub anon: u64,
    /// Mapped file memory of the victim, bytes.
    pub file: u64,
    /// Shared memory of the victim, bytes.
    pub shmem: u64,
    /// Swap of the victim, bytes.
    pub swap: u64,
    /// Page tables of the victim, bytes.
    pub pgtables: u64,
    /// Victim, in the initial pid namespace.
    pub pid: u32,
    /// Task that asked for the memory, in the initial pid namespace.
    pub trigger_pid: u32,
    /// Owner of the victim.
    pub uid: u32,
    /// Allocation flags of the request.
    pub gfp: u32,
    /// Order of the request; negative for a request by sysrq.
    pub order: i32,
    /// `oom_score_adj` of the victim, -1000 to 1000.
    pub oom_score_adj: i32,
    /// `enum oom_constraint`: 0 none, 1 cpuset, 2 memory policy, 3 memory cgroup.
    pub constraint: u32,
    /// Keeps the size a multiple of eight without hidden bytes.
    pub reserved: u32,
    /// Name of the victim, NUL padded; any bytes.
    pub comm: [u8; 16],
    /// Name of the task that asked for the memory, NUL padded; any bytes.
    pub trigger_comm: [u8; 16],
}

const _: () = assert!(size_of::<OomKill>() == 10 * 8 + 8 * 4 + 32);
