//! Scenarios on real kernels: a Debian kernel in QEMU (emulated, no KVM needed) with a static sampler, real cgroup v2 and v1,
//! real limits and real kills. PID 1 prints one verdict line a scenario.

mod crash;
mod image;
mod kernel;
mod last_words;
pub mod service;
pub mod stories;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kernels to boot; may be given again [default: 6.1 and 7.3]
    #[arg(long, value_parser = ["5.10", "6.1", "6.12", "7.3"])]
    kernel: Vec<String>,
    /// Only these scenarios.
    #[arg(long)]
    scenario: Vec<String>,
    /// Instead of the scenarios: kill a recording VM this many times at random moments and look at what is left.
    #[arg(long, value_name = "TIMES")]
    crash: Option<u32>,
    /// Instead of the scenarios: let this many VMs run out of memory, kill them, and look for the recorder's last words on their consoles.
    #[arg(long, value_name = "TIMES", conflicts_with = "crash")]
    last_words: Option<u32>,
    /// Seed of the moments of --crash and --last-words.
    #[arg(long)]
    seed: Option<u64>,
    /// Like a machine of this kind: `wsl` has the kernel's log for root alone, all cgroups below a distribution's, and runs twice, without PSI
    /// and with it. With it the scenarios of cgroup v2 alone.
    #[arg(long, value_parser = ["wsl"])]
    profile: Option<String>,
    /// Instead of the scenarios: take the kernel's log of several kills and the files of a cgroup to data/kernel/KERNEL.
    #[arg(long, conflicts_with_all = ["crash", "last_words"])]
    collect: bool,
    /// List the scenarios.
    #[arg(long)]
    list: bool,
}

/// Name, hierarchy. The bodies are functions of `vm/init.sh`.
const SCENARIOS: [(&str, &str); 23] = [
    ("doctor", "v2"),
    ("memcg_kill", "v2"),
    ("oom_group", "v2"),
    ("deaths", "v2"),
    ("global_kill", "v2"),
    ("run_137", "v2"),
    ("high_throttle", "v2"),
    ("churn", "v2"),
    ("demo", "v2"),
    ("wsl_user", "v2"),
    ("peak_interval", "v2"),
    ("guard_reclaim", "v2"),
    ("machine", "v2"),
    // Leaves the disk unwritable: after all that need it.
    ("readonly_disk", "v2"),
    ("probe_and_files", "v2"),
    ("many_kills", "v2"),
    ("advised", "v2"),
    ("field", "v2"),
    ("guard", "v2"),
    ("hybrid_kill", "hybrid"),
    ("machine", "hybrid"),
    ("guard", "hybrid"),
    ("probe_and_files", "hybrid"),
];

/// A script that prints this wants its machine to be killed.
const KILL_ME: &[u8] = b"KILL ME";

/// Only when named: two hundred kills, forty lives, or the field take long under emulation.
const ON_REQUEST: [&str; 3] = ["many_kills", "advised", "field"];

/// Scenarios that run a task of this repository inside.
const OF_TASKS: [&str; 1] = ["advised"];

/// A boot and its scenarios take some minutes under emulation.
const PATIENCE: Duration = Duration::from_secs(1500);

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        for (name, hierarchy) in SCENARIOS {
            println!("{name} ({hierarchy}){}", if ON_REQUEST.contains(&name) { ", only when named" } else { "" });
        }
        return Ok(());
    }
    let home = image::home();
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    sh::install(&kernel::TOOLS)?;
    let sampler = image::build_static()?;
    let kernels = if args.kernel.is_empty() { vec!["6.1".into(), "7.3".into()] } else { args.kernel.clone() };
    let machines = |name: &String| -> anyhow::Result<Counts> {
        let vmlinuz = kernel::fetch(&home, name).with_context(|| format!("get kernel {name}"))?;
        let folder = home.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Machines { home: &home, folder, name, vmlinuz, sampler: &sampler, args }.run()
    };
    // Side by side: a machine waits most of the time, for its own processes to take memory and be killed.
    let counts: Vec<anyhow::Result<Counts>> = thread::scope(|scope| {
        let started: Vec<_> = kernels.iter().map(|name| scope.spawn(move || machines(name))).collect();
        started.into_iter().map(|one| one.join().unwrap_or_else(|_| bail!("it panicked"))).collect()
    });
    if args.crash.is_some() || args.last_words.is_some() || args.collect {
        return counts.into_iter().try_for_each(|one| one.map(drop));
    }
    let mut all = Counts::default();
    for one in counts {
        let one = one?;
        all = Counts {
            passed: all.passed + one.passed,
            skipped: all.skipped + one.skipped,
            failed: all.failed + one.failed,
        };
    }
    println!("{} passed, {} skipped, {} failed", all.passed, all.skipped, all.failed);
    if all.failed > 0 {
        bail!("{} scenarios failed", all.failed);
    }
    Ok(())
}

/// How scenarios ended.
#[derive(Default)]
struct Counts {
    passed: u32,
    skipped: u32,
    failed: u32,
}

/// The machines of one kernel.
struct Machines<'a> {
    home: &'a Path,
    /// Their images.
    folder: PathBuf,
    name: &'a str,
    vmlinuz: PathBuf,
    sampler: &'a Path,
    args: &'a Args,
}

