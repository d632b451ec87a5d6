//! `sampler analyze`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use sampler::analysis::leak::detectors::TABLE;
use sampler::model::units::printable;
use sampler::ui::text;
use sampler::ui::text::analysis::View;
use sampler::ui::text::style::Style;

use crate::cli::findings;
use crate::cli::remote::{EVER, LocalRecordings};

/// Say of each cgroup whether its memory leaks, or what it does instead, and when it reaches its limit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler analyze /var/lib/sampler --from -6h --json | jq '.cgroups[] | select(.verdict == \"leak\")'\n  sampler analyze s3://recordings/fleet s3://recordings/web --from -1d\n  for host in /mnt/fleet/*; do sampler analyze $host --findings /mnt/findings > /dev/null; done\n  sampler analyze --merge /mnt/findings\n\nAn address takes a build with --features object-store, and the key and endpoint that AWS_..., GOOGLE_... or AZURE_... name in the environment. What it holds is copied below TMPDIR until the command ends."
)]
pub struct Args {
    /// Recordings: folders, .parquet or .journal files, or their addresses in object storage (s3://, gs://, az://)
    /// [default: where `record` writes]
    paths: Vec<PathBuf>,
    /// One JSON document (format `sampler.analyze.v1`). An empty `limit_owner` is the machine, as is an empty `path` of pressure.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    part: crate::cli::excerpt::Excerpt,
    /// Write one HTML file with plots, the findings beside them.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    html: Option<PathBuf>,
    /// Every cgroup and time of pressure, not only what matters.
    #[arg(long)]
    all: bool,
    /// Paths, and the evidence of each verdict, not only of leaks.
    #[arg(long, short)]
    verbose: bool,
    /// Also write the findings as rows, below this folder: Parquet, a file a host and day, its columns in docs/findings.md. The same
    /// recording gives the same files.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["html", "merge"])]
    findings: Option<PathBuf>,
    /// Merge findings, that of many hosts and days: the paths are folders that --findings wrote. Which workloads leak, by image and
    /// version, on how many hosts and since when, hosts that differ, and what the limits that are advised would save. With --json format
    /// `sampler.fleet.v1`.
    #[arg(long, requires = "paths", conflicts_with_all = ["html", "cgroup", "from", "to"])]
    merge: bool,
    /// List the detectors.
    #[arg(long, conflicts_with = "json")]
    list: bool,
    /// Say what a detector looks for.
    #[arg(long, value_name = "DETECTOR")]
    explain: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list {
        let lines: String = TABLE.iter().map(|d| format!("{}\n", d.name)).collect();
        crate::cli::output::print(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &args.explain {
        let Some(detector) = TABLE.iter().find(|d| d.name == name) else {
            let names: Vec<&str> = TABLE.iter().map(|d| d.name).collect();
            bail!("no detector `{}`; there are {}", printable(name), names.join(", "));
        };
        crate::cli::output::print(&format!("{}\n", detector.about))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.merge {
        return merged(args);
    }
    if let Some(file) = &args.html {
        let [_] = args.paths.as_slice() else { bail!("--html is of one recording: give its folder") };
        return crate::cli::report::write(LocalRecordings::of(&args.paths, &EVER)?.dir(), &args.part, file);
    }
    let here = LocalRecordings::of(&args.paths, &args.part.range())?;
    let analysis = findings::of_paths(here.paths(), &args.part, args.findings.as_deref())?;
    let text = if args.json {
        serde_json::to_string_pretty(&analysis).context("write JSON")? + "\n"
    } else {
        let view = View { all: args.all, verbose: args.verbose, style: Style::of_terminal() };
        text::analysis::words(&analysis, view)
    };
    crate::cli::output::print(&text)?;
    Ok(crate::cli::exit::of(&analysis.problems))
}

/// Merges findings.
fn merged(args: &Args) -> anyhow::Result<ExitCode> {
    let here = LocalRecordings::of(&args.paths, &EVER)?;
    let (fleet, problems) = findings::merge(here.paths())?;
    let text = if args.json {
        serde_json::to_string_pretty(&fleet).context("write JSON")? + "\n"
    } else {
        text::fleet::words(&fleet, args.all, Style::of_terminal())
    };
    crate::cli::output::print(&text)?;
    crate::cli::output::say_problems(&problems);
    // A recording that was damaged when it was analysed is as unread as a file of findings that is damaged now.
    let is_whole = problems.is_empty() && fleet.unread.is_empty();
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(crate::cli::exit::UNREAD) })
}
