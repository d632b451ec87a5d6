//! The service as a user installs it: the Debian package in a Debian with systemd, on a real kernel in QEMU.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::{boot, image, kernel, until_up};
use crate::{dist, sh};

/// Memory of the machine, MiB: its root is in memory, twice while it boots.
const MEMORY: u32 = 2048;

/// What the machine is asked, and has to say `ok` to.
const VERDICTS: [&str; 7] = ["package", "starts", "confined", "kill", "stops", "install", "uninstall"];

pub fn run() -> anyhow::Result<()> {
    let home = sh::root().join("target/vm");
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    sh::install(&kernel::TOOLS)?;
    sh::install(&[("debootstrap", "debootstrap")])?;
    let package = dist::package()?;
    let vmlinuz = kernel::fetch(&home, "6.1")?;
    let root = debian(&home)?;
    fs::copy(&package, root.join("sampler.deb")).with_context(|| format!("copy {}", package.display()))?;
    let script = root.join("check.sh");
    fs::write(&script, include_str!("service.sh"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    fs::write(root.join("etc/systemd/system/check.service"), include_str!("check.service"))?;
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    let _ = fs::remove_file(wants.join("check.service"));
    symlink("/etc/systemd/system/check.service", wants.join("check.service"))?;
    let initrd = home.join("debian.cpio.gz");
    let pack = "find . -xdev | cpio -o -H newc --quiet | gzip -1 > \"$0\"";
    sh::run(Command::new("sh").args(["-c", pack]).arg(&initrd).current_dir(&root))?;
    let disk = image::disk(&home, "service")?;
    let log = home.join("service.log");
    let verdicts = until_up("6.1", &log, || boot(MEMORY, &vmlinuz, &initrd, &disk, "", &log))?;
    let mut failed = 0;
    for name in VERDICTS {
        let verdict = verdicts.get(name).map_or("fail no verdict", String::as_str);
        failed += usize::from(!verdict.starts_with("ok"));
        println!("{name:<10} {verdict}");
    }
    println!("console in {}", log.display());
    if failed > 0 {
        bail!("{failed} of {} failed", VERDICTS.len());
    }
    Ok(())
}

/// A small Debian with systemd as the root of the file system.
fn debian(home: &Path) -> anyhow::Result<std::path::PathBuf> {
    let root = home.join("debian");
    if !root.join("lib/systemd/systemd").exists() {
        let _ = fs::remove_dir_all(&root);
        let mut make = Command::new("debootstrap");
        make.args(["--variant=minbase", "--include=systemd,systemd-sysv", "bookworm"]).arg(&root);
        sh::run(make.stdout(std::process::Stdio::null()))?;
    }
    for unneeded in ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"] {
        let _ = fs::remove_dir_all(root.join(unneeded));
    }
    let _ = fs::remove_file(root.join("init"));
    symlink("/lib/systemd/systemd", root.join("init"))?;
    Ok(root)
}
