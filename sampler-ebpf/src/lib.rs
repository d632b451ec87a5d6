//! What the kernel probe and the agent tell each other.
//!
//! Every type is `repr(C)`, has no hidden padding (asserted below), and holds only integers and byte arrays, so that the
//! bytes the probe writes are the bytes the agent reads. No dependency, no allocation.
#![no_std]

/// Stands for a member that the running kernel does not have.
pub const MISSING: u32 = u32::MAX;

/// Words of one block of a row.
pub const BLOCK_WORDS: usize = 16;
/// Words of kernel memory a row can carry.
pub const ROW_WORDS: usize = BLOCKS * BLOCK_WORDS;
/// Rows one part of a walk can carry; more cgroups are walked in more parts.
pub const ROWS: u32 = 512;
/// Runs of bytes that are copied from each memory cgroup, at most.
pub const BLOCKS: usize = 8;
/// Values that a row of a walk without a lock can carry.
pub const ASKS: usize = 96;
const _: () = assert!(ASKS <= ROW_WORDS);
/// Bytes kept of a cgroup's path.
pub const PATH: usize = 256;
/// Buckets of a histogram of stalls: bucket `n` counts those of `2^n` to `2^(n+1)` microseconds, the last one all longer.
pub const BUCKETS: usize = 24;
/// cgroups whose stalls are counted, and that the process exits are filtered by.
pub const CGROUPS: u32 = 4096;

/// A run of bytes of `struct mem_cgroup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Block {
    /// First byte.
    pub offset: u32,
    /// Number of bytes, a multiple of 8, at most those of [`BLOCK_WORDS`]; 0 ends the list.
    pub length: u32,
}

macro_rules! offsets {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Where the running kernel keeps what the probe reads: byte offsets from its BTF, [`MISSING`] where it has no such
        /// member. Written by the agent before the probe is loaded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct Offsets {
            $($(#[doc = $doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// Nothing is known.
            pub const UNKNOWN: Offsets = Offsets { $($name: MISSING,)* };
        }

        const OFFSETS: usize = [$(stringify!($name)),*].len();
        const _: () = assert!(size_of::<Offsets>() == OFFSETS * 4);
    };
}

offsets! {
    /// `cgroup.subsys[memory_cgrp_id]`.
    cgroup_memory,
    /// `cgroup.kn`.
    cgroup_kn,
    /// `cgroup.root`.
    cgroup_root,
    /// `kernfs_node.id`.
    kernfs_id,
    /// `cgroup_root.hierarchy_id`.
    root_hierarchy,
    /// `cgroup_subsys_state.cgroup`.
    css_cgroup,
    /// `cgroup_subsys_state.flags`.
    css_flags,
    /// `CSS_ONLINE`.
    css_online,
    /// `css_set.subsys[memory_cgrp_id]`.
    set_memory,
    /// `task_struct.cgroups`.
    task_cgroups,
    /// `task_struct.signal`.
    task_signal,
    /// `task_struct.mm`.
    task_mm,
    /// `task_struct.comm`.
    task_comm,
    /// `task_struct.pid`.
    task_pid,
    /// `task_struct.tgid`.
    task_tgid,
    /// `task_struct.group_leader`.
    task_leader,
    /// `task_struct.real_cred`.
    task_cred,
    /// `task_struct.thread_pid`.
    task_thread_pid,
    /// `task_struct.exit_code`.
    task_exit_code,
    /// `task_struct.start_time`.
    task_start,
    /// `task_struct.flags`.
    task_flags,
    /// `task_struct.sighand`.
    task_sighand,
    /// The handler of the first of `sighand_struct.action`.
    sighand_action,
    /// From one of `sighand_struct.action` to the next.
    sighand_stride,
    /// `kernel_siginfo.si_code`.
    info_code,
    /// `css_set.nr_tasks`.
    set_tasks,
    /// `cred.uid`.
    cred_uid,
    /// `signal_struct.oom_score_adj`.
    signal_adj,
    /// `signal_struct.maxrss`.
    signal_maxrss,
    /// `signal_struct.live`.
    signal_live,
    /// `signal_struct.group_exit_code`.
    signal_exit_code,
    /// `signal_struct.rlim[RLIMIT_AS].rlim_cur`.
    signal_address_limit,
    /// `mm_struct.total_vm`.
    mm_total_vm,
    /// `mm_struct.pgtables_bytes`.
    mm_pgtables,
    /// The value of `mm_struct.rss_stat[0]`.
    mm_rss,
    /// From the value of one of `mm_struct.rss_stat` to that of the next.
    mm_rss_stride,
    /// `pid.level`.
    pid_level,
    /// `pid.numbers[0].nr`.
    pid_numbers,
    /// From one of `pid.numbers` to the next.
    pid_stride,
    /// `oom_control.memcg`.
    oc_memcg,
    /// `oom_control.gfp_mask`.
    oc_gfp,
    /// `oom_control.order`.
    oc_order,
    /// `oom_control.totalpages`.
    oc_totalpages,
    /// `oom_control.constraint`.
    oc_constraint,
    /// `mem_cgroup.memory.usage`.
    memcg_usage,
    /// `mem_cgroup.memory.max`.
    memcg_max,
    /// `mem_cgroup.memory.watermark`.
    memcg_peak,
    /// `mem_cgroup.memory_events_local[MEMCG_OOM_KILL]`.
    memcg_oom_kill,
    /// `MM_FILEPAGES`.
    rss_file,
    /// `MM_ANONPAGES`.
    rss_anon,
    /// `MM_SWAPENTS`.
    rss_swap,
    /// `MM_SHMEMPAGES`.
    rss_shmem,
    /// `pid` of the tracepoint mark_victim, by its format file.
    tp_victim_pid,
    /// `comm` of the tracepoint mark_victim (`__data_loc`).
    tp_victim_comm,
    /// Hierarchy of the memory controller, as /proc/self/cgroup numbers it.
    hierarchy,
    /// Smallest peak of an exited process that is reported, KiB; one that was killed, and a main process that failed, always is.
    exit_least_kib,
}

