//! Where the running kernel keeps what the probe reads.

use crate::MISSING;

macro_rules! offsets {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Where the running kernel keeps what the probe reads: byte offsets from its BTF, [`MISSING`] where it has no such
        /// member. Written by the agent before the probe is loaded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct Offsets {
            $($(#[doc = $doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// Nothing is known.
            pub const UNKNOWN: Offsets = Offsets { $($name: MISSING,)* };
        }

        const OFFSETS: usize = [$(stringify!($name)),*].len();
        const _: () = assert!(size_of::<Offsets>() == OFFSETS * 4);
    };
}

offsets! {
    /// `cgroup.subsys[memory_cgrp_id]`.
    cgroup_memory,
    /// `cgroup.kn`.
    cgroup_kn,
    /// `cgroup.root`.
    cgroup_root,
    /// `kernfs_node.id`.
    kernfs_id,
    /// `cgroup_root.hierarchy_id`.
    root_hierarchy,
    /// `cgroup_subsys_state.cgroup`.
    css_cgroup,
    /// `cgroup_subsys_state.flags`.
    css_flags,
    /// `CSS_ONLINE`.
    css_online,
    /// `css_set.subsys[memory_cgrp_id]`.
    set_memory,
    /// `task_struct.cgroups`.
    task_cgroups,
    /// `task_struct.signal`.
    task_signal,
    /// `task_struct.mm`.
    task_mm,
    /// `task_struct.comm`.
    task_comm,
    /// `task_struct.pid`.
    task_pid,
    /// `task_struct.tgid`.
    task_tgid,
    /// `task_struct.group_leader`.
    task_leader,
    /// `task_struct.real_cred`.
    task_cred,
    /// `task_struct.thread_pid`.
    task_thread_pid,
    /// `task_struct.exit_code`.
    task_exit_code,
    /// `task_struct.start_time`.
    task_start,
    /// `task_struct.flags`.
    task_flags,
    /// `task_struct.sighand`.
    task_sighand,
    /// The handler of the first of `sighand_struct.action`.
    sighand_action,
    /// From one of `sighand_struct.action` to the next.
    sighand_stride,
    /// `kernel_siginfo.si_code`.
    info_code,
    /// `css_set.nr_tasks`.
    set_tasks,
    /// `cred.uid`.
    cred_uid,
    /// `signal_struct.oom_score_adj`.
    signal_adj,
    /// `signal_struct.maxrss`.
    signal_maxrss,
    /// `signal_struct.live`.
    signal_live,
    /// `signal_struct.group_exit_code`.
    signal_exit_code,
    /// `signal_struct.rlim[RLIMIT_AS].rlim_cur`.
    signal_address_limit,
    /// `mm_struct.total_vm`.
    mm_total_vm,
    /// `mm_struct.pgtables_bytes`.
    mm_pgtables,
    /// The value of `mm_struct.rss_stat[0]`.
    mm_rss,
    /// From the value of one of `mm_struct.rss_stat` to that of the next.
    mm_rss_stride,
    /// `pid.level`.
    pid_level,
    /// `pid.numbers[0].nr`.
    pid_numbers,
    /// From one of `pid.numbers` to the next.
    pid_stride,
    /// `oom_control.memcg`.
    oc_memcg,
    /// `oom_control.gfp_mask`.
    oc_gfp,
    /// `oom_control.order`.
    oc_order,
    /// `oom_control.totalpages`.
    oc_totalpages,
    /// `oom_control.constraint`.
    oc_constraint,
    /// `mem_cgroup.memory.usage`.
    memcg_usage,
    /// `mem_cgroup.memory.max`.
    memcg_max,
    /// `mem_cgroup.memory.watermark`.
    memcg_peak,
    /// `mem_cgroup.memory_events_local[MEMCG_OOM_KILL]`.
    memcg_oom_kill,
    /// `MM_FILEPAGES`.
    rss_file,
    /// `MM_ANONPAGES`.
    rss_anon,
    /// `MM_SWAPENTS`.
    rss_swap,
    /// `MM_SHMEMPAGES`.
    rss_shmem,
    /// `pid` of the tracepoint mark_victim, by its format file.
    tp_victim_pid,
    /// `comm` of the tracepoint mark_victim (`__data_loc`).
    tp_victim_comm,
    /// Hierarchy of the memory controller, as /proc/self/cgroup numbers it.
    hierarchy,
    /// Smallest peak of an exited process that is reported, KiB; one that was killed, and a main process that failed, always is.
    exit_least_kib,
}

impl Offsets {
    /// The bytes the loader writes.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `repr(C)`, only `u32`, no padding (asserted above), so every byte is initialised.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Offsets>()) }
    }
}
