//! `sampler report`, and the HTML of `postmortem` and `analyze`.

mod marks;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use sampler::analysis::incident::Incident;
use sampler::analysis::incident::incident_ref::{IncidentKind, IncidentRef};
use sampler::model::problem::Problem;
use sampler::model::units::{bytes, time_of_day};
use sampler::reading::incidents::Incidents;
use sampler::reading::names::Named;
use sampler::reading::plots::drawn;
use sampler::reading::plots::set::{Machine, Set};
use sampler::store::scan::Recording;
use sampler::ui::html::findings::{Finding, findings, pressed};
use sampler::ui::html::head::{Seen, cards_of_incident, of_incident};
use sampler::ui::html::{FORMAT, Listed, Report, document, html};
use sampler::ui::text::analysis::together;

use crate::cli::excerpt::Excerpt;
use crate::cli::exit;
use crate::cli::output::say_problems;
use crate::cli::remote::{EVER, LocalRecordings};
use crate::cli::whole_file::write_whole;

/// Write one HTML file with plots of a recording, its incidents and findings; it opens offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sampler report /var/lib/sampler --from -6h --html report.html")]
pub struct Args {
    /// The recording: its folder, its address (s3://…), a .parquet or a .journal file [default: where `record` writes]
    dir: Option<PathBuf>,
    /// File to write.
    #[arg(long, value_name = "FILE", default_value = "sampler-report.html")]
    html: PathBuf,
    /// What the page shows, as one JSON document (format `sampler.report.v1`).
    #[arg(long, conflicts_with = "html")]
    json: bool,
    #[command(flatten)]
    part: Excerpt,
}

/// Incidents with a page and a minute of their own.
const INCIDENTS: usize = 10;
/// Incidents that are listed.
const LISTED: usize = 500;
/// Characters of the plots: the file stays below 5 MiB.
const MOST_PLOTTED: usize = 4 << 20;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let here = LocalRecordings::of(args.dir.as_slice(), &EVER)?;
    if args.json {
        let (report, problems) = make(here.dir(), &args.part)?;
        crate::cli::output::print(&(document(&report).context("write JSON")? + "\n"))?;
        return Ok(exit::of(&problems));
    }
    write(here.dir(), &args.part, &args.html)
}

/// Writes the report of a recording.
pub fn write(dir: &Path, part: &Excerpt, file: &Path) -> anyhow::Result<ExitCode> {
    let (report, problems) = make(dir, part)?;
    finish(&report, file, &problems)
}

/// The report of a recording, with its incidents and findings, and what could not be read.
fn make(dir: &Path, part: &Excerpt) -> anyhow::Result<(Report, Vec<Problem>)> {
    let analysis = crate::cli::findings::of_paths(&[dir.to_owned()], part, None)?;
    let (findings, folded) = findings(&analysis);
    let mut incidents = Incidents::of(dir)?;
    let range = part.range();
    let all: Vec<IncidentRef> = incidents.all.iter().filter(|one| range.contains(&one.at_us)).cloned().collect();
    let mut chosen = Vec::new();
    for at in choose(&incidents, &all) {
        chosen.push((at, incidents.explain(&all[at])?));
    }
    let place = |incident: &Incident| findings.iter().position(|one| one.shown && concerns(incident, &one.path));
    chosen.sort_by_key(|(at, incident)| {
        (gravity(incident.kind), place(incident).unwrap_or(usize::MAX), std::cmp::Reverse(*at))
    });
    let mut notes = Vec::new();
    if all.len() > LISTED {
        notes.push(format!(
            "of {} incidents the first {LISTED} are listed; sampler postmortem --list lists all",
            all.len()
        ));
    }
    let listed = |(at, one): (usize, &IncidentRef)| {
        let (who, how) = incidents.who_and_what(one);
        let page = chosen.iter().position(|(explained, _)| *explained == at);
        Listed { time_us: one.at_us, kind: one.kind, who, how, page }
    };
    let list = all.iter().enumerate().take(LISTED).map(listed).collect();
    let killed: BTreeSet<_> = all.iter().flat_map(|one| &one.kills).map(|(_, kill)| &kill.victim_cgroup).collect();
    let kills = (all.iter().map(IncidentRef::count).sum(), killed.len());
    let told: Vec<Incident> = chosen.into_iter().map(|(_, incident)| incident).collect();
    let mut problems = analysis.problems.clone();
    incidents.problems().iter().for_each(|problem| Problem::add(&mut problems, problem.clone()));
    let mut page = page_of(dir, part, told, &shown(&findings), (notes, &mut problems))?;
    let seen = Seen {
        analysis: &analysis,
        findings: &findings,
        incidents: &page.report.incidents,
        count: all.len(),
        kills,
        machine: page.machine,
    };
    (page.report.head, page.report.cards) = (seen.head(), seen.cards());
    page.report.list = list;
    page.report.pressure = pressed(&analysis);
    page.report.together = together(&analysis);
    (page.report.findings, page.report.folded) = (findings, folded);
    Ok((page.report, problems))
}

