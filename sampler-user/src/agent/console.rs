//! Prints what a person at the agent's terminal should know, on a thread of its own: a terminal may be stopped, and no recording
//! may wait for it.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use crate::containers::runtimes::identify;
use crate::model::event::{Event, EventKind, Guarded};
use crate::model::identity::Identity;
use crate::model::paths;
use crate::model::units::{bytes, printable};
use crate::ui::terminal::say;

/// Lines that may wait for a stopped terminal; what comes beyond is in the recording alone.
const LINES: usize = 64;
/// What is missing at the start is one line: the probe, which comes last, has this time.
const START: Duration = Duration::from_secs(3);

/// What is printed.
#[derive(Debug, PartialEq)]
enum Line {
    /// A line of its own.
    Text(String),
    /// Something that the recorder goes without.
    Degraded(String),
    /// The probe is in place.
    Probe(String),
}

/// Prints events.
pub struct Console {
    lines: SyncSender<Line>,
    leaks: bool,
    verbose: bool,
    titles: HashMap<String, String>,
}

/// Says what is no event.
#[derive(Clone)]
pub struct Speaker(SyncSender<Line>);

impl Speaker {
    /// Prints a line, or leaves it out where too many wait for the terminal.
    pub fn say(&self, line: String) {
        let _ = self.0.try_send(Line::Text(line));
    }
}

impl Console {
    /// One that prints where this console does.
    pub fn speaker(&self) -> Speaker {
        Speaker(self.lines.clone())
    }

    /// Starts the thread, which ends with the `Console` once all lines are printed. `leaks`: prints leaks too; otherwise the alerts do.
    /// `verbose`: with paths, and with each thing that is missing.
    pub fn begin(leaks: bool, verbose: bool) -> (Console, JoinHandle<()>) {
        let (lines, inbox) = sync_channel(LINES);
        let print = move || {
            let say = |text: &str| say(&format!("sampler: {}", printable(text)));
            if verbose { inbox.iter().for_each(|line: Line| say(&alone(line))) } else { run(&inbox, START, say) }
        };
        (Console { lines, leaks, verbose, titles: HashMap::new() }, spawn(print))
    }

    /// Prints an event if a person should know it.
    pub fn show(&mut self, event: &Event) {
        match (&event.what, &event.cgroup) {
            (EventKind::Named(who), Some(path)) => {
                who.title().map(|title| self.titles.insert(path.clone(), title));
            }
            (EventKind::CgroupRemoved, Some(path)) => drop(self.titles.remove(path)),
            _ => {}
        }
        if matches!(event.what, EventKind::Leak { .. }) && !self.leaks {
            return;
        }
        if let Some(line) = line(event, &self.name(event.cgroup.as_deref().unwrap_or("/")), self.verbose) {
            let _ = self.lines.try_send(line);
        }
    }

    /// What people call a cgroup, as it was recorded.
    fn name(&self, path: &str) -> String {
        if self.verbose {
            return path.to_owned();
        }
        let title = self.titles.get(path).cloned();
        let title = title.or_else(|| identify(path).as_ref().and_then(Identity::title));
        title.unwrap_or_else(|| paths::name(path).to_owned())
    }
}

/// A line that is not summed up.
fn alone(line: Line) -> String {
    match line {
        Line::Text(text) | Line::Degraded(text) | Line::Probe(text) => text,
    }
}

/// Prints lines as they come, but what is missing at the start as one line with a number.
fn run(inbox: &Receiver<Line>, start: Duration, mut print: impl FnMut(&str)) {
    let until = Instant::now() + start;
    let (mut lacks, mut probe) = (0, None);
    let ended = loop {
        match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Line::Text(text)) => print(&text),
            Ok(Line::Degraded(_)) => lacks += 1,
            Ok(Line::Probe(text)) => {
                probe = Some(text);
                break false;
            }
            Err(RecvTimeoutError::Timeout) => break false,
            Err(RecvTimeoutError::Disconnected) => break true,
        }
    };
    let things = if lacks == 1 { "thing" } else { "things" };
    let lacks = (lacks > 0).then(|| format!("degraded: {lacks} {things}, see `sampler doctor`"));
    let head: Vec<String> = probe.into_iter().chain(lacks).collect();
    if !head.is_empty() {
        print(&head.join("; "));
    }
    if !ended {
        inbox.iter().for_each(|line| print(&alone(line)));
    }
}

