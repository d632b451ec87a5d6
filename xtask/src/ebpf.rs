//! The kernel probe: built from Rust, committed, and compared with what is committed.
//!
//! Users need neither the toolchain nor the linker, because the object is in the repository; CI builds it again, so that it
//! cannot drift from its source.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Build, and compare with the committed object instead of writing it.
    #[arg(long)]
    check: bool,
}

const TARGET: &str = "bpfel-unknown-none";
const OBJECT: &str = "sampler-user/probe/sampler.bpf.o";

/// A compiler with the source of `core`, and the LLVM that it and bpf-linker share.
struct Toolchain {
    name: &'static str,
    cargo: Command,
    /// Where its compiler is found.
    path: OsString,
    /// Where the source of the standard library is, to keep its path out of the object.
    sysroot: PathBuf,
    llvm: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut toolchain = find()?;
    let linker = linker(toolchain.llvm.as_deref())?;
    println!("building with {}", toolchain.name);
    let home = sh::root().join("target/ebpf");
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let mut flags = "-C debuginfo=2 -C link-arg=--btf".to_owned();
    for (path, name) in [(sh::root(), "."), (cargo_home.clone(), "cargo"), (toolchain.sysroot.clone(), "rust")] {
        flags += &format!(" --remap-path-prefix={}={name}", path.display());
    }
    let mut places = vec![linker];
    places.extend(std::env::split_paths(&toolchain.path));
    if let Some(llvm) = &toolchain.llvm {
        toolchain.cargo.env("LD_LIBRARY_PATH", llvm.join("lib"));
    }
    sh::run(
        toolchain
            .cargo
            .args(["build", "--quiet", "--release", "-p", "sampler-ebpf", "--bin", "probe", "-Z", "build-std=core"])
            .args(["--target", TARGET, "--target-dir"])
            .arg(&home)
            .env("PATH", std::env::join_paths(places)?)
            .env("CARGO_HOME", &cargo_home)
            .env("RUSTFLAGS", flags)
            // A compiler of a distribution is as new as a nightly, but says so only when asked.
            .env("RUSTC_BOOTSTRAP", "1")
            // The build of `cargo xtask` left its own toolchain there.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .current_dir(sh::root().join("sampler-ebpf")),
    )?;
    let built = home.join("probe.o");
    fs::copy(home.join(TARGET).join("release/probe"), &built)?;
    // BTF stays; DWARF is ten times as large and nobody reads it.
    sh::run(Command::new(objcopy(toolchain.llvm.as_deref())).arg("--strip-debug").arg(&built))?;
    let built = fs::read(&built)?;
    let committed = sh::root().join(OBJECT);
    if args.check {
        return compare(&built, &fs::read(&committed).with_context(|| format!("read {}", committed.display()))?);
    }
    fs::create_dir_all(committed.parent().unwrap_or(Path::new(".")))?;
    fs::write(&committed, &built).with_context(|| format!("write {}", committed.display()))?;
    println!("{} bytes in {OBJECT}", built.len());
    Ok(())
}

/// rustup's nightly with `rust-src`, or Debian's compiler with its source.
fn find() -> anyhow::Result<Toolchain> {
    let source = |root: &Path| root.join("lib/rustlib/src/rust/library/core").exists();
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output();
    if let Ok(output) = nightly
        && output.status.success()
    {
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if source(&sysroot) {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let mut cargo = Command::new("rustup");
            cargo.args(["run", "nightly", "cargo"]);
            return Ok(Toolchain { name: "rustup's nightly", cargo, path, sysroot, llvm: llvm() });
        }
    }
    if source(Path::new("/usr")) && Path::new("/usr/bin/cargo").exists() {
        let cargo = Command::new("/usr/bin/cargo");
        // Before rustup's, which has compilers without the source.
        let path = "/usr/bin:/bin".into();
        return Ok(Toolchain { name: "Debian's compiler", cargo, path, sysroot: "/usr".into(), llvm: llvm() });
    }
    bail!(
        "no compiler with the source of `core`: `rustup toolchain install nightly --component rust-src`, or on Debian \
         `apt-get install rustc-web cargo-web rust-web-src llvm-22 llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev`"
    )
}

