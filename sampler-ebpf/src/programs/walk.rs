//! The walk over all cgroups below a root, in one system call.

use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel};
use aya_ebpf::maps::Array;
use sampler_ebpf::{BLOCK_WORDS, BLOCKS, Block, ROW_WORDS, ROWS, Walk, WalkRow};

use super::{cgroup_id, follow, offset};

/// The maps may be mapped into the agent: rows are never copied.
const MMAPABLE: u32 = 1 << 10;

/// A walk of its own maps: two may be under way at the same time, one for each sampling thread of the agent.
macro_rules! walk {
    ($program:ident, $walk:ident, $rows:ident) => {
        #[unsafe(link_section = "maps")]
        #[unsafe(no_mangle)]
        pub static $walk: Array<Walk> = Array::with_max_entries(1, MMAPABLE);

        #[unsafe(link_section = "maps")]
        #[unsafe(no_mangle)]
        pub static $rows: Array<WalkRow> = Array::with_max_entries(ROWS, MMAPABLE);

        #[unsafe(no_mangle)]
        #[unsafe(link_section = "iter/cgroup")]
        extern "C" fn $program(context: *const u64) -> i32 {
            visit(super::argument(context, 1), &$walk, &$rows)
        }
    };
}

walk!(walk_fast, WALK_FAST, ROWS_FAST);
walk!(walk_slow, WALK_SLOW, ROWS_SLOW);

/// Called for each cgroup, parents before children, with the lock of the cgroup tree held; at the end once without one.
/// 1 ends the walk.
#[inline(always)]
fn visit(cgroup: u64, walk: &Array<Walk>, rows: &Array<WalkRow>) -> i32 {
    let Some(walk) = walk.get_ptr_mut(0) else { return 1 };
    if cgroup == 0 {
        return 0;
    }
    // SAFETY: the map gave the pointer; one walk at a time writes it, for the agent that reads the iterator.
    let walk = unsafe { &mut *walk };
    let visited = walk.visited;
    if visited < walk.skip {
        walk.visited = visited + 1;
        return 0;
    }
    let Some(row) = rows.get_ptr_mut(walk.rows as u32) else {
        walk.stopped = 1;
        return 1;
    };
    // SAFETY: takes no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if walk.rows == 0 {
        walk.first_ns = now;
    }
    // SAFETY: as above.
    let row = unsafe { &mut *row };
    row.time_ns = now;
    row.id = cgroup_id(cgroup);
    row.has = copy(follow(cgroup, offset!(cgroup_memory)), walk, &mut row.words);
    walk.visited = visited + 1;
    walk.rows += 1;
    walk.last_ns = now;
    if now.wrapping_sub(walk.first_ns) > walk.bound_ns {
        walk.stopped = 1;
        return 1;
    }
    0
}

/// Copies the blocks that are asked for; a bit for each that was.
#[inline(always)]
fn copy(memcg: u64, walk: &Walk, words: &mut [u64; ROW_WORDS]) -> u64 {
    const MOST: u32 = BLOCK_WORDS as u32 * 8;
    let mut copied = 0u64;
    if memcg == 0 {
        return 0;
    }
    let base: *mut u64 = words.as_mut_ptr();
    // Not a loop: the verifier of old kernels follows straight code faster.
    macro_rules! block {
        ($($n:literal)*) => {$({
            // Volatile: the agent could write it meanwhile, and what is checked must be what is used.
            // SAFETY: within the map's value.
            let Block { offset: from, length } = unsafe { core::ptr::read_volatile(&raw const walk.blocks[$n]) };
            if length == 0 || length > MOST {
                return copied;
            }
            let memory = memcg.wrapping_add(u64::from(from)) as *const _;
            // SAFETY: each block has room for `MOST` bytes.
            if unsafe { bpf_probe_read_kernel(base.add($n * BLOCK_WORDS).cast(), length, memory) } == 0 {
                copied |= 1 << $n;
            }
        })*};
    }
    block!(0 1 2 3 4 5 6 7);
    const { assert!(BLOCKS == 8) };
    copied
}
