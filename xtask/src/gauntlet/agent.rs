//! A recorder that the gauntlet starts, and what it takes of the machine.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// It has begun to record after this time.
const BEGINS: Duration = Duration::from_secs(60);
/// From `linux/capability.h`.
const CAP_SYS_RESOURCE: libc::c_ulong = 24;

/// A recorder.
pub struct Agent {
    child: Child,
    /// Where it records.
    pub out: PathBuf,
}

/// What a process takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Its own memory, KiB.
    pub memory_kib: u64,
    /// Open files.
    pub files: usize,
    /// CPU time so far.
    pub cpu: Duration,
}

impl Agent {
    /// `sampler record --out OUT ARGUMENTS`, and waits until its journal is there. `files`: the hard limit of open files, which it
    /// cannot raise.
    pub fn start(sampler: &Path, out: &Path, arguments: &[&str], files: Option<u64>) -> anyhow::Result<Agent> {
        let before = newest(out);
        let mut command = Command::new(sampler);
        command.arg("record").arg("--out").arg(out).args(arguments).stdin(Stdio::null());
        let log = fs::File::create(out.with_extension("log")).context("make the log of the recorder")?;
        command.stdout(Stdio::null()).stderr(log);
        if let Some(files) = files {
            let limit = libc::rlimit { rlim_cur: files.min(1024), rlim_max: files };
            // SAFETY: between fork and exec two system calls, which are safe there.
            unsafe {
                command.pre_exec(move || {
                    let dropped = libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
                    if dropped != 0 || libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                    Ok(())
                });
            }
        }
        let child = command.spawn().context("start sampler")?;
        let mut agent = Agent { child, out: out.to_owned() };
        let begun = Instant::now();
        while newest(out) <= before {
            if let Some(status) = agent.child.try_wait()? {
                bail!("the recorder ended with {status}: {}", agent.said());
            }
            if begun.elapsed() > BEGINS {
                bail!("the recorder does not begin: {}", agent.said());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(agent)
    }

    /// What it printed.
    pub fn said(&self) -> String {
        fs::read_to_string(self.out.with_extension("log")).unwrap_or_default()
    }

    /// What it takes now.
    pub fn figures(&self) -> anyhow::Result<Figures> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let read =
            |name: &str| fs::read_to_string(folder.join(name)).with_context(|| format!("read {name} of the recorder"));
        let (status, stat) = (read("status")?, read("stat")?);
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|n| fields.get(*n)?.parse::<u64>().ok()).sum();
        Ok(Figures {
            memory_kib: number("RssAnon:").context("no RssAnon")?,
            files: fs::read_dir(folder.join("fd")).context("list the open files of the recorder")?.count(),
            cpu: Duration::from_millis(ticks * 10),
        })
    }

    /// Ends it as a user would.
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The newest segment of the journal, which is the last by its name or the largest number of names.
fn newest(out: &Path) -> Option<(usize, String)> {
    let names =
        fs::read_dir(out.join("journal")).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.collect();
    names.iter().max().map(|last| (names.len(), last.clone()))
}

/// Files of a folder and below whose names are as wanted.
pub fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(find(&path, wanted));
        } else if wanted(&entry.file_name().to_string_lossy()) {
            found.push(path);
        }
    }
    found
}
