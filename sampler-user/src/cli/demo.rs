//! `sampler demo`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use sampler::reading::incidents::Incidents;
use sampler::ui::terminal::say;
use sampler::ui::text::page::{Style, page};

use crate::cli::excerpt::Excerpt;
use crate::cli::folders::fresh_folder;
use crate::cli::output::print;
use crate::cli::record::RecordOptions;
use crate::cli::remote::EVER;
use crate::cli::{exit, report, run};

/// Watch a real leak until the kernel kills it, then explain it.
///
/// A child leaks memory in a cgroup of its own with a small limit; the recorder samples it at 100 Hz, and at 1 kHz once it
/// comes near its limit. Nothing else on the machine is touched. Without root a recording that is in the
/// program is explained instead.
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
    let out = args.out.clone().unwrap_or_else(|| fresh_folder("demo"));
    if !rustix::process::geteuid().is_root() {
        return bundled(&out);
    }
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
            walk: Vec::new(),
            trust_out: false,
            probe: sampler::record::UseProbe::Auto,
            no_names: true,
            docker_socket: None,
        },
        command: vec![program.display().to_string(), "demo".into(), "--leak".into(), "512".into()],
    };
    let ending = run::caged(&child, &out)?;
    say(&run::report(&out, Some(&ending))?);
    let status = ending.status;
    if run::code(status) != exit::SIGNAL + 9 {
        bail!(
            "the child was not killed (it ended with {status}): is swap larger than the leak, or the OOM killer off?"
        );
    }
    explain(&out)?;
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

/// A file of the recording that is in the program: its place below the recording's folder, and its bytes.
macro_rules! bundled {
    ($($table:literal),*) => {
        [$((
            concat!($table, "/host=vm/date=2026-11-24/20261124T111724180Z-bb2daa04-00000.parquet"),
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../data/recordings/demo/",
                $table,
                "/host=vm/date=2026-11-24/20261124T111724180Z-bb2daa04-00000.parquet"
            )),
        )),*]
    };
}

/// A leak to its kill, recorded by `sampler demo` as root.
const BUNDLED: [(&str, &[u8]); 5] = bundled!("cgroups", "events", "host", "processes", "samples");

/// Explains the recording that is in the program.
fn bundled(out: &Path) -> anyhow::Result<ExitCode> {
    say("Without root no cgroup can be made: this is a recording of `sudo sampler demo`, which is in the program.");
    for (place, bytes) in BUNDLED {
        let path = out.join(place);
        let folder = path.parent().unwrap_or(out);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, bytes))
            .with_context(|| format!("write {}; choose another folder with --out", path.display()))?;
    }
    say(&run::report(out, None)?);
    explain(out)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the page of the kill, writes the report, and says what to try next.
fn explain(out: &Path) -> anyhow::Result<()> {
    let mut incidents = Incidents::of(out)?;
    let Some(last) = incidents.all.last().cloned() else { bail!("{} holds no incident", out.display()) };
    print(&page(&incidents.explain(&last)?, Style::of_terminal()))?;
    let html = out.join("report.html");
    report::write(out, &Excerpt::of(EVER), &html)?;
    let dir = out.display();
    say(&format!(
        "\nNext:\n  sampler analyze {dir}        whether it leaks, and when it reaches its limit\n  xdg-open {}\n  \
         sudo sampler record     records all cgroups of this machine; `sampler postmortem` explains the next kill",
        html.display()
    ));
    Ok(())
}
