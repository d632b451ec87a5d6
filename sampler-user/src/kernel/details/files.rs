//! Which files are in the page cache: those that processes have open or mapped, and those of a walk that was asked for. Each look has a
//! budget of CPU and goes on where the one before ended.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::details::mounts::{Kind, MountTable};
use crate::kernel::details::resident::{cachestat, mincore};
use crate::model::details::CachedFile;
use crate::model::identity::cut;
use crate::model::paths::from_bytes;
use crate::model::time::thread_cpu_ns;

/// Files that are kept of each cgroup, and of the walk; and folders.
const MOST: usize = 10;
/// Files that are kept of all.
const MOST_OF_ALL: usize = 100;
/// A smaller one is not worth a line, bytes.
const LEAST: u64 = 256 << 10;
/// Descriptors and mappings of a process that are looked at.
const MOST_OF_PROCESS: usize = 4096;

/// A file by its device and inode.
type FileId = (u64, u64);

#[derive(Debug)]
struct Known {
    file: CachedFile,
    round: u64,
}

/// The files that are known, and where the look goes on.
#[derive(Debug)]
pub struct FileReader {
    most: usize,
    roots: Vec<PathBuf>,
    page_size: u64,
    round: u64,
    processes: VecDeque<String>,
    folders: Vec<(PathBuf, u64)>,
    /// Of this round: what was looked at.
    seen: HashSet<(Option<String>, String)>,
    tables: HashMap<PathBuf, MountTable>,
    known: HashMap<FileId, Known>,
}

