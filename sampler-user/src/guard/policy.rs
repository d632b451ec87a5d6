//! What the guard may do: the user's word, and what it holds to by itself.

/// By how much a limit is raised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A part of the limit that it had first, above 0.
    Part(f64),
    /// Bytes.
    Bytes(u64),
}

impl Step {
    /// Bytes, of a limit.
    pub fn of(self, limit: u64) -> u64 {
        match self {
            Step::Part(part) => aligned_up((limit as f64 * part) as u64),
            Step::Bytes(bytes) => aligned_up(bytes),
        }
        .max(ALIGN)
    }
}

/// The user's word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Most bytes that all limits together may stand above what they were.
    pub budget: u64,
    /// Bytes of the machine that are never given away.
    pub reserve: u64,
    /// By how much a limit is raised.
    pub step: Step,
    /// A cgroup that is calm for this long gets its old limits back, microseconds.
    pub calm_us: i64,
    /// Whether what is event is done. If not, the guard goes on as if it had been.
    pub apply: bool,
}

/// A limit that is reached within this time is raised, seconds: some ten looks, and a runtime that takes its time.
pub const HORIZON_S: f64 = 2.0;
/// But only from this part of the limit on: below it is how programs start.
pub const RISEN: f64 = 0.6;
/// From this part on a hit of the limit is a danger: below it there was cache to reclaim.
pub const HIT: f64 = 0.9;
/// From this part on it is a danger even at rest.
pub const CLIFF: f64 = 0.97;
/// A raise should last for this long at the present pace, seconds; in one go by no more than four steps.
pub const GOAL_S: f64 = 8.0;
/// Slower growth is none, bytes a second.
pub const LEAST_RATE: f64 = 65536.0;
/// What grows faster may be loading its data, bytes a second.
pub const LOADS_RATE: f64 = (16 << 20) as f64;
/// Time between two raises of a cgroup, microseconds.
pub const PAUSE_US: i64 = 500_000;
/// Raises of a cgroup until it has been calm.
pub const RAISES: u32 = 8;
/// The same of a leak, and of what grows to each new limit without a rest.
pub const LEAK_RAISES: u32 = 2;
/// What could not be done is tried again after this time, microseconds.
pub const AFTER_FAILURE_US: i64 = 30_000_000;
/// The same reason for doing nothing is event again after this time, microseconds.
pub const SAY_AGAIN_US: i64 = 60_000_000;
/// A cgroup is calm below this part of its old limit.
pub const CALM: f64 = 0.8;
/// At the end of the guard an old limit is set back above this part only.
pub const FITS: f64 = 0.95;
/// Cache is reclaimed from this part of the limit on,
pub const NEAR: f64 = 0.85;
/// if it is this part of the limit at least,
pub const MUCH_CACHE: f64 = 0.1;
/// and the rest would fill the limit within this time, seconds.
pub const RECLAIM_S: f64 = 10.0;
/// Time between two reclaims of a cgroup, microseconds.
pub const RECLAIM_PAUSE_US: i64 = 10_000_000;

/// The largest page of the kernels this runs on, which round limits to theirs.
const ALIGN: u64 = 64 << 10;

/// The next multiple of a page.
pub fn aligned_up(bytes: u64) -> u64 {
    aligned_down(bytes.saturating_add(ALIGN - 1))
}

/// The last multiple of a page.
pub fn aligned_down(bytes: u64) -> u64 {
    bytes / ALIGN * ALIGN
}
