//! Which processes manage memory within a bound of their own, and what they hold of it. What a process is, is read once; of those that
//! matter a look reads a few small files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::time::Duration;

use procfs::process::Process;

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::details::hsperf;
use crate::kernel::details::mounts::{Kind, MountTable};
use crate::model::ceiling::Ceiling;
use crate::model::identity::cut;
use crate::model::own_memory::{Manager, OwnMemory};
use crate::model::paths::from_bytes;
use crate::model::time::thread_cpu_ns;

/// Bytes of a command line, of an environment and of maps that are looked at.
const MOST_BYTES: u64 = 128 << 10;
const MOST_MAPS: u64 = 2 << 20;
/// Processes that are remembered.
const MOST: usize = 16_384;
/// A smaller mapping bounds nothing, bytes.
const LEAST: u64 = 8 << 20;

/// What is remembered of a process.
#[derive(Debug)]
struct Known {
    comm: String,
    cgroup: String,
    ceiling: Option<Ceiling>,
    /// The pid in its own namespace, of a JVM whose counters can be read.
    own_pid: Option<i32>,
    /// Mappings are looked for once more when a process has had time to make them.
    looks: u32,
    mappings: BTreeMap<u64, (String, u64)>,
}

/// Looks at which this reads the mappings: servers make theirs as they start.
const MAPS_AT: [u32; 5] = [0, 1, 6, 30, 180];

/// Finds these processes and reads what they hold.
#[derive(Debug, Default)]
pub struct OwnMemoryReader {
    known: HashMap<i32, Known>,
}

impl OwnMemoryReader {
    /// What each process holds, with its cgroup. New processes are looked at for as much CPU time as this; the rest is next.
    pub fn read(&mut self, layout: &Layout, budget: Duration) -> Vec<(String, OwnMemory)> {
        let end = thread_cpu_ns() + budget.as_nanos() as u64;
        let names = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids: HashSet<i32> = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        self.known.retain(|pid, _| pids.contains(pid));
        for pid in &pids {
            // It may have become another program.
            let Some(comm) = read(&format!("/proc/{pid}/comm"), 64) else { continue };
            let comm = from_bytes(comm.trim_ascii_end());
            if self.known.get(pid).is_some_and(|known| known.comm != comm) {
                self.known.remove(pid);
            }
            if thread_cpu_ns() > end {
                continue;
            }
            if !self.known.contains_key(pid) && self.known.len() < MOST {
                let Some(known) = look(layout, *pid, comm) else { continue };
                self.known.insert(*pid, known);
            }
            if let Some(known) = self.known.get_mut(pid) {
                if MAPS_AT.contains(&known.looks) {
                    known.mappings = mappings(*pid);
                }
                known.looks = known.looks.saturating_add(1);
            }
        }
        let mut all = Vec::new();
        // A mapping that many processes share is one.
        let mut shared: HashSet<(&str, u64)> = HashSet::new();
        let mut sorted: Vec<(&i32, &Known)> = self.known.iter().collect();
        sorted.sort_unstable_by_key(|(pid, _)| **pid);
        for (pid, known) in sorted {
            if let Some(held) = known.ceiling.as_ref().and_then(|ceiling| held(*pid, known, ceiling)) {
                all.push((known.cgroup.clone(), held));
            }
            let new = known.mappings.iter().filter(|(inode, _)| shared.insert((&known.cgroup, **inode)));
            if let Some((bytes, name)) =
                new.map(|(_, (name, bytes))| (*bytes, name)).reduce(|sum, (bytes, name)| (sum.0 + bytes, name))
            {
                let own = OwnMemory {
                    pid: *pid,
                    comm: known.comm.clone(),
                    manager: Manager::SharedMapping,
                    ceiling: Some(bytes),
                    set_by: Some(name.clone()),
                    uncollected: false,
                    resident: None,
                    heap: None,
                };
                all.push((known.cgroup.clone(), own));
            }
        }
        all
    }
}

fn look(layout: &Layout, pid: i32, comm: String) -> Option<Known> {
    let line = read(&format!("/proc/{pid}/cmdline"), MOST_BYTES)?;
    let mut known = Known {
        comm,
        cgroup: layout.cgroup_of(pid)?,
        ceiling: None,
        own_pid: None,
        looks: 0,
        mappings: BTreeMap::new(),
    };
    // A thread of the kernel has none.
    if line.is_empty() {
        known.looks = u32::MAX;
        return Some(known);
    }
    let words: Vec<String> = line.split(|b| *b == 0).map(from_bytes).collect();
    // Of the environment nothing is kept but the variables that are asked for.
    let environment = read(&format!("/proc/{pid}/environ"), MOST_BYTES).unwrap_or_default();
    let variable = |key: &str| {
        let of = |entry: &[u8]| Some(from_bytes(entry.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?));
        environment.split(|b| *b == 0).find_map(of)
    };
    known.ceiling = Ceiling::of(&words, &variable);
    let is_jvm = known.ceiling.as_ref().is_some_and(|ceiling| ceiling.manager == Manager::Jvm);
    // A file system of a network may keep who opens a file of it.
    if is_jvm && MountTable::of(&pid.to_string()).kind("/tmp") != Kind::Other {
        known.own_pid = hsperf::own_pid(pid);
    }
    Some(known)
}

