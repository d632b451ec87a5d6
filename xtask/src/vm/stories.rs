//! Records real incidents: each in a fresh VM, by our own recorder, onto a disk whose recording becomes `data/recordings/STORY`.
//! What is true of a story, and what must be said of it, is in its `truth.toml`, which stays as it is.

use std::fs;
use std::process::Command;

use anyhow::{Context, bail};

use super::{MEMORY, boot, image, kernel, until_up};
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these stories.
    story: Vec<String>,
    /// Kernel to boot.
    #[arg(long, default_value = "6.12", value_parser = ["6.1", "6.12", "7.3"])]
    kernel: String,
    /// List the stories.
    #[arg(long)]
    list: bool,
}

/// Folder, and the function of `stories.sh` that tells it.
const STORIES: [(&str, &str); 14] = [
    ("own-limit-leak", "own_limit_leak"),
    ("burst", "burst"),
    ("tmpfs-fill", "tmpfs_fill"),
    ("cache-not-at-fault", "cache_not_at_fault"),
    ("sibling", "sibling"),
    ("oom-group", "oom_group_story"),
    ("global-no-swap", "global_no_swap"),
    ("global-swap", "global_swap"),
    ("sum-of-limits", "sum_of_limits"),
    ("fork-bomb", "fork_bomb"),
    ("jvm-heap", "jvm_heap"),
    ("storm", "storm"),
    ("wsl-user", "wsl_user_story"),
    ("vm-killed", "vm_killed"),
];

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        STORIES.iter().for_each(|(story, _)| println!("{story}"));
        return Ok(());
    }
    if let Some(unknown) = args.story.iter().find(|story| !STORIES.iter().any(|(name, _)| name == story)) {
        bail!("no story {unknown}; see --list");
    }
    let home = sh::root().join("target/vm");
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    sh::install(&kernel::TOOLS)?;
    let sampler = image::build_static(&home)?;
    let vmlinuz = kernel::fetch(&home, &args.kernel).with_context(|| format!("get kernel {}", args.kernel))?;
    for (story, function) in STORIES {
        if !args.story.is_empty() && !args.story.iter().any(|wanted| wanted == story) {
            continue;
        }
        let initrd = image::pack(&home, &sampler, "v2", &[function])?;
        let disk = image::disk(&home, story)?;
        let log = home.join(format!("story-{story}.log"));
        let told = until_up(story, &log, || boot(MEMORY, &vmlinuz, &initrd, &disk, &log))?;
        // A killed machine leaves a file system whose own journal is to be replayed first.
        let _ = Command::new("e2fsck").args(["-fy"]).arg(&disk).output().context("start e2fsck")?;
        let draft = home.join("story");
        let _ = fs::remove_dir_all(&draft);
        fs::create_dir_all(&draft)?;
        sh::run(Command::new("debugfs").arg("-R").arg(format!("rdump /rec {}", draft.display())).arg(&disk))?;
        let _ = fs::remove_file(draft.join("rec/lock"));
        let to = sh::root().join("data/recordings").join(story);
        let truth = fs::read(to.join("truth.toml")).ok();
        let _ = fs::remove_dir_all(&to);
        sh::run(Command::new("cp").arg("-r").arg(draft.join("rec")).arg(&to))?;
        if let Some(truth) = truth {
            fs::write(to.join("truth.toml"), truth)?;
        }
        fs::remove_file(&disk)?;
        println!("{story:<20} {}", told.get(function).map_or("no verdict", String::as_str));
    }
    Ok(())
}