impl FileReader {
    /// Looks at what processes have open, and walks through these folders. No more than `most` files are remembered.
    pub fn new(walk: &[PathBuf], most: usize) -> FileReader {
        FileReader {
            most,
            roots: walk.to_vec(),
            page_size: rustix::param::page_size() as u64,
            round: 0,
            processes: VecDeque::new(),
            folders: Vec::new(),
            seen: HashSet::new(),
            tables: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Looks for as much time of CPU as this, and returns the largest files of each cgroup, the largest first. Whether all were looked at
    /// is the second value.
    pub fn read(&mut self, layout: &Layout, budget: Duration) -> (Vec<CachedFile>, bool) {
        let end = thread_cpu_ns() + budget.as_nanos() as u64;
        if self.processes.is_empty() && self.folders.is_empty() {
            self.begin();
        }
        while thread_cpu_ns() < end {
            if let Some(pid) = self.processes.pop_front() {
                self.process(layout, &pid);
            } else if let Some((folder, device)) = self.folders.pop() {
                self.folder(&folder, device);
            } else {
                break;
            }
        }
        let done = self.processes.is_empty() && self.folders.is_empty();
        if done {
            let round = self.round;
            self.known.retain(|_, known| known.round == round);
        }
        (self.largest(), done)
    }

    fn begin(&mut self) {
        self.round += 1;
        self.seen.clear();
        self.tables.clear();
        let names = fs::read_dir("/proc").into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        self.processes = names.filter(|name| name.bytes().all(|b| b.is_ascii_digit())).collect();
        let device = |root: &PathBuf| Some((root.clone(), fs::metadata(root).ok()?.dev()));
        self.folders = self.roots.iter().filter_map(device).collect();
    }

    fn largest(&self) -> Vec<CachedFile> {
        let mut all: HashMap<Option<&str>, Vec<&CachedFile>> = HashMap::new();
        for known in self.known.values() {
            all.entry(known.file.cgroup.as_deref()).or_default().push(&known.file);
        }
        let mut files: Vec<CachedFile> = all.into_values().flat_map(fold).collect();
        files.retain(|file| file.bytes >= LEAST);
        files.sort_by(|a, b| (b.bytes, &a.path).cmp(&(a.bytes, &b.path)));
        files.truncate(MOST_OF_ALL);
        files
    }

    fn process(&mut self, layout: &Layout, pid: &str) {
        let Some(cgroup) = pid.parse().ok().and_then(|pid| layout.cgroup_of(pid)) else { return };
        let Ok(space) = fs::read_link(format!("/proc/{pid}/ns/mnt")) else { return };
        let table = self.tables.entry(space).or_insert_with(|| MountTable::of(pid)).clone();
        // Mapped, by the name of the mapping; a library that many have is looked at once.
        let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
        for line in from_bytes(&maps).lines().take(MOST_OF_PROCESS) {
            let mut words = line.splitn(6, ' ');
            let (Some(range), Some(path)) = (words.next(), words.last()) else { continue };
            let path = path.trim_start();
            if path.starts_with('/') {
                // The link to the mapping itself takes CAP_CHECKPOINT_RESTORE.
                let link = format!("/proc/{pid}/map_files/{range}");
                let by_name = format!("/proc/{pid}/root{path}");
                self.candidate(&cgroup, path, &table, &[&link, &by_name]);
            }
        }
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        for entry in open.take(MOST_OF_PROCESS) {
            if let Ok(path) = fs::read_link(entry.path()) {
                let path = from_bytes(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
                if path.starts_with('/') {
                    self.candidate(&cgroup, &path, &table, &[&entry.path().to_string_lossy()]);
                }
            }
        }
    }

    /// Looks at a file of a process through a link in /proc: never at one of a file system that may wait for a network.
    fn candidate(&mut self, cgroup: &str, path: &str, table: &MountTable, links: &[&str]) {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        // Names of shared memory, which lies on no mount.
        let is_shared = ["/memfd:", "/SYSV", "/dev/zero", "/anon_hugepage"].iter().any(|mark| path.starts_with(mark));
        let kind = if is_shared { Kind::Other } else { table.kind(path) };
        if matches!(kind, Kind::Other | Kind::Memory)
            || self.seen.len() >= self.most.saturating_mul(4)
            || !self.seen.insert((Some(cgroup.to_owned()), path.to_owned()))
        {
            return;
        }
        for link in links {
            if self.look(Path::new(link), path, Some(cgroup), kind) {
                return;
            }
        }
    }

    fn folder(&mut self, folder: &Path, device: u64) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() && meta.dev() == device {
                self.folders.push((entry.path(), device));
            } else if meta.is_file() && meta.len() > 0 && !self.is_known(meta.dev(), meta.ino()) {
                let path = from_bytes(std::os::unix::ffi::OsStrExt::as_bytes(entry.path().as_os_str()));
                // Whatever it is on: who asks for a walk of a folder knows it. mincore counts on every kind.
                self.look(&entry.path(), &path, None, Kind::Layers);
            }
        }
    }

    /// Whether a file was looked at in this round.
    fn is_known(&self, device: u64, inode: u64) -> bool {
        self.known.get(&(device, inode)).is_some_and(|known| known.round == self.round)
    }

    /// Looks at a file; whether it could.
    fn look(&mut self, open: &Path, path: &str, cgroup: Option<&str>, kind: Kind) -> bool {
        let Some((id, bytes)) = self.resident(open, kind) else { return false };
        if self.known.len() >= self.most && !self.known.contains_key(&id) {
            return true;
        }
        let file = CachedFile { path: cut(path), files: None, cgroup: cgroup.map(str::to_owned), bytes };
        let entry = self.known.entry(id).or_insert_with(|| Known { file: file.clone(), round: 0 });
        // Of several cgroups that have it open it is the first one's.
        if entry.round != self.round {
            *entry = Known { file, round: self.round };
        }
        true
    }

    fn resident(&self, path: &Path, kind: Kind) -> Option<(FileId, u64)> {
        // Opening what is no file may have effects.
        let meta = fs::metadata(path).ok().filter(|meta| meta.is_file() && meta.len() > 0)?;
        let id = (meta.dev(), meta.ino());
        if self.is_known(id.0, id.1) {
            return Some((id, 0));
        }
        let flags = OFlags::NONBLOCK | OFlags::NOATIME | OFlags::NOCTTY;
        let open = |flags: OFlags| OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
        let file: File = open(flags).or_else(|_| open(flags - OFlags::NOATIME)).ok()?;
        let by_count = if kind == Kind::Disk { cachestat(&file, self.page_size) } else { None };
        Some((id, by_count.or_else(|| mincore(&file, meta.len(), self.page_size))?))
    }
}

/// The largest files of one cgroup, and the folders of the others: no more than [`MOST`] of each.
fn fold(mut files: Vec<&CachedFile>) -> Vec<CachedFile> {
    files.sort_by(|a, b| (b.bytes, &a.path).cmp(&(a.bytes, &b.path)));
    let rest = files.split_off(MOST.min(files.len()));
    let parent = |path: &str| path.rfind('/').map_or(0, |at| at + 1);
    let mut folders: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for file in &rest {
        let (count, bytes) = folders.entry(&file.path[..parent(&file.path)]).or_default();
        (*count, *bytes) = (*count + 1, bytes.saturating_add(file.bytes));
    }
    // The deepest folders become a part of the ones above them, until few are left.
    while folders.len() > MOST {
        let depth = |path: &str| path.matches('/').count();
        let deepest = folders.keys().map(|path| depth(path)).max().unwrap_or(0);
        if deepest <= 1 {
            break;
        }
        for (path, (count, bytes)) in std::mem::take(&mut folders) {
            let kept = if depth(path) == deepest { &path[..parent(path.trim_end_matches('/'))] } else { path };
            let sum = folders.entry(kept).or_default();
            *sum = (sum.0 + count, sum.1.saturating_add(bytes));
        }
    }
    let cgroup = files.first().and_then(|file| file.cgroup.clone());
    let folder = |(path, (count, bytes)): (&str, (u64, u64))| CachedFile {
        path: path.to_owned(),
        files: Some(count),
        cgroup: cgroup.clone(),
        bytes,
    };
    let folders: Vec<CachedFile> = folders.into_iter().map(folder).collect();
    files.into_iter().cloned().chain(folders).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn many_small_files_are_their_folders_and_nothing_is_lost() {
        let mut all: Vec<CachedFile> = Vec::new();
        for n in 0..3000u64 {
            let path = format!("/build/{}/{}/f{n}", n % 7, n % 41);
            all.push(CachedFile { path, files: None, cgroup: Some("/c".into()), bytes: 4096 * (1 + n % 5) });
        }
        all.push(CachedFile { path: "/data/big".into(), files: None, cgroup: Some("/c".into()), bytes: 1 << 30 });
        let folded = fold(all.iter().collect());
        let sum = |files: &[CachedFile]| files.iter().map(|file| file.bytes).sum::<u64>();
        assert_eq!(sum(&folded), sum(&all));
        assert!(folded.len() <= 2 * MOST && folded[0].path == "/data/big", "{folded:?}");
        assert_eq!(folded.iter().map(|file| file.files.unwrap_or(1)).sum::<u64>(), 3001);
        assert!(folded.iter().any(|file| file.path.starts_with("/build/") && file.path.ends_with('/')), "{folded:?}");
        assert!(folded.iter().all(|file| file.cgroup.is_some()));
        assert_eq!(fold(Vec::new()), []);
    }

    #[test]
    fn a_file_that_is_open_and_one_of_the_walk_are_found_with_what_is_cached_of_them() {
        let Ok(layout) = Layout::detect() else {
            eprintln!("SKIPPED: no cgroups");
            return;
        };
        let (open, walked) =
            (tempfile::tempdir_in("target").or_else(|_| tempfile::tempdir()).unwrap(), tempfile::tempdir().unwrap());
        let mut file = File::create(open.path().join("open.bin")).unwrap();
        file.write_all(&vec![1; 5 << 20]).unwrap();
        fs::create_dir(walked.path().join("deep")).unwrap();
        fs::write(walked.path().join("deep/walked.bin"), vec![1; 2 << 20]).unwrap();
        std::os::unix::fs::symlink("/", walked.path().join("deep/loop")).unwrap();
        let mut reader = FileReader::new(&[walked.path().to_owned()], 1000);
        let mut looks = 0;
        loop {
            looks += 1;
            let (files, done) = reader.read(&layout, Duration::from_millis(20));
            assert!(looks < 10_000);
            if !done {
                continue;
            }
            let find =
                |name: &str| reader.known.values().map(|known| &known.file).find(|file| file.path.ends_with(name));
            let walked = find("walked.bin").unwrap();
            assert_eq!((walked.bytes, walked.cgroup.clone()), (2 << 20, None));
            match find("open.bin") {
                Some(open) => assert_eq!((open.bytes, open.cgroup.is_some()), (5 << 20, true)),
                None => eprintln!("SKIPPED the open file: the folder is on a file system of memory or network"),
            }
            assert!(files.len() <= MOST_OF_ALL && files.iter().all(|file| file.bytes >= LEAST));
            break;
        }
    }
}
