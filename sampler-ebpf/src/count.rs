//! Indices of the probe's own counters.

/// Events that found the ring full.
pub const LOST: u32 = 0;
/// Stalls of cgroups that found no room.
pub const STALLS_LOST: u32 = 1;
/// Process exits that were too small to report.
pub const EXITS_SMALL: u32 = 2;
/// Number of counters.
pub const COUNTERS: u32 = 4;
