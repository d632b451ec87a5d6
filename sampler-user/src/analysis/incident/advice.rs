//! What to change, with the numbers it rests on.

use serde::{Deserialize, Serialize};

use super::Owner;
use super::cause::{Class, burst_rise, fork_tasks, storm_step};
use super::death;
use super::memory::limits;
use super::occurrence::Kind;
use super::scene::Scene;
use crate::fields::FieldId;
use crate::units::{bytes, printable};

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
pub fn of(scene: &Scene, cause: Class, contributing: &[Class]) -> Vec<Advice> {
    if scene.kind == Kind::Death {
        return death::words::advice(scene, cause);
    }
    let mut all = Vec::new();
    for class in std::iter::once(&cause).chain(contributing) {
        all.extend(one(scene, *class));
    }
    all
}

fn one(scene: &Scene, class: Class) -> Option<Advice> {
    let limit = scene.limit();
    let (suspect, trace) = scene.suspect_trace()?;
    let end = scene.at_end(suspect, trace);
    let who = scene.called(suspect);
    let scope = limit.cgroup.as_deref();
    let total = limit.limit.unwrap_or(0);
    let new = |what: String, setting: Option<String>, because: String| Some(Advice { what, setting, because });
    match class {
        Class::Leak => {
            let rate = scene.history.as_ref().and_then(|history| history.rate_bytes_per_s).filter(|rate| *rate > 0.0);
            let look = match scene.component() {
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
                    crate::units::micros((total as f64 / rate * 1e6) as u64)
                ),
                None => format!("it held {} at the end", bytes(end)),
            };
            // Without a limit of its own it takes others with it.
            let own = trace.limit(FieldId::Max, scene.at_us);
            let setting = (limit.owner != Owner::Own && own.is_none()).then(|| set(scene, suspect, end.min(total / 2)));
            new(format!("Find the leak in {who}: look for {look}. A higher limit only postpones it."), setting, because)
        }
        Class::LimitTooLow => {
            let trace = scene.cgroups.get(scope?)?;
            let peak = trace.footprints(scene.since_us(), scene.at_us).iter().map(|(_, v)| *v).max()?.max(total);
            let target = roomy(peak);
            new(
                format!("Raise the limit of {} from {} to {}, or make its heap smaller.", scene.called(scope?), bytes(total), bytes(target)),
                Some(set(scene, scope?, target)),
                format!("its working set reached the {} there are; {:.0} % of room above it", bytes(peak), 100.0 * MARGIN),
            )
        }
        Class::Burst | Class::LoadSpike => {
            let (before, after) = burst_rise(scene)?;
            let target = roomy(total.max(after));
            let path = scope.unwrap_or(suspect);
            new(
                format!("Bound what {who} takes at once (size of requests, files, workers), or give it room for it."),
                Some(set(scene, path, target)),
                format!("it rose from {} to {} and asked for more: how much it wanted in all was not seen, {} is the least", bytes(before), bytes(after), bytes(target)),
            )
        }
        Class::Tmpfs => {
            let shmem = trace.at(FieldId::Shmem, scene.at_us)?;
            let rest = end.saturating_sub(shmem);
            new(
                format!("Keep files of {who} on a disk, delete them, or bound the tmpfs."),
                Some(format!("compose: tmpfs: [\"/tmp:size={}\"]", size(total.saturating_sub(rest + rest / 4).max(1 << 20)))),
                format!("{} of tmpfs count against the limit of {}; processes need {}", bytes(shmem), bytes(total), bytes(rest)),
            )
        }
        Class::Cache => new(
            format!("Write less at once in {who}, or sync in between."),
            None,
            "dirty and locked pages cannot be taken back in time".into(),
        ),
        Class::Neighbour => {
            let others: u64 = scene.members().iter().filter(|(path, _)| *path != suspect).map(|(path, t)| scene.at_end(path, t)).sum();
            let room = total.saturating_sub(others);
            new(
                format!("Give {who} a limit of its own, so that it is killed itself when it grows."),
                Some(set(scene, suspect, room.saturating_sub(room / 10))),
                format!("it held {} of the {}, the others {}", bytes(end), bytes(total), bytes(others)),
            )
        }
        Class::LimitsExceed => {
            let (sum, count) = limits(scene, scope.unwrap_or("/"))?;
            let each = (total as f64 * 0.9 / count as f64) as u64;
            let setting = match limit.owner {
                Owner::Machine if scene.origin.wsl.is_some() => format!(".wslconfig: [wsl2] memory={}", size(roomy(sum))),
                Owner::Machine => format!("each of the {count}: {}", set(scene, suspect, each)),
                _ => set(scene, scope.unwrap_or(suspect), roomy(sum)),
            };
            new(
                "Make the limits add up to less than there is, or give the machine more.".into(),
                Some(setting),
                format!("{} are promised to {count} cgroups, there are {}", bytes(sum), bytes(total)),
            )
        }
        Class::Storm => {
            let (many, rise) = (0..4).map(|i| storm_step(scene, scene.at_us - i * 500_000)).max()?;
            let setting = scope.map(|scope| set(scene, scope, roomy(total + rise / 2)));
            new(
                "Let them not run at the same time (start_period and interval of health checks, cron minutes, a delay at the start).".into(),
                setting,
                format!("{many} cgroups took {} together within 2 s; one after the other it would be {}", bytes(rise), bytes(rise / many.max(1) as u64)),
            )
        }
        Class::Forks => {
            let (first, last) = fork_tasks(scene)?;
            new(
                format!("Bound the tasks of {who}, and reap or reuse processes."),
                Some(format!("compose: pids_limit: {}   systemd: TasksMax={}", first * 2 + 10, first * 2 + 10)),
                format!("{first} tasks at first, {last} right before the kill"),
            )
        }
        Class::Swap => {
            let total = scene.host.at(FieldId::MemTotal, scene.at_us)?;
            let swap = scene.host.at(FieldId::SwapTotal, scene.at_us)?;
            let target = roomy(swap.max(total / 4));
            let setting = if scene.origin.wsl.is_some() {
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
        Class::Exhausted => new(
            "Give each container a limit, so that the kernel kills one of them before the machine stops.".into(),
            Some(set(scene, suspect, end)),
            format!("{who} held {} at the end", bytes(end)),
        ),
        Class::NotMemory => new(
            "Look at the host: its own log, power, and who stopped the virtual machine; memory was not short.".into(),
            None,
            "the last readings show room".into(),
        ),
        Class::Killed
        | Class::StopTimeout
        | Class::OomDaemon
        | Class::OwnCeiling
        | Class::Crash
        | Class::ExitCode => None,
        Class::Unknown => new(
            "Record it again with `sampler record --burst 1ms` as root, so that the kernel's report and the last moments are seen.".into(),
            None,
            "no cause has enough evidence".into(),
        ),
    }
}

/// What was used and room above it, in steps of 16 MiB.
pub(super) fn roomy(bytes: u64) -> u64 {
    ((bytes as f64 * (1.0 + MARGIN)) as u64).next_multiple_of(16 << 20)
}

/// As configuration files write a size.
pub(super) fn size(bytes: u64) -> String {
    format!("{}M", (bytes >> 20).max(1))
}

/// The line that sets a cgroup's limit.
pub(super) fn set(scene: &Scene, path: &str, bytes: u64) -> String {
    let last = path.rsplit('/').next().unwrap_or(path);
    let who = scene.called(path);
    let service = scene.names.of(path, |_| None).and_then(|who| who.service);
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
