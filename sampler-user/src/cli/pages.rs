//! `sampler pages`: what the agent's child does as the OOM killer came.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use sampler::analysis::incident::Incident;
use sampler::analysis::incident::occurrence::Occurrence;

use super::page::{Style, page};
use super::scene::Incidents;

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
    incidents: Vec<Wanted>,
}

/// An incident by its first kill, such as `oom-kill@1764358800123456=/docker/abc`, or a death.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Whether it is a death that is no OOM kill.
    pub is_death: bool,
    /// When, wall-clock microseconds; the clock of the recording may differ by a little.
    pub at_us: i64,
    /// cgroup of the first victim; empty where it is not known.
    pub cgroup: String,
}

/// The words for its kind.
const KINDS: [&str; 2] = ["oom-kill", "death"];

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}={}", KINDS[usize::from(self.is_death)], self.at_us, self.cgroup)
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        let form = "an incident is oom-kill@TIME=CGROUP or death@TIME=CGROUP, the time in microseconds";
        let (kind, rest) = text.split_once('@').ok_or(form)?;
        let is_death = KINDS.iter().position(|known| *known == kind).ok_or(form)? == 1;
        let (at_us, cgroup) = rest.split_once('=').ok_or(form)?;
        let at_us = at_us.parse().map_err(|error| format!("the time {at_us}: {error}"))?;
        Ok(Wanted { is_death, at_us, cgroup: cgroup.to_owned() })
    }
}

impl Wanted {
    fn find<'a>(&self, all: &'a [Occurrence]) -> Option<&'a Occurrence> {
        let is_of = |occurrence: &&Occurrence| {
            let victim = occurrence.kills.first().map(|(_, kill)| &kill.victim_cgroup);
            let death = occurrence.death.as_ref().map(|death| &death.cgroup);
            let cgroup = if self.is_death { death } else { victim };
            cgroup.is_some_and(|cgroup| cgroup.as_deref().unwrap_or_default() == self.cgroup)
        };
        all.iter().filter(is_of).min_by_key(|occurrence| occurrence.at_us.abs_diff(self.at_us))
    }
}

/// Runs the command. Prints a line for each incident as soon as its page is written: the path of the JSON file, or `-`.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Memory may still be short. But it does not wait for others: the page is for the moment.
    super::seal::give_way();
    let mut incidents = Incidents::of(&args.dir)?;
    let mut failed = None;
    for wanted in &args.incidents {
        let written = match wanted.find(&incidents.all).cloned() {
            Some(occurrence) => incidents.tell(&occurrence).and_then(|incident| save(&args.into, &incident)),
            None => Err(anyhow::anyhow!("the recording in {} does not have it yet", args.dir.display())),
        };
        match written {
            Ok(path) => super::print(&format!("{}\n", path.display()))?,
            Err(error) => {
                super::print("-\n")?;
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
        let draft = folder.join(format!(".{stamp}.{ending}.tmp"));
        std::fs::write(&draft, text).with_context(|| format!("write {}", draft.display()))?;
        std::fs::rename(&draft, &path).with_context(|| format!("name {}", path.display()))?;
    }
    Ok(path)
}
