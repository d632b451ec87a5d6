//! The field table: every fact that is recorded, in the kernel's own words.
//!
//! A new kernel field is one row here. The row drives the read plan, the journal, the Parquet schema, `sampler fields` and
//! `docs/fields.md`. Numbers are for ever: the journal stores them, so a number is never used again (a repeated number does
//! not compile).

use serde::{Deserialize, Serialize};

/// The three wide tables of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// One row is one cgroup at one instant.
    Samples,
    /// One row is the machine at one instant.
    Host,
    /// One row is one process of a cgroup at one instant.
    Processes,
}

/// What may happen to a value from one reading to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only rises while the cgroup lives; a fall is a reset.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A bound set by somebody; may be unlimited (`max`), which is stored as infinity.
    Limit,
}

/// Base unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Microseconds.
    Micros,
    /// Events or things.
    Count,
    /// Pages, as the kernel counts them (usually 4096 bytes).
    Pages,
}

/// Where in a file a value stands, by the kernel's names for file shapes (cgroup-v2.rst, "Format").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The file is one number, or the word `max`.
    Whole,
    /// Flat keyed: `KEY VALUE` lines.
    Flat(&'static str),
    /// Nested keyed: `ROW KEY=VALUE ...` lines.
    Nested(&'static str, &'static str),
    /// Pairs in a line: `ROW KEY VALUE KEY VALUE ...` (`/proc/net/sockstat`).
    Pairs(&'static str, &'static str),
    /// A column of the line of this name, the name being column 0 (`/proc/cgroups`).
    Column(&'static str, usize),
    /// The sum of all lines `KEY VALUE`, indented or not (`/proc/zoneinfo`).
    Sum(&'static str),
    /// Free pages in blocks of this order and larger (`/proc/buddyinfo`).
    Blocks(usize),
}

/// A file of the kernel and the place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// File name: below a cgroup's folder, or an absolute path below `/proc` for the host.
    pub file: &'static str,
    /// Place in the file.
    pub key: Key,
    /// Factor from what the kernel prints to the base unit (meminfo prints KiB).
    pub mul: u64,
    /// Divisor from what the kernel prints to the base unit (cpuacct prints nanoseconds).
    pub div: u64,
}

/// One row of the table.
#[derive(Debug)]
pub struct Field {
    /// Number in the journal, for ever.
    pub id: FieldId,
    /// Name in kernel words: file, then key.
    pub name: &'static str,
    /// Column in Parquet, CSV and JSON; unique in its table.
    pub column: &'static str,
    /// Table the field belongs to.
    pub table: Table,
    /// Counter, gauge or limit.
    pub kind: Kind,
    /// Base unit.
    pub unit: Unit,
    /// Where cgroup v2 (or `/proc`) has it.
    pub v2: Option<Source>,
    /// Where cgroup v1 has it; `None` when v1 has no equivalent.
    pub v1: Option<Source>,
    /// First kernel that has it.
    pub since: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Slot in a [`crate::model::sample::Row`] of its table.
    pub slot: usize,
}

/// Files that cost about a microsecond and are fresh at every read: read at every tick. All others are read at the slow rate.
/// `memory.peak` is here for its private descriptor that is reset per tick.
pub const FAST_FILES: [&str; 9] = [
    "memory.current",
    "memory.swap.current",
    "memory.events",
    "memory.events.local",
    "memory.peak#reset",
    "memory.pressure",
    "memory.usage_in_bytes",
    "memory.failcnt",
    "memory.oom_control",
];

/// Whether a file belongs to the fast pass.
pub fn is_fast(file: &str) -> bool {
    FAST_FILES.contains(&file)
}

const fn whole(file: &'static str) -> Option<Source> {
    Some(Source { file, key: Key::Whole, mul: 1, div: 1 })
}
const fn flat(file: &'static str, key: &'static str) -> Option<Source> {
    Some(Source { file, key: Key::Flat(key), mul: 1, div: 1 })
}
const fn nested(file: &'static str, row: &'static str, key: &'static str) -> Option<Source> {
    Some(Source { file, key: Key::Nested(row, key), mul: 1, div: 1 })
}
const fn stat(key: &'static str) -> Option<Source> {
    flat("memory.stat", key)
}
const fn vmstat(key: &'static str) -> Option<Source> {
    flat("/proc/vmstat", key)
}
const fn psi(file: &'static str, row: &'static str) -> Option<Source> {
    nested(file, row, "total")
}
const fn meminfo(key: &'static str) -> Option<Source> {
    Some(Source { file: "/proc/meminfo", key: Key::Flat(key), mul: 1024, div: 1 })
}
const fn other(file: &'static str, key: Key) -> Option<Source> {
    Some(Source { file, key, mul: 1, div: 1 })
}
/// The recorder fills it itself (processes, its own cost).
const OWN: Option<Source> = None;
const NONE: Option<Source> = None;

macro_rules! fields {
    ($( $(#[doc = $doc:literal])* $variant:ident = $id:literal, $name:literal as $column:literal: $table:ident $kind:ident $unit:ident, $v2:expr, $v1:expr, $since:literal; )*) => {
        /// Number of a field, for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum FieldId { $( $(#[doc = $doc])* $variant = $id, )* }

        const COUNT: usize = [$($id),*].len();
        const TABLES: [Table; COUNT] = [$(Table::$table),*];

        const fn slot_of(index: usize) -> usize {
            let (mut slot, mut i) = (0, 0);
            while i < index {
                if TABLES[i] as u8 == TABLES[index] as u8 { slot += 1; }
                i += 1;
            }
            slot
        }

        #[derive(Clone, Copy)]
        #[expect(clippy::upper_case_acronyms, reason = "never named outside this macro")]
        #[allow(non_camel_case_types, dead_code, reason = "an index for each row, made from its name")]
        enum INDEX { $($variant),* }

        /// The table.
        pub static FIELDS: [Field; COUNT] = [ $( Field {
            id: FieldId::$variant, name: $name, column: $column, table: Table::$table, kind: Kind::$kind, unit: Unit::$unit,
            v2: $v2, v1: $v1, since: $since, doc: concat!($($doc),*).trim_ascii(), slot: slot_of(INDEX::$variant as usize),
        } ),* ];

        impl FieldId {
            /// The row of this field.
            pub fn field(self) -> &'static Field {
                match self { $( FieldId::$variant => &FIELDS[INDEX::$variant as usize], )* }
            }
            /// The field of a number, if this version knows it.
            pub fn from_number(number: u16) -> Option<FieldId> {
                match number { $( $id => Some(FieldId::$variant), )* _ => None }
            }
        }
    };
}

fields! {
    // ---- samples, fast: each file costs about a microsecond ----
    /// Memory of the cgroup and its descendants. Moves in batches of up to 256 KiB per CPU.
    Current = 1, "memory.current" as "current": Samples Gauge Bytes, whole("memory.current"), whole("memory.usage_in_bytes"), "4.5";
    /// Swap of the cgroup and its descendants. On v1 from memory.stat, at the slow rate.
    SwapCurrent = 2, "memory.swap.current" as "swap": Samples Gauge Bytes, whole("memory.swap.current"), stat("total_swap"), "4.5";
    /// Highest memory.current since the row before, from a private descriptor that is reset at each tick.
    PeakInterval = 3, "memory.peak.interval" as "peak_interval": Samples Gauge Bytes, whole("memory.peak#reset"), NONE, "6.12";
    /// Times the cgroup was reclaimed although below memory.low.
    EventsLow = 4, "memory.events.low" as "events_low": Samples Counter Count, flat("memory.events", "low"), NONE, "4.5";
    /// Times the cgroup went over memory.high and was throttled.
    EventsHigh = 5, "memory.events.high" as "events_high": Samples Counter Count, flat("memory.events", "high"), NONE, "4.5";
    /// Charges that hit memory.max. Not an OOM: reclaim usually helps.
    EventsMax = 6, "memory.events.max" as "events_max": Samples Counter Count, flat("memory.events", "max"), whole("memory.failcnt"), "4.5";
    /// Times an OOM was considered, before any kill.
    EventsOom = 7, "memory.events.oom" as "oom": Samples Counter Count, flat("memory.events", "oom"), NONE, "4.5";
    /// Processes of the cgroup and its descendants killed by any OOM killer. On v1 without descendants.
    EventsOomKill = 8, "memory.events.oom_kill" as "oom_kill": Samples Counter Count, flat("memory.events", "oom_kill"), flat("memory.oom_control", "oom_kill"), "4.13";
    /// Times the whole cgroup was killed as one (memory.oom.group).
    EventsOomGroupKill = 9, "memory.events.oom_group_kill" as "oom_group_kill": Samples Counter Count, flat("memory.events", "oom_group_kill"), NONE, "5.17";
    /// Times the network throttled sockets of the cgroup for memory.
    EventsSockThrottled = 10, "memory.events.sock_throttled" as "sock_throttled": Samples Counter Count, flat("memory.events", "sock_throttled"), NONE, "6.19";
    /// As memory.events.high, without descendants.
    LocalHigh = 11, "memory.events.local.high" as "local_high": Samples Counter Count, flat("memory.events.local", "high"), NONE, "5.2";
    /// As memory.events.max, without descendants: this cgroup's own limit was hit.
    LocalMax = 12, "memory.events.local.max" as "local_max": Samples Counter Count, flat("memory.events.local", "max"), NONE, "5.2";
    /// As memory.events.oom, without descendants: this cgroup's own limit led to the OOM.
    LocalOom = 13, "memory.events.local.oom" as "local_oom": Samples Counter Count, flat("memory.events.local", "oom"), NONE, "5.2";
    /// As memory.events.oom_kill, without descendants: a process of this very cgroup was killed.
    LocalOomKill = 14, "memory.events.local.oom_kill" as "local_oom_kill": Samples Counter Count, flat("memory.events.local", "oom_kill"), flat("memory.oom_control", "oom_kill"), "5.2";
    /// As memory.events.oom_group_kill, without descendants.
    LocalOomGroupKill = 15, "memory.events.local.oom_group_kill" as "local_oom_group_kill": Samples Counter Count, flat("memory.events.local", "oom_group_kill"), NONE, "5.17";
    /// Time in which some task of the cgroup waited for memory.
    PressureSome = 16, "memory.pressure.some.total" as "psi_some_us": Samples Counter Micros, psi("memory.pressure", "some"), psi("memory.pressure", "some"), "4.20";
    /// Time in which all tasks of the cgroup that could run waited for memory.
    PressureFull = 17, "memory.pressure.full.total" as "psi_full_us": Samples Counter Micros, psi("memory.pressure", "full"), psi("memory.pressure", "full"), "4.20";

    // ---- samples, slow: limits and work ----
    /// Hard limit; above it the OOM killer comes.
    Max = 20, "memory.max" as "max": Samples Limit Bytes, whole("memory.max"), whole("memory.limit_in_bytes"), "4.5";
    /// Throttling limit. On v1 the soft limit, which only orders reclaim.
    High = 21, "memory.high" as "high": Samples Limit Bytes, whole("memory.high"), whole("memory.soft_limit_in_bytes"), "4.5";
    /// Memory protected from reclaim as long as others have some to give.
    Low = 22, "memory.low" as "low": Samples Limit Bytes, whole("memory.low"), NONE, "4.5";
    /// Memory that is never reclaimed.
    Min = 23, "memory.min" as "min": Samples Limit Bytes, whole("memory.min"), NONE, "4.18";
    /// Hard limit of swap. On v1 the limit of memory and swap together.
    SwapMax = 24, "memory.swap.max" as "swap_max": Samples Limit Bytes, whole("memory.swap.max"), whole("memory.memsw.limit_in_bytes"), "4.5";
    /// Throttling limit of swap.
    SwapHigh = 25, "memory.swap.high" as "swap_high": Samples Limit Bytes, whole("memory.swap.high"), NONE, "5.8";
    /// 1 when the cgroup is killed as a whole.
    OomGroup = 26, "memory.oom.group" as "oom_group": Samples Gauge Count, whole("memory.oom.group"), NONE, "4.19";
    /// Highest memory.current since the cgroup exists.
    Peak = 27, "memory.peak" as "peak": Samples Gauge Bytes, whole("memory.peak"), whole("memory.max_usage_in_bytes"), "5.19";
    /// Highest memory.swap.current since the cgroup exists.
    SwapPeak = 28, "memory.swap.peak" as "swap_peak": Samples Gauge Bytes, whole("memory.swap.peak"), NONE, "6.5";
    /// Compressed swap in memory.
    ZswapCurrent = 29, "memory.zswap.current" as "zswap_current": Samples Gauge Bytes, whole("memory.zswap.current"), NONE, "5.19";
    /// Swap-outs refused because swap was full or over its limit.
    SwapEventsFail = 30, "memory.swap.events.fail" as "swap_fail": Samples Counter Count, flat("memory.swap.events", "fail"), NONE, "4.18";
    /// Swap charges that hit memory.swap.max.
    SwapEventsMax = 31, "memory.swap.events.max" as "swap_events_max": Samples Counter Count, flat("memory.swap.events", "max"), whole("memory.memsw.failcnt"), "4.18";
    /// CPU time used: the work proxy without which growth under load cannot be distinguished from a leak.
    CpuUsage = 32, "cpu.stat.usage_usec" as "cpu_usage_us": Samples Counter Micros, flat("cpu.stat", "usage_usec"), Some(Source { file: "cpuacct.usage", key: Key::Whole, mul: 1, div: 1000 }), "4.15";
    /// Time throttled by the CPU quota.
    CpuThrottled = 33, "cpu.stat.throttled_usec" as "cpu_throttled_us": Samples Counter Micros, flat("cpu.stat", "throttled_usec"), NONE, "4.15";
    /// Tasks in the cgroup and its descendants.
    PidsCurrent = 34, "pids.current" as "pids": Samples Gauge Count, whole("pids.current"), whole("pids.current"), "4.3";
    /// Limit of tasks.
    PidsMax = 35, "pids.max" as "pids_max": Samples Limit Count, whole("pids.max"), whole("pids.max"), "4.3";
    /// 1 while a live process is in the cgroup or its descendants.
    Populated = 36, "cgroup.events.populated" as "populated": Samples Gauge Count, flat("cgroup.events", "populated"), NONE, "4.5";
    /// Removed descendants that still hold memory.
    DyingDescendants = 37, "cgroup.stat.nr_dying_descendants" as "dying_descendants": Samples Gauge Count, flat("cgroup.stat", "nr_dying_descendants"), NONE, "4.14";

    // ---- samples, slow: memory.stat, up to 2 s stale by the kernel's design ----
    /// Anonymous memory: heap, stacks, private mappings. Includes no tmpfs.
    Anon = 40, "memory.stat.anon" as "anon": Samples Gauge Bytes, stat("anon"), stat("total_rss"), "4.5";
    /// Page cache, tmpfs and shared memory included.
    File = 41, "memory.stat.file" as "file": Samples Gauge Bytes, stat("file"), stat("total_cache"), "4.5";
    /// All kernel memory charged to the cgroup.
    Kernel = 42, "memory.stat.kernel" as "kernel": Samples Gauge Bytes, stat("kernel"), whole("memory.kmem.usage_in_bytes"), "5.18";
    /// Kernel stacks of the tasks.
    KernelStack = 43, "memory.stat.kernel_stack" as "kernel_stack": Samples Gauge Bytes, stat("kernel_stack"), NONE, "4.18";
    /// Page tables.
    Pagetables = 44, "memory.stat.pagetables" as "pagetables": Samples Gauge Bytes, stat("pagetables"), NONE, "5.11";
    /// Page tables of virtual machines and IOMMU.
    SecPagetables = 45, "memory.stat.sec_pagetables" as "sec_pagetables": Samples Gauge Bytes, stat("sec_pagetables"), NONE, "6.1";
    /// Per-CPU kernel data.
    Percpu = 46, "memory.stat.percpu" as "percpu": Samples Gauge Bytes, stat("percpu"), NONE, "5.9";
    /// Network buffers. On v1 TCP only.
    Sock = 47, "memory.stat.sock" as "sock": Samples Gauge Bytes, stat("sock"), whole("memory.kmem.tcp.usage_in_bytes"), "4.5";
    /// vmalloc memory.
    Vmalloc = 48, "memory.stat.vmalloc" as "vmalloc": Samples Gauge Bytes, stat("vmalloc"), NONE, "5.18";
    /// tmpfs, shared memory and shared anonymous mappings: counted in file, but swap only can free it.
    Shmem = 49, "memory.stat.shmem" as "shmem": Samples Gauge Bytes, stat("shmem"), stat("total_shmem"), "4.18";
    /// Memory held by compressed swap.
    Zswap = 50, "memory.stat.zswap" as "zswap": Samples Gauge Bytes, stat("zswap"), NONE, "5.19";
    /// Memory that was swapped into compressed swap, at its full size.
    Zswapped = 51, "memory.stat.zswapped" as "zswapped": Samples Gauge Bytes, stat("zswapped"), NONE, "5.19";
    /// Page cache mapped into processes.
    FileMapped = 52, "memory.stat.file_mapped" as "file_mapped": Samples Gauge Bytes, stat("file_mapped"), stat("total_mapped_file"), "4.5";
    /// Page cache to be written.
    FileDirty = 53, "memory.stat.file_dirty" as "file_dirty": Samples Gauge Bytes, stat("file_dirty"), stat("total_dirty"), "4.5";
    /// Page cache being written.
    FileWriteback = 54, "memory.stat.file_writeback" as "file_writeback": Samples Gauge Bytes, stat("file_writeback"), stat("total_writeback"), "4.5";
    /// Memory that is both in swap and in memory.
    Swapcached = 55, "memory.stat.swapcached" as "swapcached": Samples Gauge Bytes, stat("swapcached"), stat("total_swapcached"), "5.13";
    /// Anonymous memory in huge pages.
    AnonThp = 56, "memory.stat.anon_thp" as "anon_thp": Samples Gauge Bytes, stat("anon_thp"), stat("total_rss_huge"), "5.6";
    /// Page cache in huge pages.
    FileThp = 57, "memory.stat.file_thp" as "file_thp": Samples Gauge Bytes, stat("file_thp"), NONE, "5.11";
    /// Shared memory in huge pages.
    ShmemThp = 58, "memory.stat.shmem_thp" as "shmem_thp": Samples Gauge Bytes, stat("shmem_thp"), NONE, "5.11";
    /// Anonymous and tmpfs memory not used recently.
    InactiveAnon = 59, "memory.stat.inactive_anon" as "inactive_anon": Samples Gauge Bytes, stat("inactive_anon"), stat("total_inactive_anon"), "4.5";
    /// Anonymous and tmpfs memory used recently.
    ActiveAnon = 60, "memory.stat.active_anon" as "active_anon": Samples Gauge Bytes, stat("active_anon"), stat("total_active_anon"), "4.5";
    /// Page cache not used recently; current minus this is the working set.
    InactiveFile = 61, "memory.stat.inactive_file" as "inactive_file": Samples Gauge Bytes, stat("inactive_file"), stat("total_inactive_file"), "4.5";
    /// Page cache used recently.
    ActiveFile = 62, "memory.stat.active_file" as "active_file": Samples Gauge Bytes, stat("active_file"), stat("total_active_file"), "4.5";
    /// Locked memory.
    Unevictable = 63, "memory.stat.unevictable" as "unevictable": Samples Gauge Bytes, stat("unevictable"), stat("total_unevictable"), "4.5";
    /// Kernel objects that can be freed: dentries, inodes.
    SlabReclaimable = 64, "memory.stat.slab_reclaimable" as "slab_reclaimable": Samples Gauge Bytes, stat("slab_reclaimable"), NONE, "4.18";
    /// Kernel objects that cannot be freed.
    SlabUnreclaimable = 65, "memory.stat.slab_unreclaimable" as "slab_unreclaimable": Samples Gauge Bytes, stat("slab_unreclaimable"), NONE, "4.18";
    /// Kernel objects.
    Slab = 66, "memory.stat.slab" as "slab": Samples Gauge Bytes, stat("slab"), NONE, "4.18";
    /// Huge pages of hugetlbfs, where their accounting is on.
    Hugetlb = 67, "memory.stat.hugetlb" as "hugetlb": Samples Gauge Bytes, stat("hugetlb"), NONE, "6.13";
    /// Anonymous pages that came back soon after reclaim.
    RefaultAnon = 68, "memory.stat.workingset_refault_anon" as "refault_anon": Samples Counter Pages, stat("workingset_refault_anon"), stat("total_workingset_refault_anon"), "5.9";
    /// Page cache pages that came back soon after reclaim: thrashing when it is steep.
    RefaultFile = 69, "memory.stat.workingset_refault_file" as "refault_file": Samples Counter Pages, stat("workingset_refault_file"), stat("total_workingset_refault_file"), "5.9";
    /// Refaulted anonymous pages that were active at once.
    ActivateAnon = 70, "memory.stat.workingset_activate_anon" as "activate_anon": Samples Counter Pages, stat("workingset_activate_anon"), NONE, "5.9";
    /// Refaulted page cache pages that were active at once.
    ActivateFile = 71, "memory.stat.workingset_activate_file" as "activate_file": Samples Counter Pages, stat("workingset_activate_file"), NONE, "5.9";
    /// Refaulted anonymous pages that had been in the working set.
    RestoreAnon = 72, "memory.stat.workingset_restore_anon" as "restore_anon": Samples Counter Pages, stat("workingset_restore_anon"), NONE, "5.9";
    /// Refaulted page cache pages that had been in the working set.
    RestoreFile = 73, "memory.stat.workingset_restore_file" as "restore_file": Samples Counter Pages, stat("workingset_restore_file"), NONE, "5.9";
    /// Times shadow nodes were freed.
    Nodereclaim = 74, "memory.stat.workingset_nodereclaim" as "nodereclaim": Samples Counter Count, stat("workingset_nodereclaim"), NONE, "4.15";
    /// Pages looked at by reclaim. What it sums up changed with 6.2 and 6.14.
    Pgscan = 75, "memory.stat.pgscan" as "pgscan": Samples Counter Pages, stat("pgscan"), NONE, "4.20";
    /// Pages freed by reclaim. What it sums up changed with 6.2 and 6.14.
    Pgsteal = 76, "memory.stat.pgsteal" as "pgsteal": Samples Counter Pages, stat("pgsteal"), NONE, "4.20";
    /// Pages looked at by kswapd, in the background.
    PgscanKswapd = 77, "memory.stat.pgscan_kswapd" as "pgscan_kswapd": Samples Counter Pages, stat("pgscan_kswapd"), NONE, "5.19";
    /// Pages looked at by tasks that waited for memory.
    PgscanDirect = 78, "memory.stat.pgscan_direct" as "pgscan_direct": Samples Counter Pages, stat("pgscan_direct"), NONE, "5.19";
    /// Pages looked at for memory.reclaim.
    PgscanProactive = 79, "memory.stat.pgscan_proactive" as "pgscan_proactive": Samples Counter Pages, stat("pgscan_proactive"), NONE, "6.14";
    /// Pages freed by kswapd.
    PgstealKswapd = 80, "memory.stat.pgsteal_kswapd" as "pgsteal_kswapd": Samples Counter Pages, stat("pgsteal_kswapd"), NONE, "5.19";
    /// Pages freed by tasks that waited for memory.
    PgstealDirect = 81, "memory.stat.pgsteal_direct" as "pgsteal_direct": Samples Counter Pages, stat("pgsteal_direct"), NONE, "5.19";
    /// Pages freed for memory.reclaim: the mark of WSL's autoMemoryReclaim.
    PgstealProactive = 82, "memory.stat.pgsteal_proactive" as "pgsteal_proactive": Samples Counter Pages, stat("pgsteal_proactive"), NONE, "6.14";
    /// Page faults: a work proxy.
    Pgfault = 83, "memory.stat.pgfault" as "pgfault": Samples Counter Count, stat("pgfault"), stat("total_pgfault"), "4.13";
    /// Page faults that waited for the disk.
    Pgmajfault = 84, "memory.stat.pgmajfault" as "pgmajfault": Samples Counter Count, stat("pgmajfault"), stat("total_pgmajfault"), "4.13";
    /// Active pages looked at.
    Pgrefill = 85, "memory.stat.pgrefill" as "pgrefill": Samples Counter Pages, stat("pgrefill"), NONE, "4.18";
    /// Pages made active.
    Pgactivate = 86, "memory.stat.pgactivate" as "pgactivate": Samples Counter Pages, stat("pgactivate"), NONE, "4.18";
    /// Pages made inactive.
    Pgdeactivate = 87, "memory.stat.pgdeactivate" as "pgdeactivate": Samples Counter Pages, stat("pgdeactivate"), NONE, "4.18";
    /// Pages put off to be freed lazily.
    Pglazyfree = 88, "memory.stat.pglazyfree" as "pglazyfree": Samples Counter Pages, stat("pglazyfree"), NONE, "4.18";
    /// Pages freed lazily.
    Pglazyfreed = 89, "memory.stat.pglazyfreed" as "pglazyfreed": Samples Counter Pages, stat("pglazyfreed"), NONE, "4.18";
    /// Pages swapped in.
    Pswpin = 90, "memory.stat.pswpin" as "pswpin": Samples Counter Pages, stat("pswpin"), NONE, "6.15";
    /// Pages swapped out.
    Pswpout = 91, "memory.stat.pswpout" as "pswpout": Samples Counter Pages, stat("pswpout"), NONE, "6.15";
    /// Pages moved into memory from compressed swap.
    Zswpin = 92, "memory.stat.zswpin" as "zswpin": Samples Counter Pages, stat("zswpin"), NONE, "5.19";
    /// Pages moved out of memory to compressed swap.
    Zswpout = 93, "memory.stat.zswpout" as "zswpout": Samples Counter Pages, stat("zswpout"), NONE, "5.19";
    /// Pages written from compressed swap to the disk.
    Zswpwb = 94, "memory.stat.zswpwb" as "zswpwb": Samples Counter Pages, stat("zswpwb"), NONE, "6.8";
    /// Huge pages given at a fault.
    ThpFaultAlloc = 95, "memory.stat.thp_fault_alloc" as "thp_fault_alloc": Samples Counter Count, stat("thp_fault_alloc"), NONE, "5.6";
    /// Huge pages made by collapsing.
    ThpCollapseAlloc = 96, "memory.stat.thp_collapse_alloc" as "thp_collapse_alloc": Samples Counter Count, stat("thp_collapse_alloc"), NONE, "5.6";
    /// Pages looked at by khugepaged.
    PgscanKhugepaged = 97, "memory.stat.pgscan_khugepaged" as "pgscan_khugepaged": Samples Counter Pages, stat("pgscan_khugepaged"), NONE, "6.2";
    /// Pages freed by khugepaged.
    PgstealKhugepaged = 98, "memory.stat.pgsteal_khugepaged" as "pgsteal_khugepaged": Samples Counter Pages, stat("pgsteal_khugepaged"), NONE, "6.2";

    // ---- host, slow ----
    /// Memory the kernel manages.
    MemTotal = 200, "meminfo.MemTotal" as "mem_total": Host Gauge Bytes, meminfo("MemTotal:"), NONE, "2.6";
    /// Memory nobody uses.
    MemFree = 201, "meminfo.MemFree" as "mem_free": Host Gauge Bytes, meminfo("MemFree:"), NONE, "2.6";
    /// What could be given to processes without swapping, by the kernel's estimate.
    MemAvailable = 202, "meminfo.MemAvailable" as "mem_available": Host Gauge Bytes, meminfo("MemAvailable:"), NONE, "3.14";
    /// Buffers of block devices.
    Buffers = 203, "meminfo.Buffers" as "buffers": Host Gauge Bytes, meminfo("Buffers:"), NONE, "2.6";
    /// Page cache, tmpfs included.
    Cached = 204, "meminfo.Cached" as "cached": Host Gauge Bytes, meminfo("Cached:"), NONE, "2.6";
    /// Memory both in swap and in memory.
    SwapCachedHost = 205, "meminfo.SwapCached" as "swap_cached": Host Gauge Bytes, meminfo("SwapCached:"), NONE, "2.6";
    /// Swap there is.
    SwapTotal = 206, "meminfo.SwapTotal" as "swap_total": Host Gauge Bytes, meminfo("SwapTotal:"), NONE, "2.6";
    /// Swap nobody uses.
    SwapFree = 207, "meminfo.SwapFree" as "swap_free": Host Gauge Bytes, meminfo("SwapFree:"), NONE, "2.6";
    /// Page cache to be written.
    Dirty = 208, "meminfo.Dirty" as "dirty": Host Gauge Bytes, meminfo("Dirty:"), NONE, "2.6";
    /// Anonymous memory.
    AnonPages = 209, "meminfo.AnonPages" as "anon_pages": Host Gauge Bytes, meminfo("AnonPages:"), NONE, "2.6";
    /// tmpfs and shared memory.
    ShmemHost = 210, "meminfo.Shmem" as "shmem": Host Gauge Bytes, meminfo("Shmem:"), NONE, "2.6";
    /// Kernel objects that can be freed.
    SReclaimable = 211, "meminfo.SReclaimable" as "slab_reclaimable": Host Gauge Bytes, meminfo("SReclaimable:"), NONE, "2.6";
    /// Kernel objects that cannot be freed.
    SUnreclaim = 212, "meminfo.SUnreclaim" as "slab_unreclaimable": Host Gauge Bytes, meminfo("SUnreclaim:"), NONE, "2.6";
    /// Page tables.
    PageTablesHost = 213, "meminfo.PageTables" as "page_tables": Host Gauge Bytes, meminfo("PageTables:"), NONE, "2.6";
    /// Memory promised to processes.
    CommittedAs = 214, "meminfo.Committed_AS" as "committed_as": Host Gauge Bytes, meminfo("Committed_AS:"), NONE, "2.6";
    /// Promises allowed under strict overcommit.
    CommitLimit = 215, "meminfo.CommitLimit" as "commit_limit": Host Gauge Bytes, meminfo("CommitLimit:"), NONE, "2.6";
    /// Anonymous and tmpfs memory used recently.
    ActiveAnonHost = 256, "meminfo.Active(anon)" as "active_anon": Host Gauge Bytes, meminfo("Active(anon):"), NONE, "2.6";
    /// Anonymous and tmpfs memory not used recently.
    InactiveAnonHost = 257, "meminfo.Inactive(anon)" as "inactive_anon": Host Gauge Bytes, meminfo("Inactive(anon):"), NONE, "2.6";
    /// Page cache used recently.
    ActiveFileHost = 258, "meminfo.Active(file)" as "active_file": Host Gauge Bytes, meminfo("Active(file):"), NONE, "2.6";
    /// Page cache not used recently.
    InactiveFileHost = 259, "meminfo.Inactive(file)" as "inactive_file": Host Gauge Bytes, meminfo("Inactive(file):"), NONE, "2.6";
    /// Memory that reclaim may not touch: locked pages, ramfs.
    UnevictableHost = 260, "meminfo.Unevictable" as "unevictable": Host Gauge Bytes, meminfo("Unevictable:"), NONE, "2.6";
    /// Page cache being written.
    WritebackHost = 261, "meminfo.Writeback" as "writeback": Host Gauge Bytes, meminfo("Writeback:"), NONE, "2.6";
    /// Kernel memory that can be freed: reclaimable slab and what drivers count as reclaimable.
    KReclaimable = 262, "meminfo.KReclaimable" as "kernel_reclaimable": Host Gauge Bytes, meminfo("KReclaimable:"), NONE, "4.20";
    /// Kernel stacks of all tasks.
    KernelStackHost = 263, "meminfo.KernelStack" as "kernel_stack": Host Gauge Bytes, meminfo("KernelStack:"), NONE, "2.6";
    /// Page tables of virtual machines and IOMMU.
    SecPageTablesHost = 264, "meminfo.SecPageTables" as "sec_page_tables": Host Gauge Bytes, meminfo("SecPageTables:"), NONE, "6.1";
    /// vmalloc memory, stacks of tasks included where the kernel maps them.
    VmallocUsed = 265, "meminfo.VmallocUsed" as "vmalloc": Host Gauge Bytes, meminfo("VmallocUsed:"), NONE, "5.3";
    /// Per-CPU kernel data.
    PercpuHost = 266, "meminfo.Percpu" as "percpu": Host Gauge Bytes, meminfo("Percpu:"), NONE, "4.19";
    /// Memory set aside for huge pages of all sizes, used or not.
    HugetlbHost = 267, "meminfo.Hugetlb" as "hugetlb": Host Gauge Bytes, meminfo("Hugetlb:"), NONE, "4.16";
    /// Huge pages of the default size that nobody uses.
    HugePagesFree = 268, "meminfo.HugePages_Free" as "huge_pages_free": Host Gauge Count, flat("/proc/meminfo", "HugePages_Free:"), NONE, "2.6";
    /// The default size of a huge page.
    HugePageSize = 269, "meminfo.Hugepagesize" as "huge_page_size": Host Gauge Bytes, meminfo("Hugepagesize:"), NONE, "2.6";
    /// Memory held by compressed swap (zswap).
    ZswapHost = 270, "meminfo.Zswap" as "zswap": Host Gauge Bytes, meminfo("Zswap:"), NONE, "5.19";
    /// Memory that was swapped into zswap, at its full size.
    ZswappedHost = 271, "meminfo.Zswapped" as "zswapped": Host Gauge Bytes, meminfo("Zswapped:"), NONE, "5.19";
    /// Memory that a balloon driver gave back to the hypervisor; most drivers take it out of MemTotal too.
    Balloon = 272, "meminfo.Balloon" as "balloon": Host Gauge Bytes, meminfo("Balloon:"), NONE, "6.16";
    /// System memory in use by graphics drivers.
    GpuActive = 273, "meminfo.GPUActive" as "gpu_active": Host Gauge Bytes, meminfo("GPUActive:"), NONE, "6.19";
    /// System memory that graphics drivers keep to use again.
    GpuReclaim = 274, "meminfo.GPUReclaim" as "gpu_reclaim": Host Gauge Bytes, meminfo("GPUReclaim:"), NONE, "6.19";
    /// Time in which some task waited for memory.
    HostPressureSome = 220, "pressure.memory.some.total" as "psi_some_us": Host Counter Micros, psi("/proc/pressure/memory", "some"), NONE, "4.20";
    /// Time in which all tasks that could run waited for memory.
    HostPressureFull = 221, "pressure.memory.full.total" as "psi_full_us": Host Counter Micros, psi("/proc/pressure/memory", "full"), NONE, "4.20";
    /// Time in which some task waited for the disk.
    HostIoSome = 222, "pressure.io.some.total" as "psi_io_some_us": Host Counter Micros, psi("/proc/pressure/io", "some"), NONE, "4.20";
    /// Time in which all tasks that could run waited for the disk.
    HostIoFull = 223, "pressure.io.full.total" as "psi_io_full_us": Host Counter Micros, psi("/proc/pressure/io", "full"), NONE, "4.20";
    /// Time in which some task waited for a CPU.
    HostCpuSome = 224, "pressure.cpu.some.total" as "psi_cpu_some_us": Host Counter Micros, psi("/proc/pressure/cpu", "some"), NONE, "4.20";
    /// Processes killed by any OOM killer.
    VmOomKill = 230, "vmstat.oom_kill" as "oom_kill": Host Counter Count, vmstat("oom_kill"), NONE, "4.13";
    /// Pages looked at by kswapd.
    VmPgscanKswapd = 231, "vmstat.pgscan_kswapd" as "pgscan_kswapd": Host Counter Pages, vmstat("pgscan_kswapd"), NONE, "4.8";
    /// Pages looked at by tasks that waited for memory.
    VmPgscanDirect = 232, "vmstat.pgscan_direct" as "pgscan_direct": Host Counter Pages, vmstat("pgscan_direct"), NONE, "4.8";
    /// Pages freed by kswapd.
    VmPgstealKswapd = 233, "vmstat.pgsteal_kswapd" as "pgsteal_kswapd": Host Counter Pages, vmstat("pgsteal_kswapd"), NONE, "4.8";
    /// Pages freed by tasks that waited for memory.
    VmPgstealDirect = 234, "vmstat.pgsteal_direct" as "pgsteal_direct": Host Counter Pages, vmstat("pgsteal_direct"), NONE, "4.8";
    /// Pages swapped in.
    VmPswpin = 235, "vmstat.pswpin" as "pswpin": Host Counter Pages, vmstat("pswpin"), NONE, "2.6";
    /// Pages swapped out.
    VmPswpout = 236, "vmstat.pswpout" as "pswpout": Host Counter Pages, vmstat("pswpout"), NONE, "2.6";
    /// Page faults that waited for the disk.
    VmPgmajfault = 237, "vmstat.pgmajfault" as "pgmajfault": Host Counter Count, vmstat("pgmajfault"), NONE, "2.6";
    /// Page cache pages that came back soon after reclaim.
    VmRefaultFile = 238, "vmstat.workingset_refault_file" as "refault_file": Host Counter Pages, vmstat("workingset_refault_file"), NONE, "5.9";
    /// Anonymous pages that came back soon after reclaim.
    VmRefaultAnon = 239, "vmstat.workingset_refault_anon" as "refault_anon": Host Counter Pages, vmstat("workingset_refault_anon"), NONE, "5.9";
    /// Times an allocation waited for reclaim.
    VmAllocstallNormal = 240, "vmstat.allocstall_normal" as "allocstall_normal": Host Counter Count, vmstat("allocstall_normal"), NONE, "4.8";
    /// Times somebody wrote drop_caches to free the page cache.
    VmDropPagecache = 241, "vmstat.drop_pagecache" as "drop_pagecache": Host Counter Count, vmstat("drop_pagecache"), NONE, "3.15";
    /// Times somebody wrote drop_caches to free dentries and inodes.
    VmDropSlab = 242, "vmstat.drop_slab" as "drop_slab": Host Counter Count, vmstat("drop_slab"), NONE, "3.15";
    /// Pages freed for memory.reclaim of any cgroup: the mark of WSL's autoMemoryReclaim.
    VmPgstealProactive = 243, "vmstat.pgsteal_proactive" as "pgsteal_proactive": Host Counter Pages, vmstat("pgsteal_proactive"), NONE, "6.14";
    /// Pages that hold compressed memory, of zram and zswap.
    VmZspages = 244, "vmstat.nr_zspages" as "zspages": Host Gauge Pages, vmstat("nr_zspages"), NONE, "4.9";
    /// Free pages in blocks of order 5 and larger (128 KiB where a page has 4 KiB).
    FreeOrder5 = 245, "buddyinfo.order5" as "free_order5": Host Gauge Pages, other("/proc/buddyinfo", Key::Blocks(5)), NONE, "2.6";
    /// Free pages in blocks of order 9 and larger (2 MiB where a page has 4 KiB): what page reporting gives back to the hypervisor.
    FreeOrder9 = 246, "buddyinfo.order9" as "free_order9": Host Gauge Pages, other("/proc/buddyinfo", Key::Blocks(9)), NONE, "2.6";
    /// Free pages in the lists of the CPUs, which MemFree does not count.
    FreePerCpu = 247, "zoneinfo.count" as "free_per_cpu": Host Gauge Pages, other("/proc/zoneinfo", Key::Sum("count:")), NONE, "2.6";
    /// Buffers of TCP sockets, as the kernel accounts them.
    SocketsTcp = 248, "net.sockstat.TCP.mem" as "sockets_tcp": Host Gauge Pages, other("/proc/net/sockstat", Key::Pairs("TCP:", "mem")), NONE, "2.6";
    /// Buffers of UDP sockets, as the kernel accounts them.
    SocketsUdp = 249, "net.sockstat.UDP.mem" as "sockets_udp": Host Gauge Pages, other("/proc/net/sockstat", Key::Pairs("UDP:", "mem")), NONE, "2.6";
    /// Removed cgroups that still hold memory, of cgroup v2.
    DyingHost = 275, "cgroup.stat.nr_dying_descendants" as "dying_cgroups": Host Gauge Count, flat("cgroup.stat", "nr_dying_descendants"), NONE, "4.14";
    /// cgroups with the memory controller, removed ones that still hold memory included.
    MemoryCgroups = 276, "cgroups.memory" as "memory_cgroups": Host Gauge Count, other("/proc/cgroups", Key::Column("memory", 2)), NONE, "2.6";
    /// Order of the smallest free blocks that page reporting gives back to the hypervisor.
    ReportingOrder = 277, "page_reporting.parameters.page_reporting_order" as "page_reporting_order": Host Gauge Count, whole("/sys/module/page_reporting/parameters/page_reporting_order"), NONE, "5.14";
    /// CPU time of the recorder, all threads.
    AgentCpu = 250, "agent.cpu" as "agent_cpu_us": Host Counter Micros, OWN, NONE, "-";
    /// CPU time of the two sampling threads.
    AgentSamplingCpu = 251, "agent.sampling_cpu" as "agent_sampling_cpu_us": Host Counter Micros, OWN, NONE, "-";
    /// Resident memory of the recorder.
    AgentRss = 252, "agent.rss" as "agent_rss": Host Gauge Bytes, OWN, NONE, "-";
    /// Ticks that came too late to be kept.
    AgentMissedTicks = 253, "agent.missed_ticks" as "agent_missed_ticks": Host Counter Count, OWN, NONE, "-";
    /// Passes lost between the sampling threads and the disk.
    AgentLostPasses = 254, "agent.lost_passes" as "agent_lost_passes": Host Counter Count, OWN, NONE, "-";
    /// cgroups that are sampled.
    AgentCgroups = 255, "agent.cgroups" as "agent_cgroups": Host Gauge Count, OWN, NONE, "-";

    // ---- processes, when their cgroup grows or nears its limit ----
    /// Resident anonymous memory.
    ProcessAnon = 300, "status.RssAnon" as "rss_anon": Processes Gauge Bytes, OWN, NONE, "4.5";
    /// Resident mapped files.
    ProcessFile = 301, "status.RssFile" as "rss_file": Processes Gauge Bytes, OWN, NONE, "4.5";
    /// Resident shared memory.
    ProcessShmem = 302, "status.RssShmem" as "rss_shmem": Processes Gauge Bytes, OWN, NONE, "4.5";
    /// Memory in swap.
    ProcessSwap = 303, "status.VmSwap" as "swap": Processes Gauge Bytes, OWN, NONE, "2.6";
    /// Threads.
    ProcessThreads = 304, "status.Threads" as "threads": Processes Gauge Count, OWN, NONE, "2.6";
    /// Open descriptors.
    ProcessFds = 305, "fds" as "fds": Processes Gauge Count, OWN, NONE, "2.6";
    /// Resident part of the heap (brk).
    MapsHeap = 306, "maps.heap" as "maps_heap": Processes Gauge Bytes, OWN, NONE, "2.6";
    /// Resident part of private anonymous mappings.
    MapsAnon = 307, "maps.anon" as "maps_anon": Processes Gauge Bytes, OWN, NONE, "2.6";
    /// Resident part of the stacks.
    MapsStack = 308, "maps.stack" as "maps_stack": Processes Gauge Bytes, OWN, NONE, "2.6";
    /// Resident part of mapped files.
    MapsFile = 309, "maps.file" as "maps_file": Processes Gauge Bytes, OWN, NONE, "2.6";
    /// Resident part of tmpfs files, shared memory and memfds.
    MapsShmem = 310, "maps.shmem" as "maps_shmem": Processes Gauge Bytes, OWN, NONE, "2.6";
    /// Number of mappings.
    MapsCount = 311, "maps.count" as "maps_count": Processes Gauge Count, OWN, NONE, "2.6";
}

/// Rows of one table, in slot order.
pub fn of(table: Table) -> impl Iterator<Item = &'static Field> + Clone {
    FIELDS.iter().filter(move |field| field.table == table)
}

/// Number of fields of a table.
pub fn count(table: Table) -> usize {
    of(table).count()
}

/// The field with this column or full name, if any.
///
/// ```
/// use sampler::model::fields::{FieldId, Table, Unit, find};
///
/// let anon = find(Table::Samples, "anon").unwrap();
/// assert_eq!((anon.name, anon.unit), ("memory.stat.anon", Unit::Bytes));
/// assert_eq!(anon.column, FieldId::Anon.field().column);
/// assert!(find(Table::Host, "anon_of_nobody").is_none());
/// ```
pub fn find(table: Table, name: &str) -> Option<&'static Field> {
    of(table).find(|field| field.column == name || field.name == name)
}

