//! What the kernel's report says of the memory, where nothing else is known: the machine's parts and zones, and the tasks by size.

use std::fmt::Write;

use crate::analysis::incident::{Incident, Owner};
use crate::model::units::{bytes, printable};
use crate::ui::text::style::{Style, wrap};

/// Tasks that a page lists.
const TASKS: usize = 12;
/// Parts of the machine's memory that are worth a word, by the kernel's names.
const PARTS: [(&str, &str); 11] = [
    ("active_anon", "anonymous (active)"),
    ("inactive_anon", "anonymous (inactive)"),
    ("active_file", "page cache (active)"),
    ("inactive_file", "page cache (inactive)"),
    ("unevictable", "unevictable"),
    ("dirty", "dirty"),
    ("slab_unreclaimable", "unreclaimable slab"),
    ("slab_reclaimable", "reclaimable slab"),
    ("shmem", "shared memory and tmpfs"),
    ("pagetables", "page tables"),
    ("free", "free"),
];

/// The machine, and the table of tasks.
pub fn write(out: &mut String, incident: &Incident, style: Style) {
    machine(out, incident, style);
    tasks(out, incident);
}

fn machine(out: &mut String, incident: &Incident, style: Style) {
    let Some(memory) = &incident.machine.reported else { return };
    let mut line = |text: &str| {
        let _ = writeln!(out, "  {}", wrap(text, style.width.saturating_sub(4), 0).replace('\n', "\n    "));
    };
    let total = memory.total.map(|total| format!("{} of memory", bytes(total)));
    let swap = match (memory.swap_total, memory.swap_free) {
        (Some(0), _) => Some("no swap".to_owned()),
        (Some(total), Some(0)) => Some(format!("{} of swap, full", bytes(total))),
        (Some(total), Some(free)) => Some(format!("{} of swap, {} free", bytes(total), bytes(free))),
        _ => None,
    };
    let all: Vec<String> = [total, swap].into_iter().flatten().collect();
    if !all.is_empty() {
        line(&format!("the machine: {}", all.join(", ")));
    }
    let parts: Vec<String> = PARTS
        .iter()
        .filter_map(|(key, words)| Some((memory.part(key)?, words)))
        .filter(|(value, _)| *value > 0)
        .map(|(value, words)| format!("{words} {}", bytes(value)))
        .collect();
    if !parts.is_empty() {
        line(&format!("it was: {}", parts.join(", ")));
    }
    if let Some(huge) = memory.huge_pages.filter(|huge| *huge > 0) {
        line(&format!("set aside for huge pages: {}", bytes(huge)));
    }
    for zone in &memory.zones {
        let of = zone.managed.map(|managed| format!(" of {}", bytes(managed))).unwrap_or_default();
        let low = if zone.free <= zone.min { ", at its minimum" } else { "" };
        let (name, free, min) = (printable(&zone.name), bytes(zone.free), bytes(zone.min));
        line(&format!("zone {name} of node {}: {free}{of} free (minimum {min}){low}", zone.node));
    }
    let slabs: Vec<String> =
        memory.slabs.iter().map(|(name, size)| format!("{} {}", printable(name), bytes(*size))).collect();
    if !slabs.is_empty() {
        line(&format!("largest slab caches: {}", slabs.join(", ")));
    }
}

/// The tasks, largest first, with their part of what there was.
fn tasks(out: &mut String, incident: &Incident) {
    if incident.processes.is_empty() {
        return;
    }
    let whole = match incident.limit.owner {
        Owner::Machine => incident.limit.limit,
        _ => incident.limit.usage,
    };
    let _ = writeln!(out, "  {:>4} {:<18}{:>9}{:>11}{:>11}{:>7}", "", "process", "pid", "resident", "swap", "share");
    for (rank, process) in incident.processes.iter().take(TASKS).enumerate() {
        let mut comm = printable(&process.comm);
        if comm.chars().count() > 17 {
            comm = comm.chars().take(16).collect::<String>() + "…";
        }
        let share = whole.filter(|whole| *whole > 0).map_or_else(
            || "-".into(),
            |whole| format!("{:.0} %", (100.0 * process.rss as f64 / whole as f64).min(100.0)),
        );
        let killed = if process.killed { "  killed" } else { "" };
        let (pid, rss, swap) = (process.pid, bytes(process.rss), bytes(process.swap));
        let _ = writeln!(out, "  {:>3}. {comm:<18}{pid:>9}{rss:>11}{swap:>11}{share:>7}{killed}", rank + 1);
    }
}
