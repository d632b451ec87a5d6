//! What is shown of a cgroup, and of the machine.

use serde::Serialize;

use crate::analysis::account::Account;

/// What is shown of a cgroup at one time. What is not known is absent; sizes are bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    /// Path.
    pub path: String,
    /// What it is called.
    pub name: String,
    /// The runtime, if one has it.
    pub runtime: Option<String>,
    /// Whether it is a container.
    pub container: bool,
    /// memory.current.
    pub current: Option<u64>,
    /// What reclaim cannot take.
    #[serde(rename = "firm")]
    pub unreclaimable: Option<u64>,
    /// The limit that is reached first: its own, or what others leave it of an ancestor's.
    pub limit: Option<u64>,
    /// Whether it has a limit of its own; absent when that was not read.
    pub own_limit: Option<bool>,
    /// Its own limit, if it has one.
    pub max: Option<u64>,
    /// `current` of `limit`, 0 to 1.
    pub used: Option<f64>,
    /// `unreclaimable` of `limit`, 0 to 1.
    #[serde(rename = "firm_used")]
    pub unreclaimable_used: Option<f64>,
    /// Anonymous memory.
    pub anon: Option<u64>,
    /// Page cache.
    pub file: Option<u64>,
    /// Swap.
    pub swap: Option<u64>,
    /// Growth of what cannot be reclaimed, a minute.
    pub growth_per_min: Option<f64>,
    /// Seconds until that reaches the limit, or until nothing is left of the machine.
    pub time_to_limit_s: Option<f64>,
    /// Whether it is the machine that ends first.
    pub machine_first: bool,
    /// Part of the last seconds in which some task waited for memory, 0 to 1.
    pub pressure: Option<f64>,
    /// Time in which tasks reclaimed memory themselves in the last minute, microseconds, by the probe.
    pub stall_us: Option<u64>,
    /// Whether the recorder's detectors call it a leak; absent when they reported nothing.
    pub leaks: Option<bool>,
    /// OOM kills since the board began.
    pub oom_kills: u64,
    /// Whether it was removed.
    pub gone: bool,
}

/// The machine at one time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Host name.
    pub host: String,
    /// WSL, if it is one.
    pub wsl: Option<String>,
    /// Memory of the machine or of the WSL2 VM.
    pub total: Option<u64>,
    /// Total less available.
    pub used: Option<u64>,
    /// Page cache and buffers.
    pub cache: Option<u64>,
    /// Swap in use.
    pub swap_used: Option<u64>,
    /// Swap.
    pub swap_total: Option<u64>,
    /// Part of the last seconds in which some task waited for memory.
    pub pressure: Option<f64>,
    /// Sum of the containers' own limits.
    pub limits: u64,
    /// Containers without a limit.
    pub unlimited: usize,
    /// Where all of the memory is; of the newest reading only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}
