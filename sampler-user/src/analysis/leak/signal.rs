//! The signals of a cgroup that are followed.

use serde::Serialize;

/// What a cgroup's memory is made of, and what it does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// What cannot be reclaimed: anon, shmem, swap, kernel without reclaimable slab, sockets.
    Footprint,
    /// memory.current.
    Current,
    /// What can: files without shmem, reclaimable slab.
    Cache,
    /// Anonymous memory, with what of it is swapped.
    Anon,
    /// Shared memory and tmpfs.
    Shmem,
    /// Kernel memory that is not slab, page tables or stacks.
    Kernel,
    /// Slab that cannot be reclaimed, or all of it where the kernel does not distinguish.
    Slab,
    /// Sockets.
    Sock,
    /// Page tables.
    Pagetables,
    /// Stacks of the kernel: one a thread.
    KernelStack,
    /// CPU time, a counter.
    Cpu,
    /// Page faults, a counter.
    Faults,
    /// Processes and threads.
    Pids,
}

/// Number of signals.
pub const SIGNALS: usize = Signal::Pids as usize + 1;

/// The parts that a growth can be attributed to.
pub const PARTS: [Signal; 7] =
    [Signal::Anon, Signal::Shmem, Signal::Kernel, Signal::Slab, Signal::Sock, Signal::Pagetables, Signal::KernelStack];
