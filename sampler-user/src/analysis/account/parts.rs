//! Parts of MemTotal that add up.

use serde::Serialize;

use crate::model::fields::{FieldId, Table};
use crate::model::recording::Series;
use crate::model::word::word;

/// A part of MemTotal. No page is in two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Anonymous memory: heaps, stacks, private mappings.
    Processes,
    /// Files of tmpfs, shared memory, shared anonymous mappings.
    SharedMemory,
    /// Page cache and buffers of block devices, without shared memory.
    PageCache,
    /// Pages that are in swap and in memory, and mapped by nobody.
    SwapCache,
    /// Kernel objects that can be freed: dentries, inodes.
    SlabReclaimable,
    /// What drivers hold and count as reclaimable.
    KernelReclaimable,
    /// Kernel objects that cannot be freed.
    SlabUnreclaimable,
    /// Page tables, those of virtual machines included.
    PageTables,
    /// Stacks of tasks in the kernel.
    KernelStacks,
    /// Per-CPU data.
    PerCpu,
    /// vmalloc memory that is no stack.
    Vmalloc,
    /// Buffers of sockets, as far as nothing else counts them.
    Sockets,
    /// Compressed swap before a disk.
    Zswap,
    /// Compressed memory of zram.
    Zram,
    /// Huge pages in use.
    HugePages,
    /// Huge pages that are set aside and not used.
    HugePagesFree,
    /// What a balloon driver holds and the kernel still counts in MemTotal.
    Balloon,
    /// What graphics drivers hold.
    Graphics,
    /// Free memory in blocks of order 9 and larger: page reporting can give it back to the hypervisor.
    FreeLarge,
    /// Free memory in smaller blocks.
    FreeSmall,
    /// Free pages in the lists of the CPUs.
    FreePerCpu,
    /// What the kernel does not count anywhere: pages of drivers and of a balloon.
    Unexplained,
}

impl Kind {
    /// All kinds, in the order they are shown.
    pub const ALL: [Kind; 22] = [
        Kind::Processes,
        Kind::SharedMemory,
        Kind::PageCache,
        Kind::SwapCache,
        Kind::SlabReclaimable,
        Kind::KernelReclaimable,
        Kind::SlabUnreclaimable,
        Kind::PageTables,
        Kind::KernelStacks,
        Kind::PerCpu,
        Kind::Vmalloc,
        Kind::Sockets,
        Kind::Zswap,
        Kind::Zram,
        Kind::HugePages,
        Kind::HugePagesFree,
        Kind::Balloon,
        Kind::Graphics,
        Kind::FreeLarge,
        Kind::FreeSmall,
        Kind::FreePerCpu,
        Kind::Unexplained,
    ];

    /// In words, for a line of a table.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Processes => "processes",
            Kind::SharedMemory => "tmpfs and shared memory",
            Kind::PageCache => "page cache",
            Kind::SwapCache => "swap cache",
            Kind::SlabReclaimable => "kernel caches",
            Kind::KernelReclaimable => "other, can be freed",
            Kind::SlabUnreclaimable => "kernel objects",
            Kind::PageTables => "page tables",
            Kind::KernelStacks => "kernel stacks",
            Kind::PerCpu => "per-CPU data",
            Kind::Vmalloc => "vmalloc",
            Kind::Sockets => "socket buffers",
            Kind::Zswap => "compressed swap, zswap",
            Kind::Zram => "compressed disk, zram",
            Kind::HugePages => "huge pages in use",
            Kind::HugePagesFree => "huge pages, unused",
            Kind::Balloon => "balloon",
            Kind::Graphics => "graphics drivers",
            Kind::FreeLarge => "free, in large blocks",
            Kind::FreeSmall => "free, in smaller blocks",
            Kind::FreePerCpu => "free, in lists of CPUs",
            Kind::Unexplained => "not explained",
        }
    }

    /// The word of scripts for it.
    pub fn name(self) -> String {
        word(&self)
    }

    /// Whether the kernel holds it for itself and cannot free it.
    pub fn is_kernel(self) -> bool {
        matches!(
            self,
            Kind::SlabUnreclaimable
                | Kind::PageTables
                | Kind::KernelStacks
                | Kind::PerCpu
                | Kind::Vmalloc
                | Kind::Sockets
                | Kind::Zswap
                | Kind::Zram
                | Kind::Balloon
                | Kind::Graphics
        )
    }

    /// Whether it is free.
    pub fn is_free(self) -> bool {
        matches!(self, Kind::FreeLarge | Kind::FreeSmall | Kind::FreePerCpu)
    }
}

