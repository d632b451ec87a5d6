//! `sampler machine`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use sampler::agent::live_board::LiveBoard;
use sampler::agent::runtime;
use sampler::analysis::account::Machine;
use sampler::doctor::{Host, reclaim};
use sampler::kernel::cgroupfs::layout::Layout;
use sampler::live::board::Depth;
use sampler::model::problem::Problem;
use sampler::model::time::format_us;
use sampler::reading::machine::machine_at;
use sampler::record::{Config, LookFor, NameSources, UseProbe, record};
use sampler::store::scan::Recording;
use sampler::ui::text::machine::page;
use sampler::ui::text::style::Style;
use serde::Serialize;

use crate::cli::exit;
use crate::cli::output::say_problems;
use crate::cli::remote::{EVER, LocalRecordings};

/// Show where all of a machine's memory is: processes, caches, tmpfs, the kernel, what is free, and who holds it.
///
/// The parts add up to MemTotal, and what nothing counts is said. Without a recording it looks at this machine now. On WSL it shows
/// what Windows sees as vmmemWSL, and what of it would return and how.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo sampler machine\n  sampler machine /var/lib/sampler --at 14:03:22\n  sampler machine --json | jq '.parts[] | select(.bytes > 1e9)'"
)]
pub struct Args {
    /// A recording, its folder or its address (s3://…) [default: this machine, now]
    dir: Option<PathBuf>,
    /// At this time of the recording: RFC 3339, `14:03:22` (today), `-10m` (ago) or Unix seconds [default: its end]
    #[arg(long, value_name = "TIME", value_parser = sampler::model::time::parse_time, allow_hyphen_values = true, requires = "dir")]
    at: Option<i64>,
    /// Look for the files of this folder in the page cache, beside those that processes have open; may be given again.
    #[arg(long, value_name = "DIR", conflicts_with = "dir")]
    walk: Vec<PathBuf>,
    /// Each part, each holder and each file.
    #[arg(long)]
    all: bool,
    /// One JSON document (format `sampler.machine.v1`).
    #[arg(long)]
    json: bool,
    /// Socket of Docker [default: DOCKER_HOST, else /run/docker.sock]
    #[arg(long, value_name = "PATH", conflicts_with = "dir")]
    docker_socket: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    format: &'static str,
    time: String,
    #[serde(flatten)]
    machine: &'a Machine,
    problems: Vec<Problem>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (machine, problems) = match &args.dir {
        Some(dir) => {
            let here = LocalRecordings::of(std::slice::from_ref(dir), &EVER)?;
            let mut recording = Recording::open(here.dir())?;
            let machine = machine_at(&mut recording, args.at).with_context(|| format!("read {}", dir.display()))?;
            (machine, recording.problems)
        }
        None => (look(args)?, Vec::new()),
    };
    if args.json {
        let code = exit::of(&problems);
        let document =
            Document { format: "sampler.machine.v1", time: format_us(machine.time_us), machine: &machine, problems };
        crate::cli::output::print(&(serde_json::to_string_pretty(&document).context("write JSON")? + "\n"))?;
        return Ok(code);
    }
    say_problems(&problems);
    let style = Style::of_terminal();
    let mut text = page(&machine, args.all, style);
    if args.dir.is_none() && machine.wsl.is_some() {
        let (_, what, _) = reclaim(&Host::at_root(Path::new("/")));
        text += &style.paragraph(&format!("autoMemoryReclaim: {what}"), 2);
    }
    crate::cli::output::print(&text)?;
    Ok(exit::of(&problems))
}

/// CPU time that the look for files may take.
const BUDGET: Duration = Duration::from_secs(2);
/// Files that it may remember.
const FILES: usize = 1_000_000;
/// How often the kernel is read until all of it was.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One look at this machine.
fn look(args: &Args) -> anyhow::Result<Machine> {
    let name = rustix::system::uname();
    let depth = Depth { step_us: 0, points: 2 };
    let board = LiveBoard::new(depth, name.nodename().to_string_lossy().into_owned(), sampler::kernel::wsl::name());
    let config = Config {
        interval: INTERVAL,
        slow_interval: INTERVAL,
        processes: false,
        details: Some(LookFor { walk: args.walk.clone(), budget: BUDGET, most: FILES }),
        protect: false,
        probe: UseProbe::Off,
        names: NameSources { ask: true, docker_socket: args.docker_socket.clone() },
        ..Config::new(Layout::detect()?)
    };
    let (sink, seen) = (board.clone(), board.clone());
    let all_read = async move {
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            tokio::time::sleep(INTERVAL / 10).await;
            let board = seen.lock();
            let read = board.cgroups.values().all(|cgroup| cgroup.gone || cgroup.latest.mask != 0);
            if board.details.is_some() && board.account().is_some() && read {
                break;
            }
        }
        "the look ended".to_owned()
    };
    runtime()?.block_on(record(config, Box::new(sink), all_read))?;
    let Some(machine) = board.lock().whole_machine() else { bail!("read /proc/meminfo; is /proc mounted?") };
    Ok(machine)
}
