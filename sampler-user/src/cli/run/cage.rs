//! The cgroup of a command: made, entered, removed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use cgroups_rs::cgroup_builder::CgroupBuilder;
use sampler::kernel::cgroupfs::layout::{Layout, Version, at};
use sampler::model::fields::UNLIMITED;

/// Limits of a cage, bytes; absent or unlimited is not set.
#[derive(Clone, Copy, Debug)]
pub struct CageLimits {
    /// memory.max.
    pub max: Option<u64>,
    /// memory.high; on v1 the soft limit.
    pub high: Option<u64>,
}

/// A cgroup made for one command, removed when dropped.
pub struct Cage {
    cgroup: Option<cgroups_rs::Cgroup>,
    /// Folder in the v2 tree of a hybrid host, for its pressure.
    unified: Option<PathBuf>,
    /// Path below the root of the hierarchy of memory.
    pub path: String,
}

impl Cage {
    /// Makes it and sets the limits.
    pub fn new(layout: &Layout, limits: &CageLimits) -> anyhow::Result<Cage> {
        let name = format!("sampler-run-{}", std::process::id());
        let path = format!("/{name}");
        let controllers = match layout.version {
            Version::V1 => ["memory", "pids", "cpuacct"].as_slice(),
            Version::V2 => ["memory", "pids", "cpu"].as_slice(),
        };
        let offered = fs::read_to_string(layout.memory.join("cgroup.controllers")).unwrap_or_default();
        let has = |name: &&&str| layout.version == Version::V1 || offered.split_whitespace().any(|word| word == **name);
        let controllers = controllers.iter().filter(has).map(|name| (*name).to_owned()).collect();
        let hierarchy = cgroups_rs::hierarchies::auto();
        let mut builder = CgroupBuilder::new(&name).set_specified_controllers(controllers).memory();
        for (limit, set) in [(limits.max, true), (limits.high, false)] {
            let Some(bytes) = limit.filter(|bytes| *bytes != UNLIMITED) else { continue };
            let bytes = i64::try_from(bytes).context("the limit is too large")?;
            builder = if set { builder.memory_hard_limit(bytes) } else { builder.memory_soft_limit(bytes) };
        }
        let folder = layout.memory.join(&name);
        // The library makes folders without saying when it could not.
        fs::create_dir(&folder).with_context(|| {
            format!("make the cgroup {}; this needs root (or a delegated cgroup): sudo sampler run …", folder.display())
        })?;
        let cgroup = builder.done().build(hierarchy).with_context(|| format!("set up the cgroup {path}"))?;
        let mut cage = Cage { cgroup: Some(cgroup), unified: None, path: path.clone() };
        if layout.version == Version::V2 {
            if let Some(bytes) = limits.high.filter(|bytes| *bytes != UNLIMITED) {
                cage.limit(layout, "memory.high", bytes)?;
            }
            if let Some(bytes) = limits.max.filter(|bytes| *bytes != UNLIMITED) {
                cage.limit(layout, "memory.max", bytes)?;
            }
        } else if let Some(unified) = &layout.unified {
            let folder = unified.join(&name);
            cage.unified = fs::create_dir(&folder).ok().map(|()| folder);
        }
        Ok(cage)
    }

    /// The library writes the soft limit to memory.low and memory.high alike on v2; these are exact.
    fn limit(&self, layout: &Layout, file: &str, bytes: u64) -> anyhow::Result<()> {
        let path = at(&layout.memory, &self.path).join(file);
        fs::write(&path, bytes.to_string()).with_context(|| format!("write {bytes} to {}", path.display()))
    }

    /// The files through which a process enters.
    pub fn doors(&self, layout: &Layout) -> Vec<PathBuf> {
        let name = self.path.trim_start_matches('/');
        let mut folders = vec![layout.memory.join(name)];
        for root in [&layout.cpuacct, &layout.pids].into_iter().flatten() {
            folders.push(root.join(name));
        }
        folders.extend(self.unified.clone());
        folders.into_iter().map(|folder| folder.join("cgroup.procs")).filter(|door| door.exists()).collect()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // A process that is still ending keeps the folder busy for a moment.
        for _ in 0..20 {
            if let Some(folder) = &self.unified
                && fs::remove_dir(folder).is_ok()
            {
                self.unified = None;
            }
            let Some(cgroup) = &self.cgroup else { break };
            if cgroup.delete().is_ok() && !cgroup.exists() {
                self.cgroup = None;
            }
            if self.cgroup.is_none() && self.unified.is_none() {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
}