fn line(event: &Event, name: &str, verbose: bool) -> Option<Line> {
    Some(Line::Text(match &event.what {
        EventKind::Degraded { what } => return Some(Line::Degraded(what.clone())),
        EventKind::ProbeAttached { jobs } => {
            return Some(Line::Probe(format!("the kernel probe is in place, {} of its parts", jobs.len())));
        }
        EventKind::Leak { leaks: true, bytes_per_s, time_to_limit_s, evidence, .. } => {
            let a_minute = |rate: f64| format!(", {} a minute", bytes((rate * 60.0).max(0.0) as u64));
            let rate = bytes_per_s.map_or_else(String::new, a_minute);
            let left = time_to_limit_s.map_or_else(String::new, |left| format!(", limit in {:.0} min", left / 60.0));
            format!("{name} leaks{rate}{left}: {}", evidence.first().map_or("", String::as_str))
        }
        EventKind::Leak { .. } => format!("{name} does not leak any more"),
        // Docker is asked to remember each raise: that it did is no news.
        EventKind::Guard { action, applied: true, error: None, .. } if action == "tell_runtime" && !verbose => {
            return None;
        }
        EventKind::Guard { action, applied, from, to, bytes: size, reason, error } => {
            guard(name, action, *applied, (from.as_ref(), to.as_ref(), *size), reason, error.as_deref())
        }
        _ => return None,
    }))
}

fn guard(
    name: &str,
    action: &str,
    applied: bool,
    (from, to, size): (Option<&Guarded>, Option<&Guarded>, Option<u64>),
    reason: &str,
    error: Option<&str>,
) -> String {
    let first = |limits: &Guarded| limits.high.into_iter().chain(limits.max).min().map_or("unlimited".into(), bytes);
    let what = match (from.zip(to), size) {
        (Some((from, to)), _) => format!(" {} -> {}", first(from), first(to)),
        (None, Some(size)) => format!(" {}", bytes(size)),
        (None, None) => String::new(),
    };
    let state = match (error, applied, action) {
        (Some(_), _, _) => "could not ",
        (None, true, _) | (_, _, "hold" | "begin") => "",
        (None, false, _) => "would ",
    };
    let error = error.map(|error| format!(" [{error}]")).unwrap_or_default();
    format!("guard: {state}{} {name}{what}: {reason}{error}", action.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(verbose: bool) -> (Console, Receiver<Line>) {
        let (lines, inbox) = sync_channel(LINES);
        (Console { lines, leaks: true, verbose, titles: HashMap::new() }, inbox)
    }

    fn event(cgroup: &str, what: EventKind) -> Event {
        Event { mono_ns: 0, cgroup: Some(cgroup.into()), what }
    }

    /// A line had 64 digits and no container, and each raise had two lines.
    #[test]
    fn a_raise_is_one_line_that_names_the_container() {
        let path = format!("/docker/{}", "ab".repeat(32));
        let acted = |action: &str, error: Option<&str>| EventKind::Guard {
            action: action.into(),
            applied: error.is_none(),
            from: None,
            to: None,
            bytes: None,
            reason: "near its limit".into(),
            error: error.map(str::to_owned),
        };
        let who = Identity { name: Some("riser".into()), ..Identity::container("docker", &path[8..]) };
        let (mut console, inbox) = console(false);
        console.show(&event(&path, acted("raise", None)));
        console.show(&event(&path, EventKind::Named(Box::new(who))));
        console.show(&event(&path, acted("raise", None)));
        console.show(&event(&path, acted("tell_runtime", None)));
        console.show(&event(&path, acted("tell_runtime", Some("refused"))));
        drop(console);
        let lines: Vec<String> = inbox.iter().map(alone).collect();
        let want = [
            "guard: raise abababababab: near its limit",
            "guard: raise riser: near its limit",
            "guard: could not tell runtime riser: near its limit [refused]",
        ];
        assert_eq!(lines, want);
    }

    /// The start was five lines, one of them of 300 characters.
    #[test]
    fn what_is_missing_at_the_start_is_one_line() {
        let printed = |lines: Vec<Line>| {
            let (sender, inbox) = sync_channel(LINES);
            lines.into_iter().for_each(|line| sender.send(line).unwrap());
            drop(sender);
            let mut printed = Vec::new();
            run(&inbox, START, |text| printed.push(text.to_owned()));
            printed
        };
        let lacks = |what: &str| Line::Degraded(what.into());
        let start = vec![
            lacks("no PSI"),
            lacks("no priority"),
            Line::Probe("the probe".into()),
            lacks("later"),
            Line::Text("a leak".into()),
        ];
        assert_eq!(printed(start), ["the probe; degraded: 2 things, see `sampler doctor`", "later", "a leak"]);
        assert_eq!(printed(vec![lacks("no PSI")]), ["degraded: 1 thing, see `sampler doctor`"]);
        assert_eq!(printed(Vec::new()), Vec::<String>::new());
    }
}
