//! Other programs, and where things are.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// Runs a command and takes its output.
pub fn read(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("output is not UTF-8")
}

/// Builds the release binary and says where it is. `SAMPLER` in the environment names one that is there already.
pub fn sampler() -> anyhow::Result<PathBuf> {
    if let Some(built) = std::env::var_os("SAMPLER") {
        return Ok(built.into());
    }
    run(Command::new("cargo").args(["build", "--quiet", "--release", "-p", "sampler-user"]).current_dir(root()))?;
    Ok(target().join("release/sampler"))
}

/// Ends a program as a user would, and waits.
pub fn stop(mut child: Child) -> anyhow::Result<()> {
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    child.wait()?;
    Ok(())
}

/// Installs the Debian packages of programs that are missing, and says so.
pub fn install(tools: &[(&str, &str)]) -> anyhow::Result<()> {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    let is_there = |program: &str| folders.iter().any(|folder| Path::new(folder).join(program).exists());
    let missing: Vec<&str> =
        tools.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(install).args(missing))
}
