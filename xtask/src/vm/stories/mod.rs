//! Records real incidents by our own recorder: each in a fresh VM, onto a disk whose recording becomes `data/recordings/STORY`, or
//! on this machine. What is true of a story, and what must be said of it, is in its `truth.toml`, which stays as it is.

mod here;

use std::fs;
use std::path::Path;
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

/// Folder, and the function of `stories.sh` that records it.
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

/// Folder, and what records it on this machine. They are recorded only when they are named: they need root, and a machine whose
/// hierarchy is the one of the story.
const HERE: [(&str, here::Record); 3] =
    [("docker-leak", here::docker_leak), ("docker-tmpfs", here::docker_tmpfs), ("v1-sibling", here::v1_sibling)];

pub fn run(args: &Args) -> anyhow::Result<()> {
    let names = || STORIES.iter().map(|(story, _)| *story).chain(HERE.iter().map(|(story, _)| *story));
    if args.list {
        names().for_each(|story| println!("{story}"));
        return Ok(());
    }
    if let Some(unknown) = args.story.iter().find(|story| !names().any(|name| name == *story)) {
        bail!("no story {unknown}; see --list");
    }
    let wanted = |story: &str| args.story.iter().any(|wanted| wanted == story);
    for (story, record) in HERE.into_iter().filter(|(story, _)| wanted(story)) {
        let draft = sh::target().join("story");
        let _ = fs::remove_dir_all(&draft);
        record(&sh::sampler()?, &draft)?;
        keep(story, &draft)?;
        println!("{story}");
    }
    if !args.story.is_empty() && !STORIES.iter().any(|(story, _)| wanted(story)) {
        return Ok(());
    }
    let home = sh::root().join("target/vm");
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    sh::install(&kernel::TOOLS)?;
    let sampler = image::build_static()?;
    let vmlinuz = kernel::fetch(&home, &args.kernel).with_context(|| format!("get kernel {}", args.kernel))?;
    for (story, function) in STORIES {
        if !args.story.is_empty() && !wanted(story) {
            continue;
        }
        let initrd = image::pack(&home, &sampler, "v2", &[function], "")?;
        let disk = image::disk(&home, story)?;
        let log = home.join(format!("story-{story}.log"));
        let verdicts = until_up(story, &log, || boot(MEMORY, &vmlinuz, &initrd, &disk, "", &log))?;
        // A killed machine leaves a file system whose own journal is to be replayed first.
        let _ = Command::new("e2fsck").args(["-fy"]).arg(&disk).output().context("start e2fsck")?;
        let draft = home.join("story");
        let _ = fs::remove_dir_all(&draft);
        fs::create_dir_all(&draft)?;
        sh::run(Command::new("debugfs").arg("-R").arg(format!("rdump /rec {}", draft.display())).arg(&disk))?;
        keep(story, &draft.join("rec"))?;
        fs::remove_file(&disk)?;
        println!("{story:<20} {}", verdicts.get(function).map_or("no verdict", String::as_str));
    }
    Ok(())
}

/// Puts a recording into its place.
fn keep(story: &str, recording: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_file(recording.join("lock"));
    // Where all is sealed; of a killed machine there is something in it.
    let _ = fs::remove_dir(recording.join("journal"));
    let _ = fs::remove_dir_all(recording.join("incidents"));
    let to = sh::root().join("data/recordings").join(story);
    let truth = fs::read(to.join("truth.toml")).ok();
    let _ = fs::remove_dir_all(&to);
    sh::run(Command::new("cp").arg("-r").arg(recording).arg(&to))?;
    if let Some(truth) = truth {
        fs::write(to.join("truth.toml"), truth)?;
    }
    Ok(())
}
