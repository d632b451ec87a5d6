//! The advice as a person reads it.

use std::fmt::Write;

use sampler::model::units::{bytes, micros, printable};
use sampler::model::word::word;

use crate::cli::advise::document::{Budget, Document};
use crate::cli::advise::files::state;

/// The whole page.
pub fn words(all: &Document) -> String {
    let mut out = String::new();
    head(all, &mut out);
    table(all, &mut out);
    if let Some(budget) = &all.budget {
        out.push_str(&in_budget(budget));
    }
    reasons(all, &mut out);
    checks(all, &mut out);
    files(all, &mut out);
    for problem in &all.problems {
        let _ = writeln!(out, "\nnot read: {}: {}", printable(&problem.source), printable(&problem.what));
    }
    out
}

fn head(all: &Document, out: &mut String) {
    let span = micros((all.span_s * 1e6) as u64);
    let size = |value: Option<u64>| value.map_or_else(|| "?".into(), bytes);
    let _ = writeln!(
        out,
        "{span} of {} {}; the machine has {}, swap {}; profile {}: {}",
        all.containers.len(),
        if all.are_containers { "containers" } else { "cgroups" },
        size(all.machine.total),
        size(all.machine.swap_total),
        all.profile.name,
        all.profile.about
    );
    if !all.are_containers {
        out.push_str("No container was recognised, or --all: these are the cgroups without others below, and those with a limit.\n");
    }
}

fn table(all: &Document, out: &mut String) {
    let mut rows: Vec<[String; 6]> = vec![["", "limit now", "advice", "between", "saving", ""].map(str::to_owned)];
    for container in &all.containers {
        let advice = &container.advice;
        let or_none = |value: Option<u64>| value.map_or_else(|| "-".into(), bytes);
        let between = match (advice.lower, advice.upper) {
            (Some(lower), Some(upper)) if lower != upper => format!("{} to {}", bytes(lower), bytes(upper)),
            _ => "-".into(),
        };
        let saving =
            advice.limit.zip(container.after).map_or_else(String::new, |(before, after)| change(before, after));
        let inside = if container.nested { "  " } else { "" };
        rows.push([
            format!("{inside}{}", container.title),
            advice.limit.map_or_else(|| "none".into(), bytes),
            or_none(container.after),
            between,
            saving,
            state(advice.state).to_owned(),
        ]);
    }
    let t = &all.totals;
    let without = if t.unlimited > 0 { format!(" and {} without", t.unlimited) } else { String::new() };
    let of = all.machine.total.map_or_else(String::new, |total| format!("of {}", bytes(total)));
    rows.push([
        "total".into(),
        format!("{}{without}", bytes(t.before)),
        bytes(t.after),
        String::new(),
        change(t.before, t.after_where_limited),
        of,
    ]);
    let width: Vec<usize> =
        (0..6).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    out.push('\n');
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&width).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
}

/// What is saved, or given.
fn change(before: u64, after: u64) -> String {
    match before.checked_sub(after) {
        Some(0) => "0 B".into(),
        Some(less) => bytes(less),
        None => format!("+{}", bytes(after - before)),
    }
}

/// How the budget came out.
fn in_budget(budget: &Budget) -> String {
    match (budget.missing, budget.spare) {
        (Some(missing), _) => format!(
            "\nThe budget of {} does not hold: what was seen needs {} at least, {} more. Run fewer at a time, or see which need most above.\n",
            bytes(budget.asked),
            bytes(budget.needed),
            bytes(missing)
        ),
        (None, spare) => {
            format!("\nThe budget of {} holds, {} are left.\n", bytes(budget.asked), bytes(spare.unwrap_or(0)))
        }
    }
}

fn reasons(all: &Document, out: &mut String) {
    out.push('\n');
    for container in &all.containers {
        let confidence = word(&container.advice.confidence);
        let _ = writeln!(out, "{} ({}, confidence {confidence})", container.title, state(container.advice.state));
        for reason in &container.advice.reasons {
            let _ = writeln!(out, "  {reason}");
        }
    }
}

fn checks(all: &Document, out: &mut String) {
    if !all.checks.is_empty() {
        out.push_str("\nWhat else\n");
    }
    for finding in &all.checks {
        let who = if finding.who.is_empty() { String::new() } else { format!(", {}", finding.who.join(", ")) };
        let _ = writeln!(out, "  {}{who}: {}", finding.check, finding.evidence);
        for change in &finding.change {
            let _ = writeln!(out, "    {change}");
        }
    }
}

fn files(all: &Document, out: &mut String) {
    if !all.docker_update.is_empty() {
        out.push_str("\nContainers that run, until they are made again\n");
    }
    for line in &all.docker_update {
        let _ = writeln!(out, "  {line}");
    }
    for drop_in in &all.systemd {
        let _ = write!(out, "\n/etc/systemd/system/{}\n{}", drop_in.path, indented(&drop_in.text));
    }
    if let Some(made) = &all.compose {
        for remark in &made.remarks {
            let _ = writeln!(out, "\nCompose: {remark}");
        }
        if !made.not_recorded.is_empty() {
            let names: Vec<String> = made.not_recorded.iter().map(|name| printable(name)).collect();
            let _ = writeln!(out, "\nNot recorded, so without a limit in the override: {}", names.join(", "));
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
