//! Prints what a person at the agent's terminal should know, on a thread of its own: a terminal may be stopped, and no recording
//! may wait for it.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{JoinHandle, spawn};

use crate::model::event::{Event, EventKind, Guarded};
use crate::model::units::{bytes, printable};
use crate::ui::terminal::say;

/// Lines that may wait for a stopped terminal; what comes beyond is in the recording alone.
const LINES: usize = 64;

/// Prints events.
pub struct Console {
    lines: SyncSender<String>,
    leaks: bool,
}

impl Console {
    /// Starts the thread, which ends with the `Console` once all lines are printed. `leaks`: prints leaks too; otherwise the alerts do.
    pub fn begin(leaks: bool) -> (Console, JoinHandle<()>) {
        let (lines, inbox) = sync_channel::<String>(LINES);
        (Console { lines, leaks }, spawn(move || inbox.iter().for_each(|line| say(&line))))
    }

    /// Prints an event if a person should know it.
    pub fn show(&self, event: &Event) {
        if matches!(event.what, EventKind::Leak { .. }) && !self.leaks {
            return;
        }
        if let Some(line) = words(event) {
            let _ = self.lines.try_send(format!("sampler: {}", printable(&line)));
        }
    }
}

fn words(event: &Event) -> Option<String> {
    let path = event.cgroup.as_deref().unwrap_or("/");
    Some(match &event.what {
        EventKind::Degraded { what } => what.clone(),
        EventKind::ProbeAttached { jobs } => format!("the kernel probe is in place, {} of its parts", jobs.len()),
        EventKind::Leak { leaks: true, bytes_per_s, time_to_limit_s, evidence, .. } => {
            let a_minute = |rate: f64| format!(", {} a minute", bytes((rate * 60.0).max(0.0) as u64));
            let rate = bytes_per_s.map_or_else(String::new, a_minute);
            let left = time_to_limit_s.map_or_else(String::new, |left| format!(", limit in {:.0} min", left / 60.0));
            format!("{path} leaks{rate}{left}: {}", evidence.first().map_or("", String::as_str))
        }
        EventKind::Leak { .. } => format!("{path} does not leak any more"),
        EventKind::Guard { action, applied, from, to, bytes: size, reason, error } => {
            guard(path, action, *applied, (from.as_ref(), to.as_ref(), *size), reason, error.as_deref())
        }
        _ => return None,
    })
}

fn guard(
    path: &str,
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
    format!("guard: {state}{} {path}{what}: {reason}{error}", action.replace('_', " "))
}
