//! `sampler postmortem`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use sampler::analysis::incident::Incident;
use sampler::analysis::incident::incident_ref::{IncidentKind, IncidentRef};
use sampler::model::time::format_us;
use sampler::model::units::time_of_day;
use sampler::reading::findings::incident_row;
use sampler::reading::incidents::{Incidents, WithoutIncident};
use sampler::ui::text::page::{Style, page, paths};
use sampler::ui::text::table::{Row, table};
use serde::Serialize;

use crate::cli::exit;
use crate::cli::findings::write_incidents;
use crate::cli::incident_list::{FORMAT, Item, Listed, loops};
use crate::cli::kernel_log;
use crate::cli::remote::{EVER, LocalRecordings};

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
    #[arg(long, value_name = "TIME", value_parser = sampler::model::time::parse_time, allow_hyphen_values = true, conflicts_with_all = ["list", "all"])]
    at: Option<i64>,
    /// Every incident; with --list also those that do not fit a screen.
    #[arg(long)]
    all: bool,
    /// List the incidents, a line each, OOM kills first; the kills of a restart loop are one line.
    #[arg(long)]
    list: bool,
    /// List each kill of a restart loop.
    #[arg(long, requires = "list")]
    unfold: bool,
    /// One JSON document (format `sampler.postmortem.v1`).
    #[arg(long)]
    json: bool,
    /// Also write every incident as a row, below this folder: Parquet, a file a host and day, its columns in docs/findings.md. Needs a
    /// recording.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["list", "html"])]
    findings: Option<PathBuf>,
    /// The paths of the cgroups, below the page.
    #[arg(long, short, conflicts_with_all = ["list", "json"])]
    verbose: bool,
    /// Write one HTML file with plots.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "json"])]
    html: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Postmortem {
    format: &'static str,
    source: &'static str,
    incidents: Vec<Incident>,
    problems: Vec<sampler::model::problem::Problem>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = args.dir.as_deref().filter(|path| kernel_log::is_log(path)) {
        if args.findings.is_some() {
            bail!("--findings needs a recording: a kernel log does not have the columns of one");
        }
        let wanted = kernel_log::Wanted {
            at: args.at,
            all: args.all,
            list: args.list,
            unfold: args.unfold,
            json: args.json,
            html: args.html.as_deref(),
            verbose: args.verbose,
        };
        return kernel_log::run(&wanted, path);
    }
    let here = LocalRecordings::of(args.dir.as_slice(), &EVER)?;
    let dir = here.dir();
    let mut incidents = Incidents::of(dir).inspect_err(|_| {
        if args.dir.is_none() {
            let hint = "without a recording, the kernel log shows its OOM kills: sudo dmesg -T | sampler postmortem -";
            crate::cli::output::say(hint);
        }
    })?;
    if let Some(out) = &args.findings {
        let mut rows = Vec::new();
        for incident in &incidents.all.clone() {
            let page = incidents.explain(incident)?;
            rows.push(incident_row(&page, &|path| incidents.who(path)));
        }
        write_incidents(out, &rows)?;
    }
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
            in_columns(&incidents, &items(&incidents), args, Style::of_terminal())
        };
        let none = incidents.all.is_empty().then(|| incidents.without_incident());
        match &none {
            // A script that reads JSON has its list, and the code.
            Some(unread @ WithoutIncident::Unread(_)) if args.json => {
                sampler::ui::terminal::say(&unread.to_string());
                crate::cli::output::print(&text)?;
            }
            Some(unread @ WithoutIncident::Unread(_)) => crate::cli::output::print(&format!("{unread}\n"))?,
            Some(WithoutIncident::AllClear(_)) if !args.json => crate::cli::output::print("no incident\n")?,
            _ => {
                crate::cli::output::print(&text)?;
                crate::cli::output::say_problems(incidents.problems());
            }
        }
        return Ok(exit::of(incidents.problems()));
    }
    let mut wanted = incidents.all.clone();
    match args.at {
        Some(at) => {
            let nearest = wanted.iter().min_by_key(|incident| incident.at_us.abs_diff(at)).cloned();
            wanted = nearest.into_iter().collect();
        }
        None if args.all => {}
        None => wanted = wanted.pop().into_iter().collect(),
    }
    let none = wanted.is_empty().then(|| incidents.without_incident());
    match &none {
        Some(unread @ WithoutIncident::Unread(_)) if args.at.is_some() || args.html.is_some() => {
            sampler::ui::terminal::say(&format!("sampler: {}: {unread}", dir.display()));
            return Ok(exit::of(incidents.problems()));
        }
        Some(none) if args.at.is_some() => bail!("{}: {none}", dir.display()),
        _ => {}
    }
    let mut pages = Vec::new();
    for incident in &wanted {
        pages.push(incidents.explain(incident)?);
    }
    if let Some(file) = &args.html {
        if none.is_some() {
            bail!("{} holds no incident to write a page of; sampler report writes the whole", dir.display());
        }
        return crate::cli::report::write_incidents(dir, file, pages, incidents.problems());
    }
    let text = if args.json {
        let problems = incidents.problems().to_vec();
        let document = Postmortem { format: FORMAT, source: "recording", incidents: pages, problems };
        serde_json::to_string_pretty(&document).context("write JSON")? + "\n"
    } else if let Some(none) = &none {
        format!("{none}\n")
    } else {
        let style = Style::of_terminal();
        let more = |incident: &Incident| if args.verbose { paths(incident) } else { String::new() };
        let mut texts: Vec<String> = pages.iter().map(|incident| page(incident, style) + &more(incident)).collect();
        texts.extend(incidents.problems().iter().map(|problem| format!("problem: {problem}\n")));
        texts.join("\n")
    };
    crate::cli::output::print(&text)?;
    if args.last && std::io::stdout().is_terminal() && incidents.all.len() > 1 {
        sampler::ui::terminal::say(&format!("{} incidents in all: --list, --at TIME", incidents.all.len()));
    }
    Ok(exit::of(incidents.problems()))
}

