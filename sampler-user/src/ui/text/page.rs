//! The page of an incident as text: as wide as the terminal, in colour only there.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::analysis::incident::cause::ENOUGH;
use crate::analysis::incident::death::{Death, describe};
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::memory::CgroupMemory;
use crate::analysis::incident::timeline::Point;
use crate::analysis::incident::verdict::sure;
use crate::analysis::incident::{Incident, Owner, Source};
use crate::analysis::lives::Ended;
use crate::model::units::{bytes, micros, printable, time_of_day};
use crate::ui::text::reported;
use crate::ui::text::style::wrap;

pub use crate::ui::text::style::Style;

/// The page.
pub fn page(incident: &Incident, style: Style) -> String {
    let mut out = String::new();
    let width = style.width;
    let head = |out: &mut String, title: &str| {
        let _ = writeln!(out, "\n{}", style.paint("1", title));
    };
    let item = |out: &mut String, mark: &str, text: &str| {
        // A mark of more than one character takes its room from each line; its colour takes none.
        let mut parts = mark.split('\x1b');
        let plain = parts.next().map_or(0, |part| part.chars().count());
        let painted = parts.filter_map(|part| part.split_once('m')).map(|(_, text)| text.chars().count());
        let room = width.saturating_sub(3 + plain + painted.sum::<usize>());
        let _ = writeln!(out, "  {mark} {}", wrap(text, room, 0).replace('\n', "\n    "));
    };
    let time = if incident.time.is_empty() { "time unknown" } else { &incident.time };
    let _ = writeln!(
        out,
        "{}  {} (kernel {})",
        style.paint("1", time),
        printable(&incident.host),
        printable(&incident.kernel)
    );
    let _ = writeln!(out, "\n{}", style.paint("1;31", &wrap(&incident.verdict, width, 0)));
    let also: Vec<String> = incident.contributing.iter().map(|class| class.word()).collect();
    let also = if also.is_empty() { String::new() } else { format!("; also {}", also.join(", ")) };
    let confidence = format!(
        "cause: {}{also}; confidence {} ({:.0} %)",
        incident.cause.word(),
        sure(incident.confidence),
        100.0 * incident.confidence
    );
    let _ = writeln!(out, "{confidence}");

    head(&mut out, "Who");
    if let Some(words) = limit(incident) {
        item(&mut out, "limit   ", &words);
    }
    for victim in &incident.victims {
        let comm = victim.comm.as_deref().map_or_else(|| "a process".into(), printable);
        let pid = victim.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
        let cgroup =
            victim.cgroup.as_deref().map_or_else(String::new, |path| format!(" in {}", incident.called(Some(path))));
        let held = victim.anon.map_or_else(String::new, |anon| {
            format!(", with {} anon, {} shared", bytes(anon), bytes(victim.shmem.unwrap_or(0)))
        });
        item(&mut out, "victim  ", &format!("{comm}{pid}{cgroup}{held}"));
    }
    if let Some(death) = &incident.death {
        ended(incident, death).into_iter().for_each(|(title, words)| item(&mut out, &format!("{title:<8}"), &words));
    }
    if let Some(trigger) = &incident.trigger {
        let who = if trigger.is_victim { "the victim itself".into() } else { printable(&trigger.comm) };
        let pages = trigger
            .order
            .filter(|order| (1..32).contains(order))
            .map(|order| format!(", {} pages at once", 1u64 << order));
        item(&mut out, "asked   ", &format!("{who}{}", pages.unwrap_or_default()));
    }
    if let Some(suspect) = incident.suspect.as_ref().filter(|_| incident.kind == IncidentKind::OomKill) {
        item(&mut out, "grew    ", &incident.called(Some(suspect)));
    }
    if !incident.witnesses.is_empty() {
        item(&mut out, "seen by ", &incident.witnesses.join(", "));
    }

    lives(&mut out, incident, style);
    memory(&mut out, incident, style);
    timeline(&mut out, incident, style);

    if incident.source == Source::KernelLog {
        head(&mut out, "What the report indicates");
        if incident.causes.is_empty() {
            item(&mut out, " ", "no cause: the kernel's log shows one moment, and no growth");
        }
    } else {
        head(&mut out, "Causes");
    }
    for judgement in incident.causes.iter().filter(|j| j.score > 0.0 || j.score >= ENOUGH || !j.against.is_empty()) {
        let mark = if judgement.class == incident.cause { style.paint("1", "»") } else { " ".into() };
        let _ = writeln!(out, " {mark}{:<14} {:>3.0} %", judgement.class.word(), 100.0 * judgement.score);
        judgement
            .speaks_for
            .iter()
            .for_each(|why| item(&mut out, &format!("  {}", style.paint("32", "+")), &printable(why)));
        judgement
            .against
            .iter()
            .for_each(|why| item(&mut out, &format!("  {}", style.paint("31", "-")), &printable(why)));
    }

    head(&mut out, "What to change");
    for (i, advice) in incident.advice.iter().enumerate() {
        item(&mut out, &format!("{}.", i + 1), &advice.what);
        if let Some(setting) = &advice.setting {
            let _ = writeln!(out, "       {}", style.paint("36", setting));
        }
        item(&mut out, "   because", &advice.because);
    }
    if !incident.unknown.is_empty() {
        head(&mut out, "What is not known");
        incident.unknown.iter().for_each(|what| item(&mut out, "?", what));
    }
    out
}