impl Machines<'_> {
    fn run(&self) -> anyhow::Result<Counts> {
        let Machines { home, folder, name, vmlinuz, sampler, args } = self;
        let mut counts = Counts::default();
        if let Some(times) = args.crash {
            let initrd = image::pack(folder, sampler, "v2", &["crash"], "")?;
            crash::run(folder, vmlinuz, &initrd, name, times, args.seed)?;
            return Ok(counts);
        }
        if let Some(times) = args.last_words {
            let initrd = image::pack(folder, sampler, "v2", &["last_words"], "")?;
            last_words::run(folder, vmlinuz, &initrd, name, times, args.seed)?;
            return Ok(counts);
        }
        let machines: &[(&str, &str, &str)] = match args.profile.as_deref() {
            Some(_) => &[("v2", "wsl", "psi=0"), ("v2", "wsl", "psi=1")],
            None => &[("v2", "", ""), ("hybrid", "", "")],
        };
        for (hierarchy, profile, boot_options) in machines.iter().copied() {
            if args.collect {
                collect(folder, vmlinuz, sampler, name, hierarchy)?;
                continue;
            }
            let wanted: Vec<&str> = SCENARIOS
                .iter()
                .filter(|(scenario, h)| {
                    let named = args.scenario.iter().any(|s| s == scenario);
                    *h == hierarchy && (named || args.scenario.is_empty() && !ON_REQUEST.contains(scenario))
                })
                .map(|(scenario, _)| *scenario)
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let begun = Instant::now();
            let initrd = image::pack(folder, sampler, hierarchy, &wanted, profile)?;
            let machine = if profile.is_empty() { hierarchy.to_owned() } else { format!("{profile} {boot_options}") };
            let log = home.join(format!("{name}-{}.log", machine.replace(' ', "-")));
            let disk = image::disk(folder, "scenarios")?;
            let verdicts = until_up(name, &log, || boot(MEMORY, vmlinuz, &initrd, &disk, boot_options, &log))?;
            for scenario in wanted {
                let verdict = verdicts.get(scenario).map_or("fail no verdict", String::as_str);
                match verdict.split(' ').next() {
                    Some("ok") => counts.passed += 1,
                    Some("skip") => counts.skipped += 1,
                    _ => counts.failed += 1,
                }
                println!("{name:<5} {machine:<7} {scenario:<14} {verdict}");
            }
            println!("{name:<5} {machine:<7} took {} s, console in {}", begun.elapsed().as_secs(), log.display());
        }
        Ok(counts)
    }
}

/// Real input for the parsers' tests.
fn collect(home: &Path, vmlinuz: &Path, sampler: &Path, name: &str, hierarchy: &str) -> anyhow::Result<()> {
    let initrd = image::pack(home, sampler, hierarchy, &["collect"], "")?;
    let disk = image::disk(home, "collect")?;
    let log = home.join(format!("{name}-collect.log"));
    until_up(name, &log, || boot(MEMORY, vmlinuz, &initrd, &disk, "", &log))?;
    let to = sh::root().join(format!("data/kernel/{name}-{hierarchy}"));
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to)?;
    sh::run(Command::new("debugfs").arg("-R").arg(format!("rdump / {}", to.display())).arg(&disk))?;
    fs::remove_dir(to.join("lost+found"))?;
    println!("{}", to.display());
    Ok(())
}

/// Memory of the machine of the scenarios, MiB.
const MEMORY: u32 = 768;

/// The machine: emulated, two processors, so many MiB, a disk, the console on its standard output.
fn qemu(memory: u32, vmlinuz: &Path, initrd: &Path, disk: &Path, boot_options: &str) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-nographic", "-no-reboot"]);
    qemu.arg("-m").arg(memory.to_string());
    qemu.arg("-kernel").arg(vmlinuz).arg("-initrd").arg(initrd);
    qemu.arg("-drive").arg(format!("file={},format=raw,if=none,id=disk", disk.display()));
    qemu.args(["-device", "nvme,serial=sampler,drive=disk"]);
    qemu.arg("-append").arg(format!("console=ttyS0 quiet panic=-1 loglevel=1 {boot_options}"));
    qemu
}

/// Boots up to three times until the kernel comes up, as `boot` says beside its result: the emulator of several processors now
/// and then trips over a kernel that patches itself while it boots, which says nothing of us.
fn until_up<T>(name: &str, log: &Path, mut boot: impl FnMut() -> anyhow::Result<(bool, T)>) -> anyhow::Result<T> {
    for _ in 0..2 {
        if let (true, result) = boot()? {
            return Ok(result);
        }
        println!("{name:<5} the kernel did not come up (console in {}); again", log.display());
    }
    Ok(boot()?.1)
}

/// Boots and waits for the end; a VM that hangs is killed and has no verdicts for what it did not reach. Whether the kernel
/// came up, and the verdicts.
fn boot(
    memory: u32,
    vmlinuz: &Path,
    initrd: &Path,
    disk: &Path,
    boot_options: &str,
    log: &Path,
) -> anyhow::Result<(bool, BTreeMap<String, String>)> {
    let out = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let mut vm = qemu(memory, vmlinuz, initrd, disk, boot_options)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .context("start qemu-system-x86_64")?;
    let begun = Instant::now();
    while vm.try_wait()?.is_none() {
        // As if the host had ended it.
        if fs::read(log)?.windows(KILL_ME.len()).any(|window| window == KILL_ME) {
            vm.kill()?;
            vm.wait()?;
            break;
        }
        if begun.elapsed() > PATIENCE {
            vm.kill()?;
            vm.wait()?;
            println!("the VM did not end within {} s and was killed", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let verdicts = text.lines().filter_map(|line| {
        let (name, verdict) = line.trim().strip_prefix("VERDICT ")?.split_once(' ')?;
        Some((name.to_owned(), verdict.to_owned()))
    });
    Ok((text.contains("VM UP"), verdicts.collect()))
}
