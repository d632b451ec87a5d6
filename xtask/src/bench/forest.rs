//! cgroups of the benchmark's own, with a sleeping process each; removed when dropped.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use sampler::kernel::cgroupfs::layout::{Layout, Version};

/// A parent cgroup with children.
pub struct Forest {
    pub name: String,
    roots: Vec<PathBuf>,
    children: Vec<String>,
    sleepers: Vec<Child>,
}

impl Forest {
    /// Makes `n` cgroups in every hierarchy that the agent reads.
    pub fn grow(layout: &Layout, n: usize) -> anyhow::Result<Forest> {
        let name = format!("sampler-bench-{}", std::process::id());
        let mut roots = vec![layout.memory.clone()];
        if layout.version == Version::V1 {
            roots.extend([&layout.unified, &layout.cpuacct, &layout.pids].into_iter().flatten().cloned());
        }
        let children = (0..n).map(|i| format!("{name}/c{i:03}")).collect();
        let mut forest = Forest { name, roots, children, sleepers: Vec::new() };
        for child in forest.children.clone() {
            let sleeper = Command::new("sleep").arg("100000").stdin(Stdio::null()).spawn().context("start sleep")?;
            for root in &forest.roots {
                let folder = root.join(&child);
                fs::create_dir_all(&folder).with_context(|| format!("make {}; run as root", folder.display()))?;
                fs::write(folder.join("cgroup.procs"), sleeper.id().to_string())
                    .with_context(|| format!("enter {}", folder.display()))?;
            }
            forest.sleepers.push(sleeper);
        }
        Ok(forest)
    }

    /// The glob that selects the children.
    pub fn glob(&self) -> String {
        format!("/{}/*", self.name)
    }

    /// Paths of the children.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.children.iter().map(|child| format!("/{child}"))
    }
}

impl Drop for Forest {
    fn drop(&mut self) {
        for sleeper in &mut self.sleepers {
            let _ = sleeper.kill();
            let _ = sleeper.wait();
        }
        for root in &self.roots {
            for child in self.children.iter().chain([&self.name]) {
                let _ = fs::remove_dir(root.join(child));
            }
        }
    }
}
