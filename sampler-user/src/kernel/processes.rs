//! What grows inside a cgroup: its largest processes, and what their memory is made of. Only read on a reason, because each
//! process costs what ten cgroups do.

use std::fs;
use std::path::Path;

use procfs::process::{MMapPath, Process};

use crate::kernel::cgroupfs::layout::Layout;
use crate::model::fields::FieldId;
use crate::model::recording::ProcessKey;
use crate::model::sample::Row;

/// Processes of one cgroup that are looked at; a fork bomb must not become ours.
const MOST_PIDS: usize = 512;

/// Pids in a cgroup, without its descendants. Pids of other pid namespaces print as 0 and are left out.
pub fn pids(layout: &Layout, cgroup: &str) -> Vec<i32> {
    let Some(folder) =
        layout.folder(cgroup, "cgroup.procs").filter(|f| f.is_dir()).or_else(|| layout.folder(cgroup, ""))
    else {
        return Vec::new();
    };
    let pids = |folder: &Path| fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut text = pids(&folder);
    if text.is_empty()
        && let Some(memory) = layout.folder(cgroup, "memory")
    {
        text = pids(&memory);
    }
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).take(MOST_PIDS).collect()
}

/// The `most` largest processes by resident memory, largest first, with their values. A process that ends meanwhile is left out.
pub fn largest(layout: &Layout, cgroup: &str, most: usize, with_maps: bool) -> Vec<(ProcessKey, Row)> {
    let mut by_size: Vec<(u64, Process)> = pids(layout, cgroup)
        .into_iter()
        .filter_map(|pid| Process::new(pid).ok())
        .filter_map(|process| Some((process.statm().ok()?.resident, process)))
        .collect();
    by_size.sort_by_key(|(resident, _)| std::cmp::Reverse(*resident));
    by_size.truncate(most);
    by_size.iter().filter_map(|(_, process)| read(process, with_maps)).collect()
}

fn read(process: &Process, with_maps: bool) -> Option<(ProcessKey, Row)> {
    let stat = process.stat().ok()?;
    let status = process.status().ok()?;
    let key = ProcessKey { pid: process.pid, start: stat.starttime, comm: stat.comm };
    let mut row = Row::new(0);
    let mut put = |id: FieldId, value: Option<u64>| {
        if let Some(value) = value {
            row.put(id.field(), value);
        }
    };
    let kib = |value: Option<u64>| value.map(|v| v.saturating_mul(1024));
    put(FieldId::ProcessAnon, kib(status.rssanon));
    put(FieldId::ProcessFile, kib(status.rssfile));
    put(FieldId::ProcessShmem, kib(status.rssshmem));
    put(FieldId::ProcessSwap, kib(status.vmswap));
    put(FieldId::ProcessThreads, Some(status.threads));
    put(FieldId::ProcessFds, process.fd_count().ok().map(|n| n as u64));
    if with_maps && let Some(maps) = Maps::read(process) {
        put(FieldId::MapsHeap, Some(maps.heap));
        put(FieldId::MapsAnon, Some(maps.anon));
        put(FieldId::MapsStack, Some(maps.stack));
        put(FieldId::MapsFile, Some(maps.file));
        put(FieldId::MapsShmem, Some(maps.shmem));
        put(FieldId::MapsCount, Some(maps.count));
    }
    Some((key, row))
}

/// Resident bytes by class of mapping.
#[derive(Debug, Default)]
struct Maps {
    heap: u64,
    anon: u64,
    stack: u64,
    file: u64,
    shmem: u64,
    count: u64,
}

impl Maps {
    /// `None` without the right to read another process's mappings (CAP_SYS_PTRACE).
    fn read(process: &Process) -> Option<Maps> {
        let mut maps = Maps::default();
        for map in process.smaps().ok()? {
            let resident = map.extension.map.get("Rss").copied().unwrap_or(0);
            maps.count += 1;
            *match &map.pathname {
                MMapPath::Heap => &mut maps.heap,
                MMapPath::Stack | MMapPath::TStack(_) => &mut maps.stack,
                MMapPath::Vsys(_) | MMapPath::Rollup | MMapPath::Anonymous | MMapPath::Other(_) => &mut maps.anon,
                MMapPath::Path(path) if is_shared_memory(path) => &mut maps.shmem,
                MMapPath::Path(_) => &mut maps.file,
                _ => &mut maps.anon,
            } += resident;
        }
        Some(maps)
    }
}

fn is_shared_memory(path: &Path) -> bool {
    let path = path.to_string_lossy();
    ["/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "/run/shm/"].iter().any(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_ours_is_read_with_its_mappings() {
        let block = vec![7u8; 32 << 20];
        let (key, row) = read(&Process::myself().unwrap(), true).unwrap();
        assert_eq!(key.pid, std::process::id() as i32);
        let get = |id: FieldId| row.get(id.field()).unwrap();
        assert!(get(FieldId::ProcessAnon) >= 32 << 20);
        assert!(get(FieldId::MapsAnon) + get(FieldId::MapsHeap) >= 32 << 20);
        assert!(get(FieldId::MapsStack) > 0 && get(FieldId::MapsFile) > 0 && get(FieldId::ProcessThreads) >= 1);
        assert_eq!(block[1 << 20], 7);
    }

    #[test]
    fn shared_memory_is_known_by_its_path() {
        assert!(is_shared_memory(Path::new("/memfd:x (deleted)")) && is_shared_memory(Path::new("/dev/shm/a")));
        assert!(!is_shared_memory(Path::new("/usr/lib/libc.so")));
    }
}
