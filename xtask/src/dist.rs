//! The program as one static file, with its man pages and completions, and a Debian package.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::sh;

/// With the C library in it: runs on any distribution, WSL and an initramfs too.
const TARGET: &str = "x86_64-unknown-linux-gnu";

pub fn run() -> anyhow::Result<()> {
    let mut build = Command::new("cargo");
    build.args(["build", "--profile=dist", "-p", "sampler-user", "--target", TARGET]).current_dir(sh::root());
    sh::run(build.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sh::root().join("target"), Into::into);
    let program = target.join(TARGET).join("dist/sampler");
    let home = target.join("dist-files");
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    let own = home.join("sampler");
    fs::copy(&program, &own).with_context(|| format!("copy {}", program.display()))?;
    let kind = Command::new("ldd").arg(&own).output().context("start ldd")?;
    let said = String::from_utf8_lossy(&kind.stdout).into_owned() + &String::from_utf8_lossy(&kind.stderr);
    if !(said.contains("statically linked") || said.contains("not a dynamic executable")) {
        bail!("{} is not static: {said}", own.display());
    }
    sh::run(Command::new(&own).arg("man").arg(home.join("man")))?;
    for shell in ["bash", "zsh", "fish"] {
        let file = File::create(home.join(format!("sampler.{shell}")))?;
        sh::run(Command::new(&own).args(["completions", shell]).stdout(file))?;
    }
    println!("{}: {} bytes, static; man pages and completions beside it", own.display(), fs::metadata(&own)?.len());
    println!("{}", package()?.display());
    Ok(())
}

/// Builds the Debian package, and says where it is.
pub fn package() -> anyhow::Result<PathBuf> {
    let there = Command::new("cargo").args(["deb", "--version"]).output().is_ok_and(|output| output.status.success());
    if !there {
        println!("installing cargo-deb");
        sh::run(Command::new("cargo").args(["install", "--quiet", "--locked", "cargo-deb"]))?;
    }
    let made = sh::read(Command::new("cargo").args(["deb", "-p", "sampler-user"]).current_dir(sh::root()))?;
    Ok(PathBuf::from(made.lines().last().context("cargo deb names no package")?.trim()))
}