/// The paths behind the names of a page.
pub fn paths(incident: &Incident) -> String {
    let victims = incident.victims.iter().filter_map(|victim| victim.cgroup.as_ref());
    let death = incident.death.iter().filter_map(|death| death.cgroup.as_ref());
    let of_memory = incident.memory.iter().map(|memory| &memory.path);
    let all: BTreeSet<&String> =
        victims.chain(death).chain(&incident.limit.cgroup).chain(&incident.suspect).chain(of_memory).collect();
    all.into_iter().fold("\nPaths\n".to_owned(), |mut out, path| {
        let _ = writeln!(out, "  {}: {}", incident.called(Some(path)), printable(path));
        out
    })
}

/// Who ended and who sent what, of a death.
fn ended(incident: &Incident, death: &Death) -> Vec<(&'static str, String)> {
    let comm = death.comm.as_deref().map_or_else(|| "the main process".into(), printable);
    let pid = death.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let main = if death.main && death.comm.is_some() { ", the main process" } else { "" };
    let peak = death.peak_rss.map_or_else(String::new, |peak| format!(", with up to {}", bytes(peak)));
    let mut all = vec![("ended", format!("{comm}{pid}{main}: {}{peak}", describe::end(death)))];
    for (title, sender) in [("asked", &death.asked), ("by", &death.sender)] {
        let Some(sender) = sender else { continue };
        let before_s = (death.time_us - sender.time_us) as f64 / 1e6;
        let before = if before_s >= 0.1 { format!(", {before_s:.1} s before") } else { String::new() };
        let from = sender.cgroup.as_deref().filter(|_| !sender.itself);
        let from = from.map(|path| format!(" in {}", incident.called(Some(path))));
        let ignored = if sender.ignored { ", which ignored it" } else { "" };
        let from = from.unwrap_or_default();
        all.push((
            title,
            format!("{}: {}{from}{before}{ignored}", describe::signal(sender.signal), describe::by(sender)),
        ));
    }
    if let Some(account) = &death.runtime {
        let sent = account
            .sent
            .iter()
            .map(|(before_s, number)| format!("{} {before_s:.1} s before, ", describe::signal(*number)));
        let code = account.code.map_or_else(|| "no exit code".into(), |code| format!("exit code {code}"));
        all.push(("runtime", format!("{} reports: {}{code}", printable(&account.by), sent.collect::<String>())));
    }
    all
}

fn limit(incident: &Incident) -> Option<String> {
    let limit = &incident.limit;
    let name = limit.cgroup.as_deref().map(|path| incident.called(Some(path))).unwrap_or_default();
    let owner = match limit.owner {
        Owner::Own => format!("{name}, the victim's own"),
        Owner::Ancestor => format!("{name}, above the victim"),
        Owner::WslUser => "/wsl-user, of all WSL distributions".into(),
        Owner::Machine => "the machine's memory".into(),
        Owner::Unknown => return None,
    };
    let used = limit.usage.map_or_else(String::new, |usage| format!("{} of ", bytes(usage)));
    let size = limit.limit.map_or_else(|| "a size that is not known".into(), bytes);
    Some(format!("{used}{size}: {owner}"))
}

/// Lives that a page shows, the last ones up to its kill.
const LIVES: usize = 12;

/// The lives of a restart loop side by side.
fn lives(out: &mut String, incident: &Incident, style: Style) {
    if incident.restarts.is_none() || incident.lives.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", style.paint("1", "Lives"));
    let until = incident
        .lives
        .iter()
        .rposition(|life| incident.time_us.is_some_and(|time_us| life.from_us <= time_us))
        .unwrap_or(0);
    let first = (until + 1).saturating_sub(LIVES);
    let _ = writeln!(out, "  {:<9}{:>9}{:>11}{:>11}{:>15}  ended by", "start", "lived", "from", "to", "pace");
    for life in &incident.lives[first..=until] {
        let size = |value: Option<u64>| value.map_or_else(|| "-".into(), bytes);
        let pace = life.rate_bytes_per_s.filter(|rate| *rate > 0.0);
        let pace = pace.map_or_else(|| "-".into(), |rate| format!("{}/min", bytes((rate * 60.0) as u64)));
        let ended = match life.ended {
            Ended::OomKill => "OOM kill",
            Ended::Other => "not seen",
            Ended::Runs => "it runs",
        };
        let _ = writeln!(
            out,
            "  {:<9}{:>9}{:>11}{:>11}{pace:>15}  {ended}",
            time_of_day(life.from_us),
            micros(life.span_us() as u64),
            size(life.start_bytes),
            size(life.end_bytes),
        );
    }
    if first > 0 {
        let _ = writeln!(out, "  {first} earlier lives are left out; --json has them");
    }
}

