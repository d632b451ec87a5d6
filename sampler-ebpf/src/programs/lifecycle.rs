//! cgroups that come and go, and who is moved into them, so that one that lives for milliseconds leaves its peak behind.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel_str};
use sampler_ebpf::{Joined, Kind, Lifecycle, MISSING, PATH, count};

use super::{EVENTS, add, cgroup_id, follow, number, offset, own_pid, read, send, short};

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/cgroup_mkdir")]
extern "C" fn cgroup_made(context: *const u64) -> i32 {
    tell(Kind::CgroupMade, super::argument(context, 0), super::argument(context, 1));
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/cgroup_rmdir")]
extern "C" fn cgroup_removed(context: *const u64) -> i32 {
    tell(Kind::CgroupRemoved, super::argument(context, 0), super::argument(context, 1));
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/cgroup_attach_task")]
extern "C" fn cgroup_joined(context: *const u64) -> i32 {
    let (cgroup, task) = (super::argument(context, 0), super::argument(context, 2));
    let pid = short(task, offset!(task_tgid));
    // A thread that moves alone is no process that comes.
    if !is_of_memory(cgroup) || short(task, offset!(task_pid)) != pid {
        return 0;
    }
    send(Joined {
        kind: Kind::Joined as u64,
        // SAFETY: takes no arguments.
        time_ns: unsafe { bpf_ktime_get_ns() },
        cgroup: cgroup_id(cgroup),
        pid,
        own_pid: own_pid(task),
        comm: read(task, offset!(task_comm)),
    });
    0
}

/// Other hierarchies number their cgroups from the same numbers.
#[inline(always)]
fn is_of_memory(cgroup: u64) -> bool {
    short(follow(cgroup, offset!(cgroup_root)), offset!(root_hierarchy)) == offset!(hierarchy)
}

#[inline(always)]
fn tell(kind: Kind, cgroup: u64, path: u64) {
    if !is_of_memory(cgroup) {
        return;
    }
    let Some(mut entry) = EVENTS.reserve::<Lifecycle>(0) else { return add(count::LOST) };
    // SAFETY: the ring gave room for one event; every byte of it is written here.
    let event = unsafe {
        let event = entry.as_mut_ptr();
        (*event).path = [0; PATH];
        &mut *event
    };
    event.kind = kind as u64;
    // SAFETY: takes no arguments.
    event.time_ns = unsafe { bpf_ktime_get_ns() };
    event.id = cgroup_id(cgroup);
    let memcg = follow(cgroup, offset!(cgroup_memory));
    event.peak = number(memcg, offset!(memcg_peak));
    event.has_last = u64::from(matches!(kind, Kind::CgroupRemoved) && memcg != 0 && offset!(memcg_peak) != MISSING);
    event.oom_kills = number(memcg, offset!(memcg_oom_kill));
    // SAFETY: writes at most `PATH` bytes, with the NUL.
    unsafe { bpf_probe_read_kernel_str(event.path.as_mut_ptr().cast(), PATH as u32, path as *const c_void) };
    entry.submit(0);
}
