//! What this host offers the recorder and its probe, and what to do where it offers less.
//!
//! A check looks at facts and says what it found. What it needs, it reads below a root, so that its tests can lay a host out.

mod checks;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cgroupfs::layout::{Error, Layout};
use crate::probe::{Attached, Probe};

pub use checks::CHECKS;

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
    /// Looks.
    pub look: fn(&Host) -> Look,
}

/// What a check says: state, words, and the way out.
pub type Look = (State, String, Option<&'static str>);

/// A host, as far as checks look at it.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    /// The hierarchies.
    pub layout: Result<Layout, Error>,
    /// What became of each part of the probe; `None` when it was not tried.
    pub probe: Option<Result<Vec<Attached>, String>>,
}

impl Host {
    /// This host. Loads the probe, and drops it again.
    pub fn here() -> Host {
        let layout = Layout::detect();
        let probe = layout.as_ref().ok().map(|layout| match Probe::load(layout) {
            Ok(probe) => Ok(probe.attached.clone()),
            Err(error) => Err(error.to_string()),
        });
        Host { root: "/".into(), layout, probe }
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

    /// Whether it is WSL2.
    pub fn is_wsl(&self) -> bool {
        self.text("proc/version").is_some_and(|version| version.to_lowercase().contains("microsoft"))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path))
    }
}

/// Asks all checks.
pub fn examine(host: &Host) -> Vec<Finding> {
    let ask = |check: &Check| {
        let (state, what, fix) = (check.look)(host);
        Finding { check: check.name, state, what, fix: fix.map(str::to_owned) }
    };
    CHECKS.iter().map(ask).collect()
}