/// A part and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// How much, bytes.
    pub bytes: u64,
}

/// All of a machine's memory at one time, bytes. The parts add up to `total` and `overlap`.
///
/// ```
/// use sampler::analysis::account::{Account, Kind};
/// use sampler::model::fields::FieldId::{AnonPages, Buffers, Cached, MemFree, MemTotal, SReclaimable, SUnreclaim, ShmemHost};
/// let host = [(MemTotal, 100), (MemFree, 20), (AnonPages, 30), (Cached, 25), (ShmemHost, 5), (Buffers, 1), (SReclaimable, 8), (SUnreclaim, 4)];
/// let account = Account::of(|field| host.iter().find(|(id, _)| *id == field).map(|(_, bytes)| *bytes), 4096).unwrap();
/// assert_eq!((account.bytes(Kind::PageCache), account.bytes(Kind::SharedMemory), account.unexplained()), (21, 5, 12));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// MemTotal.
    pub total: u64,
    /// The parts that are not empty, in the order of [`Kind::ALL`]; what is not explained is always among them.
    pub parts: Vec<Part>,
    /// By how much the counters together exceed the total: they are read one after the other, and some run ahead.
    pub overlap: u64,
    /// Fields that this kernel or this recording does not have; what they count is not explained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_read: Vec<&'static str>,
}

/// Fields of the host without which there is no account.
const NEEDED: [FieldId; 6] = [
    FieldId::MemTotal,
    FieldId::MemFree,
    FieldId::AnonPages,
    FieldId::Cached,
    FieldId::SReclaimable,
    FieldId::SUnreclaim,
];

/// Fields whose absence makes more unexplained.
const WANTED: [FieldId; 9] = [
    FieldId::ShmemHost,
    FieldId::Buffers,
    FieldId::PageTablesHost,
    FieldId::KernelStackHost,
    FieldId::PercpuHost,
    FieldId::VmallocUsed,
    FieldId::HugetlbHost,
    FieldId::FreeOrder9,
    FieldId::FreePerCpu,
];

impl Account {
    /// The account of one reading of the host. `None` where /proc/meminfo was not read.
    pub fn of(get: impl Fn(FieldId) -> Option<u64>, page_size: u64) -> Option<Account> {
        if NEEDED.iter().any(|field| get(*field).is_none()) {
            return None;
        }
        let of = |field: FieldId| get(field).unwrap_or(0);
        let pages = |field: FieldId| of(field).saturating_mul(page_size);
        let total = of(FieldId::MemTotal);
        let shmem = of(FieldId::ShmemHost);
        let free = of(FieldId::MemFree);
        // buddyinfo is read a moment after meminfo.
        let large = pages(FieldId::FreeOrder9).min(free);
        let hugetlb = of(FieldId::HugetlbHost);
        let huge_free = of(FieldId::HugePagesFree).saturating_mul(of(FieldId::HugePageSize)).min(hugetlb);
        let compressed = pages(FieldId::VmZspages).max(of(FieldId::ZswapHost));
        let zswap = of(FieldId::ZswapHost);
        let known = [
            (Kind::Processes, of(FieldId::AnonPages)),
            (Kind::SharedMemory, shmem),
            (Kind::PageCache, of(FieldId::Cached).saturating_sub(shmem).saturating_add(of(FieldId::Buffers))),
            (Kind::SwapCache, swap_cache(&get)),
            (Kind::SlabReclaimable, of(FieldId::SReclaimable)),
            (Kind::KernelReclaimable, of(FieldId::KReclaimable).saturating_sub(of(FieldId::SReclaimable))),
            (Kind::SlabUnreclaimable, of(FieldId::SUnreclaim)),
            (Kind::PageTables, of(FieldId::PageTablesHost).saturating_add(of(FieldId::SecPageTablesHost))),
            (Kind::KernelStacks, of(FieldId::KernelStackHost)),
            (Kind::PerCpu, of(FieldId::PercpuHost)),
            // Where the kernel maps its stacks, they are in vmalloc too.
            (Kind::Vmalloc, of(FieldId::VmallocUsed).saturating_sub(of(FieldId::KernelStackHost))),
            (Kind::Zswap, zswap),
            (Kind::Zram, compressed - zswap),
            (Kind::HugePages, hugetlb - huge_free),
            (Kind::HugePagesFree, huge_free),
            (Kind::FreeLarge, large),
            (Kind::FreeSmall, free - large),
            (Kind::FreePerCpu, pages(FieldId::FreePerCpu)),
        ];
        let counted = known.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let mut left = total.saturating_sub(counted);
        let mut parts: Vec<(Kind, u64)> = known.to_vec();
        // Most balloons are not in MemTotal: what does not fit into it is none of it.
        let graphics = of(FieldId::GpuActive).saturating_add(of(FieldId::GpuReclaim));
        for (kind, bytes) in [(Kind::Balloon, of(FieldId::Balloon)), (Kind::Graphics, graphics)] {
            if bytes <= left {
                left -= bytes;
                parts.push((kind, bytes));
            }
        }
        // Some buffers of sockets are kernel objects too.
        let sockets = pages(FieldId::SocketsTcp).saturating_add(pages(FieldId::SocketsUdp)).min(left);
        parts.push((Kind::Sockets, sockets));
        parts.retain(|(_, bytes)| *bytes > 0);
        parts.push((Kind::Unexplained, left - sockets));
        parts.sort();
        Some(Account {
            total,
            parts: parts.into_iter().map(|(kind, bytes)| Part { kind, bytes }).collect(),
            overlap: counted.saturating_sub(total),
            not_read: WANTED.iter().filter(|field| get(**field).is_none()).map(|field| field.field().name).collect(),
        })
    }

