//! Debian's kernels, unpacked and not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::sh;

/// Programs the VM needs, and their packages.
pub const TOOLS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("mkfs.ext4", "e2fsprogs"),
];

/// The kernel image of a version, from `home` or from Debian.
pub fn fetch(home: &Path, version: &str) -> anyhow::Result<PathBuf> {
    let folder = home.join("kernels").join(version);
    if let Some(found) = image(&folder) {
        return Ok(found);
    }
    fs::create_dir_all(&folder)?;
    let suite = match version {
        "5.10" => "bullseye",
        "6.1" => "bookworm",
        "6.12" => "trixie",
        _ => "trixie-backports",
    };
    let apt = private_apt(&folder, suite)?;
    sh::run(Command::new("apt-get").args(&apt).args(["update", "-qq"]))?;
    let mut package = "linux-image-cloud-amd64".to_owned();
    // The name leads through one or two packages of names to the one that holds the image.
    for _ in 0..4 {
        sh::run(Command::new("apt-get").args(&apt).args(["download", "-qq", &package]).current_dir(&folder))?;
        for deb in fs::read_dir(&folder)?.flatten().map(|entry| entry.path()) {
            if deb.extension().is_some_and(|ext| ext == "deb") {
                sh::run(Command::new("dpkg").arg("-x").arg(&deb).arg(&folder))?;
                fs::remove_file(&deb)?;
            }
        }
        if let Some(found) = image(&folder) {
            return Ok(found);
        }
        let depends = sh::read(Command::new("apt-cache").args(&apt).args(["depends", &package]))?;
        let next = depends
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| (name.starts_with("linux-image-") || name.starts_with("linux-binary-")) && **name != package);
        package = next.with_context(|| format!("{package} of {suite} leads to no kernel"))?.to_owned();
    }
    bail!("no kernel image below linux-image-cloud-amd64 of {suite}")
}

fn image(folder: &Path) -> Option<PathBuf> {
    ["boot", "usr/lib/modules", "usr/lib/linux"].iter().find_map(|place| {
        let mut stack = vec![folder.join(place)];
        while let Some(dir) = stack.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_name().to_string_lossy().starts_with("vmlinuz") {
                    return Some(path);
                }
                if path.is_dir() {
                    stack.push(path);
                }
            }
        }
        None
    })
}

/// Options for apt with lists of its own: the machine's apt stays as it is. The address is the machine's.
fn private_apt(folder: &Path, suite: &str) -> anyhow::Result<Vec<String>> {
    let places = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let text: String = places.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let word = |line: &str| line.split_whitespace().find(|word| word.starts_with("http")).map(str::to_owned);
    let address = text.lines().filter(|line| !line.starts_with('#')).find_map(word);
    let address = address.context("no Debian address in the machine's apt sources")?;
    let list = folder.join("sources.list");
    fs::write(
        &list,
        format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {address} {suite} main\n"),
    )?;
    fs::create_dir_all(folder.join("lists/partial"))?;
    fs::create_dir_all(folder.join("cache/archives/partial"))?;
    let option = |key: &str, path: &str| vec!["-o".to_owned(), format!("{key}={path}")];
    Ok([
        option("Dir::Etc::sourcelist", &list.display().to_string()),
        option("Dir::Etc::sourceparts", "-"),
        option("Dir::State::Lists", &folder.join("lists").display().to_string()),
        option("Dir::Cache", &folder.join("cache").display().to_string()),
        option("APT::Sandbox::User", "root"),
    ]
    .concat())
}
