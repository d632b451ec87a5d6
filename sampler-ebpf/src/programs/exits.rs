//! Processes of sampled cgroups that end.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use sampler_ebpf::{Exit, IS_INIT, IS_LAST, Kind, MISSING, count};

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
    let leader = follow(task, offset!(task_leader));
    let (pid, own) = (short(task, offset!(task_tgid)), own_pid(leader));
    let mut flags = 0;
    if own == 1 && pid != 1 {
        flags |= IS_INIT;
    }
    if short(follow(task, offset!(task_cgroups)), offset!(set_tasks)) == 1 {
        flags |= IS_LAST;
    }
    if !killed && peak < u64::from(offset!(exit_least_kib)) / 4 && (status == 0 || flags == 0) {
        add(count::EXITS_SMALL);
        return 0;
    }
    let memcg = memcg_of(task);
    let cgroup = memcg_id(memcg);
    // SAFETY: the map's values are not looked at.
    if unsafe { SAMPLED.get(&cgroup) }.is_none() {
        return 0;
    }
    let address_limit = match offset!(signal_address_limit) {
        MISSING => u64::MAX,
        at => number(signal, at),
    };
    send(Exit {
        kind: Kind::Exit as u64,
        // SAFETY: takes no arguments.
        time_ns: unsafe { bpf_ktime_get_ns() },
        start_ns: number(leader, offset!(task_start)),
        cgroup,
        peak,
        usage: number(memcg, offset!(memcg_usage)),
        limit: number(memcg, offset!(memcg_max)),
        address_limit,
        pid,
        own_pid: own,
        status,
        uid: short(follow(task, offset!(task_cred)), offset!(cred_uid)),
        flags,
        padding: 0,
        comm: read(leader, offset!(task_comm)),
    });
    0
}
