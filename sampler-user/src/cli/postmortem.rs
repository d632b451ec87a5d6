//! `sampler postmortem`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use sampler::analysis::incident::Incident;
use sampler::analysis::incident::occurrence::Occurrence;
use sampler::time::format_us;
use sampler::units::printable;
use serde::Serialize;

use super::incident_list::{FORMAT, Item, Listed, folded};
use super::kernel_log;
use super::page::{Style, page};
use super::remote::{EVER, Here};
use super::scene::Incidents;

/// Explain an OOM kill, a process that died otherwise, or a recording that ends abruptly: what ate the memory, since when, and what to change.
///
/// Needs nothing but the recording: no root, and not the machine it was made on. Without a recording, a kernel log shows whose
/// limit was hit, who died, and what the memory was then: `dmesg`, `journalctl` in any form, syslog, a serial console, events of
/// Kubernetes, as they are or pasted.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sampler postmortem /var/lib/sampler --last --json | jq -r .incidents[].verdict\n  sudo dmesg -T | sampler postmortem -\n  sampler postmortem /var/log/syslog --list"
)]
pub struct Args {
    /// The recording: its folder, its address (s3://…), or a .journal file; or a kernel log, `-` for standard input [default: where `record` writes]
    #[arg(value_name = "DIR|LOG|-")]
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
    /// List the incidents, a line each; the kills of a restart loop are one line.
    #[arg(long)]
    list: bool,
    /// List each kill of a restart loop.
    #[arg(long, requires = "list")]
    unfold: bool,
    /// One JSON document (format `sampler.postmortem.v1`).
    #[arg(long)]
    json: bool,
    /// Write one HTML file with plots.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "json"])]
    html: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Postmortem {
    format: &'static str,
    source: &'static str,
    incidents: Vec<Incident>,
    problems: Vec<sampler::recording::Problem>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = args.dir.as_deref().filter(|path| kernel_log::is_log(path)) {
        let wanted = kernel_log::Wanted {
            at: args.at,
            all: args.all,
            list: args.list,
            unfold: args.unfold,
            json: args.json,
            html: args.html.as_deref(),
        };
        return kernel_log::run(&wanted, path);
    }
    let here = Here::of(args.dir.as_slice(), &EVER)?;
    let dir = here.dir();
    let mut incidents = Incidents::of(dir).inspect_err(|_| {
        if args.dir.is_none() {
            super::say("without a recording, the kernel log shows its OOM kills: sudo dmesg -T | sampler postmortem -");
        }
    })?;
    if args.list {
        let text = if args.json {
            let listed: Vec<Listed> = incidents
                .all
                .iter()
                .map(|o| Listed {
                    time: format_us(o.at_us),
                    kind: o.kind,
                    kills: o.count(),
                    what: incidents.line(o),
                    workload: incidents.loop_of(o),
                })
                .collect();
            serde_json::to_string_pretty(&listed).context("write JSON")? + "\n"
        } else {
            folded(&items(&incidents), args.unfold)
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
    if let Some(file) = &args.html {
        if told.is_empty() {
            bail!("{} holds no incident to write a page of; sampler report writes the whole", dir.display());
        }
        super::report::write_incidents(dir, file, told)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = if args.json {
        let problems = incidents.problems().to_vec();
        let document = Postmortem { format: FORMAT, source: "recording", incidents: told, problems };
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

fn items(incidents: &Incidents) -> Vec<Item> {
    let item = |occurrence: &Occurrence| Item {
        at_us: Some(occurrence.at_us),
        time: format_us(occurrence.at_us),
        line: incidents.line(occurrence),
        workload: incidents.loop_of(occurrence),
    };
    incidents.all.iter().map(item).collect()
}
