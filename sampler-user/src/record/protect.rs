//! The agent protects itself: the recorder must outlive what it records. Each protection is tried alone; one that is refused
//! is reported in one line and costs nothing else.

use std::fs;
use std::path::PathBuf;

use rustix::mm::{Advice, MlockAllFlags, mlockall, munlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::kernel::cgroupfs::layout::{Layout, Version, at};
use crate::kernel::cgroupfs::read::read_number;

/// Descriptors wanted, for some 4,000 cgroups. The kernel keeps some 5 KiB for each: what is beyond is read in turns.
const DESCRIPTORS: u64 = 1 << 16;
/// Priority: before ordinary work, behind nothing that must be real time.
const NICE: i32 = -10;

/// On fault: locking the whole program at once would cost its full size.
const LOCKED: MlockAllFlags = MlockAllFlags::CURRENT.union(MlockAllFlags::FUTURE).union(MlockAllFlags::ONFAULT);

/// Does what takes much memory for a moment, and gives it back. The kernel takes no page back that is locked, and the allocator asks
/// only once: meanwhile none is.
pub fn unlocked<T>(locks: bool, work: impl FnOnce() -> T) -> T {
    let unlocked = locks && munlockall().is_ok();
    let done = work();
    // SAFETY: has no condition.
    unsafe { libc::malloc_trim(0) };
    forget_code();
    if unlocked {
        // It was allowed before; without it, ticks may wait for a page, and that is all.
        let _ = mlockall(LOCKED);
    }
    done
}

/// Unmaps the program's code, of which half was for the start: what goes on running comes back from the page cache at its next call.
fn forget_code() {
    unsafe extern "C" {
        // The linker's names for where the program begins and where its code ends.
        static __executable_start: u8;
        static etext: u8;
    }
    let page = rustix::param::page_size();
    let (from, to) = (&raw const __executable_start, &raw const etext);
    let (from, to) = (from.map_addr(|at| at.next_multiple_of(page)), to.addr() / page * page);
    // SAFETY: the mapping is of a file, private and never written, so that its pages can be read again from there. The kernel refuses
    // pages that are locked, and that is all.
    let _ =
        unsafe { rustix::mm::madvise(from.cast_mut().cast(), to.saturating_sub(from.addr()), Advice::LinuxDontNeed) };
}

/// Applies all protections; returns those that were refused, in words.
pub fn apply() -> Vec<String> {
    let mut refused = Vec::new();
    // Raising to 0 from below needs no right, lowering does; so the strongest that is granted is kept.
    if fs::write("/proc/self/oom_score_adj", "-1000").is_err() {
        refused.push(
            "oom_score_adj stays as it is (needs CAP_SYS_RESOURCE): the OOM killer may choose the recorder".into(),
        );
    }
    if let Err(error) = mlockall(LOCKED) {
        refused.push(format!("mlockall: {error} (needs CAP_IPC_LOCK): ticks may wait for the recorder's own pages"));
    }
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        refused.push(format!("nice {NICE}: {error} (needs CAP_SYS_NICE): ticks may be late on a busy machine"));
    }
    refused.extend(raise_descriptors());
    refused
}

/// Raises the limit of open files to what is allowed; needed before the first cgroup is opened.
pub fn raise_descriptors() -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let enough = |current: Option<u64>| current.is_none_or(|current| current >= DESCRIPTORS);
    if enough(limit.current) {
        return None;
    }
    let wanted = |maximum| Rlimit { current: Some(DESCRIPTORS), maximum };
    let raised = setrlimit(Resource::Nofile, wanted(limit.maximum.map(|m| m.max(DESCRIPTORS))))
        .or_else(|_| setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }));
    let current = getrlimit(Resource::Nofile).current;
    match raised {
        Ok(()) if enough(current) => None,
        _ => Some(format!("{} (`ulimit -n`): of many cgroups some are read in turns", descriptors())),
    }
}

/// The limit of open files, in words.
pub fn descriptors() -> String {
    format!("open files stay limited to {}", getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// Memory that reclaim leaves to the agent, bytes.
const MEMORY_MIN: u64 = 32 << 20;

/// A cgroup of the agent's own with memory.min; left and removed when dropped.
#[derive(Debug)]
pub struct OwnCgroup {
    folder: PathBuf,
    home: PathBuf,
}

impl OwnCgroup {
    /// Moves the agent into a cgroup of its own directly below the root (outside `/wsl-user` and any limited slice). Only on
    /// v2, and not out of a service, whose manager keeps account of it: none where its unit protects it already.
    pub fn enter(layout: &Layout) -> Result<Option<OwnCgroup>, String> {
        let why =
            |why: &str| format!("no cgroup of its own with memory.min ({why}): reclaim may take the recorder's pages");
        if layout.version != Version::V2 {
            return Err(why("memory is on cgroup v1, which has no memory.min"));
        }
        let own = layout.own_cgroup().unwrap_or_else(|| "/".into());
        let home = at(&layout.memory, &own);
        if own.ends_with(".service") {
            return match read_number(&home.join("memory.min")) {
                Some(kept) if kept >= MEMORY_MIN => Ok(None),
                _ => Err(why("it runs as a service; set MemoryMin=32M in its unit")),
            };
        }
        let folder = layout.memory.join(format!("sampler-agent-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| why(&format!("mkdir {}: {error}", folder.display())))?;
        let own = OwnCgroup { folder, home };
        let enter = || {
            fs::write(own.folder.join("memory.min"), MEMORY_MIN.to_string())?;
            fs::write(own.folder.join("cgroup.procs"), "0")
        };
        enter().map_err(|error| why(&format!("{}: {error}", own.folder.display())))?;
        Ok(Some(own))
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.home.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&self.folder);
    }
}
