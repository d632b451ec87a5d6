//! `sampler uninstall`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::Context;
use sampler::ui::terminal::say;

use crate::cli::install::{SLICE, UNIT, WSL, read, remove_boot_command, systemctl};

/// Undo what `install` did; recordings stay.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove below this folder and stop nothing.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Uninstalls.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let root = args.root.clone().unwrap_or_else(|| "/".into());
    let unit = root.join(UNIT);
    let live = args.root.is_none() && Path::new("/run/systemd/system").exists();
    if live && unit.exists() {
        systemctl(&["disable", "--now", "sampler.service"])?;
    }
    let mut found = false;
    for path in [unit, root.join(SLICE)] {
        match fs::remove_file(&path) {
            Ok(()) => found = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("remove {}; run as root", path.display())),
        }
        say(&format!("removed {}", path.display()));
    }
    if live && found {
        systemctl(&["daemon-reload"])?;
    }
    let wsl = root.join(WSL);
    let old = read(&wsl)?;
    let new = remove_boot_command(&old);
    if new != old {
        fs::write(&wsl, new).with_context(|| format!("write {}; run as root", wsl.display()))?;
        say(&format!("took the boot command out of {}", wsl.display()));
        found = true;
    }
    say(if found { "recordings stay in /var/lib/sampler" } else { "nothing was installed" });
    Ok(ExitCode::SUCCESS)
}
