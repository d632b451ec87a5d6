//! The programs, and what they share: the offsets, the maps, and reads of kernel memory.

mod exits;
mod kernel;
mod lifecycle;
mod oom;
mod open_walk;
mod reclaim;
mod signals;
mod walk;

use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use aya_ebpf::maps::{HashMap, PerCpuArray, RingBuf};
use sampler_ebpf::{CGROUPS, MISSING, Offsets, count};

/// Written by the agent before loading; the kernel then freezes it.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::UNKNOWN;

/// Events, for the agent.
#[unsafe(link_section = "maps")]
#[unsafe(export_name = "EVENTS")]
static EVENTS: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

/// The probe's own counters, see [`count`]. One set a CPU: Rust has no atomic sum for this target.
#[unsafe(link_section = "maps")]
#[unsafe(export_name = "COUNTERS")]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(count::COUNTERS, 0);

/// The cgroups that are sampled, by kernfs id.
#[unsafe(link_section = "maps")]
#[unsafe(export_name = "SAMPLED")]
static SAMPLED: HashMap<u64, u8> = HashMap::with_max_entries(CGROUPS, 0);

/// The value of an offset. Volatile: the compiler must not take the value of the source for that of the running kernel.
macro_rules! offset {
    ($($name:tt)+) => {{
        // SAFETY: a static is always there.
        #[allow(unused_unsafe, reason = "some are within an unsafe block already")]
        let offset = unsafe { core::ptr::read_volatile(&raw const crate::programs::OFFSETS.$($name)+) };
        offset
    }};
}
use offset;

/// Kernel memory at an offset from an object; zeroes when there is no object, no such member or no such page. Without a branch on
/// whether it worked: two ways for each of thirty members are more than the verifier of an old kernel follows.
#[inline(always)]
fn read<T: Copy>(object: u64, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    if offset != MISSING {
        let from = object.wrapping_add(u64::from(offset)) as *const c_void;
        // SAFETY: the helper writes the whole value: zeroes where it cannot read.
        unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from) };
    }
    // SAFETY: every byte was written, and any bytes are a value of the integers and arrays of integers that are read.
    unsafe { value.assume_init() }
}

/// A pointer member.
#[inline(always)]
fn follow(object: u64, offset: u32) -> u64 {
    read(object, offset)
}

/// A number member.
#[inline(always)]
fn number(object: u64, offset: u32) -> u64 {
    read(object, offset)
}

/// A number of four bytes.
#[inline(always)]
fn short(object: u64, offset: u32) -> u32 {
    read(object, offset)
}

/// kernfs id of a cgroup.
#[inline(always)]
fn cgroup_id(cgroup: u64) -> u64 {
    number(follow(cgroup, offset!(cgroup_kn)), offset!(kernfs_id))
}

/// The memory cgroup of a task, whichever hierarchy has it.
#[inline(always)]
fn memcg_of(task: u64) -> u64 {
    follow(follow(task, offset!(task_cgroups)), offset!(set_memory))
}

/// kernfs id of a memory cgroup. `struct mem_cgroup` begins with its `struct cgroup_subsys_state` (checked by the agent).
#[inline(always)]
fn memcg_id(memcg: u64) -> u64 {
    cgroup_id(follow(memcg, offset!(css_cgroup)))
}

/// Pid of a task in its own pid namespace.
#[inline(always)]
fn own_pid(task: u64) -> u32 {
    let pid = follow(task, offset!(task_thread_pid));
    let (level, numbers, stride) = (short(pid, offset!(pid_level)), offset!(pid_numbers), offset!(pid_stride));
    // The kernel allows 32 levels.
    if numbers == MISSING || stride > 64 || level > 32 {
        return 0;
    }
    short(pid, numbers + level * stride)
}

#[inline(always)]
fn current() -> u64 {
    // SAFETY: has no arguments.
    unsafe { bpf_get_current_task() }
}

/// Adds one to a counter of the probe's own.
#[inline(always)]
fn add(counter: u32) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter) {
        // SAFETY: the map gave the pointer, and it is this CPU's own.
        unsafe { *value += 1 };
    }
}

/// Sends an event, or counts it as lost.
#[inline(always)]
fn send<T: 'static>(event: T) {
    match EVENTS.reserve::<T>(0) {
        Some(mut entry) => {
            entry.write(event);
            entry.submit(0);
        }
        None => add(count::LOST),
    }
}

/// The argument of a program whose arguments are words: `tp_btf` and `fentry`.
#[inline(always)]
fn argument(context: *const u64, n: usize) -> u64 {
    // SAFETY: the verifier checks that the program has this argument.
    unsafe { core::ptr::read_volatile(context.add(n)) }
}