fn memory(out: &mut String, incident: &Incident, style: Style) {
    let is_log = incident.source == Source::KernelLog;
    if is_log && incident.memory.is_empty() && incident.processes.is_empty() && incident.machine.reported.is_none() {
        return;
    }
    let _ = writeln!(out, "\n{}", style.paint("1", "Memory then"));
    if is_log && incident.memory.is_empty() {
        reported::write(out, incident, style);
        return;
    }
    type Part = fn(&CgroupMemory) -> Option<u64>;
    let columns: [(&str, Part); 9] = [
        ("total", |m| m.current),
        ("limit", |m| m.limit),
        ("anon", |m| m.anon),
        ("shmem", |m| m.shmem),
        ("file", |m| m.file),
        ("kernel", |m| m.kernel),
        ("pgtables", |m| m.pagetables),
        ("sock", |m| m.sock),
        ("swap", |m| m.swap),
    ];
    // What fits; the last columns matter least.
    let fit = (style.width.saturating_sub(24) / 11).min(columns.len());
    let _ = write!(out, "  {:<20}", "");
    columns[..fit].iter().for_each(|(title, _)| {
        let _ = write!(out, "{title:>11}");
    });
    out.push('\n');
    for cgroup in &incident.memory {
        let mut title = incident.called(Some(&cgroup.path));
        if title.chars().count() > 19 {
            title = title.chars().take(18).collect::<String>() + "…";
        }
        let mark = if incident.suspect.as_deref() == Some(&cgroup.path) { "»" } else { " " };
        let _ = write!(out, " {mark}{title:<20}");
        for (_, value) in &columns[..fit] {
            let _ = write!(out, "{:>11}", value(cgroup).map_or_else(|| "-".into(), bytes));
        }
        out.push('\n');
    }
    let machine = &incident.machine;
    if let (Some(total), Some(available)) = (machine.total, machine.available) {
        let swap = match (machine.swap_total, machine.swap_free) {
            (Some(0), _) => ", no swap".into(),
            (Some(total), Some(free)) => format!(", {} of {} swap free", bytes(free), bytes(total)),
            _ => String::new(),
        };
        let _ = writeln!(out, "  the machine: {} of {} available{swap}", bytes(available), bytes(total));
    }
    if incident.source == Source::KernelLog {
        reported::write(out, incident, style);
        return;
    }
    for process in incident.processes.iter().take(6) {
        let killed = if process.killed { ", killed" } else { "" };
        let _ = writeln!(out, "  {} (pid {}): {}{killed}", printable(&process.comm), process.pid, bytes(process.rss));
    }
}

fn timeline(out: &mut String, incident: &Incident, style: Style) {
    if incident.source == Source::KernelLog {
        return;
    }
    let timeline = &incident.timeline;
    let _ = writeln!(out, "\n{}", style.paint("1", "Timeline"));
    // The last second has its own points.
    let rows: Vec<&Point> = timeline.hour.iter().chain(&timeline.minute).filter(|point| point.before_s > 1.5).collect();
    let last = timeline.second.iter();
    let mut shown: Vec<&Point> = Vec::new();
    for point in rows.into_iter().chain(last) {
        if shown.last().is_none_or(|before| {
            before.before_s - point.before_s >= before.before_s.min(600.0) * 0.12 && point.before_s < before.before_s
        }) {
            shown.push(point);
        }
    }
    let peak = shown.iter().filter_map(|p| p.suspect).max().unwrap_or(1).max(1);
    for point in shown {
        // What the machine has left is no size of the cgroup: it gets no bar.
        let suspect = point.suspect.unwrap_or(0);
        let bar = (suspect as f64 / peak as f64 * 20.0).round().clamp(0.0, 20.0) as usize;
        let mut words = format!("{:>9}", point.suspect.map_or_else(|| "-".into(), bytes));
        for (title, value) in [("victim", point.victim), ("limit's", point.limit), ("available", point.available)] {
            if let Some(value) = value {
                let _ = write!(words, "  {title} {}", bytes(value));
            }
        }
        let time = when(point.before_s);
        let _ = writeln!(out, "  {time:>8}  {:<20} {words}", "█".repeat(bar));
    }
    for moment in &timeline.moments {
        let time = when(moment.before_s);
        let text = format!("{}: {}", incident.called(moment.cgroup.as_deref()), moment.what);
        let _ = writeln!(
            out,
            "  {time:>8}  {}",
            wrap(&text, style.width.saturating_sub(12), 0).replace('\n', "\n            ")
        );
    }
}

/// A time before or after the incident.
fn when(before_s: f64) -> String {
    match before_s {
        s if s.abs() >= 120.0 => format!("{:+.0} min", -s / 60.0),
        s if s.abs() < 0.05 => "0 s".into(),
        s => format!("{:+.1} s", -s),
    }
}
