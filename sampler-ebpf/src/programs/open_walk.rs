//! The walk without a lock: a program that is run by a system call, goes over the cgroups under RCU by the kernel's own iterator, and
//! reads their memory in place.
//!
//! Needs kernel 6.17 (`bpf_rdonly_cast` to anything); statistics need 7.0. Older kernels have the walk of `walk.rs`.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_ktime_get_ns};
use aya_ebpf::maps::Array;
use sampler_ebpf::{ASKS, HAS_MEMBERS, HAS_STATISTICS, ROW_WORDS, Walk, WalkRow, ask};

use super::walk::{ROWS_FAST, ROWS_SLOW, WALK_FAST, WALK_SLOW};
use super::{kernel, offset};

/// aya has no section for a program that a system call runs. It is never loaded by aya, which takes this one apart as well.
macro_rules! open_walk {
    ($program:ident, $walk:ident, $rows:ident) => {
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "iter.s/cgroup")]
        extern "C" fn $program(_context: *const u64) -> i32 {
            run(&$walk, &$rows)
        }
    };
}

open_walk!(open_walk_fast, WALK_FAST, ROWS_FAST);
open_walk!(open_walk_slow, WALK_SLOW, ROWS_SLOW);

/// 0, or 1 when the first cgroup is not there.
#[inline(always)]
fn run(walk: &Array<Walk>, rows: &Array<WalkRow>) -> i32 {
    let Some(walk) = walk.get_ptr_mut(0) else { return 1 };
    // SAFETY: the map gave the pointer; one walk at a time writes it, for the agent that runs the program.
    let walk = unsafe { &mut *walk };
    // SAFETY: of the kernel functions the verifier checks the arguments, and that what is taken is given back.
    unsafe {
        let root = first(walk.root);
        if root.is_null() {
            return 1;
        }
        if walk.statistics != 0 {
            let memcg = kernel::get_mem_cgroup(root);
            if !memcg.is_null() {
                kernel::mem_cgroup_flush_stats(memcg);
                kernel::put_mem_cgroup(memcg);
            }
        }
        let mut iter = MaybeUninit::<kernel::CssIter>::uninit();
        kernel::rcu_read_lock();
        // A cgroup begins with its own state (checked by the agent).
        kernel::iter_css_new(iter.as_mut_ptr(), root, kernel::DESCENDANTS_PRE);
        loop {
            let css = kernel::iter_css_next(iter.as_mut_ptr());
            if css.is_null() || visit(css, walk, rows) {
                break;
            }
        }
        kernel::iter_css_destroy(iter.as_mut_ptr());
        kernel::rcu_read_unlock();
        kernel::cgroup_release(root);
    }
    0
}

/// The cgroup of an id. Kernels find only those of the unified hierarchy by it; of another, the topmost one.
#[inline(always)]
unsafe fn first(id: u64) -> *mut c_void {
    // SAFETY: as above.
    unsafe {
        if offset!(hierarchy) == 0 {
            return kernel::cgroup_from_id(id);
        }
        let own = kernel::task_get_cgroup1(bpf_get_current_task_btf() as *mut c_void, offset!(hierarchy) as i32);
        if own.is_null() {
            return own;
        }
        let top = kernel::cgroup_ancestor(own, 0);
        kernel::cgroup_release(own);
        top
    }
}

/// A member of eight bytes.
#[inline(always)]
unsafe fn number(object: u64, offset: u32) -> u64 {
    // SAFETY: reads what may be read at any offset.
    unsafe { core::ptr::read_volatile(kernel::rdonly_cast(object, 0).add(offset as usize).cast()) }
}

/// Whether the walk ends.
#[inline(always)]
unsafe fn visit(css: *mut c_void, walk: &mut Walk, rows: &Array<WalkRow>) -> bool {
    let visited = walk.visited;
    walk.visited = visited + 1;
    if visited < walk.skip {
        return false;
    }
    let Some(row) = rows.get_ptr_mut(walk.rows as u32) else {
        walk.visited = visited;
        walk.stopped = 1;
        return true;
    };
    let cgroup = css as u64;
    // SAFETY: the map gave the row; and as above.
    unsafe {
        // Removed, but something still holds it.
        if number(cgroup, offset!(css_flags)) as u32 & offset!(css_online) == 0 {
            return false;
        }
        let row = &mut *row;
        let now = bpf_ktime_get_ns();
        if walk.rows == 0 {
            walk.first_ns = now;
        }
        row.time_ns = now;
        row.id = number(number(cgroup, offset!(cgroup_kn)), offset!(kernfs_id));
        row.has = answer(css, number(cgroup, offset!(cgroup_memory)), walk, &mut row.words);
        walk.rows += 1;
        walk.last_ns = now;
    }
    false
}

/// Writes the answers to what is asked; says which kinds there are.
#[inline(always)]
unsafe fn answer(css: *mut c_void, memory: u64, walk: &Walk, words: &mut [u64; ROW_WORDS]) -> u64 {
    if memory == 0 {
        return 0;
    }
    // SAFETY: as above.
    unsafe {
        let memcg = if walk.statistics == 0 { core::ptr::null_mut() } else { kernel::get_mem_cgroup(css) };
        let mut n = 0;
        while n < ASKS {
            if n as u32 >= walk.asked {
                break;
            }
            let asked = core::ptr::read_volatile(&raw const walk.asks[n]);
            let item = asked & ask::NUMBER;
            words[n] = match asked & !ask::NUMBER {
                ask::MEMBER => number(memory, item & 0xffff),
                ask::GAUGE if !memcg.is_null() => kernel::mem_cgroup_page_state(memcg, item),
                ask::COUNTER if !memcg.is_null() => kernel::mem_cgroup_vm_events(memcg, item),
                _ => 0,
            };
            n += 1;
        }
        if memcg.is_null() {
            return HAS_MEMBERS;
        }
        kernel::put_mem_cgroup(memcg);
    }
    HAS_MEMBERS | HAS_STATISTICS
}
