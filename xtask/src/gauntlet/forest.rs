//! Many cgroups of the gauntlet's own in the memory hierarchy, removed with it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use sampler::kernel::cgroupfs::layout::{Layout, Version};

/// A parent of many.
pub struct Forest {
    /// Below the root of the hierarchy.
    pub name: String,
    root: PathBuf,
}

impl Forest {
    /// Makes the parent.
    pub fn plant() -> anyhow::Result<Forest> {
        let layout = Layout::detect()?;
        let name = format!("gauntlet-{}", std::process::id());
        let root = layout.memory.join(&name);
        fs::create_dir(&root).with_context(|| format!("make the cgroup {}", root.display()))?;
        let forest = Forest { name, root };
        if layout.version == Version::V2 {
            fs::write(forest.root.join("cgroup.subtree_control"), "+memory")
                .context("pass the memory controller down")?;
        }
        Ok(forest)
    }

    /// Where one is.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes one, or nests below another.
    pub fn make(&self, name: &str) -> anyhow::Result<()> {
        let folder = self.folder(name);
        fs::create_dir(&folder).with_context(|| format!("make the cgroup {}", folder.display()))
    }
}

impl Drop for Forest {
    fn drop(&mut self) {
        fell(&self.root);
    }
}

/// Those below first.
fn fell(folder: &std::path::Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fell(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
