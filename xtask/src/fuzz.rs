//! Fuzzing, bounded: `sampler-user/fuzz` with cargo-fuzz, from the real files of `data/kernel` and a real journal as seeds.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Seed of the mutations, for a run that can be had again.
    #[arg(long)]
    seed: Option<u32>,
    /// Only these targets.
    #[arg(long)]
    target: Vec<String>,
}

const TARGETS: [&str; 8] = ["journal", "block", "kmsg", "kernel_log", "kernel_files", "wslconfig", "advice", "import"];

pub fn run(args: &Args) -> anyhow::Result<()> {
    if Command::new("cargo").args(["fuzz", "--version"]).output().is_ok_and(|output| !output.status.success()) {
        println!("installing cargo-fuzz");
        sh::run(Command::new("cargo").args(["install", "cargo-fuzz", "--locked", "--quiet"]))?;
    }
    let fuzz = sh::root().join("sampler-user/fuzz");
    let work = sh::root().join("target/fuzz");
    for target in TARGETS.iter().filter(|t| args.target.is_empty() || args.target.iter().any(|a| a == *t)) {
        let corpus = work.join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("make {}", corpus.display()))?;
        let seeds = work.join("seeds").join(target);
        let _ = fs::remove_dir_all(&seeds);
        fs::create_dir_all(&seeds)?;
        let count = seed(target, &seeds)?;
        println!("{target}: {count} seeds, {} s", args.seconds);
        let status = Command::new("cargo")
            // The instrumentation is a compiler pass that a stable compiler has as well.
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", "--sanitizer", "none", "--target-dir"])
            .arg(work.join("build"))
            .arg("--fuzz-dir")
            .arg(&fuzz)
            .arg(target)
            .args([&corpus, &seeds])
            .args(["--", "-max_len=16384", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
            .arg(format!("-max_total_time={}", args.seconds))
            .args(args.seed.map(|seed| format!("-seed={seed}")))
            .arg(format!("-artifact_prefix={}/", work.display()))
            .current_dir(sh::root())
            .status()
            .context("start cargo fuzz")?;
        if !status.success() {
            bail!("{target} found an input that breaks it; it is in {}", work.display());
        }
    }
    Ok(())
}

/// Copies what the target reads in real life, in pieces it can mutate.
fn seed(target: &str, to: &Path) -> anyhow::Result<usize> {
    let data = sh::root().join("data");
    let mut count = 0;
    let mut put = |bytes: &[u8]| {
        count += 1;
        fs::write(to.join(count.to_string()), bytes)
    };
    match target {
        "kmsg" | "kernel_files" => {
            for kernel in fs::read_dir(data.join("kernel"))?.flatten() {
                if target == "kmsg" {
                    let log = fs::read(kernel.path().join("kmsg"))?;
                    log.chunks(8192).try_for_each(&mut put)?;
                    continue;
                }
                // A machine of which only the log was taken has no files.
                for folder in ["files", "proc"].map(|name| kernel.path().join(name)).iter().filter(|f| f.is_dir()) {
                    for file in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?.flatten() {
                        put(&fs::read(file.path())?)?;
                    }
                }
            }
        }
        "kernel_log" => {
            for file in fs::read_dir(data.join("kernel-logs"))?.flatten() {
                put(&fs::read(file.path())?)?;
            }
        }
        "wslconfig" => {
            let hosts = sh::root().join("sampler-user/tests/hosts");
            for file in ["wsl-hybrid/mnt/c/Users/Ada Q/.wslconfig", "wsl-v2/mnt/c/Users/ada/.wslconfig"] {
                put(&fs::read(hosts.join(file))?)?;
            }
        }
        "import" => {
            for file in fs::read_dir(data.join("import"))?.flatten() {
                put(&fs::read(file.path())?)?;
            }
        }
        "advice" => {
            for file in fs::read_dir(data.join("compose"))?.flatten() {
                put(&fs::read(file.path())?)?;
            }
            put(b"[wsl2]\nmemory=6GB\nswap=2GB\nprocessors=4\n[experimental]\nautoMemoryReclaim=gradual\n")?;
        }
        _ => {
            let segment = fs::read(data.join("journal/small.journal"))?;
            if target == "journal" {
                put(&segment)?;
            } else {
                let found = sampler::journal::reader::Segment::parse(Path::new("seed"), segment)?;
                found.blocks().try_for_each(|block| put(&block))?;
            }
        }
    }
    Ok(count)
}
