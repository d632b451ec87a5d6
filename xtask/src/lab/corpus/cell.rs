//! A cgroup with a program in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use sampler::kernel::cgroupfs::layout::{Layout, Version};

/// The parent of all.
pub const PARENT: &str = "sampler-corpus";

/// One cgroup, in every hierarchy that the recorder reads; it and all that runs in it go when it is dropped.
pub struct Cell {
    folders: Vec<PathBuf>,
    child: Option<Child>,
}

impl Cell {
    /// Makes it, with a limit in bytes.
    pub fn make(layout: &Layout, name: &str, limit: Option<u64>) -> anyhow::Result<Cell> {
        let mut roots = vec![layout.memory.clone()];
        match layout.version {
            Version::V1 => roots.extend([&layout.cpuacct, &layout.pids].into_iter().flatten().cloned()),
            Version::V2 => {
                let parent = layout.memory.join(PARENT);
                fs::create_dir_all(&parent).with_context(|| format!("make {}; run as root", parent.display()))?;
                fs::write(parent.join("cgroup.subtree_control"), "+memory +pids")
                    .with_context(|| format!("give {} its controllers", parent.display()))?;
            }
        }
        let folders: Vec<PathBuf> = roots.into_iter().map(|root| root.join(PARENT).join(name)).collect();
        for folder in &folders {
            fs::create_dir_all(folder).with_context(|| format!("make {}; run as root", folder.display()))?;
        }
        if let Some(bytes) = limit {
            let files: &[&str] = match layout.version {
                Version::V1 => &["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
                Version::V2 => &["memory.max"],
            };
            for file in files {
                let path = folders[0].join(file);
                fs::write(&path, bytes.to_string()).with_context(|| format!("write {}", path.display()))?;
            }
        }
        Ok(Cell { folders, child: None })
    }

    /// Starts a command inside, nicely.
    pub fn start(&mut self, words: &[String], log: &Path) -> anyhow::Result<()> {
        let enter: Vec<String> =
            self.folders.iter().map(|f| format!("echo $$ > '{}/cgroup.procs'", f.display())).collect();
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{} && exec nice -n 10 \"$@\"", enter.join(" && "))).arg("sh").args(words);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("start {words:?}"))?);
        Ok(())
    }

    /// Whether the program has ended since it was asked last.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        let Some(child) = &mut self.child else { return Ok(false) };
        let ended = child.try_wait()?.is_some();
        if ended {
            self.child = None;
        }
        Ok(ended)
    }

    fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.folders[0].join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn signal(&self, signal: Signal) {
        for pid in self.pids().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        for round in 0..20 {
            self.signal(if round < 4 { Signal::TERM } else { Signal::KILL });
            if let Some(child) = &mut self.child {
                let _ = child.try_wait();
            }
            if self.pids().is_empty() {
                break;
            }
            sleep(Duration::from_millis(250));
        }
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Refuses to begin beside another run.
pub fn check_alone(layout: &Layout) -> anyhow::Result<()> {
    let parent = layout.memory.join(PARENT);
    if fs::read_dir(&parent).is_ok_and(|entries| entries.flatten().any(|e| e.path().is_dir())) {
        bail!("{} has cgroups: another run goes on, or was cut off; remove them first", parent.display());
    }
    Ok(())
}
