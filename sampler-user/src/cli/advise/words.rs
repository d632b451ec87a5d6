//! The advice as a person reads it: before and after in a table that fits 80 columns, what matters first, reasons on request.

use std::collections::BTreeMap;
use std::fmt::Write;

use sampler::advise::Container;
use sampler::advise::limit::State;
use sampler::model::units::{bytes, micros, printable};
use sampler::model::word::word;

use crate::cli::advise::document::{Budget, Document};
use crate::cli::advise::files::state;
use crate::cli::advise::table::{self, few, wrap};

/// Findings of one check that are shown without `--why`; the changes of one are shown where there is one.
const MOST_FINDINGS: usize = 2;

/// The whole page; `why` with all reasons, bounds and commands.
pub fn words(all: &Document, why: bool) -> String {
    let mut out = String::new();
    head(all, &mut out);
    out.push_str(&table::table(all, why));
    if !all.are_containers {
        out.push_str(&wrap(
            "No container was recognised, or --all: these are the cgroups without others below, and those with a limit.",
            "",
        ));
    }
    if let Some(budget) = &all.budget {
        out.push_str(&in_budget(budget));
    }
    if why {
        reasons(all, &mut out);
    } else if !all.containers.is_empty() {
        out.push_str("Reasons and bounds: --why\n");
    }
    checks(all, why, &mut out);
    files(all, why, &mut out);
    if !all.problems.is_empty() {
        out.push_str("\nPart of the recording could not be read; the limits rest on the rest:\n");
    }
    for problem in &all.problems {
        let _ = writeln!(out, "not read: {problem}");
    }
    out
}

fn head(all: &Document, out: &mut String) {
    let span = if all.from.is_some() { micros((all.span_s * 1e6) as u64) } else { "no time".into() };
    let size = |value: Option<u64>| value.map_or_else(|| "?".into(), bytes);
    let _ = writeln!(
        out,
        "{span} of {} {}; machine {}, swap {}; profile {}; times in UTC",
        all.containers.len(),
        if all.are_containers { "containers" } else { "cgroups" },
        size(all.machine.total),
        size(all.machine.swap_total),
        all.profile.name,
    );
}

/// How the budget came out.
fn in_budget(budget: &Budget) -> String {
    let text = match (budget.missing, budget.spare) {
        (Some(missing), _) => format!(
            "The budget of {} does not hold: what was seen needs {} at least, {} more. Run fewer at a time, or see which need most above.",
            bytes(budget.asked),
            bytes(budget.needed),
            bytes(missing)
        ),
        (None, spare) => {
            format!("The budget of {} holds, {} are left.", bytes(budget.asked), bytes(spare.unwrap_or(0)))
        }
    };
    wrap(&text, "")
}

fn reasons(all: &Document, out: &mut String) {
    let _ = write!(out, "\nProfile {}: {}", all.profile.name, wrap(all.profile.about, "  ").trim_start());
    out.push('\n');
    for container in &all.containers {
        let advice = &container.advice;
        let confidence = word(&advice.confidence);
        let _ = writeln!(out, "{} ({}, confidence {confidence})", container.title, state(advice.state));
        if let (Some(lower), Some(upper)) = (advice.lower, advice.upper)
            && lower != upper
        {
            let _ = writeln!(out, "  between {} and {}", bytes(lower), bytes(upper));
        }
        for reason in &advice.reasons {
            out.push_str(&wrap(reason, "  "));
        }
    }
}

fn checks(all: &Document, why: bool, out: &mut String) {
    if !all.checks.is_empty() {
        out.push_str("\nWhat else\n");
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &all.checks {
        let count = left.entry(finding.check).or_default();
        *count += 1;
        if !why && *count > MOST_FINDINGS {
            continue;
        }
        let who = if finding.who.is_empty() { String::new() } else { format!(", {}", few(&finding.who)) };
        let changes = match finding.change.len() {
            count if !why && count > 1 => format!(" ({count} changes: --why)"),
            _ => String::new(),
        };
        out.push_str(&wrap(&format!("{}{who}: {}{changes}", finding.check, finding.evidence), "  "));
        if changes.is_empty() {
            // Not wrapped, since they are copied.
            for change in &finding.change {
                let _ = writeln!(out, "    {change}");
            }
        }
    }
    for (check, count) in left.into_iter().filter(|(_, count)| !why && *count > MOST_FINDINGS) {
        let _ = writeln!(out, "  {check}: {} more: --why", count - MOST_FINDINGS);
    }
}

/// The services that an override leaves alone because too little was seen of them.
fn watched(all: &Document) -> Vec<String> {
    let is = |container: &&Container| matches!(container.advice.state, State::Watch | State::Growing);
    let list = all.containers.iter().filter(is).filter_map(|container| container.service.as_deref());
    let mut names: Vec<String> = list.map(printable).collect();
    names.sort();
    names.dedup();
    names
}

fn files(all: &Document, why: bool, out: &mut String) {
    if why && !all.docker_update.is_empty() {
        out.push_str("\nContainers that run, until they are made again\n");
        for line in &all.docker_update {
            let _ = writeln!(out, "  {line}");
        }
    } else if !all.docker_update.is_empty() {
        let count = all.docker_update.len();
        let lines = if count == 1 { "line" } else { "lines" };
        let _ = writeln!(out, "\nContainers that run: {count} {lines} of docker update: --why");
    }
    if !why && !all.systemd.is_empty() {
        let count = all.systemd.len();
        let _ = writeln!(out, "\nUnits of systemd: {count} drop-ins: --why shows them, --systemd DIR writes them");
    }
    for drop_in in all.systemd.iter().filter(|_| why) {
        let _ = write!(out, "\n/etc/systemd/system/{}\n{}", drop_in.path, indented(&drop_in.text));
    }
    if let Some(made) = &all.compose {
        for remark in &made.remarks {
            let _ = writeln!(out, "\nCompose: {remark}");
        }
        if !made.not_recorded.is_empty() {
            let names: Vec<String> = made.not_recorded.iter().map(|name| printable(name)).collect();
            let _ = writeln!(out, "\nNot recorded, so without a limit in the override: {}", few(&names));
        }
        let watched = watched(all);
        if !watched.is_empty() {
            let _ = writeln!(out, "\nTo be watched for longer, so not in the override: {}", few(&watched));
        }
        match &made.written {
            Some(path) => {
                let users: String = made.files.iter().map(|user| format!("-f {} ", user.display())).collect();
                let path = path.display();
                let _ = writeln!(out, "\nOverride written to {path}: docker compose {users}-f {path} up -d");
            }
            None => {
                let _ = write!(out, "\nThe override (--override FILE writes it)\n{}", indented(&made.text));
            }
        }
    }
    if let Some(wsl) = &all.wslconfig {
        for problem in &wsl.problems {
            let _ = writeln!(out, "\n.wslconfig {}", problem);
        }
        match &wsl.written {
            Some(path) => {
                let _ = writeln!(
                    out,
                    "\nA new .wslconfig written to {}: put it in place of yours, then wsl --shutdown",
                    path.display()
                );
            }
            None => {
                let _ = write!(
                    out,
                    "\n%UserProfile%\\.wslconfig (--new-wslconfig FILE writes it)\n{}",
                    indented(&wsl.text)
                );
            }
        }
    }
}

fn indented(text: &str) -> String {
    let shown = |line: &str| line.split('\t').map(printable).collect::<Vec<_>>().join("\t");
    text.lines().map(|line| format!("  {}\n", shown(line))).collect()
}
