//! Walks over the cgroups.

use crate::{ASKS, BLOCKS, ROW_WORDS};

/// A run of bytes of `struct mem_cgroup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Block {
    /// First byte.
    pub offset: u32,
    /// Number of bytes, a multiple of 8, at most those of [`BLOCK_WORDS`](crate::BLOCK_WORDS); 0 ends the list.
    pub length: u32,
}

/// One walk over the cgroups, or a part of it: asked by the agent, answered by the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Walk {
    /// cgroups to step over, because a part before has read them.
    pub skip: u64,
    /// Time after which the walk stops, nanoseconds: it holds the lock that making and removing a cgroup needs.
    pub bound_ns: u64,
    /// cgroups that were visited, with those stepped over.
    pub visited: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Time of the first visit, `CLOCK_MONOTONIC` nanoseconds.
    pub first_ns: u64,
    /// Time of the last row.
    pub last_ns: u64,
    /// 1 when it stopped before the end.
    pub stopped: u64,
    /// kernfs id of the cgroup it begins with.
    pub root: u64,
    /// Of an iterator: what is copied from each memory cgroup, block `n` to the words from `n * BLOCK_WORDS` on.
    pub blocks: [Block; BLOCKS],
    /// Of a walk without a lock: what is asked of each memory cgroup, ask `n` for word `n`; see [`ask`].
    pub asks: [u32; ASKS],
    /// Number of asks.
    pub asked: u32,
    /// 1 when the asks have any of statistics, so that they are brought up to date before.
    pub statistics: u32,
}

impl Walk {
    /// Nothing is asked.
    pub const NONE: Walk = Walk {
        skip: 0,
        bound_ns: 0,
        visited: 0,
        rows: 0,
        first_ns: 0,
        last_ns: 0,
        stopped: 0,
        root: 0,
        blocks: [Block { offset: 0, length: 0 }; BLOCKS],
        asks: [0; ASKS],
        asked: 0,
        statistics: 0,
    };
}

/// One cgroup of a walk.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct WalkRow {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// kernfs id.
    pub id: u64,
    /// What there is: bit `n` for block `n`; without a lock [`HAS_MEMBERS`] and [`HAS_STATISTICS`]. 0 for a cgroup without the memory
    /// controller.
    pub has: u64,
    /// The blocks, each at its place, or the answers.
    pub words: [u64; ROW_WORDS],
}

/// [`WalkRow::has`] of a walk without a lock: members of `struct mem_cgroup`.
pub const HAS_MEMBERS: u64 = 1;
/// [`WalkRow::has`] of a walk without a lock: statistics.
pub const HAS_STATISTICS: u64 = 2;

/// What a walk without a lock is asked: a kind in the upper two bits, and a number.
pub mod ask {
    /// Eight bytes of `struct mem_cgroup`; its offset.
    pub const MEMBER: u32 = 0;
    /// A gauge of memory.stat; its `enum node_stat_item` or `memcg_stat_item`. Kernel 7.0.
    pub const GAUGE: u32 = 1 << 30;
    /// A counter of memory.stat; its `enum vm_event_item`. Kernel 7.0.
    pub const COUNTER: u32 = 2 << 30;
    /// The bits of the number.
    pub const NUMBER: u32 = (1 << 30) - 1;
}

const _: () = assert!(size_of::<Walk>() == 8 * 8 + BLOCKS * 8 + ASKS * 4 + 8);
const _: () = assert!(size_of::<WalkRow>() == (3 + ROW_WORDS) * 8);
