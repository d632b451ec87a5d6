//! Single values of a cgroup, read once.

use std::fs;
use std::path::Path;

use crate::kernel::cgroupfs::number::number;
use crate::model::evidence::Usage;
use crate::model::fields::UNLIMITED;

/// The number that a file holds; [`UNLIMITED`] for no limit.
pub fn read_number(path: &Path) -> Option<u64> {
    number(fs::read(path).ok()?.trim_ascii_start())
}

/// What a cgroup of v1 holds, and its limit.
pub fn usage_v1(folder: &Path) -> Option<Usage> {
    let read = |file: &str| read_number(&folder.join(file));
    Some(Usage {
        usage: read("memory.usage_in_bytes")?,
        limit: read("memory.limit_in_bytes").filter(|limit| *limit != UNLIMITED),
        failcnt: read("memory.failcnt").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_of_v1_is_none_and_a_missing_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        assert_eq!(usage_v1(dir.path()), None);
        write("memory.usage_in_bytes", "4096\n");
        write("memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(usage_v1(dir.path()), Some(Usage { usage: 4096, limit: None, failcnt: 0 }));
        write("memory.limit_in_bytes", "8192\n");
        write("memory.failcnt", "3\n");
        assert_eq!(usage_v1(dir.path()), Some(Usage { usage: 4096, limit: Some(8192), failcnt: 3 }));
    }
}
