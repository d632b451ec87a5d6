//! Signals that may end a process of a sampled cgroup, and who sent them.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use sampler_ebpf::{Kind, MISSING, Signal, origin};

use super::{SAMPLED, current, follow, memcg_id, memcg_of, number, offset, own_pid, read, send, short};

/// Signals that end a process whatever it does about them, or that ask it to end: HUP, INT, QUIT, ABRT, KILL, TERM.
const ENDS: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9 | 1 << 15;
/// Faults, which end a process that does not handle them: ILL, TRAP, BUS, FPE, SEGV, XCPU, XFSZ, SYS. A JVM handles thousands a second.
const FAULTS: u32 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 24 | 1 << 25 | 1 << 31;
/// The task is ending (`PF_EXITING`).
const EXITING: u32 = 4;

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/signal_generate")]
extern "C" fn signal_sent(context: *const u64) -> i32 {
    /// `TRACE_SIGNAL_ALREADY_PENDING`.
    const PENDING: u32 = 2;
    let signal = super::argument(context, 0) as u32;
    let task = super::argument(context, 2);
    // The verifier takes a pointer argument for one that is never null, and this one is without a sender's report.
    let info = number(context as u64, 8);
    let result = super::argument(context, 4) as u32;
    if signal == 0 || signal > 31 || (ENDS | FAULTS) & 1 << signal == 0 || result == PENDING {
        return 0;
    }
    let cgroup = memcg_id(memcg_of(task));
    // SAFETY: the map's values are not looked at.
    if unsafe { SAMPLED.get(&cgroup) }.is_none() {
        return 0;
    }
    if FAULTS & 1 << signal != 0 && handled(task, signal) {
        return 0;
    }
    let sender = current();
    let from = match info {
        0 if short(sender, offset!(task_flags)) & EXITING != 0 => origin::PARENT,
        0 => origin::CGROUP,
        1 => origin::KERNEL,
        _ => origin::PROCESS,
    };
    send(Signal {
        kind: Kind::Signal as u64,
        // SAFETY: takes no arguments.
        time_ns: unsafe { bpf_ktime_get_ns() },
        cgroup,
        sender_cgroup: memcg_id(memcg_of(sender)),
        pid: short(task, offset!(task_tgid)),
        own_pid: own_pid(follow(task, offset!(task_leader))),
        sender_pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        sender_uid: short(follow(sender, offset!(task_cred)), offset!(cred_uid)),
        signal,
        code: if info > 1 { short(info, offset!(info_code)) as i32 } else { 0 },
        origin: from,
        result,
        comm: read(follow(task, offset!(task_leader)), offset!(task_comm)),
        sender_comm: read(follow(sender, offset!(task_leader)), offset!(task_comm)),
    });
    0
}

/// Whether the process has a handler for a signal, or ignores it.
#[inline(always)]
fn handled(task: u64, signal: u32) -> bool {
    let (first, stride) = (offset!(sighand_action), offset!(sighand_stride));
    if first == MISSING || stride > 256 {
        return false;
    }
    number(follow(task, offset!(task_sighand)), first + ((signal - 1) & 31) * stride) != 0
}