/// The newest LLVM of the distribution, if there is one.
fn llvm() -> Option<PathBuf> {
    let version = |path: &PathBuf| -> u32 {
        path.file_name().and_then(|name| name.to_str()?.strip_prefix("llvm-")?.parse().ok()).unwrap_or(0)
    };
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.filter(|path| version(path) >= 19 && path.join("bin/llvm-config").exists()).max_by_key(version)
}

fn objcopy(llvm: Option<&Path>) -> PathBuf {
    llvm.map(|llvm| llvm.join("bin/llvm-objcopy")).filter(|path| path.exists()).unwrap_or("llvm-objcopy".into())
}

/// The folder of bpf-linker, which is installed below `target` when it is nowhere.
fn linker(llvm: Option<&Path>) -> anyhow::Result<PathBuf> {
    let own = sh::root().join("target/tools");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push(own.join("bin"));
    if let Some(found) = places.into_iter().find(|place| place.join("bpf-linker").exists()) {
        return Ok(found);
    }
    println!("installing bpf-linker below target/tools");
    let mut install = Command::new("cargo");
    install.args(["install", "--quiet", "bpf-linker", "--version", "^0.13", "--root"]).arg(&own);
    if let Some(llvm) = llvm
        && let Some(version) = llvm.file_name().and_then(|name| name.to_str())
    {
        install.args(["--no-default-features", "--features", version]).env("LLVM_PREFIX", llvm);
    }
    sh::run(&mut install)?;
    Ok(own.join("bin"))
}

/// Equal bytes, or at least equal instructions and types: two compilers need not order their sections alike.
fn compare(built: &[u8], committed: &[u8]) -> anyhow::Result<()> {
    if built == committed {
        println!("the committed object is byte for byte what the source builds to");
        return Ok(());
    }
    let (built, committed) = (sections(built)?, sections(committed)?);
    let names: Vec<&String> = built.keys().chain(committed.keys()).collect();
    let differ: Vec<&str> =
        names.into_iter().filter(|name| built.get(*name) != committed.get(*name)).map(String::as_str).collect();
    if differ.is_empty() {
        println!("the bytes differ, but every program, map and type is the same");
        return Ok(());
    }
    bail!("{OBJECT} is not what the source builds to ({}): run `cargo xtask ebpf` and commit it", differ.join(", "))
}

/// Sections that the kernel sees, by name.
fn sections(elf: &[u8]) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let number = |at: usize, length: usize| -> anyhow::Result<usize> {
        let bytes = elf.get(at..at + length).context("the object is cut short")?;
        Ok(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let (table, size, count, names) = (number(40, 8)?, number(58, 2)?, number(60, 2)?, number(62, 2)?);
    let header = |n: usize| -> anyhow::Result<(usize, usize, usize, usize)> {
        let at = table + n * size;
        Ok((number(at, 4)?, number(at + 4, 4)?, number(at + 24, 8)?, number(at + 32, 8)?))
    };
    let strings = header(names)?.2;
    let mut found = BTreeMap::new();
    for n in 0..count {
        let (name, kind, offset, length) = header(n)?;
        let name: Vec<u8> = elf.iter().skip(strings + name).take_while(|byte| **byte != 0).copied().collect();
        let name = String::from_utf8_lossy(&name).into_owned();
        // Program bits (1) without the line numbers and symbols, which name source positions.
        if kind == 1 && name != ".BTF.ext" {
            let bytes = elf.get(offset..offset + length).context("the object is cut short")?;
            found.insert(name, bytes.to_vec());
        }
    }
    Ok(found)
}
