//! A time of pressure.

use serde::Serialize;

/// It ends after this time below half of both, microseconds.
pub(super) const CALM_US: i64 = 10_000_000;
/// Episodes kept of a cgroup.
pub(super) const MOST: usize = 256;

/// What an episode is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpisodeKind {
    /// Tasks stalled (PSI).
    Stall,
    /// memory.high was exceeded: the kernel slowed the tasks down.
    Throttled,
    /// memory.max was hit and reclaim made room: nothing was killed.
    LimitHits,
    /// Pages that were just thrown out were read again.
    Refaults,
    /// More was read again than the whole page cache holds: what is needed does not fit.
    Thrashing,
    /// Pages go to swap and come back at once.
    SwapStorm,
    /// Somebody asked the kernel to give memory back (memory.reclaim, as autoMemoryReclaim of WSL does): no fault of the cgroup.
    Reclaimed,
    /// The machine itself has nearly nothing left.
    HostExhausted,
}

/// A time of pressure in one cgroup; of the machine, when the path is empty.
#[derive(Clone, Debug, Serialize)]
pub struct Episode {
    /// The cgroup.
    pub path: String,
    /// What it shows.
    pub kind: EpisodeKind,
    /// Begin and end, microseconds since 1970.
    #[serde(skip)]
    pub time_us: (i64, i64),
    /// Length, seconds.
    pub duration_s: f64,
    /// Seconds in which a task stalled; absent without PSI.
    pub stall_s: Option<f64>,
    /// Highest part of a second in which a task stalled.
    pub peak_some: Option<f64>,
    /// Rise of memory.events max.
    pub limit_hits: u64,
    /// Rise of memory.events high.
    pub throttles: u64,
    /// Pages refaulted.
    pub refaults: u64,
    /// Pages swapped in and out.
    pub swapped: u64,
    /// Pages freed because somebody asked for it.
    pub reclaimed: u64,
    /// Least memory that was available, bytes; of the machine only.
    pub least_available: Option<u64>,
    /// Who took the memory, when it was not the cgroup itself.
    pub cause: Option<Cause>,
}

impl Episode {
    /// How long tasks waited, seconds; `None` of what nobody waits for, such as a limit that page cache fills.
    pub fn waited_s(&self) -> Option<f64> {
        let is_felt = !matches!(self.kind, EpisodeKind::Reclaimed | EpisodeKind::LimitHits | EpisodeKind::Refaults);
        is_felt.then(|| self.stall_s.unwrap_or(self.duration_s))
    }

    /// One that begins.
    pub fn new(path: &str, kind: EpisodeKind, time_us: (i64, i64)) -> Episode {
        Episode {
            path: path.to_owned(),
            kind,
            time_us,
            duration_s: 0.0,
            stall_s: None,
            peak_some: None,
            limit_hits: 0,
            throttles: 0,
            refaults: 0,
            swapped: 0,
            reclaimed: 0,
            least_available: None,
            cause: None,
        }
    }
}

/// A cgroup that grew while another suffered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// Its path.
    pub path: String,
    /// By how much it grew, bytes.
    pub grew_bytes: u64,
    /// Its part of all growth of those that share a parent with the one that suffers.
    pub share: f64,
}
