//! `sampler doctor`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use sampler::doctor::{Finding, Host, State, examine};
use sampler::model::units::printable;
use serde::Serialize;

/// What this host offers the recorder, its probe, the advice and the guard, and what to do where it offers less.
///
/// Changes nothing. Exits with 4 when nothing can be recorded here.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sudo sampler doctor\n  sudo sampler doctor --json | jq '.checks[] | select(.state == \"lacks\")'"
)]
pub struct Args {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    /// Look at the files of another machine, copied below this folder.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    format: &'static str,
    checks: Vec<Finding>,
    /// Parts of the probe: by which way each is attached, or what the kernel said to each.
    probe: Vec<Part>,
    /// Files of a cgroup that are read although the probe walks.
    files_read: Vec<&'static str>,
}

#[derive(Serialize)]
struct Part {
    part: &'static str,
    gives: &'static str,
    by: Option<String>,
    refused: Vec<(String, String)>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let host = match &args.root {
        Some(root) => Host::at_root(root),
        None => Host::here(&crate::cli::folders::data_folder()),
    };
    let parts = host.probe.as_ref().and_then(|probe| probe.as_ref().ok());
    let part = |part: &sampler::kernel::probe::Attached| Part {
        part: part.name,
        gives: part.gives,
        by: part.method.map(|method| method.to_string()),
        refused: part.refused.iter().map(|(method, why)| (method.to_string(), why.clone())).collect(),
    };
    let report = Report {
        format: "sampler.doctor.v1",
        checks: examine(&host),
        probe: parts.into_iter().flatten().map(part).collect(),
        files_read: host.files.clone(),
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).context("write JSON")? + "\n",
        false => words(&report),
    };
    crate::cli::output::print(&text)?;
    let blocked = report.checks.iter().any(|check| check.state == State::Blocks);
    Ok(if blocked { ExitCode::from(crate::cli::exit::NOT_ALLOWED) } else { ExitCode::SUCCESS })
}

fn words(report: &Report) -> String {
    let mut out = String::new();
    for check in &report.checks {
        let mark = match check.state {
            State::Good => "ok",
            State::Note => "note",
            State::Lacks => "lacks",
            State::Blocks => "blocks",
        };
        let _ = writeln!(out, "{mark:<7} {:<13} {}", check.check, printable(&check.what));
        if let Some(fix) = &check.fix {
            let _ = writeln!(out, "{:<21} → {fix}", "");
        }
    }
    for part in &report.probe {
        let by = part.by.as_deref().unwrap_or("refused");
        let _ = writeln!(out, "{:<7} {:<15} {:<46} {}", "", part.part, by, part.gives);
        for (way, why) in &part.refused {
            let _ = writeln!(out, "{:<21} {way}: {}", "", printable(why));
        }
    }
    if !report.files_read.is_empty() {
        let _ = writeln!(out, "{:<7} files still read  {}", "", report.files_read.join(" "));
    }
    out
}