impl Offsets {
    /// The bytes the loader writes.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `repr(C)`, only `u32`, no padding (asserted above), so every byte is initialised.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Offsets>()) }
    }
}

/// One walk over the cgroups, or a part of it: asked by the agent, told by the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Walk {
    /// cgroups to step over, because a part before has read them.
    pub skip: u64,
    /// Time after which the walk stops, nanoseconds: it holds the lock that making and removing a cgroup needs.
    pub bound_ns: u64,
    /// cgroups that were visited, with those stepped over.
    pub visited: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Time of the first visit, `CLOCK_MONOTONIC` nanoseconds.
    pub first_ns: u64,
    /// Time of the last row.
    pub last_ns: u64,
    /// 1 when it stopped before the end.
    pub stopped: u64,
    /// kernfs id of the cgroup it begins with.
    pub root: u64,
    /// Of an iterator: what is copied from each memory cgroup, block `n` to the words from `n * BLOCK_WORDS` on.
    pub blocks: [Block; BLOCKS],
    /// Of a walk without a lock: what is asked of each memory cgroup, ask `n` for word `n`; see [`ask`].
    pub asks: [u32; ASKS],
    /// Number of asks.
    pub asked: u32,
    /// 1 when the asks have any of statistics, so that they are brought up to date before.
    pub statistics: u32,
}

impl Walk {
    /// Nothing is asked.
    pub const NONE: Walk = Walk {
        skip: 0,
        bound_ns: 0,
        visited: 0,
        rows: 0,
        first_ns: 0,
        last_ns: 0,
        stopped: 0,
        root: 0,
        blocks: [Block { offset: 0, length: 0 }; BLOCKS],
        asks: [0; ASKS],
        asked: 0,
        statistics: 0,
    };
}

/// One cgroup of a walk.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct WalkRow {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// kernfs id.
    pub id: u64,
    /// What there is: bit `n` for block `n`; without a lock [`HAS_MEMBERS`] and [`HAS_STATISTICS`]. 0 for a cgroup without the memory
    /// controller.
    pub has: u64,
    /// The blocks, each at its place, or the answers.
    pub words: [u64; ROW_WORDS],
}

/// [`WalkRow::has`] of a walk without a lock: members of `struct mem_cgroup`.
pub const HAS_MEMBERS: u64 = 1;
/// [`WalkRow::has`] of a walk without a lock: statistics.
pub const HAS_STATISTICS: u64 = 2;

/// What a walk without a lock is asked: a kind in the upper two bits, and a number.
pub mod ask {
    /// Eight bytes of `struct mem_cgroup`; its offset.
    pub const MEMBER: u32 = 0;
    /// A gauge of memory.stat; its `enum node_stat_item` or `memcg_stat_item`. Kernel 7.0.
    pub const GAUGE: u32 = 1 << 30;
    /// A counter of memory.stat; its `enum vm_event_item`. Kernel 7.0.
    pub const COUNTER: u32 = 2 << 30;
    /// The bits of the number.
    pub const NUMBER: u32 = (1 << 30) - 1;
}

