//! `sampler pages`: what the agent's child does as the OOM killer came.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use sampler::analysis::incident::Incident;
use sampler::reading::incident_id::IncidentId;
use sampler::reading::incidents::Incidents;
use sampler::ui::text::page::{Style, page};

/// Write the pages of incidents into a folder, as text and as JSON.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recording.
    dir: PathBuf,
    /// The folder.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The incidents.
    #[arg(required = true)]
    incidents: Vec<IncidentId>,
}

/// Runs the command. Prints a line for each incident as soon as its page is written: the path of the JSON file, or `-`.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Memory may still be short. But it does not wait for others: the page is for the moment.
    crate::cli::seal::give_way();
    sampler::agent::write_privately();
    let mut incidents = Incidents::of(&args.dir)?;
    let mut failed = None;
    for wanted in &args.incidents {
        let written = match wanted.find(&incidents.all).cloned() {
            Some(incident) => incidents.explain(&incident).and_then(|incident| save(&args.into, &incident)),
            None => Err(anyhow::anyhow!("the recording in {} does not have it yet", args.dir.display())),
        };
        match written {
            Ok(path) => crate::cli::output::print(&format!("{}\n", path.display()))?,
            Err(error) => {
                crate::cli::output::print("-\n")?;
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Writes one page. Its name is the time, and a number where others began in the same microsecond; a page that is written
/// again replaces the one before.
fn save(folder: &Path, incident: &Incident) -> anyhow::Result<PathBuf> {
    let stamp: String = incident.time.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let is_other = |path: &Path| {
        let before = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Incident>(&text).ok());
        before.is_some_and(|before| {
            before.kind != incident.kind
                || before.limit.cgroup != incident.limit.cgroup
                || before.victims.first().map(|v| &v.cgroup) != incident.victims.first().map(|v| &v.cgroup)
        })
    };
    let names = (1..100).map(|n| if n == 1 { stamp.clone() } else { format!("{stamp}-{n}") });
    let Some(stamp) = names.into_iter().find(|name| !is_other(&folder.join(format!("{name}.json")))) else {
        bail!("a hundred incidents began at {}", incident.time)
    };
    let text = page(incident, Style { width: 100, colour: false });
    let json = serde_json::to_string_pretty(incident).context("write JSON")? + "\n";
    let mut path = PathBuf::new();
    for (ending, text) in [("txt", text), ("json", json)] {
        path = folder.join(format!("{stamp}.{ending}"));
        crate::cli::whole_file::write_whole(&path, text.as_bytes())?;
    }
    Ok(path)
}
