//! From the kernel's types to what the probe reads: offsets for its programs, and for each field the word of a row that
//! holds it. What the running kernel does not have is left out, alone.

use rustix::param::page_size;
use sampler_ebpf::{ASKS, BLOCK_WORDS, BLOCKS, Block, HAS_MEMBERS, HAS_STATISTICS, MISSING, Offsets, ask};

use crate::kernel::cgroupfs::layout::Version;
use crate::kernel::probe::btf::Btf;
use crate::model::fields;
use crate::model::fields::{FieldId, Key, Table, UNLIMITED};

/// Index of the limit of address space, on x86 and ARM.
const RLIMIT_AS: u32 = 9;

/// How the kernel holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Pages in use; below zero for a moment when CPUs settle.
    Pages,
    /// Pages, or no limit.
    Limit,
    /// A number.
    Count,
    /// Of memory.stat, in its units.
    Statistic,
}

/// Where a field is in a row of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The field.
    pub field: FieldId,
    /// Its slot in a row of samples.
    pub slot: usize,
    /// What is asked for it, see [`ask`]; of several the sum is its value.
    asks: Asks,
    form: Form,
    /// Bit of the row that says whether it is there, once it is placed.
    pub bit: usize,
    /// Word in the row, the first of as many as there are asks.
    word: usize,
}

/// A member's offset, or up to four statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asks {
    list: [u32; 4],
    length: usize,
}

impl Asks {
    fn member(offset: u32) -> Asks {
        Asks { list: [ask::MEMBER | offset, 0, 0, 0], length: 1 }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.list.into_iter().take(self.length)
    }
}

impl Item {
    /// The value in base units, from the words of a row. Nothing where the kernel does not count it.
    #[inline]
    pub fn value(&self, words: &[u64], page: u64) -> Option<u64> {
        /// `PAGE_COUNTER_MAX` of the kernel: no limit.
        const MOST_PAGES: u64 = i64::MAX as u64 / 4096;
        let word = *words.get(self.word)?;
        Some(match self.form {
            Form::Count => word,
            Form::Pages => (word as i64).max(0) as u64 * page,
            Form::Limit if word >= MOST_PAGES * 4096 / page => UNLIMITED,
            Form::Limit => word * page,
            // The kernel's functions return -1 for what they do not know.
            Form::Statistic => {
                let parts = words.get(self.word..self.word + self.asks.length)?;
                parts.iter().try_fold(0u64, |sum, part| (*part != u64::MAX).then(|| sum.wrapping_add(*part)))?
            }
        })
    }

    /// Whether it is asked of the kernel's functions; otherwise it is a member of `struct mem_cgroup`.
    pub fn is_statistic(&self) -> bool {
        self.form == Form::Statistic
    }

    /// Byte of `struct mem_cgroup` where it begins.
    fn offset(&self) -> u32 {
        self.asks.list[0]
    }
}

/// The offsets, and where the fields are.
#[derive(Debug)]
pub struct Found {
    /// For the programs.
    pub offsets: Offsets,
    /// The fields of a walk.
    pub items: Vec<Item>,
    /// Fields that this kernel does not count at all: its files have no such line either.
    pub absent: Vec<FieldId>,
    /// What the kernel does not have, in its words.
    pub missing: Vec<String>,
}