/// Functions of the kernel that a walk without a lock calls. Rust has no way to name them to the kernel: the probe calls helpers of
/// numbers that no helper has, and the agent puts the functions' own numbers, by the kernel's types, in their place. A function
/// that the running kernel does not have becomes the number 0.
pub mod kfunc {
    /// The helper number that stands for the first of [`NAMES`].
    pub const FIRST: u32 = 0x5a00_0000;

    macro_rules! kfuncs {
        ($($(#[doc = $doc:literal])* $number:ident = $name:literal,)*) => {
            #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "an enum only to number constants")]
            #[repr(u32)]
            enum Order { $($number,)* }
            $($(#[doc = $doc])* pub const $number: u32 = FIRST + Order::$number as u32;)*
            /// Their names, in the order of their numbers.
            pub const NAMES: &[&str] = &[$($name),*];
        };
    }

    kfuncs! {
        /// Kernel 6.2.
        RDONLY_CAST = "bpf_rdonly_cast",
        /// Kernel 6.2.
        RCU_READ_LOCK = "bpf_rcu_read_lock",
        /// Kernel 6.2.
        RCU_READ_UNLOCK = "bpf_rcu_read_unlock",
        /// Kernel 6.2.
        CGROUP_FROM_ID = "bpf_cgroup_from_id",
        /// Kernel 6.1.
        CGROUP_ANCESTOR = "bpf_cgroup_ancestor",
        /// Kernel 6.8.
        TASK_GET_CGROUP1 = "bpf_task_get_cgroup1",
        /// Kernel 6.1.
        CGROUP_RELEASE = "bpf_cgroup_release",
        /// Kernel 6.7.
        ITER_CSS_NEW = "bpf_iter_css_new",
        /// Kernel 6.7.
        ITER_CSS_NEXT = "bpf_iter_css_next",
        /// Kernel 6.7.
        ITER_CSS_DESTROY = "bpf_iter_css_destroy",
        /// Kernel 7.0.
        GET_MEM_CGROUP = "bpf_get_mem_cgroup",
        /// Kernel 7.0.
        PUT_MEM_CGROUP = "bpf_put_mem_cgroup",
        /// Kernel 7.0.
        MEM_CGROUP_FLUSH_STATS = "bpf_mem_cgroup_flush_stats",
        /// Kernel 7.0.
        MEM_CGROUP_PAGE_STATE = "bpf_mem_cgroup_page_state",
        /// Kernel 7.0.
        MEM_CGROUP_VM_EVENTS = "bpf_mem_cgroup_vm_events",
    }
}

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

/// A process was moved into a cgroup. One that is born in it is not told.
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

/// Direct reclaim by the tasks of one cgroup since the probe was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stalls {
    /// Number of stalls.
    pub count: u64,
    /// Time, nanoseconds.
    pub time_ns: u64,
    /// Pages that were reclaimed.
    pub pages: u64,
    /// Longest stall, nanoseconds.
    pub longest_ns: u64,
    /// Histogram of their length, see [`BUCKETS`].
    pub buckets: [u64; BUCKETS],
}

/// Indices of the probe's own counters.
pub mod count {
    /// Events that found the ring full.
    pub const LOST: u32 = 0;
    /// Stalls of cgroups that found no room.
    pub const STALLS_LOST: u32 = 1;
    /// Process exits that were too small to tell.
    pub const EXITS_SMALL: u32 = 2;
    /// Number of counters.
    pub const COUNTERS: u32 = 4;
}

const _: () = assert!(size_of::<Walk>() == 8 * 8 + BLOCKS * 8 + ASKS * 4 + 8);
const _: () = assert!(size_of::<WalkRow>() == (3 + ROW_WORDS) * 8);
const _: () = assert!(size_of::<OomKill>() == 13 * 8 + 10 * 4 + 32);
const _: () = assert!(size_of::<Lifecycle>() == 6 * 8 + PATH);
const _: () = assert!(size_of::<Joined>() == 3 * 8 + 2 * 4 + 16);
const _: () = assert!(size_of::<Exit>() == 8 * 8 + 6 * 4 + 16);
const _: () = assert!(size_of::<Signal>() == 4 * 8 + 8 * 4 + 32);
const _: () = assert!(size_of::<Stalls>() == (4 + BUCKETS) * 8);
