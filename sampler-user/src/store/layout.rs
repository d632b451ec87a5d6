//! Where the parts of a recording lie.

use std::path::Path;

/// Folder of the journal.
pub const JOURNAL: &str = "journal";

/// Name shared by a segment and the files made of it.
pub fn stem_of(path: &Path) -> String {
    path.file_stem().map_or_else(|| "segment".into(), |stem| stem.to_string_lossy().into_owned())
}

/// A host's name as that of its folder.
pub fn partition_of(host: &str) -> String {
    host.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}
