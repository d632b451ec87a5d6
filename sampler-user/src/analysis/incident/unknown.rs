//! What could not be known, and why.

use crate::analysis::incident::cause::{self, CauseClass, HigherLimit};
use crate::analysis::incident::context::{IncidentContext, MINUTE_US};
use crate::analysis::incident::death;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::event::EventKind;
use crate::model::evidence::WitnessKind;
use crate::model::fields::FieldId;
use crate::model::units::{micros, printable};

/// What could not be known.
pub fn of(context: &IncidentContext, cause: CauseClass) -> Vec<String> {
    let mut all = Vec::new();
    if !context.is_whole {
        all.push("part of the recording could not be read: what it held may change the cause".into());
    }
    for event in
        context.events.iter().filter(|e| (context.at_us - MINUTE_US..=context.at_us + MINUTE_US).contains(&e.time_us))
    {
        match &event.event.what {
            EventKind::Gap { from_ns, to_ns, reason, .. } => all.push(format!(
                "nothing was seen for {} near the incident: {}",
                micros(to_ns.saturating_sub(*from_ns) / 1000),
                printable(reason)
            )),
            EventKind::Recovered { torn_bytes, .. } if *torn_bytes > 0 => {
                all.push(format!("the journal was torn: {torn_bytes} bytes at its end could not be read"));
            }
            _ => {}
        }
    }
    all.extend(context.events.iter().filter_map(|event| match &event.event.what {
        EventKind::Degraded { what } => Some(format!("the recorder went without: {}", printable(what))),
        _ => None,
    }));
    all.extend(context.death.iter().flat_map(|death| death::describe::unknown(death)));
    if context.kind == IncidentKind::OomKill {
        let seen = |kind| context.kills.iter().any(|(_, kill)| kill.witnesses.contains(&kind));
        let (kmsg, probe) = (seen(WitnessKind::Kmsg), seen(WitnessKind::Probe));
        if !kmsg {
            all.push(
                "the kernel's log was not read: its table of tasks and its exact split of the memory are missing"
                    .into(),
            );
        }
        if !kmsg && !probe {
            all.push("nobody named the victim and who asked: only counters saw the kill".into());
        }
        if context.kill().and_then(|kill| kill.report.as_ref()).is_some_and(|report| report.truncated) {
            all.push("the kernel's report was cut: lines of it are missing".into());
        }
    }
    match context.suspect_trace() {
        None => all.push("no cgroup was recorded in the hour before".into()),
        Some((path, trace)) => {
            let who = context.called(path);
            if let Some((time, _)) = trace.last(FieldId::Anon, context.at_us) {
                all.push(format!(
                    "the parts of {who} were read {} before; the kernel itself brings memory.stat up to date only every 2 s",
                    micros((context.at_us - time).max(0) as u64)
                ));
            } else {
                all.push(format!("what the memory of {who} was made of was not recorded"));
            }
            let points = trace.between(FieldId::Current, context.at_us - 1_000_000, context.at_us);
            if points.len() < 8 {
                all.push(format!(
                    "{} readings of {who} in the last second: a shorter spike may have been missed",
                    points.len()
                ));
            }
            let could_leak = cause::of(cause).higher_limit == HigherLimit::Postpones || cause == CauseClass::Unknown;
            if context.kind == IncidentKind::OomKill
                && could_leak
                && (context.is_one_short_life() || context.is_one_start())
            {
                all.push(format!(
                    "one life of {who}, of {}, is not enough to distinguish a leak from a start that needs more than the limit: its next lives would show it",
                    micros((context.history_s * 1e6) as u64)
                ));
            }
            if !context.appeared(path) && context.history_s < 600.0 {
                all.push(format!(
                    "the recording begins only {} before: what {who} did earlier is not known",
                    micros((context.history_s * 1e6) as u64)
                ));
            }
        }
    }
    if context.host.points(FieldId::MemTotal).is_empty() {
        all.push("the machine itself was not recorded".into());
    }
    all
}
