//! What programs print to a terminal again and again: tables with `date` lines between, times before each line, objects of JSON.

use std::io::Read;

use crate::model::fields::FieldId;
use crate::reading::import::clock::Clock;
use crate::reading::import::intake::{Intake, Place, Stop, Target};
use crate::reading::import::json::{Documents, document};
use crate::reading::import::size::{Decimal, Prefix, parse};
use crate::reading::import::text::{LINE, Lines};
use crate::reading::import::time::{Stamp, prefix};
use crate::reading::import::{cgtop, docker_stats, free, kubectl_top, proc, ps, stat};

/// The table that the lines belong to.
enum Layout {
    Docker(docker_stats::Layout),
    Kubectl(kubectl_top::Layout),
    Processes(ps::Layout),
    Machine(free::Layout),
    Cgroups,
}

fn head(line: &str) -> Option<Layout> {
    docker_stats::head(line)
        .map(Layout::Docker)
        .or_else(|| kubectl_top::head(line).map(Layout::Kubectl))
        .or_else(|| free::head(line).map(Layout::Machine))
        .or_else(|| cgtop::is_head(line).then_some(Layout::Cgroups))
        .or_else(|| ps::head(line).map(Layout::Processes))
}

/// Whether a line is of such a log: the head of a table, a row of `docker stats`, or an object after a date.
pub fn is_line(line: &str) -> bool {
    if line.len() > MOST_LINE {
        return false;
    }
    let (stamp, rest) = split(line, None);
    let is_object = rest.starts_with('{') && rest.contains(':') || matches!(rest, "[" | "{" | "[]" | "[{");
    // In CSV a comma follows the time.
    let is_cell = stamp.is_some() && line.trim_end_matches(rest).trim_end().ends_with(',');
    let is_csv_head = rest.contains(',') && docker_stats::row(None, rest).is_none();
    head(rest).is_some() && !is_csv_head
        || is_object
        || docker_stats::row(None, rest).is_some() && !is_cell
        || proc::line(rest).is_some()
        || stat::line(rest).is_some()
        || kubectl_top::bare_row(rest).is_some()
        || line.starts_with("Linux ") && line.contains(" CPU)")
}

/// Whether a line is a time and nothing else.
pub fn is_time(line: &str) -> bool {
    matches!(split(line, None), (Some(_), ""))
}

/// Whether two lines are a time and a number, as `date; ps -o rss= -p 7` prints.
pub fn is_time_and_number(first: &str, second: &str) -> bool {
    is_time(first)
        && !second.trim().contains(' ')
        && parse(second, Decimal::Point, Prefix::Binary).is_some()
        && split(second, None).0.is_none()
}

/// The time that a line begins with, and the rest of it.
fn split(line: &str, day_first: Option<bool>) -> (Option<Stamp>, &str) {
    match stamp(line, day_first) {
        Some((stamp, used)) => {
            let rest = line[used..].trim_start_matches([' ', '\t', ']', ')', '|', ',', ';', ':', '"', '>']).trim_end();
            let is_drawn = rest.chars().all(|c| c.is_whitespace() || "=-#*<>[])|\",:;+".contains(c));
            (Some(stamp), if is_drawn && !matches!(rest, "[" | "{" | "[]") { "" } else { rest })
        }
        None => (None, line.trim()),
    }
}

/// A time that ends a line, behind some words: `Sample 3 at 2026-03-01 10:00:00`.
fn behind_words(line: &str, day_first: Option<bool>) -> Option<Stamp> {
    let starts = line.match_indices([' ', '\t', '=', '(', '[']).map(|(at, _)| at + 1).take(12);
    starts.filter(|at| !line[*at..].starts_with([' ', '\t'])).find_map(|at| {
        let found = split(&line[at..], day_first);
        matches!(found, (Some(Stamp::Instant(_) | Stamp::Local(_)), "")).then_some(found.0)?
    })
}

/// The time that a line begins with, and where it ends, whatever is drawn around it.
fn stamp(line: &str, day_first: Option<bool>) -> Option<(Stamp, usize)> {
    const DRAWN: [char; 13] = ['=', '-', '#', '*', '>', '<', '[', '(', '|', '"', ' ', '\t', '+'];
    const WORDS: [&str; 14] = [
        "top - ",
        "Time:",
        "time:",
        "time=",
        "Date:",
        "date:",
        "date=",
        "DATE:",
        "TIME:",
        "timestamp:",
        "timestamp=",
        "Timestamp:",
        "ts=",
        "zzz",
    ];
    let drawn = line.trim_start_matches(DRAWN);
    // `watch`: Every 2.0s: docker stats --no-stream    host: Sun Oct 13 00:00:00 2024
    let watched = drawn.strip_prefix("Every ").and_then(|rest| rest.rsplit_once(": ")).map(|(_, time)| time);
    let word = || WORDS.iter().find_map(|word| drawn.strip_prefix(word)).map(|rest| rest.trim_start_matches(DRAWN));
    let text = watched.or_else(word).unwrap_or(drawn);
    let (stamp, used) = prefix(text, day_first)?;
    Some((stamp, line.len() - text.len() + used))
}