/// Finds all that this kernel has. `hierarchy` is the number of the memory controller's.
pub fn find(btf: &Btf, version: Version, hierarchy: u32) -> Found {
    let mut missing = Vec::new();
    let mut at = |structure: &str, path: &str| -> u32 {
        match btf.member(structure, path) {
            Some(member) => member.offset,
            None => {
                missing.push(format!("{structure}.{path}"));
                MISSING
            }
        }
    };
    let memory = btf.enumerator("memory_cgrp_id").map_or(MISSING, |id| id as u32 * 8);
    let plus = |base: u32, more: u32| if base == MISSING || more == MISSING { MISSING } else { base + more };
    let constant = |name: &str| btf.enumerator(name).map_or(MISSING, |value| value as u32);
    let (rss, stride) = rss(btf);
    let numbers = at("pid", "numbers");
    let level = btf.member("pid", "numbers").and_then(|array| btf.element(array.of));
    let stride_of = |structure: &str, array: &str| {
        let element = btf.member(structure, array).and_then(|array| btf.element(array.of));
        element.and_then(|of| btf.size(of)).unwrap_or(MISSING)
    };
    let mut offsets = Offsets {
        cgroup_memory: plus(at("cgroup", "subsys"), memory),
        cgroup_kn: at("cgroup", "kn"),
        cgroup_root: at("cgroup", "root"),
        kernfs_id: at("kernfs_node", "id"),
        root_hierarchy: at("cgroup_root", "hierarchy_id"),
        css_cgroup: at("cgroup_subsys_state", "cgroup"),
        css_flags: at("cgroup_subsys_state", "flags"),
        css_online: constant("CSS_ONLINE"),
        set_memory: plus(at("css_set", "subsys"), memory),
        task_cgroups: at("task_struct", "cgroups"),
        task_signal: at("task_struct", "signal"),
        task_mm: at("task_struct", "mm"),
        task_comm: at("task_struct", "comm"),
        task_pid: at("task_struct", "pid"),
        task_tgid: at("task_struct", "tgid"),
        task_leader: at("task_struct", "group_leader"),
        task_cred: at("task_struct", "real_cred"),
        task_thread_pid: at("task_struct", "thread_pid"),
        task_exit_code: at("task_struct", "exit_code"),
        task_start: at("task_struct", "start_time"),
        task_flags: at("task_struct", "flags"),
        task_sighand: at("task_struct", "sighand"),
        // `sa_handler` is the first member of `struct k_sigaction`.
        sighand_action: at("sighand_struct", "action"),
        sighand_stride: stride_of("sighand_struct", "action"),
        info_code: at("kernel_siginfo", "si_code"),
        set_tasks: at("css_set", "nr_tasks"),
        cred_uid: at("cred", "uid"),
        signal_adj: at("signal_struct", "oom_score_adj"),
        signal_maxrss: at("signal_struct", "maxrss"),
        signal_live: at("signal_struct", "live"),
        signal_exit_code: at("signal_struct", "group_exit_code"),
        signal_address_limit: plus(at("signal_struct", "rlim"), RLIMIT_AS * stride_of("signal_struct", "rlim").min(64)),
        mm_total_vm: at("mm_struct", "total_vm"),
        mm_pgtables: at("mm_struct", "pgtables_bytes"),
        mm_rss: rss,
        mm_rss_stride: stride,
        pid_level: at("pid", "level"),
        pid_numbers: plus(numbers, level.and_then(|of| btf.inner(of, "nr")).map_or(MISSING, |nr| nr.offset)),
        pid_stride: level.and_then(|of| btf.size(of)).unwrap_or(MISSING),
        oc_memcg: at("oom_control", "memcg"),
        oc_gfp: at("oom_control", "gfp_mask"),
        oc_order: at("oom_control", "order"),
        oc_totalpages: at("oom_control", "totalpages"),
        oc_constraint: at("oom_control", "constraint"),
        memcg_usage: at("mem_cgroup", "memory.usage"),
        memcg_max: at("mem_cgroup", "memory.max"),
        memcg_peak: at("mem_cgroup", "memory.watermark"),
        memcg_oom_kill: plus(at("mem_cgroup", "memory_events_local"), event(btf, "MEMCG_OOM_KILL")),
        rss_file: constant("MM_FILEPAGES"),
        rss_anon: constant("MM_ANONPAGES"),
        rss_swap: constant("MM_SWAPENTS"),
        rss_shmem: constant("MM_SHMEMPAGES"),
        hierarchy,
        exit_least_kib: 4096,
        ..Offsets::UNKNOWN
    };
    if rss == MISSING {
        missing.push("mm_struct.rss_stat".into());
    }
    // The programs take the one for the other.
    if btf.member("mem_cgroup", "css").is_none_or(|css| css.offset != 0) {
        (offsets.cgroup_memory, offsets.set_memory) = (MISSING, MISSING);
        missing.push("mem_cgroup.css at 0".into());
    }
    let (items, absent) = match offsets.cgroup_memory {
        MISSING => Default::default(),
        _ => fields(btf, version),
    };
    Found { offsets, items, absent, missing }
}

fn event(btf: &Btf, name: &str) -> u32 {
    btf.enumerator(name).map_or(MISSING, |index| index as u32 * 8)
}

