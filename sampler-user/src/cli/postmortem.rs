//! `sampler postmortem`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use sampler::analysis::incident::Incident;
use sampler::time::format_us;
use sampler::units::printable;
use serde::Serialize;

use super::page::{Style, page};
use super::remote::{EVER, Here};
use super::scene::Incidents;

/// Tell of an OOM kill, of a process that died otherwise, or of a recording that ends abruptly: what ate the memory, since when, and what to change.
///
/// Needs nothing but the recording: no root, and not the machine it was made on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sampler postmortem /var/lib/sampler --last --json | jq -r .incidents[].verdict")]
pub struct Args {
    /// The recording: its folder, its address (s3://…), or a .journal file [default: where `record` writes]
    dir: Option<PathBuf>,
    /// The last incident; the default.
    #[arg(long, conflicts_with_all = ["at", "list", "all"])]
    last: bool,
    /// The incident nearest to this time: RFC 3339, `14:03:22` (today), `-10m` (ago) or Unix seconds.
    #[arg(long, value_name = "TIME", value_parser = sampler::time::parse_time, allow_hyphen_values = true, conflicts_with_all = ["list", "all"])]
    at: Option<i64>,
    /// Every incident.
    #[arg(long, conflicts_with = "list")]
    all: bool,
    /// List the incidents, a line each.
    #[arg(long)]
    list: bool,
    /// One JSON document (format `sampler.postmortem.v1`).
    #[arg(long)]
    json: bool,
    /// Write one HTML file with plots.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "json"])]
    html: Option<PathBuf>,
    /// Write the page as text and as JSON into this folder, and print the path of the latter.
    #[arg(long, value_name = "DIR", hide = true)]
    save: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Postmortem {
    format: &'static str,
    incidents: Vec<Incident>,
    problems: Vec<sampler::recording::Problem>,
}

#[derive(Debug, Serialize)]
struct Listed {
    time: String,
    kind: sampler::analysis::incident::occurrence::Kind,
    kills: usize,
    what: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.save.is_some() {
        // The agent asks, while memory may still be short.
        super::seal::go_last();
    }
    let here = Here::of(args.dir.as_slice(), &EVER)?;
    let dir = here.dir();
    let mut incidents = Incidents::of(dir)?;
    if args.list {
        let text = if args.json {
            let listed: Vec<Listed> = incidents
                .all
                .iter()
                .map(|o| Listed {
                    time: format_us(o.at_us),
                    kind: o.kind,
                    kills: o.kills.len(),
                    what: incidents.line(o),
                })
                .collect();
            serde_json::to_string_pretty(&listed).context("write JSON")? + "\n"
        } else {
            incidents.all.iter().map(|occurrence| incidents.line(occurrence) + "\n").collect()
        };
        super::print(if text.is_empty() { "no incident\n" } else { &text })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut wanted = incidents.all.clone();
    match args.at {
        Some(at) => {
            let nearest = wanted.iter().min_by_key(|occurrence| occurrence.at_us.abs_diff(at)).cloned();
            wanted = nearest.into_iter().collect();
        }
        None if args.all => {}
        None => wanted = wanted.pop().into_iter().collect(),
    }
    if wanted.is_empty() && args.at.is_some() {
        bail!("{}: {}", dir.display(), incidents.all_clear());
    }
    let mut told = Vec::new();
    for occurrence in &wanted {
        told.push(incidents.tell(occurrence)?);
    }
    if let Some(folder) = &args.save {
        return save(folder, &told);
    }
    if let Some(file) = &args.html {
        if told.is_empty() {
            bail!("{} holds no incident to write a page of; sampler report writes the whole", dir.display());
        }
        super::report::write_incidents(dir, file, told)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = if args.json {
        let problems = incidents.problems().to_vec();
        let document = Postmortem { format: "sampler.postmortem.v1", incidents: told, problems };
        serde_json::to_string_pretty(&document).context("write JSON")? + "\n"
    } else if told.is_empty() {
        format!("{}\n", incidents.all_clear())
    } else {
        let style = Style::of_terminal();
        let mut pages: Vec<String> = told.iter().map(|incident| page(incident, style)).collect();
        pages.extend(
            incidents
                .problems()
                .iter()
                .map(|problem| format!("problem: {}: {}\n", printable(&problem.source), printable(&problem.what))),
        );
        pages.join("\n")
    };
    super::print(&text)?;
    if args.last && std::io::stdout().is_terminal() && incidents.all.len() > 1 {
        super::say(&format!("{} incidents in all: --list, --at TIME", incidents.all.len()));
    }
    Ok(ExitCode::SUCCESS)
}

/// For the agent.
fn save(folder: &Path, told: &[Incident]) -> anyhow::Result<ExitCode> {
    let Some(incident) = told.first() else { bail!("there is no incident at this time") };
    let stamp: String = incident.time.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let text = page(incident, Style { width: 100, colour: false });
    let json = serde_json::to_string_pretty(incident).context("write JSON")? + "\n";
    let mut path = PathBuf::new();
    for (ending, text) in [("txt", text), ("json", json)] {
        path = folder.join(format!("{stamp}.{ending}"));
        let draft = folder.join(format!(".{stamp}.{ending}.tmp"));
        std::fs::write(&draft, text).with_context(|| format!("write {}", draft.display()))?;
        std::fs::rename(&draft, &path).with_context(|| format!("name {}", path.display()))?;
    }
    super::print(&format!("{}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
