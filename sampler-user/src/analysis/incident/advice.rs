//! What to change, with the numbers it rests on.

use serde::{Deserialize, Serialize};

use crate::analysis::incident::cause::{CauseClass, burst_rise, fork_tasks, storm_step};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::memory::limits;
use crate::analysis::incident::{Owner, death};
use crate::model::fields::FieldId;
use crate::model::units::{bytes, printable};

/// One change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Advice {
    /// What to do.
    pub what: String,
    /// The line that does it, and where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// The numbers it rests on.
    pub because: String,
}

/// Room above what was used, as a part of it.
const MARGIN: f64 = 0.25;

/// What to change.
pub fn of(context: &IncidentContext, cause: CauseClass, contributing: &[CauseClass]) -> Vec<Advice> {
    if context.kind == IncidentKind::Death {
        return death::words::advice(context, cause);
    }
    let mut all = Vec::new();
    for class in std::iter::once(&cause).chain(contributing) {
        all.extend(one(context, *class));
    }
    all
}

fn one(context: &IncidentContext, class: CauseClass) -> Option<Advice> {
    let limit = context.limit();
    let (suspect, trace) = context.suspect_trace()?;
    let end = context.at_end(suspect, trace);
    let who = context.called(suspect);
    let scope = limit.cgroup.as_deref();
    let total = limit.limit.unwrap_or(0);
    let new = |what: String, setting: Option<String>, because: String| Some(Advice { what, setting, because });
    match class {
        CauseClass::Leak => {
            let rate = context.history.as_ref().and_then(|history| history.rate_bytes_per_s).filter(|rate| *rate > 0.0);
            let look = match context.component() {
                "shared memory and tmpfs" => "files in /dev/shm and /tmp that stay",
                "kernel memory" => "open files, threads and mappings that stay",
                "socket buffers" => "connections that nobody reads",
                _ => "what the program keeps: take a heap profile, and compare two of them an hour apart",
            };
            let because = match rate {
                Some(rate) => format!(
                    "at {}/min a limit of twice {} would be reached {} later",
                    bytes((rate * 60.0) as u64),
                    bytes(total),
                    crate::model::units::micros((total as f64 / rate * 1e6) as u64)
                ),
                None => format!("it held {} at the end", bytes(end)),
            };
            // Without a limit of its own it takes others with it.
            let own = trace.limit(FieldId::Max, context.at_us);
            let setting = (limit.owner != Owner::Own && own.is_none()).then(|| set(context, suspect, end.min(total / 2)));
            new(format!("Find the leak in {who}: look for {look}. A higher limit only postpones it."), setting, because)
        }
        CauseClass::LimitTooLow => {
            let trace = context.cgroups.get(scope?)?;
            let peak = trace.footprints(context.since_us(), context.at_us).iter().map(|(_, v)| *v).max()?.max(total);
            let target = roomy(peak);
            new(
                format!("Raise the limit of {} from {} to {}, or make its heap smaller.", context.called(scope?), bytes(total), bytes(target)),
                Some(set(context, scope?, target)),
                format!("its working set reached the {} there are; {:.0} % of room above it", bytes(peak), 100.0 * MARGIN),
            )
        }
        CauseClass::Burst | CauseClass::LoadSpike => {
            let (before, after) = burst_rise(context)?;
            let target = roomy(total.max(after));
            let path = scope.unwrap_or(suspect);
            new(
                format!("Bound what {who} takes at once (size of requests, files, workers), or give it room for it."),
                Some(set(context, path, target)),
                format!("it rose from {} to {} and asked for more: how much it wanted in all was not seen, {} is the least", bytes(before), bytes(after), bytes(target)),
            )
        }
        CauseClass::Tmpfs => {
            let shmem = trace.at(FieldId::Shmem, context.at_us)?;
            let rest = end.saturating_sub(shmem);
            new(
                format!("Keep files of {who} on a disk, delete them, or bound the tmpfs."),
                Some(format!("compose: tmpfs: [\"/tmp:size={}\"]", size(total.saturating_sub(rest + rest / 4).max(1 << 20)))),
                format!("{} of tmpfs count against the limit of {}; processes need {}", bytes(shmem), bytes(total), bytes(rest)),
            )
        }
        CauseClass::Cache => new(
            format!("Write less at once in {who}, or sync in between."),
            None,
            "dirty and locked pages cannot be taken back in time".into(),
        ),
        CauseClass::Neighbour => {
            let others: u64 = context.members().iter().filter(|(path, _)| *path != suspect).map(|(path, t)| context.at_end(path, t)).sum();
            let room = total.saturating_sub(others);
            new(
                format!("Give {who} a limit of its own, so that it is killed itself when it grows."),
                Some(set(context, suspect, room.saturating_sub(room / 10))),
                format!("it held {} of the {}, the others {}", bytes(end), bytes(total), bytes(others)),
            )
        }
        CauseClass::LimitsExceed => {
            let (sum, count) = limits(context, scope.unwrap_or("/"))?;
            let each = (total as f64 * 0.9 / count as f64) as u64;
            let setting = match limit.owner {
                Owner::Machine if context.origin.wsl.is_some() => format!(".wslconfig: [wsl2] memory={}", size(roomy(sum))),
                Owner::Machine => format!("each of the {count}: {}", set(context, suspect, each)),
                _ => set(context, scope.unwrap_or(suspect), roomy(sum)),
            };
            new(
                "Make the limits add up to less than there is, or give the machine more.".into(),
                Some(setting),
                format!("{} are promised to {count} cgroups, there are {}", bytes(sum), bytes(total)),
            )
        }
        CauseClass::Storm => {
            let (many, rise) = (0..4).map(|i| storm_step(context, context.at_us - i * 500_000)).max()?;
            let setting = scope.map(|scope| set(context, scope, roomy(total + rise / 2)));
            new(
                "Let them not run at the same time (start_period and interval of health checks, cron minutes, a delay at the start).".into(),
                setting,
                format!("{many} cgroups took {} together within 2 s; one after the other it would be {}", bytes(rise), bytes(rise / many.max(1) as u64)),
            )
        }
        CauseClass::Forks => {
            let (first, last) = fork_tasks(context)?;
            new(
                format!("Bound the tasks of {who}, and reap or reuse processes."),
                Some(format!("compose: pids_limit: {}   systemd: TasksMax={}", first * 2 + 10, first * 2 + 10)),
                format!("{first} tasks at first, {last} right before the kill"),
            )
        }
        CauseClass::Swap => {
            let total = context.host.at(FieldId::MemTotal, context.at_us)?;
            let swap = context.host.at(FieldId::SwapTotal, context.at_us)?;
            let target = roomy(swap.max(total / 4));
            let setting = if context.origin.wsl.is_some() {
                format!(".wslconfig: [wsl2] swap={}", size(target))
            } else {
                format!("fallocate -l {0} /swapfile && mkswap /swapfile && swapon /swapfile", size(target))
            };
            new(
                "More swap gives time to see it coming; it does not take the cause away.".into(),
                Some(setting),
                format!("{} of swap for {} of memory", bytes(swap), bytes(total)),
            )
        }
        CauseClass::Exhausted => new(
            "Give each container a limit, so that the kernel kills one of them before the machine stops.".into(),
            Some(set(context, suspect, end)),
            format!("{who} held {} at the end", bytes(end)),
        ),
        CauseClass::NotMemory => new(
            "Look at the host: its own log, power, and who stopped the virtual machine; memory was not short.".into(),
            None,
            "the last readings show room".into(),
        ),
        CauseClass::Killed
        | CauseClass::StopTimeout
        | CauseClass::OomDaemon
        | CauseClass::OwnCeiling
        | CauseClass::Crash
        | CauseClass::ExitCode => None,
        CauseClass::Unknown => new(
            "Record it again with `sampler record --burst 1ms` as root, so that the kernel's report and the last moments are seen.".into(),
            None,
            "no cause has enough evidence".into(),
        ),
    }
}

/// What was used and room above it, in steps of 16 MiB.
fn roomy(bytes: u64) -> u64 {
    ((bytes as f64 * (1.0 + MARGIN)) as u64).next_multiple_of(16 << 20)
}

/// As configuration files write a size.
fn size(bytes: u64) -> String {
    format!("{}M", (bytes >> 20).max(1))
}

/// The line that sets a cgroup's limit.
fn set(context: &IncidentContext, path: &str, bytes: u64) -> String {
    let last = path.rsplit('/').next().unwrap_or(path);
    let who = context.called(path);
    let service = context.names.of(path, |_| None).and_then(|who| who.service);
    let service = service.map_or_else(|| who.clone(), |service| printable(&service));
    let size = size(bytes);
    if last.ends_with(".service") || last.ends_with(".slice") {
        format!("systemd: systemctl set-property {who} MemoryMax={size}")
    } else if path == "/wsl-user" {
        format!(".wslconfig: [wsl2] memory={size}")
    } else {
        format!("compose, service {service}: mem_limit: {}", size.to_ascii_lowercase())
    }
}
