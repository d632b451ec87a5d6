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
    after_help = "Example:\n  sampler analyze /var/lib/sampler --from -6h --json | jq '.cgroups[] | select(.verdict == \"leak\")'\n  sampler analyze s3://recordings/fleet s3://recordings/web --from -1d\n\nAn address takes a build with --features object-store, and the key and endpoint that AWS_..., GOOGLE_... or AZURE_... name in the environment. What it holds is copied below TMPDIR until the command ends."
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
    if let Some(file) = &args.html {
        let [_] = args.paths.as_slice() else { bail!("--html is of one recording: give its folder") };
        return crate::cli::report::write(LocalRecordings::of(&args.paths, &EVER)?.dir(), &args.part, file);
    }
    let here = LocalRecordings::of(&args.paths, &args.part.range())?;
    let analysis = findings::of_paths(here.paths(), &args.part)?;
    let text = if args.json {
        serde_json::to_string_pretty(&analysis).context("write JSON")? + "\n"
    } else {
        let view = View { all: args.all, verbose: args.verbose, style: Style::of_terminal() };
        text::analysis::words(&analysis, view)
    };
    crate::cli::output::print(&text)?;
    Ok(crate::cli::exit::of(&analysis.problems))
}
