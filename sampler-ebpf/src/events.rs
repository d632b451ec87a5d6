//! What the probe reports of its own accord, through the ring buffer.

use crate::PATH;

/// What an event of the ring buffer is; its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// [`OomKill`].
    OomKill = 1,
    /// [`Lifecycle`], made.
    CgroupMade = 2,
    /// [`Lifecycle`], removed.
    CgroupRemoved = 3,
    /// [`Exit`].
    Exit = 4,
    /// [`Joined`].
    Joined = 5,
    /// [`Signal`].
    Signal = 6,
}

impl Kind {
    /// The kind of a number.
    pub fn from_number(number: u64) -> Option<Kind> {
        let all = [Kind::OomKill, Kind::CgroupMade, Kind::CgroupRemoved, Kind::Exit, Kind::Joined, Kind::Signal];
        all.into_iter().find(|kind| *kind as u64 == number)
    }
}

/// The event knows the request that led to the kill: the limit, `gfp`, `order` and `constraint` mean something.
pub const HAS_REQUEST: u32 = 1;
/// The victim was sent a SIGKILL; without it, it was already dying and only marked.
pub const WAS_KILLED: u32 = 2;
/// Whether the kill was sent is not known: the probe does not see signals here.
pub const KILL_UNKNOWN: u32 = 4;
/// Sizes of the victim are known.
pub const HAS_SIZES: u32 = 8;

/// An OOM kill as the kernel's OOM killer sees it, at the moment the victim is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct OomKill {
    /// [`Kind::OomKill`].
    pub kind: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// kernfs id of the cgroup whose limit was hit; 0 when the whole machine ran out.
    pub limit_cgroup: u64,
    /// kernfs id of the victim's memory cgroup.
    pub victim_cgroup: u64,
    /// Usage of the limit cgroup, pages.
    pub usage: u64,
    /// Limit of the limit cgroup, pages.
    pub limit: u64,
    /// Virtual size of the victim, pages.
    pub total_vm: u64,
    /// Anonymous memory of the victim, pages.
    pub anon: u64,
    /// Mapped file memory of the victim, pages.
    pub file: u64,
    /// Shared memory of the victim, pages.
    pub shmem: u64,
    /// Swap of the victim, pages.
    pub swap: u64,
    /// Page tables of the victim, bytes.
    pub pgtables: u64,
    /// Memory the OOM killer compared with, pages.
    pub total_pages: u64,
    /// Victim, in the initial pid namespace.
    pub pid: u32,
    /// Victim, in its own pid namespace.
    pub own_pid: u32,
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
    /// `HAS_REQUEST`, `WAS_KILLED`, `KILL_UNKNOWN`, `HAS_SIZES`.
    pub flags: u32,
    /// The thread of the victim that was marked, in the initial pid namespace: the kernel's log may name it.
    pub thread: u32,
    /// Name of the victim, NUL padded; any bytes.
    pub comm: [u8; 16],
    /// Name of the task that asked for the memory, NUL padded; any bytes.
    pub trigger_comm: [u8; 16],
}

/// A cgroup was made or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Lifecycle {
    /// [`Kind::CgroupMade`] or [`Kind::CgroupRemoved`].
    pub kind: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// kernfs id.
    pub id: u64,
    /// Highest usage, pages; when removed.
    pub peak: u64,
    /// OOM kills; when removed.
    pub oom_kills: u64,
    /// 1 when `peak` and `oom_kills` are known.
    pub has_last: u64,
    /// Path, NUL padded; any bytes. A longer one is cut.
    pub path: [u8; PATH],
}

/// A process was moved into a cgroup. One that is born in it is not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Joined {
    /// [`Kind::Joined`].
    pub kind: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// kernfs id of the cgroup.
    pub cgroup: u64,
    /// Pid in the initial pid namespace.
    pub pid: u32,
    /// Pid in its own pid namespace.
    pub own_pid: u32,
    /// Name, NUL padded; any bytes.
    pub comm: [u8; 16],
}

/// The last thread of a process of a sampled cgroup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Exit {
    /// [`Kind::Exit`].
    pub kind: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// When it began, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// kernfs id of its memory cgroup.
    pub cgroup: u64,
    /// Highest resident size, pages.
    pub peak: u64,
    /// Usage of its memory cgroup at this moment, pages; on older kernels its own memory is gone by then.
    pub usage: u64,
    /// Limit of its memory cgroup, pages.
    pub limit: u64,
    /// Its limit of address space (`RLIMIT_AS`), bytes; all ones is none.
    pub address_limit: u64,
    /// Pid in the initial pid namespace.
    pub pid: u32,
    /// Pid in its own pid namespace.
    pub own_pid: u32,
    /// As `wait` has it: signal in the low seven bits, exit code above eight.
    pub status: u32,
    /// Owner.
    pub uid: u32,
    /// `IS_INIT`, `IS_LAST`.
    pub flags: u32,
    /// Nothing.
    pub padding: u32,
    /// Name, NUL padded; any bytes.
    pub comm: [u8; 16],
}

/// [`Exit::flags`]: it was the first process of a pid namespace: the main process of a container.
pub const IS_INIT: u32 = 1;
/// [`Exit::flags`]: no other task was left in its cgroups.
pub const IS_LAST: u32 = 2;

/// Where a signal came from.
pub mod origin {
    /// A process, by `kill` or the like, or a fault of its own: then the sender is itself and the code is above zero.
    pub const PROCESS: u32 = 0;
    /// The kernel: the OOM killer, the end of a pid namespace, a terminal, a limit.
    pub const KERNEL: u32 = 1;
    /// Somebody who wrote to `cgroup.kill`.
    pub const CGROUP: u32 = 2;
    /// The kernel, because the parent ended and the process had asked for it (`PR_SET_PDEATHSIG`).
    pub const PARENT: u32 = 3;
}

/// A signal that may end a process of a sampled cgroup was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Signal {
    /// [`Kind::Signal`].
    pub kind: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// kernfs id of the memory cgroup of the receiver.
    pub cgroup: u64,
    /// kernfs id of the memory cgroup of the sender.
    pub sender_cgroup: u64,
    /// Receiver, in the initial pid namespace.
    pub pid: u32,
    /// Receiver, in its own pid namespace.
    pub own_pid: u32,
    /// Sender, in the initial pid namespace: the task that ran, which of a signal by the kernel may be anybody.
    pub sender_pid: u32,
    /// Owner of the sender.
    pub sender_uid: u32,
    /// Number of the signal.
    pub signal: u32,
    /// `si_code`: 0 `kill`, -6 `tgkill`, above zero the kernel.
    pub code: i32,
    /// See [`origin`].
    pub origin: u32,
    /// `TRACE_SIGNAL_*`: 0 delivered, 1 ignored.
    pub result: u32,
    /// Name of the receiver, NUL padded; any bytes.
    pub comm: [u8; 16],
    /// Name of the sender, NUL padded; any bytes.
    pub sender_comm: [u8; 16],
}

const _: () = assert!(size_of::<OomKill>() == 13 * 8 + 10 * 4 + 32);
const _: () = assert!(size_of::<Lifecycle>() == 6 * 8 + PATH);
const _: () = assert!(size_of::<Joined>() == 3 * 8 + 2 * 4 + 16);
const _: () = assert!(size_of::<Exit>() == 8 * 8 + 6 * 4 + 16);
const _: () = assert!(size_of::<Signal>() == 4 * 8 + 8 * 4 + 32);
