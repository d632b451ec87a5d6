//! Memory that a process manages by itself, within a bound of its own: the heap of a runtime, the buffers or the cache of a server.

use serde::{Deserialize, Serialize};

/// Who manages it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// A Java virtual machine.
    Jvm,
    /// V8, as Node.js has it.
    Node,
    /// The runtime of Go, with a memory limit (`GOMEMLIMIT`).
    Go,
    /// A mapping of shared memory that was made at its full size, such as the shared buffers of PostgreSQL.
    SharedMapping,
    /// A server that fills a cache up to a size: memcached, MySQL's buffer pool.
    Cache,
}

/// The memory that one process manages, as the recorder saw it at one moment. Sizes are bytes; what could not be read is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnMemory {
    /// Pid in the initial pid namespace.
    pub pid: i32,
    /// Name of the process; untrusted.
    pub comm: String,
    /// Who manages it.
    pub manager: Manager,
    /// Most that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<u64>,
    /// What sets the ceiling: `-Xmx512m`, `GOMEMLIMIT=256MiB`, the name of a mapping; untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<String>,
    /// Whether nothing is collected below the ceiling (Go with `GOGC=off`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncollected: bool,
    /// Anonymous memory of the process that is resident, without swap; of a shared mapping it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
    /// What of a JVM is only in its counters (hsperfdata).
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub heap: Option<JavaHeap>,
}

/// The counters of a JVM's heap. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JavaHeap {
    /// What the heap has of the system.
    pub committed: u64,
    /// What is in it, garbage included.
    pub used: u64,
    /// What is in the old generation, garbage included: after a collection of it, little but what is alive.
    pub old_used: u64,
    /// Collections of the young generation.
    pub young_collections: u64,
    /// Collections of the old generation; of G1 also the pauses of concurrent ones.
    pub old_collections: u64,
    /// Metaspace in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metaspace: Option<u64>,
}
