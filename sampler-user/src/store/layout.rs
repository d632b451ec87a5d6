//! Where the parts of a recording lie.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Folder of the journal.
pub const JOURNAL: &str = "journal";

/// Locked by the agent that records into the folder.
pub const LOCK: &str = "lock";

/// Whether an agent records into a folder now.
pub fn is_recording(dir: &Path) -> bool {
    File::open(dir.join(LOCK)).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// Name shared by a segment and the files made of it.
pub fn stem_of(path: &Path) -> String {
    path.file_stem().map_or_else(|| "segment".into(), |stem| stem.to_string_lossy().into_owned())
}

/// A host's name as that of its folder.
pub fn partition_of(host: &str) -> String {
    host.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}
