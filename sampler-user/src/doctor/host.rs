//! A host as the checks see it, and what a check answers.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::kernel::cgroupfs::layout::{Error, Layout};
use crate::kernel::probe::{Attached, Probe};
use crate::kernel::wsl::{Wsl, detect};

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is lost.
    Note,
    /// Something is seen less well without it.
    Lacks,
    /// There is no recording without it.
    Blocks,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check.
    pub check: &'static str,
    /// How it stands.
    pub state: State,
    /// What is there, in words.
    pub what: String,
    /// What can be done, where something can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// A check.
#[derive(Debug)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What it is good for.
    pub about: &'static str,
    /// Whether it is asked on WSL alone.
    pub of_wsl: bool,
    /// Looks.
    pub look: fn(&Host) -> Look,
}

/// What a check says: state, words, and the way out.
pub type Look = (State, String, Option<&'static str>);

/// A host, as far as checks look at it.
#[derive(Debug)]
pub struct Host {
    pub(super) root: PathBuf,
    /// The hierarchies.
    pub layout: Result<Layout, Error>,
    /// What became of each part of the probe; `None` when it was not tried.
    pub probe: Option<Result<Vec<Attached>, String>>,
    /// Files of a cgroup that are read although there is a walk.
    pub files: Vec<&'static str>,
    /// The version of WSL, as `wslinfo` tells it.
    pub wsl_version: Option<String>,
    /// Where recordings go by default, and what is free there, bytes.
    pub disk: Option<(PathBuf, u64)>,
}

impl Host {
    /// This host. Loads the probe, and drops it again. `data` is where recordings go.
    pub fn here(data: &Path) -> Host {
        let layout = Layout::detect();
        let mut files = Vec::new();
        let probe = layout.as_ref().ok().map(|layout| {
            let probe = Probe::load(layout).map_err(|error| error.to_string())?;
            files = probe.files_left(layout);
            Ok(probe.attached.clone())
        });
        let wsl_version = detect(Path::new("/")).and_then(|_| wslinfo());
        Host { root: "/".into(), layout, probe, files, wsl_version, disk: free(data) }
    }

    /// A host whose files are below a folder, as far as files tell.
    pub fn at_root(root: &Path) -> Host {
        let mounts = fs::read_to_string(root.join("proc/self/mounts")).unwrap_or_default();
        let layout = Layout::from_mounts(&mounts, |mount| {
            let below = root.join(mount.strip_prefix("/").unwrap_or(mount)).join("cgroup.controllers");
            fs::read_to_string(below).is_ok_and(|text| text.split_whitespace().any(|word| word == "memory"))
        });
        Host { root: root.to_owned(), layout, probe: None, files: Vec::new(), wsl_version: None, disk: None }
    }

    /// Whether there is a file, by its path below the root.
    pub fn has(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// A file's text without space around it; nothing when it cannot be read.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read(self.at(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// Why a file cannot be opened for reading.
    pub fn refuses(&self, path: &str) -> Option<std::io::Error> {
        fs::File::open(self.at(path)).err()
    }

    /// Whether the process has a capability, by the kernel's number.
    pub fn can(&self, capability: u32) -> bool {
        let status = self.text("proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        effective
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask >> capability & 1 == 1)
    }

    /// Whether the kernel is known to be older than this version, major and minor.
    pub fn kernel_is_before(&self, version: (u32, u32)) -> bool {
        let release = self.text("proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(['.', '-', '+']).map_while(|part| part.parse().ok());
        numbers.next().zip(numbers.next()).is_some_and(|kernel| kernel < version)
    }

    /// Whether it is WSL.
    pub fn is_wsl(&self) -> bool {
        self.wsl().is_some()
    }

    /// Which WSL it is.
    pub fn wsl(&self) -> Option<Wsl> {
        detect(&self.root)
    }

    /// Names in a folder, in order.
    pub fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// A file's bytes, if it can be read and is no larger than any file of its kind.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(self.at(path)).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// A line of /proc/meminfo, bytes.
    pub fn meminfo(&self, key: &str) -> Option<u64> {
        let text = self.text("proc/meminfo")?;
        let kib =
            text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse::<u64>().ok()?;
        Some(kib << 10)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path))
    }
}

/// No file that configures something is larger, bytes.
pub(super) const MOST: u64 = 1 << 20;

/// What `wslinfo`, which comes with WSL, says of its version.
pub(super) fn wslinfo() -> Option<String> {
    let told = Command::new("wslinfo").arg("--wsl-version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?.trim().to_owned();
    (told.status.success() && text.starts_with(|c: char| c.is_ascii_digit())).then_some(text)
}

/// What is free on the disk of a folder, or of the nearest above that is there.
pub(super) fn free(folder: &Path) -> Option<(PathBuf, u64)> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some((folder.to_owned(), disk.f_bavail * disk.f_frsize))
}
