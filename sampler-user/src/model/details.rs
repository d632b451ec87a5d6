//! What holds memory, by name: the largest of each kind, as the recorder looks for them now and then.

use serde::{Deserialize, Serialize};

/// The largest holders of a machine's memory. Names and paths are untrusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryDetails {
    /// Caches of kernel objects, the largest first; empty without root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slab: Vec<SlabCache>,
    /// Mounts of tmpfs, the fullest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MemoryMount>,
    /// Files by what of them is in the page cache, the largest of each cgroup first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<CachedFile>,
}

/// A cache of kernel objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlabCache {
    /// Its name in `/proc/slabinfo`.
    pub name: String,
    /// Pages it has, bytes.
    pub bytes: u64,
    /// Whether the kernel frees its objects when it needs memory; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaimable: Option<bool>,
}

/// A mount of tmpfs in some mount namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryMount {
    /// Where it is mounted, as the processes of its namespace see it.
    pub path: String,
    /// The cgroup of a process of that namespace, where it is not the recorder's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// What its files take, bytes; what is swapped out included.
    pub bytes: u64,
    /// Its size, bytes, if it has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// A file that is in the page cache, or the smaller files below a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedFile {
    /// Its path, as the process that has it open sees it; of a folder with a slash at its end.
    pub path: String,
    /// How many files of the folder are in the page cache; absent of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// The cgroup that has it open or mapped; absent of one that was found by a walk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// What of it is in the page cache, bytes.
    pub bytes: u64,
}
