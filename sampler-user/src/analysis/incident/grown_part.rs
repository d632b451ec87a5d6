//! The kind of memory that grew.

use crate::analysis::leak::signal::Signal;

/// The kind of memory that grew most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrownPart {
    /// Heap, stacks, private mappings.
    Anonymous,
    /// Shared memory, and files in a tmpfs.
    Shared,
    /// Memory of the kernel: slab, stacks, page tables.
    Kernel,
    /// Socket buffers.
    Sockets,
    /// What was swapped out.
    Swap,
    /// No part was seen to grow.
    Unknown,
}

impl GrownPart {
    /// In words, as part of a sentence.
    pub fn name(self) -> &'static str {
        match self {
            GrownPart::Anonymous => "anonymous memory",
            GrownPart::Shared => "shared memory and tmpfs",
            GrownPart::Kernel => "kernel memory",
            GrownPart::Sockets => "socket buffers",
            GrownPart::Swap => "swap",
            GrownPart::Unknown => "memory",
        }
    }

    /// What to look for when it leaks, as part of a sentence.
    pub fn look_for(self) -> &'static str {
        match self {
            GrownPart::Shared => "files in /dev/shm and /tmp that stay",
            GrownPart::Kernel => "open files, threads and mappings that stay",
            GrownPart::Sockets => "connections that nobody reads",
            GrownPart::Anonymous | GrownPart::Swap | GrownPart::Unknown => {
                "what the program keeps: take a heap profile, and compare two of them an hour apart"
            }
        }
    }
}

impl From<Signal> for GrownPart {
    fn from(signal: Signal) -> GrownPart {
        match signal {
            Signal::Shmem => GrownPart::Shared,
            Signal::Slab | Signal::Kernel | Signal::KernelStack | Signal::Pagetables => GrownPart::Kernel,
            Signal::Sock => GrownPart::Sockets,
            _ => GrownPart::Anonymous,
        }
    }
}