/// Reads a log.
pub fn read(lines: &mut Lines<impl Read>, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let mut log = Log {
        clock: Clock::default(),
        layout: None,
        documents: Documents::default(),
        seen: Vec::new(),
        open: String::new(),
        depth: 0,
    };
    while let Some(line) = lines.next_line()? {
        log.line(line, intake)?;
    }
    log.documents.finish()
}

struct Log {
    clock: Clock,
    layout: Option<Layout>,
    documents: Documents,
    /// Who had a row in this sample, where rows have no times: who comes again begins the next.
    seen: Vec<String>,
    /// A document of JSON that is not closed yet, and how deep it is.
    open: String,
    depth: i64,
}

/// Longest line of a table, bytes.
const MOST_LINE: usize = 16 << 10;
/// Names that are remembered of one sample.
const MOST_SEEN: usize = 10_000;

impl Log {
    fn line(&mut self, line: &str, intake: &mut Intake<'_>) -> Result<(), Stop> {
        if line.trim().is_empty() {
            return Ok(());
        }
        if self.depth > 0 {
            return self.json(line, intake);
        }
        if line.len() > MOST_LINE && !line.contains(['{', '[']) {
            intake.notes.unread_lines += 1;
            return Ok(());
        }
        // `pidstat` and `sar` begin with a line that has the date.
        if line.starts_with("Linux ") {
            // Behind the kernel's release and the host, whose name is in parentheses.
            let behind = line.split_once(')').map_or(line, |(_, behind)| behind);
            let date = behind.split(['\t', ' ']).filter(|word| !word.is_empty()).find_map(|word| {
                match prefix(word, intake.options.day_first) {
                    Some((stamp @ Stamp::Day(_), used)) if used == word.len() => Some(stamp),
                    _ => None,
                }
            });
            return date.map_or(Ok(()), |date| self.clock.set(date, intake));
        }
        let own_times = matches!(&self.layout, Some(Layout::Processes(layout)) if layout.begins_with_time());
        let mut rest = line;
        if let (Some(stamp), after) = split(line, intake.options.day_first)
            && !(own_times && matches!(stamp, Stamp::OfDay(_)) && !after.is_empty())
        {
            self.clock.set(stamp, intake)?;
            if after.is_empty() {
                return Ok(());
            }
            rest = after;
        }
        if rest.starts_with(['{', '[']) && rest.contains(['"', '{']) || matches!(rest.trim(), "[" | "{" | "[]") {
            return self.json(rest, intake);
        }
        if let Some(layout) = head(rest) {
            self.layout = Some(layout);
            self.next_sample();
            return Ok(());
        }
        self.row(rest, intake)
    }

    fn next_sample(&mut self) {
        self.clock.next_sample();
        self.seen.clear();
    }

    /// The time of a row of somebody.
    fn time(&mut self, who: &str, intake: &Intake<'_>) -> Result<i64, Stop> {
        if !self.clock.has_time() {
            if self.seen.iter().any(|seen| seen == who) {
                self.next_sample();
            }
            if self.seen.len() < MOST_SEEN {
                self.seen.push(who.to_owned());
            }
        }
        self.clock.now(intake.options)
    }