/// Value of a limit that is not set: "upward infinity" in the kernel's text. Only in memory; files hold infinity.
pub const UNLIMITED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_within_a_table_and_numbers_lead_back() {
        let mut seen = HashSet::new();
        for field in &FIELDS {
            assert!(seen.insert((field.table, field.column)), "column {} twice", field.column);
            assert!(seen.insert((field.table, field.name)) || field.name == field.column, "name {} twice", field.name);
            assert_eq!(FieldId::from_number(field.id as u16), Some(field.id));
            assert_eq!(field.id.field().name, field.name);
            assert!(!field.doc.is_empty() && field.doc.ends_with('.'), "{} wants a sentence", field.name);
        }
        assert_eq!(FieldId::from_number(0), None);
    }

    #[test]
    fn slots_count_up_within_each_table_and_fit_a_row() {
        for table in [Table::Samples, Table::Host, Table::Processes] {
            assert!(of(table).map(|f| f.slot).eq(0..count(table)));
            assert!(count(table) <= crate::model::sample::SLOTS);
        }
    }

    #[test]
    fn a_name_says_its_file_and_key() {
        for field in &FIELDS {
            let Some(Source { file, key, .. }) = field.v2 else { continue };
            let file = file
                .trim_start_matches("/proc/")
                .trim_start_matches("/sys/module/")
                .replace('/', ".")
                .replace("#reset", ".interval");
            let want = match key {
                Key::Whole => file,
                Key::Flat(key) => format!("{file}.{}", key.trim_end_matches(':')),
                Key::Nested(row, key) => format!("{file}.{row}.{key}"),
                Key::Pairs(row, key) => format!("{file}.{}.{key}", row.trim_end_matches(':')),
                Key::Column(row, _) => format!("{file}.{row}"),
                Key::Sum(key) => format!("{file}.{}", key.trim_end_matches(':')),
                Key::Blocks(order) => format!("{file}.order{order}"),
            };
            assert_eq!(field.name, want);
        }
    }
}
