//! Stalls: tasks that had to reclaim memory themselves before their request was served. Known even where the kernel's own
//! account of pressure (PSI) is off.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::maps::{LruHashMap, PerCpuHashMap};
use sampler_ebpf::{BUCKETS, CGROUPS, Stalls, count};

use super::{add, current, memcg_id, memcg_of};

/// Beginning of a task's stall.
#[unsafe(link_section = "maps")]
#[unsafe(export_name = "STALLED")]
static STALLED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

/// Stalls by the stalled task's memory cgroup, one set a CPU.
#[unsafe(link_section = "maps")]
#[unsafe(export_name = "STALLS")]
static STALLS: PerCpuHashMap<u64, Stalls> = PerCpuHashMap::with_max_entries(CGROUPS, 0);

const EMPTY: Stalls = Stalls { count: 0, time_ns: 0, pages: 0, longest_ns: 0, buckets: [0; BUCKETS] };

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/mm_vmscan_memcg_reclaim_begin")]
extern "C" fn stall_begin(_context: *const u64) -> i32 {
    // SAFETY: takes no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let _ = STALLED.insert(&bpf_get_current_pid_tgid(), &now, 0);
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/mm_vmscan_memcg_reclaim_end")]
extern "C" fn stall_end(context: *const u64) -> i32 {
    end(super::argument(context, 0));
    0
}

#[inline(always)]
fn end(pages: u64) {
    let task = bpf_get_current_pid_tgid();
    // SAFETY: the value is copied at once.
    let begun = unsafe { STALLED.get(&task) }.copied();
    let Some(begun) = begun else { return };
    let _ = STALLED.remove(&task);
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() }.wrapping_sub(begun);
    let cgroup = memcg_id(memcg_of(current()));
    if STALLS.get_ptr(&cgroup).is_none() {
        // BPF_NOEXIST: another task of the cgroup may have been faster.
        let _ = STALLS.insert(&cgroup, &EMPTY, 1);
    }
    let Some(stalls) = STALLS.get_ptr_mut(&cgroup) else { return add(count::STALLS_LOST) };
    // SAFETY: the map gave the pointer, and it is this CPU's own.
    let stalls = unsafe { &mut *stalls };
    stalls.count += 1;
    stalls.time_ns += time;
    stalls.pages += pages;
    stalls.longest_ns = stalls.longest_ns.max(time);
    let bucket = bucket(time / 1000);
    if bucket < BUCKETS {
        stalls.buckets[bucket] += 1;
    }
}

/// The power of two below, at most the last bucket. By halves: BPF has no instruction for it.
#[inline(always)]
fn bucket(mut micros: u64) -> usize {
    let mut power = 0;
    macro_rules! half {
        ($($bits:literal)*) => {$(
            if micros >= 1 << $bits {
                micros >>= $bits;
                power += $bits;
            }
        )*};
    }
    half!(16 8 4 2 1);
    if power < BUCKETS { power } else { BUCKETS - 1 }
}