/// `rss_stat` was an array of numbers in a structure, and is an array of per-CPU counters since 6.2.
fn rss(btf: &Btf) -> (u32, u32) {
    let find = || {
        let stat = btf.member("mm_struct", "rss_stat")?;
        if let Some(element) = btf.element(stat.of) {
            return Some((stat.offset + btf.inner(element, "count")?.offset, btf.size(element)?));
        }
        let count = btf.inner(stat.of, "count")?;
        btf.element(count.of)?;
        Some((stat.offset + count.offset, 8))
    };
    find().unwrap_or((MISSING, MISSING))
}

/// Which member holds a field: name in `struct mem_cgroup`, enumerator of the index if it is an array, and form.
fn sources(version: Version) -> Vec<(FieldId, &'static str, Option<&'static str>, Form)> {
    use FieldId as F;
    use Form::{Count, Limit, Pages};
    let events = |local: &'static str, list: &[(FieldId, &'static str)]| {
        list.iter().map(|(field, name)| (*field, local, Some(*name), Count)).collect::<Vec<_>>()
    };
    let common = vec![
        (F::Current, "memory.usage", None, Pages),
        (F::Max, "memory.max", None, Limit),
        (F::Peak, "memory.watermark", None, Pages),
    ];
    let own = match version {
        Version::V1 => vec![
            (F::EventsMax, "memory.failcnt", None, Count),
            (F::High, "soft_limit", None, Limit),
            (F::SwapMax, "memsw.max", None, Limit),
            (F::SwapEventsMax, "memsw.failcnt", None, Count),
            (F::Kernel, "kmem.usage", None, Pages),
            (F::Sock, "tcpmem.usage", None, Pages),
            (F::EventsOomKill, "memory_events", Some("MEMCG_OOM_KILL"), Count),
            (F::LocalOomKill, "memory_events", Some("MEMCG_OOM_KILL"), Count),
        ],
        Version::V2 => [
            vec![
                (F::SwapCurrent, "swap.usage", None, Pages),
                (F::High, "memory.high", None, Limit),
                (F::Low, "memory.low", None, Limit),
                (F::Min, "memory.min", None, Limit),
                (F::SwapMax, "swap.max", None, Limit),
                (F::SwapHigh, "swap.high", None, Limit),
                (F::SwapPeak, "swap.watermark", None, Pages),
            ],
            events(
                "memory_events",
                &[
                    (F::EventsLow, "MEMCG_LOW"),
                    (F::EventsHigh, "MEMCG_HIGH"),
                    (F::EventsMax, "MEMCG_MAX"),
                    (F::EventsOom, "MEMCG_OOM"),
                    (F::EventsOomKill, "MEMCG_OOM_KILL"),
                    (F::EventsOomGroupKill, "MEMCG_OOM_GROUP_KILL"),
                    (F::EventsSockThrottled, "MEMCG_SOCK_THROTTLED"),
                    (F::SwapEventsMax, "MEMCG_SWAP_MAX"),
                    (F::SwapEventsFail, "MEMCG_SWAP_FAIL"),
                ],
            ),
            events(
                "memory_events_local",
                &[
                    (F::LocalHigh, "MEMCG_HIGH"),
                    (F::LocalMax, "MEMCG_MAX"),
                    (F::LocalOom, "MEMCG_OOM"),
                    (F::LocalOomKill, "MEMCG_OOM_KILL"),
                    (F::LocalOomGroupKill, "MEMCG_OOM_GROUP_KILL"),
                ],
            ),
        ]
        .concat(),
    };
    [common, own].concat()
}

/// The fields of a walk, and those that this kernel does not count.
fn fields(btf: &Btf, version: Version) -> (Vec<Item>, Vec<FieldId>) {
    let offset = |member: &str, index: Option<&str>| -> Option<u32> {
        let offset = btf.member("mem_cgroup", member)?.offset;
        let offset = offset + index.map_or(Some(0), |name| Some(btf.enumerator(name)? as u32 * 8))?;
        offset.is_multiple_of(8).then_some(offset)
    };
    let not_counted = |(field, _, index, _): &(FieldId, &str, Option<&str>, Form)| {
        index.is_some_and(|name| btf.enumerator(name).is_none()).then_some(*field)
    };
    let absent = sources(version).iter().filter_map(not_counted).collect();
    let item = |(field, member, index, form): (FieldId, &str, Option<&str>, Form)| {
        let asks = Asks::member(offset(member, index)?);
        Some(Item { field, slot: field.field().slot, asks, form, bit: 0, word: 0 })
    };
    (sources(version).into_iter().filter_map(item).collect(), absent)
}

