//! What the control loop is to do.

use crate::model::event::Event;

/// What the control loop is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Record an event.
    Record(Event),
    /// Give a cgroup its subject number, before anything else is recorded of it.
    Number {
        /// Path below the root.
        path: String,
        /// Its kernfs id.
        id: u64,
    },
    /// Open the files of a numbered cgroup: sample it, watch its counters, look up its name.
    Sample {
        /// Path below the root.
        path: String,
        /// Its kernfs id.
        id: u64,
    },
    /// A sampled cgroup is gone: close its files.
    Remove {
        /// Path below the root.
        path: String,
    },
    /// The probe reports the processes of this cgroup from now on, by kernfs id.
    ProbeCgroup(u64),
    /// The probe forgets this cgroup.
    ProbeForget(u64),
    /// Hand the walks of the probe to the sampling threads.
    WalkWithProbe,
    /// Compare the cgroup tree with the kernel's.
    Rescan,
    /// Multiply the interval by this.
    SlowDown(u32),
    /// Return freed memory to the system.
    TrimMemory,
}
