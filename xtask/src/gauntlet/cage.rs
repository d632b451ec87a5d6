//! Cgroups of the gauntlet's own, with a limit and programs that grow in them.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sampler::kernel::cgroupfs::layout::{Layout, Version};

/// A cgroup with a limit.
pub struct Cage {
    /// Below the root of the memory hierarchy.
    pub path: String,
    folder: PathBuf,
    file: &'static str,
    load: Option<Child>,
}

impl Cage {
    /// Makes one. `name` begins with a slash.
    pub fn make(name: &str, limit_mib: u64) -> anyhow::Result<Cage> {
        let layout = Layout::detect()?;
        let folder = layout.memory.join(name.trim_start_matches('/'));
        fs::create_dir(&folder).with_context(|| format!("make the cgroup {}", folder.display()))?;
        let file = if layout.version == Version::V2 { "memory.max" } else { "memory.limit_in_bytes" };
        let cage = Cage { path: name.into(), folder, file, load: None };
        fs::write(cage.folder.join(file), (limit_mib << 20).to_string()).context("limit a cgroup")?;
        // What grows is to be killed at the limit, not to be swapped out.
        let _ = fs::write(cage.folder.join("memory.swap.max"), "0");
        let _ = fs::write(cage.folder.join("memory.swappiness"), "0");
        Ok(cage)
    }

    /// The limits that stand, one a line: of memory, to throttle, and of memory and swap together.
    pub fn limits(&self) -> String {
        let files = [self.file, "memory.high", "memory.memsw.limit_in_bytes"];
        files.map(|file| fs::read_to_string(self.folder.join(file)).unwrap_or_default()).concat()
    }

    /// Starts a program that grows, once or again and again.
    pub fn grow(&mut self, arguments: &[&str], again: bool) -> anyhow::Result<()> {
        let line = "echo 0 > \"$0\" || exit; while :; do \"$@\"; [ -n \"$AGAIN\" ] || exit; sleep 0.2; done";
        let mut command = Command::new("sh");
        command.args(["-c", line]).arg(self.folder.join("cgroup.procs"));
        command.arg(std::env::current_exe().context("find this program")?).args(["gauntlet", "grow"]).args(arguments);
        command.env("AGAIN", if again { "1" } else { "" }).stdin(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.load = Some(command.spawn().context("start a program that grows")?);
        Ok(())
    }

    /// Whether what was started has ended.
    pub fn has_ended(&mut self) -> bool {
        self.load.as_mut().is_none_or(|load| load.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// Ends what was started.
    pub fn stop(&mut self) {
        let Some(mut load) = self.load.take() else { return };
        let _ = kill_process_group(Pid::from_child(&load), Signal::KILL);
        let _ = load.wait();
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        self.stop();
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                break;
            }
            let pids = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
            for pid in pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
                let _ = kill_process(pid, Signal::KILL);
            }
            sleep(Duration::from_millis(20));
        }
    }
}
