//! Limits of a cgroup, written; and cache, reclaimed.

use std::path::PathBuf;
use std::{fs, io};

use crate::kernel::cgroupfs::layout::{Layout, Version, at};
use crate::kernel::cgroupfs::read::read_number;
use crate::model::fields::UNLIMITED;

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {value} to {path}")]
pub struct Error {
    path: PathBuf,
    value: String,
    source: io::Error,
}

fn write(path: PathBuf, value: String) -> Result<(), Error> {
    fs::write(&path, &value).map_err(|source| Error { path, value, source })
}

/// Changes the limit that kills. On v1 the limit of memory and swap together, where it is set, moves with it, so that the room
/// for swap stays; the kernel keeps it the larger of the two at every moment.
pub fn set_max(layout: &Layout, cgroup: &str, from: u64, to: u64) -> Result<(), Error> {
    let folder = folder(layout, cgroup);
    if layout.version == Version::V2 {
        return write(folder.join("memory.max"), number(to, "max"));
    }
    let limit = || write(folder.join("memory.limit_in_bytes"), number(to, "-1"));
    let path = folder.join("memory.memsw.limit_in_bytes");
    let Some(both) = read_number(&path).filter(|both| ![*both, from, to].contains(&UNLIMITED)) else {
        return limit();
    };
    let moved = both.saturating_add(to).saturating_sub(from).max(to);
    if to < from {
        limit()?;
        return write(path, moved.to_string());
    }
    write(path.clone(), moved.to_string())?;
    limit().inspect_err(|_| {
        let _ = write(path, both.to_string());
    })
}

/// The limit of memory and swap together, bytes; v1 only, and where the kernel counts swap.
pub fn both(layout: &Layout, cgroup: &str) -> Option<u64> {
    if layout.version == Version::V2 {
        return None;
    }
    read_number(&folder(layout, cgroup).join("memory.memsw.limit_in_bytes")).filter(|both| *both != UNLIMITED)
}

/// Changes the limit of memory and swap together; v1 only.
pub fn set_both(layout: &Layout, cgroup: &str, to: u64) -> Result<(), Error> {
    write(folder(layout, cgroup).join("memory.memsw.limit_in_bytes"), number(to, "-1"))
}

/// Changes the limit that throttles; v2 only.
pub fn set_high(layout: &Layout, cgroup: &str, to: u64) -> Result<(), Error> {
    write(folder(layout, cgroup).join("memory.high"), number(to, "max"))
}

/// Whether page cache can be reclaimed on demand: v2 since 5.19. v1 has memory.force_empty, which takes all there is.
pub fn can_reclaim(layout: &Layout, cgroup: &str) -> bool {
    layout.version == Version::V2 && folder(layout, cgroup).join("memory.reclaim").exists()
}

/// Reclaims about this much; waits until that is done. Cache alone where the kernel can be asked so (6.11 and later), else by
/// its own choice, which is cache before anything else.
pub fn reclaim(layout: &Layout, cgroup: &str, bytes: u64) -> Result<(), Error> {
    let path = folder(layout, cgroup).join("memory.reclaim");
    let mut done = write(path.clone(), format!("{bytes} swappiness=0"));
    if done.as_ref().is_err_and(|error| error.source.kind() == io::ErrorKind::InvalidInput) {
        done = write(path, bytes.to_string());
    }
    match done {
        // Less than asked for.
        Err(error) if error.source.kind() == io::ErrorKind::WouldBlock => Ok(()),
        done => done,
    }
}

fn folder(layout: &Layout, cgroup: &str) -> PathBuf {
    at(&layout.memory, cgroup)
}

fn number(bytes: u64, unlimited: &str) -> String {
    if bytes == UNLIMITED { unlimited.into() } else { bytes.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        files.iter().for_each(|(name, text)| fs::write(root.path().join("a").join(name), text).unwrap());
        let layout = Layout { version, memory: root.path().into(), unified: None, cpuacct: None, pids: None };
        (root, layout)
    }

    fn read(root: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(root.path().join("a").join(name)).unwrap()
    }

    #[test]
    fn on_v1_the_room_for_swap_stays() {
        let table = [
            (100, 150, "180", "230"),
            (150, 100, "230", "180"),
            (100, 150, "100", "150"),
            (100, 150, "9223372036854771712", "9223372036854771712"),
        ];
        for (from, to, both, moved) in table {
            let files = [("memory.limit_in_bytes", "x"), ("memory.memsw.limit_in_bytes", both)];
            let (root, layout) = cgroup(Version::V1, &files);
            set_max(&layout, "/a", from, to).unwrap();
            assert_eq!(read(&root, "memory.limit_in_bytes"), to.to_string());
            assert_eq!(read(&root, "memory.memsw.limit_in_bytes"), moved);
        }
        let (root, layout) = cgroup(Version::V1, &[]);
        set_max(&layout, "/a", 100, UNLIMITED).unwrap();
        assert_eq!(read(&root, "memory.limit_in_bytes"), "-1");
        assert!(!root.path().join("a/memory.memsw.limit_in_bytes").exists(), "a kernel that does not count swap");
    }

    #[test]
    fn on_v2_each_limit_is_a_file_and_reclaim_is_of_cache() {
        let (root, layout) = cgroup(Version::V2, &[("memory.reclaim", "")]);
        set_max(&layout, "/a", 100, 200).unwrap();
        set_high(&layout, "/a", UNLIMITED).unwrap();
        assert_eq!((&*read(&root, "memory.max"), &*read(&root, "memory.high")), ("200", "max"));
        assert!(can_reclaim(&layout, "/a") && !can_reclaim(&layout, "/b"));
        reclaim(&layout, "/a", 4096).unwrap();
        assert_eq!(read(&root, "memory.reclaim"), "4096 swappiness=0");
        let error = set_max(&layout, "/gone", 1, 2).unwrap_err().to_string();
        assert!(error.starts_with("write 2 to") && error.ends_with("gone/memory.max"), "{error}");
    }
}