    fn row(&mut self, line: &str, intake: &mut Intake<'_>) -> Result<(), Stop> {
        let current = Target::Field(FieldId::Current.field());
        if line.starts_with("Average:") || line.starts_with("Durchschn.:") {
            return Ok(());
        }
        match &self.layout {
            Some(Layout::Kubectl(layout)) => {
                if let Some((who, bytes)) = kubectl_top::row(layout, line) {
                    return self.kubectl(&who, bytes, intake);
                }
            }
            None if kubectl_top::bare_row(line).is_some() => {
                if let Some((who, bytes)) = kubectl_top::bare_row(line) {
                    return self.kubectl(&who, bytes, intake);
                }
            }
            Some(Layout::Processes(layout)) => {
                let unit = intake.options.unit_of("RSS").unwrap_or(1024.0);
                let stem = &intake.options.stem;
                // `TIME PID RSS` where the time is a date and not that of the processor.
                let dated = || ps::row(&layout.without_first(), line, unit, stem);
                let timed = layout.begins_with_time() && self.clock.has_time();
                let found = ps::row(layout, line, unit, stem).or_else(|| timed.then(dated)?);
                if let Some(process) = found {
                    intake.notes.formats.insert("ps");
                    intake.notes.took("RSS", current, &crate::reading::import::size::name(unit), false);
                    let time_us = self.time(&process.who, intake)?;
                    let place = Place { who: &process.who, life: 0, time_us };
                    intake.put(&place, current, process.rss)?;
                    return match process.swap {
                        Some(swap) => intake.put(&place, Target::Field(FieldId::SwapCurrent.field()), swap),
                        None => Ok(()),
                    };
                }
            }
            Some(Layout::Cgroups) => {
                if let Some((who, bytes)) = cgtop::row(line) {
                    intake.notes.formats.insert("systemd-cgtop");
                    intake.notes.took("Memory", current, "its own", false);
                    let time_us = self.time(&who, intake)?;
                    return intake.put(&Place { who: &who, life: 0, time_us }, current, bytes);
                }
            }
            Some(Layout::Machine(layout)) => {
                if let Some(machine) = free::row(layout, line, intake.options.unit_of("used")) {
                    intake.notes.formats.insert("free");
                    let shown = machine.guessed.map_or_else(|| "its own".into(), crate::reading::import::size::name);
                    intake.notes.took("used", current, &shown, machine.guessed.is_some());
                    let time_us = self.time(free::MACHINE, intake)?;
                    let place = Place { who: free::MACHINE, life: 0, time_us };
                    intake.put(&place, current, machine.used)?;
                    return match machine.cached {
                        Some(cached) => intake.put(&place, Target::Field(FieldId::File.field()), cached),
                        None => Ok(()),
                    };
                }
            }
            Some(Layout::Docker(_)) | None => {
                let layout = match &self.layout {
                    Some(Layout::Docker(layout)) => Some(layout),
                    _ => None,
                };
                if let Some((name, life, usage, unit)) = docker_stats::row(layout, line) {
                    let stem = intake.options.stem.clone();
                    let name = if name.is_empty() { &stem } else { name };
                    intake.notes.formats.insert("docker stats");
                    intake.notes.took("MEM USAGE", Target::WorkingSet, "its own", false);
                    // A container that does not run has no usage, and no row.
                    let time_us = self.time(name, intake)?;
                    docker_stats::usage_and_limit(&Place { who: name, life, time_us }, usage, unit, intake)?;
                    return Ok(());
                }
            }
        }
        if let Some((name, target, bytes)) = proc::line(line).or_else(|| stat::line(line)) {
            intake.notes.formats.insert("proc");
            intake.notes.took(name, target, if target.is_size() { "its own" } else { "as it is" }, false);
            let stem = intake.options.stem.clone();
            let time_us = self.time(&format!("{stem} {name}"), intake)?;
            return intake.put(&Place { who: &stem, life: 0, time_us }, target, bytes);
        }
        if self.layout.is_none() && !line.trim().contains(' ') && parse(line, Decimal::Point, Prefix::Binary).is_some()
        {
            return self.number(line.trim(), intake);
        }
        match behind_words(line, intake.options.day_first) {
            Some(stamp) => self.clock.set(stamp, intake)?,
            None => intake.notes.unread_lines += 1,
        }
        Ok(())
    }

    fn kubectl(&mut self, who: &str, bytes: f64, intake: &mut Intake<'_>) -> Result<(), Stop> {
        intake.notes.formats.insert("kubectl top");
        intake.notes.took("MEMORY(bytes)", Target::WorkingSet, "its own", false);
        let time_us = self.time(who, intake)?;
        intake.put(&Place { who, life: 0, time_us }, Target::WorkingSet, bytes)
    }

    /// A line that is one number, of which only who printed it knows what it is.
    fn number(&mut self, text: &str, intake: &mut Intake<'_>) -> Result<(), Stop> {
        let Some(size) = parse(text, Decimal::Point, Prefix::Binary) else { return Ok(()) };
        let mapped = intake.options.mapped("value").and_then(crate::reading::import::columns::ours);
        let target = match (mapped, size.unit) {
            (Some(crate::reading::import::columns::Meaning::Field { target, .. }), _) => target,
            (_, Some(_)) => Target::Field(FieldId::Current.field()),
            _ => {
                return Err(Stop::needs(
                    "between its times the log has numbers without a name: say what they are, and in what unit",
                    ["--map", "value=current", "--unit", "kB"],
                ));
            }
        };
        let unit = size.unit.or(intake.options.unit_of("value")).unwrap_or(1.0);
        intake.notes.formats.insert("numbers between times");
        intake.notes.took("value", target, &crate::reading::import::size::name(unit), true);
        let stem = intake.options.stem.clone();
        let time_us = self.time(&stem, intake)?;
        intake.put(&Place { who: &stem, life: 0, time_us }, target, size.number * unit)
    }

    /// A line of a document of JSON, which may go on.
    fn json(&mut self, line: &str, intake: &mut Intake<'_>) -> Result<(), Stop> {
        let (mut in_string, mut escaped) = (false, false);
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                '{' | '[' if !in_string => self.depth += 1,
                '}' | ']' if !in_string => self.depth -= 1,
                _ => {}
            }
        }
        self.open.push_str(line);
        self.open.push('\n');
        if self.open.len() > LINE {
            return Err(Stop::new("an object of JSON in the log is longer than 1 MiB"));
        }
        if self.depth > 0 {
            return Ok(());
        }
        self.depth = 0;
        let text = std::mem::take(&mut self.open);
        self.documents.now_us = self.clock.now(intake.options).ok();
        match document(text.trim_end().trim_end_matches(','), &mut self.documents, intake) {
            // One line of a log that is cut off or no JSON is no reason to stop.
            Err(Stop::Needs { what, args }) if args.is_empty() && what.starts_with("it begins as JSON") => {
                intake.notes.unread_lines += 1;
                Ok(())
            }
            other => other,
        }
    }
}
