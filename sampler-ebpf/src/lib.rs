//! What the kernel probe and the agent exchange.
//!
//! Every type is `repr(C)`, has no hidden padding (asserted below), and holds only integers and byte arrays, so that the
//! bytes the probe writes are the bytes the agent reads. No dependency, no allocation.
#![no_std]

pub mod count;
mod events;
pub mod kfunc;
mod offsets;
mod stalls;
mod walk;

pub use self::events::{
    Exit, HAS_REQUEST, HAS_SIZES, IS_INIT, IS_LAST, Joined, KILL_UNKNOWN, Kind, Lifecycle, OomKill, Signal, WAS_KILLED,
    origin,
};
pub use self::offsets::Offsets;
pub use self::stalls::Stalls;
pub use self::walk::{Block, HAS_MEMBERS, HAS_STATISTICS, Walk, WalkRow, ask};

/// Stands for a member that the running kernel does not have.
pub const MISSING: u32 = u32::MAX;

/// Words of one block of a row.
pub const BLOCK_WORDS: usize = 16;
/// Words of kernel memory a row can carry.
pub const ROW_WORDS: usize = BLOCKS * BLOCK_WORDS;
/// Rows one part of a walk can carry; more cgroups are walked in more parts.
pub const ROWS: u32 = 512;
/// Runs of bytes that are copied from each memory cgroup, at most.
pub const BLOCKS: usize = 8;
/// Values that a row of a walk without a lock can carry.
pub const ASKS: usize = 96;
const _: () = assert!(ASKS <= ROW_WORDS);
/// Bytes kept of a cgroup's path.
pub const PATH: usize = 256;
/// Buckets of a histogram of stalls: bucket `n` counts those of `2^n` to `2^(n+1)` microseconds, the last one all longer.
pub const BUCKETS: usize = 24;
/// cgroups whose stalls are counted, and that the process exits are filtered by.
pub const CGROUPS: u32 = 4096;
