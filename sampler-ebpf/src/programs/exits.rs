//! Processes of sampled cgroups that end.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use sampler_ebpf::{Exit, Kind, count};

use super::{SAMPLED, add, follow, memcg_id, memcg_of, number, offset, own_pid, read, send, short};

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/sched_process_exit")]
extern "C" fn process_exit(context: *const u64) -> i32 {
    let task = super::argument(context, 0);
    let signal = follow(task, offset!(task_signal));
    // The last thread of the process, by the kernel's count of those that live.
    if short(signal, offset!(signal_live)) != 0 {
        return 0;
    }
    let group = short(signal, offset!(signal_exit_code));
    let status = if group != 0 { group } else { short(task, offset!(task_exit_code)) };
    let peak = number(signal, offset!(signal_maxrss));
    let killed = status & 0x7f != 0;
    if !killed && peak < u64::from(offset!(exit_least_kib)) / 4 {
        add(count::EXITS_SMALL);
        return 0;
    }
    let cgroup = memcg_id(memcg_of(task));
    // SAFETY: the map's values are not looked at.
    if unsafe { SAMPLED.get(&cgroup) }.is_none() {
        return 0;
    }
    let leader = follow(task, offset!(task_leader));
    send(Exit {
        kind: Kind::Exit as u64,
        // SAFETY: takes no arguments.
        time_ns: unsafe { bpf_ktime_get_ns() },
        start_ns: number(leader, offset!(task_start)),
        cgroup,
        peak,
        pid: short(task, offset!(task_tgid)),
        own_pid: own_pid(leader),
        status,
        uid: short(follow(task, offset!(task_cred)), offset!(cred_uid)),
        comm: read(leader, offset!(task_comm)),
    });
    0
}