/// The page of some incidents alone: an hour around them.
pub fn write_incidents(
    dir: &Path,
    file: &Path,
    incidents: Vec<Incident>,
    problems: &[Problem],
) -> anyhow::Result<ExitCode> {
    let first = incidents.iter().filter_map(|incident| incident.time_us).min().unwrap_or(0);
    let last = incidents.iter().filter_map(|incident| incident.time_us).max().unwrap_or(0);
    let part = Excerpt::of(first - 3_600_000_000..last + 60_000_000);
    let mut paths: Vec<String> = Vec::new();
    for incident in &incidents {
        let of_memory = incident.memory.iter().map(|memory| &memory.path);
        for path in incident.suspect.iter().chain(of_memory).take(CHARTED) {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
    }
    let mut problems = problems.to_vec();
    let mut page = page_of(dir, &part, incidents, &paths, (Vec::new(), &mut problems))?;
    let last = page.report.incidents.len().saturating_sub(1);
    if let Some(incident) = page.report.incidents.last() {
        (page.report.head, page.report.cards) = (of_incident(incident, last), cards_of_incident(incident, last));
    }
    finish(&page.report, file, &problems)
}

fn finish(report: &Report, file: &Path, problems: &[Problem]) -> anyhow::Result<ExitCode> {
    say_problems(problems);
    save(report, file)?;
    Ok(exit::of(problems))
}

/// cgroups of an incident that are in its chart.
const CHARTED: usize = 8;

/// Writes the file.
pub fn save(report: &Report, file: &Path) -> anyhow::Result<()> {
    let text = html(report).context("write the recording as JSON")?;
    write_whole(file, text.as_bytes())?;
    sampler::ui::terminal::say(&format!("wrote {} ({})", file.display(), bytes(text.len() as u64)));
    Ok(())
}

fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().filter(|one| one.shown).map(|one| one.path.clone()).collect()
}

fn gravity(kind: IncidentKind) -> u8 {
    match kind {
        IncidentKind::OomKill => 0,
        IncidentKind::AbruptEnd => 1,
        IncidentKind::Death => 2,
    }
}

fn concerns(incident: &Incident, path: &str) -> bool {
    let victims = incident.victims.iter().filter_map(|victim| victim.cgroup.as_deref());
    let of_death = incident.death.iter().filter_map(|death| death.cgroup.as_deref());
    victims.chain(incident.suspect.as_deref()).chain(of_death).any(|one| one == path)
}

/// The incidents that are explained: of each workload the last one, then the others; kills first, late ones first.
fn choose(incidents: &Incidents, all: &[IncidentRef]) -> Vec<usize> {
    let mut known = BTreeSet::new();
    let mut order: Vec<(bool, u8, usize)> = Vec::new();
    for (at, one) in all.iter().enumerate().rev() {
        let whose = incidents.loop_of(one).unwrap_or_else(|| incidents.who_and_what(one).0);
        order.push((!known.insert(whose), gravity(one.kind), all.len() - at));
    }
    order.sort_unstable();
    order.into_iter().take(INCIDENTS).map(|(_, _, back)| all.len() - back).collect()
}

/// A page that lacks what the analysis says.
struct Page {
    report: Report,
    machine: Option<Machine>,
}

fn page_of(
    dir: &Path,
    part: &Excerpt,
    incidents: Vec<Incident>,
    charted: &[String],
    (mut notes, problems): (Vec<String>, &mut Vec<Problem>),
) -> anyhow::Result<Page> {
    let mut recording = Recording::open(dir)?;
    let origin = recording.origins().pop();
    let selection = part.selection()?;
    let wants = |path: &str| selection.wants(path);
    let whole = drawn::span(&mut recording, part.range());
    let named = Named::read(&mut recording);
    let (mut sets, mut machine) = (Vec::new(), None);
    let wanted = drawn::Wanted { cgroups: &wants, charted, named: &named };
    if let Some(whole) = whole.clone() {
        let (set, least) = drawn::set(&mut recording, "all of it", whole, &wanted);
        sets.push(set);
        machine = least;
    }
    let mut length: usize = sets.iter().map(Set::length).sum();
    for (n, incident) in incidents.iter().enumerate() {
        let Some(at) = incident.time_us else { continue };
        let title = format!("the minute before {}", time_of_day(at));
        let (minute, _) = drawn::set(&mut recording, &title, at - 60_000_000..at + 5_000_000, &wanted);
        length += minute.length();
        if length > MOST_PLOTTED {
            notes.push(format!(
                "the minute of {} of the incidents is not plotted, or the file would be too large; sampler postmortem --at \
                 TIME --html FILE plots each",
                incidents.len() - n
            ));
            break;
        }
        sets.push(minute);
    }
    let events = recording.events(part.range());
    let marks = marks::of(&events, &incidents, &named, &mut notes);
    recording.problems.into_iter().for_each(|problem| Problem::add(problems, problem));
    notes.extend(problems.iter().map(|problem| format!("not read: {problem}")));
    let report = Report {
        format: FORMAT,
        host: origin.as_ref().map(|o| o.host.clone()).unwrap_or_default(),
        kernel: origin.map(|o| o.kernel).unwrap_or_default(),
        span_us: whole.map(|whole| (whole.start, whole.end)),
        sets,
        marks,
        incidents,
        notes,
        ..Report::default()
    };
    Ok(Page { report, machine })
}
