//! Real cgroups of a test's own, gone at the end, and others in which processes are killed all the time.
#![allow(dead_code, reason = "each test uses its part")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use sampler::kernel::cgroupfs::layout::{Layout, Version};

/// A cgroup of the memory hierarchy, with the processes that were started in it.
pub struct Cgroup {
    pub folder: PathBuf,
    /// Below the root of the hierarchy; lossy where the name is no UTF-8.
    pub path: String,
    pub children: Vec<Child>,
    version: Version,
}

impl Cgroup {
    /// Makes `/sampler-test-PID-TEST-NAME`; `None`, with a line that says why, where the machine does not let us.
    pub fn make(test: &str, name: &[u8]) -> Option<Cgroup> {
        let layout = Layout::detect().map_err(|error| eprintln!("SKIPPED {test}: {error}")).ok()?;
        let name = [format!("sampler-test-{}-{test}-", std::process::id()).as_bytes(), name].concat();
        let name = &name[..name.len().min(255)];
        let folder = layout.memory.join(OsStr::from_bytes(name));
        match fs::create_dir(&folder) {
            Ok(()) => Some(Cgroup::of(folder, &layout.memory, layout.version)),
            Err(error) => {
                eprintln!("SKIPPED {test}: mkdir {}: {error}", folder.display());
                None
            }
        }
    }

    fn of(folder: PathBuf, root: &Path, version: Version) -> Cgroup {
        let path = format!("/{}", folder.strip_prefix(root).unwrap().to_string_lossy());
        Cgroup { folder, path, children: Vec::new(), version }
    }

    /// Its kernfs id.
    pub fn id(&self) -> u64 {
        fs::metadata(&self.folder).unwrap().ino()
    }

    /// Makes one below it. On v2 it has no controller of its own, so that is v1 alone.
    pub fn below(&self, name: &[u8]) -> Cgroup {
        let folder = self.folder.join(OsStr::from_bytes(name));
        if self.version == Version::V2 {
            fs::write(self.folder.join("cgroup.subtree_control"), "+memory").unwrap();
        }
        fs::create_dir(&folder).unwrap();
        Cgroup::of(folder, &Layout::detect().unwrap().memory, self.version)
    }

    pub fn limit(&self, bytes: u64) {
        let file = if self.version == Version::V1 { "memory.limit_in_bytes" } else { "memory.max" };
        fs::write(self.folder.join(file), bytes.to_string()).unwrap();
    }

    /// Starts a line of shell inside.
    pub fn start(&mut self, line: &str) -> u32 {
        let line = format!("echo $$ > \"$0\"/cgroup.procs; {line}");
        let child = Command::new("sh").arg("-c").arg(line).arg(&self.folder).stderr(Stdio::null()).spawn().unwrap();
        self.children.push(child);
        self.children.last().unwrap().id()
    }

    /// Kills in it, as the kernel counts them.
    pub fn kills(&self) -> u64 {
        let file = if self.version == Version::V1 { "memory.oom_control" } else { "memory.events" };
        sampler::kernel::oom::log::count(&self.folder.join(file), "oom_kill").unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let begun = Instant::now();
        while fs::remove_dir(&self.folder).is_err() && begun.elapsed() < Duration::from_secs(5) {
            // Those that the children started are in it too.
            let pids = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
            for pid in pids.lines().filter_map(|pid| pid.parse().ok()).filter_map(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Storms of a test binary run at the same time; who needs the kernel's whole reports has none beside it.
static STORMS: RwLock<()> = RwLock::new(());

/// Waits until no storm runs and the kernel's log, which is limited to ten reports in five seconds, has room again.
pub fn quiet() -> RwLockWriteGuard<'static, ()> {
    let turn = STORMS.write().unwrap_or_else(PoisonError::into_inner);
    std::thread::sleep(Duration::from_millis(5500));
    turn
}

/// A cgroup in which a process is killed several times a second, and others that come and go beside it.
pub struct Storm {
    killed: Cgroup,
    shell: Child,
    _turn: RwLockReadGuard<'static, ()>,
}

impl Storm {
    /// `pause` is that of `sleep` after each kill.
    pub fn begin(test: &str, pause: &str) -> Option<Storm> {
        let short: String = test.chars().take(40).collect();
        let turn = STORMS.read().unwrap_or_else(PoisonError::into_inner);
        let killed = Cgroup::make(&short, b"storm")?;
        killed.limit(2 << 20);
        let line = "while :; do (echo 0 > \"$0\"/cgroup.procs; exec tail /dev/zero); mkdir \"$0\"-brief; rmdir \"$0\"-brief; sleep \"$1\"; done";
        let shell = Command::new("sh")
            .arg("-c")
            .arg(line)
            .arg(&killed.folder)
            .arg(pause)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let storm = Storm { killed, shell, _turn: turn };
        let begun = Instant::now();
        while storm.kills() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "the kernel kills nobody");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(storm)
    }

    pub fn kills(&self) -> u64 {
        self.killed.kills()
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        let _ = fs::remove_dir(brief(&self.killed.folder));
    }
}

fn brief(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push("-brief");
    name.into()
}
