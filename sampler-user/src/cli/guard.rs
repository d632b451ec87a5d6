//! `sampler guard`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use sampler::agent::guard::observe::{self, Wanted};
use sampler::agent::guard::runner::Runner;
use sampler::agent::live_tasks::LiveOptions;
use sampler::agent::privileges::{Needs, reduce};
use sampler::agent::{Agent, runtime, write_privately};
use sampler::guard::policy::{Policy, Step};
use sampler::journal::writer::Rotation;
use sampler::kernel::cgroupfs::layout::Layout;
use sampler::kernel::cgroupfs::tree::Selection;
use sampler::model::fields::UNLIMITED;
use sampler::model::units::{bytes, parse_bytes, parse_duration};
use sampler::record::{Config, NameSources, UseProbe};
use sampler::store::retention::Retention;
use sampler::ui::terminal::say;

use crate::cli::folders::data_folder;
use crate::cli::record::{ended, stopped, use_probe};

/// Record, and keep containers off the limit that would kill them, within a budget.
///
/// A dry run unless --apply is given: it says and records what it would do, and writes nothing. With --apply a limit that
/// is about to be reached is raised step by step, and Docker is notified; page cache is reclaimed before it is in the way; a
/// container that has been calm gets its old limit back, and so does each one when the guard ends. A leak gets two raises
/// and no more. Every action is an event of the recording.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sudo sampler guard --budget 1G                      # what it would do\n  sudo sampler guard --budget 1G --apply --exclude '/docker/0a1b*'"
)]
pub struct Args {
    /// Most that all limits together may stand above what they were.
    #[arg(long, value_name = "SIZE", value_parser = budget)]
    budget: u64,
    /// By how much a limit is raised: a size, or a part of the limit.
    #[arg(long, value_name = "SIZE|PERCENT", default_value = "25%", value_parser = step)]
    step: Step,
    /// Memory of the machine that is never given away [default: a tenth of it]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    reserve: Option<u64>,
    /// Set a limit back when its container has been calm for this time.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    calm: Duration,
    /// Act. Without it nothing is written but the recording.
    #[arg(long)]
    apply: bool,
    /// Leave raised limits as they are at the end.
    #[arg(long)]
    keep: bool,
    /// Guard only cgroups whose path matches; may be given again [default: all containers]
    #[arg(long, value_name = "GLOB")]
    cgroup: Vec<String>,
    /// Do not guard cgroups whose path matches; may be given again.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Folder of the recording, in which everything is recorded [default: as of `record`]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write to --out as root even if another user owns it, anybody may write to it, or it holds links.
    #[arg(long)]
    trust_out: bool,
    /// End after this time.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Serve OpenMetrics for Prometheus at this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Whether to use the eBPF probe: auto, off or require.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = use_probe)]
    probe: UseProbe,
    /// Socket of Docker [default: DOCKER_HOST, else /run/docker.sock]
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
    /// Leave priority, memory locking and the OOM score as they are.
    #[arg(long)]
    no_protect: bool,
    /// Print paths, each thing that is missing on this machine, and each limit sent to Docker.
    #[arg(long, short)]
    verbose: bool,
}

fn budget(text: &str) -> Result<u64, String> {
    match parse_bytes(text)? {
        UNLIMITED => Err("a guard without a budget is no guard: name a size, such as 1G".into()),
        bytes => Ok(bytes),
    }
}

fn step(text: &str) -> Result<Step, String> {
    match text.trim().strip_suffix('%') {
        None => match parse_bytes(text)? {
            0 | UNLIMITED => Err(format!("{text} is no step: try 64M or 25%")),
            bytes => Ok(Step::Bytes(bytes)),
        },
        Some(number) => match number.trim().parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Step::Part(percent / 100.0)),
            _ => Err(format!("{text} is not above 0% and up to 100%")),
        },
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let layout = Layout::detect()?;
    let out = args.out.clone().unwrap_or_else(data_folder);
    let selection = Selection::new(&args.cgroup, &args.exclude).context("read --cgroup and --exclude")?;
    let reserve = match args.reserve {
        Some(reserve) => reserve,
        None => observe::meminfo("MemTotal:").context("read MemTotal in /proc/meminfo; give --reserve")? / 10,
    };
    let policy = Policy {
        budget: args.budget,
        reserve,
        step: args.step,
        calm_us: i64::try_from(args.calm.as_micros()).context("--calm is too long")?,
        apply: args.apply,
    };
    let guarded = if args.cgroup.is_empty() { "all containers".to_owned() } else { args.cgroup.join(", ") };
    let patrol = Runner {
        layout: layout.clone(),
        wanted: Wanted { selection, containers: args.cgroup.is_empty() },
        policy,
        keep: args.keep,
        docker_socket: args.docker_socket.clone(),
        about: format!(
            "{guarded}; budget {}, {} of the machine stay free{}",
            bytes(policy.budget),
            bytes(reserve),
            if args.apply { "" } else { "; a dry run: nothing is written without --apply" }
        ),
    };
    let agent = Agent {
        out: out.clone(),
        trust_out: args.trust_out,
        config: Config {
            // Of all cgroups: who pushed whom has to be seen.
            protect: !args.no_protect,
            probe: args.probe,
            names: NameSources { ask: true, docker_socket: args.docker_socket.clone() },
            ..Config::new(layout)
        },
        rotation: Rotation::default(),
        retention: Retention::AGENT,
        on_oom: None,
        live: LiveOptions { metrics: args.metrics, ..LiveOptions::default() },
        verbose: args.verbose,
        last_words: None,
        guard: Some(patrol),
    };
    say(&format!("guarding, and recording to {}; stop with Ctrl-C", out.display()));
    write_privately();
    reduce(Needs { low_port: args.metrics.is_some_and(|address| address.port() < 1024), ..Needs::default() })?;
    let recorded = runtime()?.block_on(async move { agent.run(stopped(args.duration)?).await })?;
    let next = format!(
        "what the guard did: sampler export {} --table events --format jsonl | grep '\"kind\":\"guard\"'",
        out.display()
    );
    Ok(ended(recorded, &next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_size_or_a_part_and_a_budget_is_bounded() {
        assert_eq!((step("64M"), step(" 25 %")), (Ok(Step::Bytes(64 << 20)), Ok(Step::Part(0.25))));
        for text in ["0", "max", "0%", "101%", "-1%", "x", "%"] {
            assert!(step(text).is_err(), "{text}");
        }
        assert_eq!(budget("1G"), Ok(1 << 30));
        assert!(budget("max").is_err());
    }
}