fn items(incidents: &Incidents) -> Vec<Item> {
    let item = |incident: &IncidentRef| Item {
        at_us: Some(incident.at_us),
        time: format_us(incident.at_us),
        line: incidents.line(incident),
        workload: incidents.loop_of(incident),
    };
    incidents.all.iter().map(item).collect()
}

/// Incidents of a list that are shown without `--all`.
const SHOWN: usize = 20;

/// The list as text: OOM kills first, then what ended otherwise, each in the order of time; the kills of a restart loop in one line,
/// where the first of them stands. What does not fit is counted, the oldest first.
fn in_columns(incidents: &Incidents, items: &[Item], args: &Args, style: Style) -> String {
    let loops = loops(items, args.unfold);
    let mut rows: Vec<(IncidentKind, Row)> = Vec::new();
    for (at, incident) in incidents.all.iter().enumerate().filter(|(at, _)| !loops.hidden.contains(at)) {
        let (who, what) = incidents.who_and_what(incident);
        let again = loops.again(items, at).map(|again| {
            let until = time_of_day(incidents.all[again.last].at_us);
            format!("{} times until {until}, one every {}", again.count, again.every)
        });
        let (kind, colour) = match incident.kind {
            IncidentKind::OomKill => ("OOM kill", "1;31"),
            IncidentKind::Death => ("no OOM kill", ""),
            IncidentKind::AbruptEnd => ("abrupt end", "33"),
        };
        let who = who.replace('`', "");
        let state = (format!("{}  {kind}", items[at].time), colour);
        let remarks = again.into_iter().chain(what).collect();
        rows.push((incident.kind, Row { state, name: who, figures: Vec::new(), remarks }));
    }
    rows.sort_by_key(|(kind, _)| *kind != IncidentKind::OomKill);
    let kills = rows.iter().filter(|(kind, _)| *kind == IncidentKind::OomKill).count();
    let most = if args.all { usize::MAX } else { SHOWN };
    // The latest are asked for first.
    let first_kill = kills.saturating_sub(most);
    let first_other = kills + (rows.len() - kills).saturating_sub(most - kills.min(most));
    let shown: Vec<Row> =
        rows[first_kill..kills].iter().chain(&rows[first_other..]).map(|(_, row)| row.clone()).collect();
    let mut out = table(&shown, style);
    let others = rows.len() - shown.len();
    if others > 0 {
        let parts = [
            (first_kill, ["OOM kill", "OOM kills"]),
            (first_other - kills, ["death or end that was none", "deaths and ends that were none"]),
        ];
        let part = |(count, what): &(usize, [&str; 2])| format!("{count} {}", what[usize::from(*count > 1)]);
        let parts: Vec<String> = parts.iter().filter(|(count, _)| *count > 0).map(part).collect();
        let them = if others == 1 { "it" } else { "them" };
        out += &style.paragraph(&format!("{others} before: {}; --list --all shows {them}", parts.join(", ")), 0);
    }
    if !loops.hidden.is_empty() {
        out += "The kills of a restart loop are one line; --list --unfold shows each.\n";
    }
    out
}
