//! The static binary and the initramfs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::sh;

/// Where all that machines need is kept.
pub fn home() -> PathBuf {
    sh::root().join("target/vm")
}

/// Builds sampler without shared libraries, so that it runs on a kernel and nothing else.
pub fn build_static() -> anyhow::Result<PathBuf> {
    build("sampler-user", "sampler")
}

/// Builds these tasks in the same way, for a scenario that is one of them.
pub fn build_tasks() -> anyhow::Result<PathBuf> {
    build("xtask", "xtask")
}

fn build(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    let target = "x86_64-unknown-linux-gnu";
    let folder = home().join("build");
    sh::run(
        Command::new("cargo")
            .args(["build", "--quiet", "--release", "-p", package, "--target", target, "--target-dir"])
            .arg(&folder)
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
            .current_dir(sh::root()),
    )?;
    Ok(folder.join(target).join("release").join(program))
}

/// Packs busybox, sampler and PID 1 into an initramfs; the tasks too, for a scenario that needs them.
pub fn pack(
    folder: &Path,
    sampler: &Path,
    hierarchy: &str,
    scenarios: &[&str],
    profile: &str,
) -> anyhow::Result<PathBuf> {
    let root = folder.join("root");
    let _ = fs::remove_dir_all(&root);
    for folder in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let copy = |from: &Path, name: &str| {
        let to = root.join("bin").join(name);
        fs::copy(from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))
    };
    copy(sampler, "sampler")?;
    if scenarios.iter().any(|scenario| super::OF_TASKS.contains(scenario)) {
        copy(&build_tasks()?, "xtask")?;
    }
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].iter().map(Path::new).find(|path| path.exists());
    copy(busybox.context("no busybox")?, "busybox")?;
    let head =
        format!("#!/bin/busybox sh\nHIERARCHY={hierarchy}\nPROFILE={profile}\nSCENARIOS='{}'\n", scenarios.join(" "));
    fs::write(root.join("init"), head + include_str!("stories.sh") + include_str!("init.sh"))?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let initrd = folder.join("initrd.cpio.gz");
    let pack = "find . | cpio -o -H newc --quiet | gzip -1 > \"$0\"";
    sh::run(Command::new("sh").args(["-c", pack]).arg(&initrd).current_dir(&root))?;
    Ok(initrd)
}

/// A fresh disk with a file system.
pub fn disk(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let disk = folder.join(format!("{name}.img"));
    let file = fs::File::create(&disk).with_context(|| format!("create {}", disk.display()))?;
    // Sparse: what is not written takes no room.
    file.set_len(1 << 30)?;
    sh::run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk))?;
    Ok(disk)
}
