//! OOM kills: the request that led to one, and each victim.
//!
//! `oom_kill_process` knows the request (limit, flags, order) and `mark_victim` the victim. All of it happens under the
//! kernel's `oom_lock`, so one place holds the request until its victims are marked.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::maps::Array;
use aya_ebpf::programs::ProbeContext;
use sampler_ebpf::{HAS_REQUEST, HAS_SIZES, KILL_UNKNOWN, Kind, MISSING, OomKill, WAS_KILLED};

use super::{current, follow, memcg_id, memcg_of, number, offset, own_pid, read, send, short};

/// What `oom_kill_process` was asked, and whom a kill signal was sent to.
#[derive(Clone, Copy)]
#[repr(C)]
struct Request {
    /// The task that asks, with its process in the upper half.
    task: u64,
    limit_cgroup: u64,
    usage: u64,
    limit: u64,
    total_pages: u64,
    gfp: u32,
    order: i32,
    constraint: u32,
    /// 1 once a signal was seen at all: the program that sees them is attached.
    sees_signals: u32,
    /// The task that the kernel sent the last SIGKILL of its own, and who caused it.
    killed: u64,
    killer: u64,
}

#[unsafe(link_section = "maps")]
#[unsafe(export_name = "REQUEST")]
static REQUEST: Array<Request> = Array::with_max_entries(1, 0);

#[inline(always)]
fn request() -> Option<&'static mut Request> {
    // SAFETY: the map gave the pointer, and its memory lives as long as the program.
    REQUEST.get_ptr_mut(0).map(|request| unsafe { &mut *request })
}

#[inline(always)]
fn keep(control: u64) {
    let Some(request) = request() else { return };
    let memcg = follow(control, offset!(oc_memcg));
    request.limit_cgroup = memcg_id(memcg);
    request.usage = number(memcg, offset!(memcg_usage));
    request.limit = number(memcg, offset!(memcg_max));
    request.total_pages = number(control, offset!(oc_totalpages));
    request.gfp = short(control, offset!(oc_gfp));
    request.order = short(control, offset!(oc_order)) as i32;
    request.constraint = short(control, offset!(oc_constraint));
    request.task = bpf_get_current_pid_tgid();
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "fentry/oom_kill_process")]
extern "C" fn oom_request_fentry(context: *const u64) -> i32 {
    keep(super::argument(context, 0));
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "kprobe/oom_kill_process")]
extern "C" fn oom_request_kprobe(context: *mut core::ffi::c_void) -> i32 {
    if let Some(control) = ProbeContext::new(context).arg::<u64>(0) {
        keep(control);
    }
    0
}

/// The kernel sends SIGKILL before it marks the victim; a mark without it is of a task that was dying already, and no kill.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/signal_generate")]
extern "C" fn oom_signal(context: *const u64) -> i32 {
    /// `SEND_SIG_PRIV`: the sender is the kernel.
    const FROM_KERNEL: u64 = 1;
    const SIGKILL: u32 = 9;
    let Some(request) = request() else { return 0 };
    if request.sees_signals == 0 {
        request.sees_signals = 1;
    }
    if super::argument(context, 0) as u32 == SIGKILL && super::argument(context, 1) == FROM_KERNEL {
        request.killed = short(super::argument(context, 2), offset!(task_tgid)).into();
        request.killer = bpf_get_current_pid_tgid();
    }
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/mark_victim")]
extern "C" fn oom_victim(context: *const u64) -> i32 {
    victim(super::argument(context, 0));
    0
}

/// The victim as a task.
#[inline(always)]
fn victim(task: u64) {
    let mut event = blank();
    let mm = follow(task, offset!(task_mm));
    let signal = follow(task, offset!(task_signal));
    let (first, stride) = (offset!(mm_rss), offset!(mm_rss_stride));
    if first != MISSING && stride <= 256 {
        // A counter may be below zero for a moment.
        let size = |index: u32| read::<i64>(mm, first + (index & 7) * stride).max(0) as u64;
        event.anon = size(offset!(rss_anon));
        event.file = size(offset!(rss_file));
        event.shmem = size(offset!(rss_shmem));
        event.swap = size(offset!(rss_swap));
        event.flags |= HAS_SIZES;
    }
    event.victim_cgroup = memcg_id(memcg_of(task));
    event.total_vm = number(mm, offset!(mm_total_vm));
    event.pgtables = number(mm, offset!(mm_pgtables));
    event.pid = short(task, offset!(task_tgid));
    event.thread = short(task, offset!(task_pid));
    event.own_pid = own_pid(task);
    event.uid = short(follow(task, offset!(task_cred)), offset!(cred_uid));
    event.oom_score_adj = read::<i16>(signal, offset!(signal_adj)).into();
    event.comm = read(task, offset!(task_comm));
    finish(event);
}

/// The victim by the record of the tracepoint: all there is without BTF.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint/oom/mark_victim")]
extern "C" fn oom_victim_record(context: *mut core::ffi::c_void) -> i32 {
    let record = context as u64;
    let mut event = blank();
    event.pid = short(record, offset!(tp_victim_pid));
    event.thread = event.pid;
    if offset!(tp_victim_comm) != MISSING {
        event.comm = read(record, short(record, offset!(tp_victim_comm)) & 0xfff);
    }
    finish(event);
    0
}

#[inline(always)]
fn blank() -> OomKill {
    // SAFETY: integers and arrays of integers; all zeroes are a value of them.
    let mut event: OomKill = unsafe { core::mem::zeroed() };
    event.kind = Kind::OomKill as u64;
    // SAFETY: takes no arguments.
    event.time_ns = unsafe { bpf_ktime_get_ns() };
    event
}

#[inline(always)]
fn finish(mut event: OomKill) {
    let task = bpf_get_current_pid_tgid();
    event.trigger_pid = (task >> 32) as u32;
    event.trigger_comm = read(current(), offset!(task_comm));
    if let Some(request) = request() {
        if request.task == task {
            event.limit_cgroup = request.limit_cgroup;
            event.usage = request.usage;
            event.limit = request.limit;
            event.total_pages = request.total_pages;
            event.gfp = request.gfp;
            event.order = request.order;
            event.constraint = request.constraint;
            event.flags |= HAS_REQUEST;
        }
        if request.sees_signals == 0 {
            event.flags |= KILL_UNKNOWN;
        } else if request.killer == task && request.killed == u64::from(event.pid) {
            event.flags |= WAS_KILLED;
        }
    }
    send(event);
}
