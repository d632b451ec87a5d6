//! `sampler demo`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use sampler::ui::terminal::say;

use crate::cli::folders::fresh_folder;
use crate::cli::record::RecordOptions;
use crate::cli::{exit, run};

/// Watch a real leak until the kernel kills it, then explain it.
///
/// A child leaks memory in a cgroup of its own with a small limit; the recorder samples it at 100 Hz, and at 1 kHz once it
/// comes near its limit. Nothing else on the machine is touched. Without root the recording that comes with the source is
/// explained instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo sampler demo --out /tmp/demo && sampler info /tmp/demo")]
pub struct Args {
    /// Folder of the recording [default: a new one below the data folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leak this many MiB instead of showing anything.
    #[arg(long, hide = true, value_name = "MIB")]
    leak: Option<u32>,
    #[command(flatten)]
    load: Load,
}

/// How the child of a demo or of a recorded story uses memory.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Load {
    /// MiB that are there at once.
    #[arg(long, hide = true, default_value_t = 0)]
    base: u32,
    /// KiB that are leaked every 10 ms.
    #[arg(long, hide = true, default_value_t = 256)]
    step: u32,
    /// MiB of garbage that pile up before they are given back.
    #[arg(long, hide = true, default_value_t = 0)]
    garbage: u32,
    /// Seconds to stay when all is leaked.
    #[arg(long, hide = true, default_value_t = 0)]
    hold: u64,
}

/// Limit of the demo's cgroup, MiB.
const LIMIT_MIB: u64 = 64;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(mib) = args.leak {
        leak(mib, args.load);
        return Ok(ExitCode::SUCCESS);
    }
    if !rustix::process::geteuid().is_root() {
        return bundled();
    }
    let out = args.out.clone().unwrap_or_else(|| fresh_folder("demo"));
    say(&format!(
        "A child leaks 25 MiB/s in a cgroup limited to {LIMIT_MIB} MiB, sampled at 100 Hz (1 kHz near the limit) …"
    ));
    let program = std::env::current_exe().context("find the sampler program")?;
    let child = run::Args {
        memory_max: Some(LIMIT_MIB << 20),
        memory_high: None,
        out: Some(out.clone()),
        report: None,
        what: RecordOptions {
            interval: None,
            slow_interval: Some(Duration::from_millis(500)),
            burst: Some(Duration::from_millis(1)),
            cgroup: Vec::new(),
            exclude: Vec::new(),
            fields: Vec::new(),
            max_cpu: None,
            no_processes: false,
            probe: sampler::record::UseProbe::Auto,
            no_names: true,
            docker_socket: None,
        },
        command: vec![program.display().to_string(), "demo".into(), "--leak".into(), "512".into()],
    };
    let ending = run::caged(child, &out)?;
    say(&run::report(&out, Some(&ending))?);
    let status = ending.status;
    if run::code(status) != exit::SIGNAL + 9 {
        bail!(
            "the child was not killed (it ended with {status}): is swap larger than the leak, or the OOM killer off?"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Allocates and touches memory step by step, and keeps it: by default 25 MiB a second.
fn leak(mib: u32, load: Load) {
    let touched = |kib: u32| vec![1u8; (kib as usize) << 10];
    let base = touched(load.base << 10);
    let (mut kept, mut garbage): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let steps = (mib << 10).checked_div(load.step).unwrap_or(u32::MAX);
    for _ in 0..steps {
        kept.push(touched(load.step));
        if load.garbage > 0 {
            // As a heap is: it grows with every request until the collector comes.
            garbage.push(touched(256));
            if garbage.len() as u32 > load.garbage * 4 {
                garbage.clear();
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_secs(load.hold));
    std::hint::black_box((&base, &kept, &garbage));
}

/// The recording that comes with the source: a leak to its kill.
fn bundled() -> anyhow::Result<ExitCode> {
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/recordings/demo"));
    let data = data.canonicalize().unwrap_or(data);
    say("Not root, so no cgroup can be made; this is the recording that comes with the source.");
    let text = run::report(&data, None)
        .with_context(|| format!("read {}; run as root for a live demo: sudo sampler demo", data.display()))?;
    say(&text);
    Ok(ExitCode::SUCCESS)
}
