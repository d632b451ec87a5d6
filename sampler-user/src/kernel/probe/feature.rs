//! What the probe does, and how each part of it can be attached.

/// A method to attach a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMethod {
    /// The beginning of a kernel function, by BTF.
    Fentry(&'static str),
    /// The beginning of a kernel function, by a breakpoint.
    Kprobe(&'static str),
    /// A tracepoint, by BTF; it must have at least so many arguments.
    BtfTracepoint(&'static str, usize),
    /// A tracepoint, by its record; only its format file shows where its values are.
    Tracepoint(&'static str, &'static str),
    /// A walk over cgroups without a lock, with its maps: what is asked and the rows.
    OpenWalk([&'static str; 2]),
    /// A walk over cgroups by the kernel's iterator, with its maps.
    CgroupIterator([&'static str; 2]),
}

impl AttachMethod {
    /// Whether aya looks for this typedef or function in the kernel's types to attach it.
    pub(super) fn looks_up(&self, name: &[u8]) -> bool {
        match self {
            AttachMethod::Fentry(function) => name == function.as_bytes(),
            AttachMethod::BtfTracepoint(tracepoint, _) => {
                name.strip_prefix(b"btf_trace_") == Some(tracepoint.as_bytes())
            }
            AttachMethod::CgroupIterator(_) => name == b"bpf_iter_cgroup",
            AttachMethod::Kprobe(_) | AttachMethod::Tracepoint(..) | AttachMethod::OpenWalk(_) => false,
        }
    }
}

impl std::fmt::Display for AttachMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AttachMethod::Fentry(name) => write!(f, "fentry {name}"),
            AttachMethod::Kprobe(name) => write!(f, "kprobe {name}"),
            AttachMethod::BtfTracepoint(name, _) => write!(f, "BTF tracepoint {name}"),
            AttachMethod::Tracepoint(group, name) => write!(f, "tracepoint {group}:{name}"),
            AttachMethod::OpenWalk(_) => write!(f, "walk without a lock"),
            AttachMethod::CgroupIterator(_) => write!(f, "cgroup iterator"),
        }
    }
}

/// One thing the probe does, and the ways to attach it, best first.
#[derive(Debug)]
pub struct ProbeFeature {
    /// Short name, as reports have it.
    pub name: &'static str,
    /// What is lost without it.
    pub gives: &'static str,
    /// Program and method, best first.
    pub fallbacks: &'static [(&'static str, AttachMethod)],
}

/// All features, in the order they are attached: what feeds another comes before it.
pub static FEATURES: [ProbeFeature; 12] = [
    ProbeFeature {
        name: "oom_request",
        gives: "limit, flags and order of the request that led to an OOM kill",
        fallbacks: &[
            ("oom_request_fentry", AttachMethod::Fentry("oom_kill_process")),
            ("oom_request_kprobe", AttachMethod::Kprobe("oom_kill_process")),
        ],
    },
    ProbeFeature {
        name: "oom_signal",
        gives: "whether a victim was killed or was dying already",
        fallbacks: &[("oom_signal", AttachMethod::BtfTracepoint("signal_generate", 3))],
    },
    ProbeFeature {
        name: "oom_victim",
        gives: "every victim of the OOM killer",
        fallbacks: &[
            // The old form has the pid alone, and the record of the tracepoint has that too.
            ("oom_victim", AttachMethod::BtfTracepoint("mark_victim", 2)),
            ("oom_victim_record", AttachMethod::Tracepoint("oom", "mark_victim")),
        ],
    },
    ProbeFeature {
        name: "cgroup_made",
        gives: "cgroups too brief for inotify",
        fallbacks: &[("cgroup_made", AttachMethod::BtfTracepoint("cgroup_mkdir", 2))],
    },
    ProbeFeature {
        name: "cgroup_removed",
        gives: "the peak of a cgroup when it is removed",
        fallbacks: &[("cgroup_removed", AttachMethod::BtfTracepoint("cgroup_rmdir", 2))],
    },
    ProbeFeature {
        name: "cgroup_joined",
        gives: "who is moved into a cgroup",
        fallbacks: &[("cgroup_joined", AttachMethod::BtfTracepoint("cgroup_attach_task", 3))],
    },
    ProbeFeature {
        name: "stall_begin",
        gives: "stalls for memory where the kernel has no PSI",
        fallbacks: &[("stall_begin", AttachMethod::BtfTracepoint("mm_vmscan_memcg_reclaim_begin", 1))],
    },
    ProbeFeature {
        name: "stall_end",
        gives: "stalls for memory where the kernel has no PSI",
        fallbacks: &[("stall_end", AttachMethod::BtfTracepoint("mm_vmscan_memcg_reclaim_end", 1))],
    },
    ProbeFeature {
        name: "process_exit",
        gives: "peak, exit code and signal of processes that end",
        fallbacks: &[("process_exit", AttachMethod::BtfTracepoint("sched_process_exit", 1))],
    },
    ProbeFeature {
        name: "signal_sent",
        gives: "who sent a signal that ended a process",
        fallbacks: &[("signal_sent", AttachMethod::BtfTracepoint("signal_generate", 5))],
    },
    ProbeFeature {
        name: "walk",
        gives: "all cgroups in one system call",
        fallbacks: &[
            ("open_walk_fast", AttachMethod::OpenWalk(["WALK_FAST", "ROWS_FAST"])),
            ("walk_fast", AttachMethod::CgroupIterator(["WALK_FAST", "ROWS_FAST"])),
        ],
    },
    ProbeFeature {
        name: "walk_slow",
        gives: "the limits and peaks of all cgroups in one system call",
        fallbacks: &[
            ("open_walk_slow", AttachMethod::OpenWalk(["WALK_SLOW", "ROWS_SLOW"])),
            ("walk_slow", AttachMethod::CgroupIterator(["WALK_SLOW", "ROWS_SLOW"])),
        ],
    },
];

/// Name of what the walks also give on the newest kernels.
pub(super) const STATISTICS: &str = "statistics";

/// How far a feature came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Name of the feature.
    pub name: &'static str,
    /// What it gives.
    pub gives: &'static str,
    /// The method that held.
    pub method: Option<AttachMethod>,
    /// The methods that were tried before, and the kernel's answers.
    pub refused: Vec<(AttachMethod, String)>,
}

impl Attached {
    /// Whether something is lost: the file of the statistics holds the same values.
    pub fn lacks(&self) -> bool {
        self.method.is_none() && self.name != STATISTICS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_named_once_and_has_a_method() {
        let names: std::collections::HashSet<_> = FEATURES.iter().map(|feature| feature.name).collect();
        assert_eq!(names.len(), FEATURES.len());
        assert!(FEATURES.iter().all(|feature| !feature.fallbacks.is_empty() && !feature.gives.is_empty()));
    }
}
