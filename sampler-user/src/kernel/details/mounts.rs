//! The mounts of tmpfs, in all mount namespaces: a container's `/dev/shm` is in none of the recorder's own.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{makedev, statvfs};

use crate::kernel::cgroupfs::layout::{Layout, unescape};
use crate::model::details::MemoryMount;
use crate::model::identity::cut;
use crate::model::paths::{from_bytes, to_os};

/// Mounts that are kept of one reading.
const MOST: usize = 16;
/// A smaller one is not worth a line, bytes.
const LEAST: u64 = 64 << 10;
/// Namespaces and processes that are looked at, so that many of them cost no more.
const MOST_NAMESPACES: usize = 256;
const MOST_PROCESSES: usize = 8192;

/// The fullest mounts, the fullest first. Another namespace is seen by root only.
pub fn read(layout: &Layout) -> Vec<MemoryMount> {
    let (mut seen, mut all) = (HashSet::new(), Vec::new());
    for pid in namespaces() {
        let Ok(text) = fs::read(format!("/proc/{pid}/mountinfo")) else { continue };
        for (device, path) in tmpfs(&from_bytes(&text)) {
            if !seen.contains(&device)
                && let Some((bytes, limit)) = used(&format!("/proc/{pid}/root{path}"), device)
            {
                seen.insert(device);
                let own = pid == "self";
                let cgroup = if own { None } else { pid.parse().ok().and_then(|pid| layout.cgroup_of(pid)) };
                all.push(MemoryMount { path: cut(&path), cgroup, bytes, limit });
            }
        }
    }
    all.retain(|mount| mount.bytes >= LEAST);
    all.sort_by(|a, b| (b.bytes, &a.path).cmp(&(a.bytes, &b.path)));
    all.truncate(MOST);
    all
}

/// What a file lies on, as far as it matters for the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file system of a disk.
    Disk,
    /// Layers of others (overlayfs): the pages are those of a file of another file system.
    Layers,
    /// Memory: no page cache of its own.
    Memory,
    /// A network, a user's program, the kernel itself: no page cache, or one that is not safe to ask for.
    Other,
}

/// The mounts of one namespace.
#[derive(Clone, Debug, Default)]
pub struct MountTable(Vec<(String, Kind)>);

impl MountTable {
    /// Those that a process sees.
    pub fn of(pid: &str) -> MountTable {
        MountTable::parse(&from_bytes(&fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default()))
    }

    fn parse(text: &str) -> MountTable {
        let one = |line: &str| {
            let (head, rest) = line.split_once(" - ")?;
            let kind = match rest.split(' ').next()? {
                "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "zfs" | "bcachefs" | "vfat" | "exfat"
                | "ntfs3" | "squashfs" | "erofs" | "iso9660" => Kind::Disk,
                "overlay" | "aufs" => Kind::Layers,
                "tmpfs" | "ramfs" => Kind::Memory,
                _ => Kind::Other,
            };
            Some((unescape(head.split(' ').nth(4)?), kind))
        };
        MountTable(text.lines().filter_map(one).collect())
    }

    /// What a path lies on.
    pub fn kind(&self, path: &str) -> Kind {
        let holds = |point: &str| {
            point == "/" || path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // Of two mounts on one point the later one hides the other.
        let of = self.0.iter().filter(|(point, _)| holds(point)).max_by_key(|(point, _)| point.len());
        of.map_or(Kind::Other, |(_, kind)| *kind)
    }
}

/// A process of each mount namespace, our own first.
fn namespaces() -> Vec<String> {
    let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let mut seen: BTreeSet<_> = space("self").into_iter().collect();
    let mut all = vec!["self".to_owned()];
    let names =
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    for pid in names.filter(|name| name.bytes().all(|b| b.is_ascii_digit())).take(MOST_PROCESSES) {
        if let Some(space) = space(&pid)
            && seen.insert(space)
        {
            all.push(pid);
            if all.len() == MOST_NAMESPACES {
                break;
            }
        }
    }
    all
}

/// Devices and mount points of tmpfs in a mountinfo: `36 35 98:0 / /mnt rw shared:1 - tmpfs name rw`.
fn tmpfs(text: &str) -> Vec<((u32, u32), String)> {
    let one = |line: &str| {
        let (head, rest) = line.split_once(" - ")?;
        let kind = rest.split(' ').next()?;
        let mut words = head.split(' ').skip(2);
        let (major, minor) = words.next()?.split_once(':')?;
        let point = unescape(words.nth(1)?);
        matches!(kind, "tmpfs" | "devtmpfs").then_some(((major.parse().ok()?, minor.parse().ok()?), point))
    };
    text.lines().filter_map(one).collect()
}

/// What a mount holds, and its size; `None` where another mount hides it, or it does not count.
fn used(path: &str, (major, minor): (u32, u32)) -> Option<(u64, Option<u64>)> {
    let path = to_os(path);
    let path = Path::new(&path);
    if fs::metadata(path).ok()?.dev() != makedev(major, minor) {
        return None;
    }
    let told = statvfs(path).ok().filter(|told| told.f_blocks > 0)?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
    Some((bytes(told.f_blocks.saturating_sub(told.f_bfree)), Some(bytes(told.f_blocks))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_tmpfs_are_found_with_their_device_and_unescaped() {
        let text = "24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw\n\
            25 24 0:23 / /dev/my\\040shm rw,relatime shared:4 master:1 - tmpfs shm rw,size=64k\n\
            27 1 254:0 / / rw - ext4 /dev/vda rw\nnonsense\n";
        assert_eq!(tmpfs(text), [((0, 6), "/dev".to_owned()), ((0, 23), "/dev/my shm".to_owned())]);
    }

    #[test]
    fn a_path_lies_on_the_nearest_mount() {
        let table = MountTable::parse(
            "1 0 0:1 / / rw - overlay overlay rw\n2 1 8:1 /x /data rw - ext4 /dev/sda1 rw\n3 2 0:9 / /data/net rw - nfs4 h:/ rw\n4 1 0:5 / /data rw - xfs /dev/b rw\n",
        );
        let kinds = ["/lib/libc.so", "/data/a", "/database", "/data/net/a"].map(|path| table.kind(path));
        assert_eq!(kinds, [Kind::Layers, Kind::Disk, Kind::Layers, Kind::Other]);
        assert_eq!(MountTable::default().kind("/a"), Kind::Other);
    }

    #[test]
    fn what_a_mount_of_this_machine_holds_is_counted() {
        let Some(((device, path), _)) = tmpfs(&fs::read_to_string("/proc/self/mountinfo").unwrap())
            .into_iter()
            .filter_map(|mount| Some((mount.clone(), used(&mount.1, mount.0)?)))
            .find(|((_, path), _)| tempfile::tempfile_in(path).is_ok())
        else {
            eprintln!("SKIPPED: no tmpfs that can be written");
            return;
        };
        let before = used(&path, device).unwrap().0;
        let file = tempfile::NamedTempFile::new_in(&path).unwrap();
        fs::write(file.path(), vec![7u8; 1 << 20]).unwrap();
        let after = used(&path, device).unwrap().0;
        assert!(after >= before + (1 << 20), "{before} {after}");
    }
}
