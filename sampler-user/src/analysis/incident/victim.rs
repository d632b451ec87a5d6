//! Who was killed, and who asked for the memory.

use serde::{Deserialize, Serialize};

/// The task that asked for memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name; hostile.
    pub comm: String,
    /// Its pid, where the probe saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Order of the request: `2^order` pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i64>,
    /// Whether it is the victim itself.
    pub is_victim: bool,
}

/// A process that was killed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Victim {
    /// When, microseconds since 1970; absent where a kernel's log does not say.
    #[serde(default)]
    pub time_us: Option<i64>,
    /// Its pid; absent when no witness named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its name; hostile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// Its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Resident anonymous memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anon: Option<u64>,
    /// Resident shared memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shmem: Option<u64>,
    /// Page tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pgtables: Option<u64>,
    /// Its `oom_score_adj`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i64>,
}
