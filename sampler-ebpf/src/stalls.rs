//! Stalls for memory.

use crate::BUCKETS;

/// Direct reclaim by the tasks of one cgroup since the probe was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stalls {
    /// Number of stalls.
    pub count: u64,
    /// Time, nanoseconds.
    pub time_ns: u64,
    /// Pages that were reclaimed.
    pub pages: u64,
    /// Longest stall, nanoseconds.
    pub longest_ns: u64,
    /// Histogram of their length, see [`BUCKETS`].
    pub buckets: [u64; BUCKETS],
}

const _: () = assert!(size_of::<Stalls>() == (4 + BUCKETS) * 8);
