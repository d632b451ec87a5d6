//! Which hierarchy holds the memory controller, and where its siblings are mounted.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::paths::{from_bytes, to_os};

/// Why there is nothing to sample.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mounts cannot be read.
    #[error("read {path}; is /proc mounted?")]
    Mounts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No hierarchy has the memory controller.
    #[error(
        "no cgroup hierarchy with the memory controller among the mounts; mount cgroup2 on /sys/fs/cgroup, or boot without `cgroup_disable=memory`"
    )]
    NoMemory,
}

/// Version of the hierarchy that holds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// cgroup v1: a hierarchy of its own for memory.
    V1,
    /// cgroup v2: one hierarchy for all.
    V2,
}

/// The mounted hierarchies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Version of the hierarchy that holds memory.
    pub version: Version,
    /// Where it is mounted.
    pub memory: PathBuf,
    /// Where the v2 hierarchy is mounted, if it is. The same as `memory` on pure v2.
    pub unified: Option<PathBuf>,
    /// v1 only: where cpuacct is mounted.
    pub cpuacct: Option<PathBuf>,
    /// v1 only: where pids is mounted.
    pub pids: Option<PathBuf>,
}

impl Layout {
    /// Finds the layout of this machine.
    pub fn detect() -> Result<Layout, Error> {
        let path = Path::new("/proc/self/mounts");
        let mounts = fs::read(path).map_err(|source| Error::Mounts { path: path.into(), source })?;
        Layout::from_mounts(&from_bytes(&mounts), |root| {
            fs::read_to_string(root.join("cgroup.controllers"))
                .is_ok_and(|controllers| controllers.split_whitespace().any(|word| word == "memory"))
        })
    }

    /// Finds the layout from the text of `/proc/self/mounts`; `has_memory` says whether a v2 root offers memory.
    pub fn from_mounts(mounts: &str, has_memory: impl Fn(&Path) -> bool) -> Result<Layout, Error> {
        let (mut memory, mut unified, mut cpuacct, mut pids) = (None, None, None, None);
        for line in mounts.lines() {
            let mut words = line.split(' ');
            let (Some(_), Some(point), Some(kind), Some(options)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let has = |controller| options.split(',').any(|option| option == controller);
            let place = |slot: &mut Option<PathBuf>| {
                slot.get_or_insert_with(|| PathBuf::from(to_os(&unescape(point)).into_owned()));
            };
            match kind {
                "cgroup2" => place(&mut unified),
                "cgroup" => {
                    for (controller, slot) in [("memory", &mut memory), ("cpuacct", &mut cpuacct), ("pids", &mut pids)]
                    {
                        if has(controller) {
                            place(slot);
                        }
                    }
                }
                _ => {}
            }
        }
        match (memory, unified) {
            (Some(memory), unified) => Ok(Layout { version: Version::V1, memory, unified, cpuacct, pids }),
            (None, Some(root)) if has_memory(&root) => Ok(Layout {
                version: Version::V2,
                memory: root.clone(),
                unified: Some(root),
                cpuacct: None,
                pids: None,
            }),
            _ => Err(Error::NoMemory),
        }
    }

    /// The folder that holds `file` of a cgroup; `None` when its hierarchy is not mounted.
    pub fn folder(&self, cgroup: &str, file: &str) -> Option<PathBuf> {
        let root = match self.version {
            Version::V2 => Some(&self.memory),
            Version::V1 if file == "memory.pressure" || file.starts_with("cgroup.") => self.unified.as_ref(),
            Version::V1 if file.starts_with("cpuacct.") => self.cpuacct.as_ref(),
            Version::V1 if file.starts_with("pids.") => self.pids.as_ref(),
            Version::V1 => Some(&self.memory),
        };
        root.map(|root| at(root, cgroup))
    }

    /// The cgroup that this process is in, of the hierarchy that holds memory; `None` when the kernel does not show it.
    pub fn own_cgroup(&self) -> Option<String> {
        self.cgroup_in(&own_cgroups())
    }

    /// The cgroup of a process in the hierarchy that holds memory.
    pub fn cgroup_of(&self, pid: i32) -> Option<String> {
        self.cgroup_in(&from_bytes(&fs::read(format!("/proc/{pid}/cgroup")).ok()?))
    }

    /// The cgroup of the hierarchy that holds memory, in a `/proc/PID/cgroup`.
    fn cgroup_in(&self, text: &str) -> Option<String> {
        text.lines().find_map(|line| {
            let mut words = line.splitn(3, ':');
            let (_, controllers, path) = (words.next()?, words.next()?, words.next()?);
            let memory = match self.version {
                Version::V2 => controllers.is_empty(),
                Version::V1 => controllers.split(',').any(|name| name == "memory"),
            };
            memory.then(|| path.to_owned())
        })
    }

    /// `v2` or `hybrid`, as recordings name it.
    pub fn name(&self) -> &'static str {
        match self.version {
            Version::V1 => "hybrid",
            Version::V2 => "v2",
        }
    }
}

/// A path as `/proc/mounts` and `/proc/PID/mountinfo` write it: space, tab, newline and backslash as octal.
pub fn unescape(text: &str) -> String {
    ["040 ", "011\t", "012\n", "134\\"]
        .iter()
        .fold(text.to_owned(), |text, rule| text.replace(&format!("\\{}", &rule[..3]), &rule[3..]))
}

/// A cgroup's folder below a root.
pub fn at(root: &Path, cgroup: &str) -> PathBuf {
    root.join(to_os(cgroup.trim_start_matches('/')))
}

/// The cgroups that this process is in, one line a hierarchy; empty when it cannot be read.
pub fn own_cgroups() -> String {
    from_bytes(&fs::read("/proc/self/cgroup").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_v2_hybrid_and_nothing() {
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        let layout = Layout::from_mounts(v2, |_| true).unwrap();
        assert_eq!((layout.version, layout.name()), (Version::V2, "v2"));
        assert_eq!(layout.folder("/a/b", "memory.pressure").unwrap(), Path::new("/sys/fs/cgroup/a/b"));

        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
            cgroup /sys/fs/my\\040memory cgroup rw,memory 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let layout = Layout::from_mounts(hybrid, |_| false).unwrap();
        assert_eq!((layout.version, layout.name()), (Version::V1, "hybrid"));
        assert_eq!(layout.folder("/a", "memory.stat").unwrap(), Path::new("/sys/fs/my memory/a"));
        assert_eq!(layout.folder("/a", "memory.pressure").unwrap(), Path::new("/sys/fs/cgroup/unified/a"));
        assert_eq!(layout.folder("/a", "cpuacct.usage").unwrap(), Path::new("/sys/fs/cgroup/cpu,cpuacct/a"));
        assert_eq!(layout.folder("/a", "pids.current"), None);

        assert!(matches!(Layout::from_mounts(v2, |_| false), Err(Error::NoMemory)));
        assert!(matches!(Layout::from_mounts("", |_| true), Err(Error::NoMemory)));
    }
}
