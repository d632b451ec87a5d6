//! `sampler doctor`

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use sampler::doctor::{Finding, Host, Settings, State, examine, settings};
use sampler::model::units::printable;
use sampler::model::wslconfig::{Config, Kind};
use sampler::ui::text::style::{Style, wrap};
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
    /// The parts of the probe, what the kernel said to each, and the files that are still read.
    #[arg(long, short)]
    verbose: bool,
    /// Look at the files of another machine, copied below this folder.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Look at one .wslconfig or wsl.conf alone (by its name): what WSL takes of it, which lines do nothing, and what to write.
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    wslconfig: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    format: &'static str,
    checks: Vec<Finding>,
    /// Parts of the probe: by which way each is attached, or what the kernel said to each.
    probe: Vec<Part>,
    /// Files of a cgroup that are read although the probe walks.
    files_read: Vec<&'static str>,
    /// The files that configure WSL: what is in force, and which lines do nothing.
    settings: Vec<Settings>,
}

#[derive(Serialize)]
struct Part {
    part: &'static str,
    gives: &'static str,
    by: Option<String>,
    refused: Vec<(String, String)>,
}

/// No file that configures something is larger, bytes.
const LARGEST: u64 = 1 << 20;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.wslconfig {
        return one(path, args.json);
    }
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
        settings: settings(&host),
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).context("write JSON")? + "\n",
        false => words(&report, args.verbose, &Sheet::of_output()),
    };
    crate::cli::output::print(&text)?;
    let blocked = report.checks.iter().any(|check| check.state == State::Blocks);
    Ok(if blocked { ExitCode::from(crate::cli::exit::NOT_ALLOWED) } else { ExitCode::SUCCESS })
}

/// One file that configures WSL.
fn one(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let bytes = crate::cli::input::read_file(path, LARGEST)?;
    let name = path.to_string_lossy().into_owned();
    let file = Settings { config: Config::read(&bytes, Kind::of(&name)), path: name };
    let report = Report {
        format: "sampler.doctor.v1",
        checks: Vec::new(),
        probe: Vec::new(),
        files_read: Vec::new(),
        settings: vec![file],
    };
    let text = match json {
        true => serde_json::to_string_pretty(&report).context("write JSON")? + "\n",
        false => report.settings.iter().map(settings_in_words).collect(),
    };
    crate::cli::output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is in force of a file, and what is not.
fn settings_in_words(file: &Settings) -> String {
    let mut out = format!("{}, read by the rules of {}\n", printable(&file.path), file.config.kind.name());
    if file.config.effective.is_empty() {
        out.push_str("  nothing of it is in force\n");
    }
    for (key, value) in &file.config.effective {
        let _ = writeln!(out, "  {key} = {}", printable(&value.to_string()));
    }
    for problem in &file.config.problems {
        let mark = if problem.in_force { "note" } else { "lacks" };
        let _ = writeln!(out, "{mark:<7} {}", problem);
    }
    out
}

/// How wide a line is, and whether there is colour: in a pipe a check is one line, whatever its length.
struct Sheet {
    style: Style,
    width: usize,
}

impl Sheet {
    fn of_output() -> Sheet {
        let style = Style::of_terminal();
        let width = if std::io::stdout().is_terminal() { style.width.saturating_sub(INDENT) } else { usize::MAX };
        Sheet { style, width }
    }

    fn text(&self, text: &str) -> String {
        wrap(&printable(text), self.width, 0).replace('\n', &format!("\n{:INDENT$}", ""))
    }
}

/// Where the words of a check begin.
const INDENT: usize = 22;

/// Whether anything can be recorded, and how much less than all.
fn head(report: &Report) -> String {
    let count = |state| report.checks.iter().filter(|check| check.state == state).count();
    let things = |count: usize| if count == 1 { "1 thing".to_owned() } else { format!("{count} things") };
    match (count(State::Blocks), count(State::Lacks)) {
        (0, 0) => "sampler can record here, with all it has".into(),
        (0, lacks) => format!("sampler can record here; {} would let it see more", things(lacks)),
        _ => "sampler cannot record here".into(),
    }
}

/// What keeps from recording first, then what is missing, then what is worth knowing; what is as it should be comes last.
fn words(report: &Report, verbose: bool, sheet: &Sheet) -> String {
    let mut out = head(report) + "\n";
    let mut checks: Vec<&Finding> = report.checks.iter().collect();
    checks.sort_by_key(|check| std::cmp::Reverse((check.state, check.fix.is_some())));
    for check in checks {
        let (mark, colour) = match check.state {
            State::Good => ("ok", "32"),
            State::Note => ("note", ""),
            State::Lacks => ("lacks", "33"),
            State::Blocks => ("blocks", "1;31"),
        };
        let mark = sheet.style.paint(colour, &format!("{mark:<7}"));
        let _ = writeln!(out, "{mark} {:<13} {}", check.check, sheet.text(&check.what));
        if let Some(fix) = &check.fix {
            let _ = writeln!(out, "{:<21} → {}", "", sheet.text(fix).replace('\n', "\n  "));
        }
    }
    if !verbose {
        if !report.probe.is_empty() {
            out.push_str("the parts of the probe: sampler doctor --verbose\n");
        }
        return out;
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