/// The fields of memory.stat by the kernel's functions, and those of which this kernel has no line in the file, which `lines` holds.
/// What a line is made of is the kernel's `memory_stats` table and `memcg_stat_format`.
pub fn statistics(btf: &Btf, lines: &str) -> (Vec<Item>, Vec<FieldId>) {
    let (mut items, mut absent) = (Vec::new(), Vec::new());
    for field in fields::of(Table::Samples) {
        let Some(source) = field.v2.filter(|source| source.file == "memory.stat") else { continue };
        let Key::Flat(key) = source.key else { continue };
        if !lines.lines().any(|line| line.split(' ').next() == Some(key)) {
            absent.push(field.id);
        } else if let Some(asks) = statistic(btf, key) {
            items.push(Item { field: field.id, slot: field.slot, asks, form: Form::Statistic, bit: 0, word: 0 });
        }
    }
    (items, absent)
}

/// What the kernel adds up for a line of memory.stat.
fn statistic(btf: &Btf, line: &str) -> Option<Asks> {
    let of = |kind: u32, names: &[&str]| {
        let mut asks = Asks { length: names.len(), ..Asks::default() };
        for (ask, name) in asks.list.iter_mut().zip(names) {
            *ask = kind | btf.enumerator(name)? as u32;
        }
        Some(asks)
    };
    let gauge = |name: &str| of(ask::GAUGE, &[name]);
    let counters = |what: &str| {
        let all = ["KSWAPD", "DIRECT", "KHUGEPAGED", "PROACTIVE"].map(|by| format!("{what}_{by}"));
        let known: Vec<&str> = all.iter().map(String::as_str).filter(|name| btf.enumerator(name).is_some()).collect();
        of(ask::COUNTER, &known)
    };
    match line {
        "anon" => gauge("NR_ANON_MAPPED"),
        "file" => gauge("NR_FILE_PAGES"),
        "kernel" => gauge("MEMCG_KMEM"),
        "kernel_stack" => gauge("NR_KERNEL_STACK_KB"),
        "pagetables" => gauge("NR_PAGETABLE"),
        "sec_pagetables" => gauge("NR_SECONDARY_PAGETABLE"),
        "percpu" => gauge("MEMCG_PERCPU_B"),
        "sock" => gauge("MEMCG_SOCK"),
        "vmalloc" => gauge("MEMCG_VMALLOC").or_else(|| gauge("NR_VMALLOC")),
        "shmem" => gauge("NR_SHMEM"),
        "zswap" => gauge("MEMCG_ZSWAP_B"),
        "zswapped" => gauge("MEMCG_ZSWAPPED"),
        "file_mapped" => gauge("NR_FILE_MAPPED"),
        "file_dirty" => gauge("NR_FILE_DIRTY"),
        "file_writeback" => gauge("NR_WRITEBACK"),
        "swapcached" => gauge("NR_SWAPCACHE"),
        "anon_thp" => gauge("NR_ANON_THPS"),
        "file_thp" => gauge("NR_FILE_THPS"),
        "shmem_thp" => gauge("NR_SHMEM_THPS"),
        "inactive_anon" | "active_anon" | "inactive_file" | "active_file" | "unevictable" | "hugetlb" => {
            gauge(&format!("NR_{}", line.to_ascii_uppercase()))
        }
        "slab" => of(ask::GAUGE, &["NR_SLAB_RECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE_B"]),
        "slab_reclaimable" => gauge("NR_SLAB_RECLAIMABLE_B"),
        "slab_unreclaimable" => gauge("NR_SLAB_UNRECLAIMABLE_B"),
        "pgscan" => counters("PGSCAN"),
        "pgsteal" => counters("PGSTEAL"),
        _ if line.starts_with("workingset_") => gauge(&line.to_ascii_uppercase()),
        _ => of(ask::COUNTER, &[&line.to_ascii_uppercase()]),
    }
}

/// Gives each item words of its own, in their order, and says what is asked for them. An item that finds no room is left out.
pub fn line_up(items: &mut Vec<Item>) -> Vec<u32> {
    let mut asks = Vec::new();
    items.retain_mut(|item| {
        if asks.len() + item.asks.length > ASKS {
            return false;
        }
        let has = if item.is_statistic() { HAS_STATISTICS } else { HAS_MEMBERS };
        (item.bit, item.word) = (has.trailing_zeros() as usize, asks.len());
        asks.extend(item.asks.iter());
        true
    });
    asks
}