/// What a process holds now; `None` when it has ended.
fn held(pid: i32, known: &Known, ceiling: &Ceiling) -> Option<OwnMemory> {
    let status = Process::new(pid).ok()?.status().ok()?;
    let counters = known.own_pid.and_then(|own| hsperf::read(pid, own));
    let most = counters.and_then(|(_, most)| most);
    Some(OwnMemory {
        pid,
        comm: cut(&known.comm),
        manager: ceiling.manager,
        ceiling: ceiling.bytes.or(most),
        set_by: ceiling.set_by.clone().or_else(|| most.map(|_| "the JVM's own choice".to_owned())),
        uncollected: ceiling.uncollected,
        resident: status.rssanon.map(|kib| kib.saturating_mul(1024)),
        heap: counters.map(|(heap, _)| heap),
    })
}

/// Mappings of shared memory that no file system shows, by inode.
fn mappings(pid: i32) -> BTreeMap<u64, (String, u64)> {
    // Most processes have little that is shared: their maps, which are dear to read, are left out.
    let sizes = read(&format!("/proc/{pid}/statm"), 128).unwrap_or_default();
    let shared = from_bytes(&sizes).split(' ').nth(2).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    if shared.saturating_mul(rustix::param::page_size() as u64) < LEAST {
        return BTreeMap::new();
    }
    let maps = read(&format!("/proc/{pid}/maps"), MOST_MAPS).unwrap_or_default();
    parse_mappings(&from_bytes(&maps))
}

fn parse_mappings(text: &str) -> BTreeMap<u64, (String, u64)> {
    let mut all: BTreeMap<u64, (String, u64)> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights), Some(_), Some(_), Some(inode), Some(name)) =
            (words.next(), words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let size = || {
            let (from, to) = range.split_once('-')?;
            u64::from_str_radix(to, 16).ok()?.checked_sub(u64::from_str_radix(from, 16).ok()?)
        };
        let is_shared = rights.starts_with("rw") && rights.ends_with('s');
        if is_shared
            && (name == "/dev/zero" || name.starts_with("/SYSV"))
            && let (Some(size), Ok(inode)) = (size(), inode.parse())
        {
            let entry = all.entry(inode).or_insert_with(|| (cut(name), 0));
            entry.1 = entry.1.saturating_add(size);
        }
    }
    all.retain(|_, (_, bytes)| *bytes >= LEAST);
    all
}

fn read(path: &str, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_shared_mapping_is_known_by_its_inode_and_a_file_is_none() {
        let text = "\
7f0000000000-7f0010000000 rw-s 00000000 00:01 1234      /dev/zero (deleted)\n\
7f0010000000-7f0010001000 rw-s 10000000 00:01 1234      /dev/zero (deleted)\n\
7f1000000000-7f1004000000 rw-s 00000000 00:01 77        /SYSV00000001 (deleted)\n\
7f2000000000-7f2004000000 rw-s 00000000 00:1a 9         /dev/shm/queue\n\
7f3000000000-7f3004000000 rw-p 00000000 00:00 0 \n\
7f4000000000-7f4000001000 rw-s 00000000 00:01 88        /dev/zero (deleted)\n\
zzz-yyy rw-s 0 0 0 /dev/zero\nffff-0 rw-s 0 0 5 /dev/zero\n";
        let found = parse_mappings(text);
        let sizes: Vec<(u64, u64)> = found.iter().map(|(inode, (_, bytes))| (*inode, *bytes)).collect();
        assert_eq!(sizes, [(77, 64 << 20), (1234, (256 << 20) + 4096)]);
    }

    #[test]
    fn processes_of_several_kinds_are_found_at_once_by_what_they_were_started_with() {
        let Ok(layout) = Layout::detect() else {
            eprintln!("SKIPPED: no cgroups");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        // Programs by these names that only wait.
        let start = |name: &str, args: &[&str], environment: (&str, &str)| {
            let path = dir.path().join(name);
            fs::copy("/bin/sleep", &path).unwrap();
            let mut command = Command::new(path);
            // sleep sums its arguments up; others end it, so what it is started with is the environment's or a number's.
            command.args(args).env(environment.0, environment.1).stdin(Stdio::null()).spawn().unwrap()
        };
        let mut children = [
            start("java", &["60"], ("JAVA_TOOL_OPTIONS", "-Xmx200m")),
            start("node", &["60"], ("NODE_OPTIONS", "--max-old-space-size=150")),
            start("server", &["60"], ("GOMEMLIMIT", "64MiB")),
            start("memcached", &["60"], ("A", "b")),
            start("plain", &["60"], ("A", "b")),
        ];
        let mut reader = OwnMemoryReader::default();
        let mut found = Vec::new();
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while found.len() < 4 && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
            let pids: Vec<i32> = children.iter().map(|child| child.id() as i32).collect();
            found = reader.read(&layout, Duration::from_secs(1));
            found.retain(|(_, own)| pids.contains(&own.pid));
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let mut got: Vec<(Manager, u64, bool)> =
            found.iter().map(|(_, own)| (own.manager, own.ceiling.unwrap() >> 20, own.resident.is_some())).collect();
        got.sort_unstable();
        use Manager::{Cache, Go, Jvm, Node};
        assert_eq!(got, [(Jvm, 200, true), (Node, 150, true), (Go, 64, true), (Cache, 64, true)]);
        assert!(found.iter().all(|(cgroup, _)| cgroup.starts_with('/')));
    }
}