    /// The size of a part; 0 if it is empty.
    pub fn bytes(&self, kind: Kind) -> u64 {
        self.parts.iter().find(|part| part.kind == kind).map_or(0, |part| part.bytes)
    }

    /// What nothing counts.
    pub fn unexplained(&self) -> u64 {
        self.bytes(Kind::Unexplained)
    }

    /// What the account cannot place: not explained, or counted twice; 0 to 1 of the total.
    pub fn error(&self) -> f64 {
        self.unexplained().max(self.overlap) as f64 / self.total.max(1) as f64
    }
}

/// Pages that are in the swap cache and mapped by nobody: mapped ones are among the anonymous. The LRU lists hold all of them.
fn swap_cache(get: impl Fn(FieldId) -> Option<u64>) -> u64 {
    const LISTS: [FieldId; 5] = [
        FieldId::ActiveAnonHost,
        FieldId::InactiveAnonHost,
        FieldId::ActiveFileHost,
        FieldId::InactiveFileHost,
        FieldId::UnevictableHost,
    ];
    let lists = LISTS.iter().try_fold(0u64, |sum, list| Some(sum.saturating_add(get(*list)?)));
    let of = |field: FieldId| get(field).unwrap_or(0);
    let counted = of(FieldId::AnonPages).saturating_add(of(FieldId::Cached)).saturating_add(of(FieldId::Buffers));
    lists.map_or(0, |lists| lists.saturating_sub(counted).min(of(FieldId::SwapCachedHost)))
}