/// Finds the few runs of bytes that hold all members, and gives each its place. What finds no room or is no member is left out.
pub fn place(items: &mut Vec<Item>) -> [Block; BLOCKS] {
    items.retain(|item| !item.is_statistic());
    let mut blocks = [Block::default(); BLOCKS];
    items.sort_by_key(|item| item.offset());
    let mut last: Option<usize> = None;
    items.retain_mut(|item| {
        let end = item.offset() + 8;
        let joins = last
            .filter(|n| end - blocks[*n].offset <= BLOCK_WORDS as u32 * 8 && gap(blocks[*n], item.offset()) <= NEAR);
        let Some(n) = joins.or_else(|| Some(last.map_or(0, |n| n + 1)).filter(|n| *n < BLOCKS)) else { return false };
        if joins.is_none() {
            blocks[n].offset = item.offset();
        }
        blocks[n].length = end - blocks[n].offset;
        last = Some(n);
        (item.bit, item.word) = (n, n * BLOCK_WORDS + (item.offset() - blocks[n].offset) as usize / 8);
        true
    });
    blocks
}

/// Bytes between that are copied rather than stepped over: a call costs more than a cache line that comes by itself.
const NEAR: u32 = 64;

fn gap(block: Block, offset: u32) -> u32 {
    offset.saturating_sub(block.offset + block.length)
}

/// Size of a page, bytes.
pub fn page() -> u64 {
    page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(form: Form) -> Item {
        Item { field: FieldId::Max, slot: 0, asks: Asks::member(0), form, bit: 0, word: 0 }
    }

    #[test]
    fn near_items_share_a_block_and_each_knows_its_word() {
        let placed = |offsets: &[u32]| {
            let item = |offset: &u32| Item { asks: Asks::member(*offset), ..item(Form::Count) };
            let mut items: Vec<Item> = offsets.iter().map(item).collect();
            let blocks = place(&mut items);
            let blocks: Vec<_> = blocks.iter().filter(|b| b.length > 0).map(|b| (b.offset, b.length)).collect();
            (blocks, items.iter().map(|item| (item.offset(), item.bit, item.word)).collect::<Vec<_>>())
        };
        let (blocks, items) = placed(&[80, 8, 0, 8, 160]);
        assert_eq!(blocks, [(0, 88), (160, 8)], "more than a cache line lies between");
        assert_eq!(items, [(0, 0, 0), (8, 0, 1), (8, 0, 1), (80, 0, 10), (160, 1, BLOCK_WORDS)]);
        let far: Vec<u32> = (0..10).map(|n| n * 1000).collect();
        let (blocks, items) = placed(&far);
        assert_eq!((blocks.len(), items.len()), (BLOCKS, BLOCKS), "what finds no room is left to the files");
        assert_eq!(placed(&[]), (vec![], vec![]));
    }

    #[test]
    fn values_come_in_base_units() {
        let value = |form, word: u64, page| item(form).value(&[word], page);
        assert_eq!(value(Form::Pages, 3, 4096), Some(12288));
        assert_eq!(value(Form::Pages, -1i64 as u64, 4096), Some(0));
        assert_eq!(value(Form::Limit, i64::MAX as u64 / 4096, 4096), Some(UNLIMITED));
        assert_eq!(value(Form::Limit, i64::MAX as u64 / 16384, 16384), Some(UNLIMITED));
        assert_eq!(value(Form::Limit, 25, 4096), Some(102_400));
        assert_eq!(value(Form::Count, 7, 4096), Some(7));
    }

    #[test]
    fn a_statistic_is_the_sum_of_its_parts_and_absent_when_one_is() {
        let mut items =
            vec![item(Form::Count), Item { asks: Asks { list: [9; 4], length: 3 }, ..item(Form::Statistic) }];
        assert_eq!(line_up(&mut items), [0, 9, 9, 9]);
        assert_eq!(items.iter().map(|item| item.bit).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(items[1].value(&[100, 1, 2, 3, 100], 4096), Some(6));
        assert_eq!(items[1].value(&[100, 1, u64::MAX, 3], 4096), None);
        assert_eq!(items[1].value(&[100, 1, 2], 4096), None);
        let mut many = vec![items[1]; 100];
        assert_eq!((line_up(&mut many).len(), many.len()), (ASKS, ASKS / 3), "what finds no room is left to the files");
        assert!(place(&mut items).iter().all(|block| block.length == 0 || block.length == 8) && items.len() == 1);
    }
}