/// The accounts of a series of the host, each with its wall-clock time in microseconds.
pub fn through_time(host: &Series, page_size: u64) -> impl Iterator<Item = (i64, Account)> + '_ {
    let is_host = host.table == Table::Host;
    (0..host.len()).filter(move |_| is_host).filter_map(move |row| {
        let get = |field: FieldId| host.column(field.field())?.get(row);
        Some((host.time_us[row], Account::of(get, page_size)?))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = 4096;

    fn account(host: &BTreeMap<FieldId, u64>) -> Option<Account> {
        Account::of(|field| host.get(&field).copied(), PAGE)
    }

    /// A machine, by what is where: each part in pages.
    fn machine(of: &BTreeMap<Kind, u64>, extra: u64) -> BTreeMap<FieldId, u64> {
        use FieldId::*;
        let part = |kind| of.get(&kind).copied().unwrap_or(0) * PAGE;
        let pages = |kind| of.get(&kind).copied().unwrap_or(0);
        let total: u64 = of.values().sum::<u64>() * PAGE;
        let free = part(Kind::FreeLarge) + part(Kind::FreeSmall);
        let (anon, cached) = (part(Kind::Processes), part(Kind::SharedMemory) + part(Kind::PageCache));
        BTreeMap::from([
            (MemTotal, total),
            (MemFree, free),
            (AnonPages, anon),
            (Cached, cached),
            (ShmemHost, part(Kind::SharedMemory)),
            (Buffers, 0),
            (InactiveAnonHost, anon + part(Kind::SharedMemory) + part(Kind::SwapCache)),
            (ActiveAnonHost, 0),
            (ActiveFileHost, part(Kind::PageCache)),
            (InactiveFileHost, 0),
            (UnevictableHost, 0),
            // Of the swap cache some is mapped, and anonymous.
            (SwapCachedHost, part(Kind::SwapCache) + extra.min(anon)),
            (SReclaimable, part(Kind::SlabReclaimable)),
            (KReclaimable, part(Kind::SlabReclaimable) + part(Kind::KernelReclaimable)),
            (SUnreclaim, part(Kind::SlabUnreclaimable)),
            (PageTablesHost, part(Kind::PageTables)),
            (KernelStackHost, part(Kind::KernelStacks)),
            (VmallocUsed, part(Kind::Vmalloc) + part(Kind::KernelStacks)),
            (PercpuHost, part(Kind::PerCpu)),
            (SocketsTcp, pages(Kind::Sockets)),
            (ZswapHost, part(Kind::Zswap)),
            (VmZspages, pages(Kind::Zswap) + pages(Kind::Zram)),
            (HugetlbHost, part(Kind::HugePages) + part(Kind::HugePagesFree)),
            (HugePagesFree, pages(Kind::HugePagesFree)),
            (HugePageSize, PAGE),
            (Balloon, part(Kind::Balloon)),
            (GpuActive, part(Kind::Graphics)),
            (FreeOrder9, pages(Kind::FreeLarge)),
            (FreePerCpu, pages(Kind::FreePerCpu)),
        ])
    }

    proptest! {
        #[test]
        fn each_part_is_found_as_it_is_and_the_rest_is_not_explained(
            sizes in prop::collection::vec(0u64..1 << 24, Kind::ALL.len()), extra in 0u64..1 << 30,
        ) {
            let of: BTreeMap<Kind, u64> = Kind::ALL.into_iter().zip(sizes).collect();
            let account = account(&machine(&of, extra)).unwrap();
            for kind in Kind::ALL {
                prop_assert_eq!(account.bytes(kind), of[&kind] * PAGE, "{:?}", kind);
            }
            prop_assert_eq!((account.overlap, account.not_read.is_empty()), (0, true));
        }

        #[test]
        fn whatever_the_counters_are_the_parts_add_up(
            values in prop::collection::vec(prop_oneof![0u64..1 << 40, any::<u64>()], 64), page in prop_oneof![Just(4096u64), any::<u64>()],
        ) {
            let fields = crate::model::fields::of(Table::Host).map(|field| field.id);
            let host: BTreeMap<FieldId, u64> = fields.zip(values.into_iter().cycle()).collect();
            let account = Account::of(|field| host.get(&field).copied(), page).unwrap();
            let sum: u128 = account.parts.iter().map(|part| u128::from(part.bytes)).sum();
            let whole = u128::from(account.total) + u128::from(account.overlap);
            // A sum beyond 64 bits is as good as the largest.
            prop_assert!(sum == whole || sum > u128::from(u64::MAX), "{} {}", sum, whole);
            prop_assert!(account.overlap == 0 || account.unexplained() == 0);
        }

        #[test]
        fn what_was_not_read_is_not_explained_and_named(drop in 0usize..9) {
            let of: BTreeMap<Kind, u64> = Kind::ALL.into_iter().map(|kind| (kind, 100)).collect();
            let mut host = machine(&of, 0);
            let whole = account(&host).unwrap();
            host.remove(&WANTED[drop]);
            let less = account(&host).unwrap();
            prop_assert_eq!(&less.not_read, &vec![WANTED[drop].field().name]);
            prop_assert!(less.unexplained() + less.overlap >= whole.unexplained());
            prop_assert_eq!(less.parts.iter().map(|part| part.bytes).sum::<u64>(), less.total + less.overlap);
        }
    }

    #[test]
    fn without_meminfo_there_is_no_account() {
        let of: BTreeMap<Kind, u64> = Kind::ALL.into_iter().map(|kind| (kind, 1)).collect();
        for field in NEEDED {
            let mut host = machine(&of, 0);
            host.remove(&field);
            assert_eq!(account(&host), None, "{field:?}");
        }
    }

    #[test]
    fn a_balloon_that_is_not_in_the_total_is_no_part_of_it() {
        let of: BTreeMap<Kind, u64> = [(Kind::Processes, 50), (Kind::FreeSmall, 40), (Kind::Unexplained, 10)].into();
        let mut host = machine(&of, 0);
        host.insert(FieldId::Balloon, 400 * PAGE);
        let account = account(&host).unwrap();
        assert_eq!((account.bytes(Kind::Balloon), account.unexplained()), (0, 10 * PAGE));
        assert!((account.error() - 0.1).abs() < 1e-9);
    }
}
