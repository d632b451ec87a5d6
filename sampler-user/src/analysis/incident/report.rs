//! What the kernel's report alone says of a kill, where nothing was recorded around it: one moment, and no growth. A cause is only
//! indicated by it, and a leak cannot be.

use crate::analysis::incident::advice::{Advice, config_size, limit_setting, with_margin};
use crate::analysis::incident::cause::{self, CauseClass, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::limit::Owner;
use crate::model::evidence::{OomReport, Victim};
use crate::model::fields::FieldId;
use crate::model::units::{bytes, printable};

/// From this part on something is said to be what the memory was.
const MOSTLY: f64 = 0.4;
/// How likely a cause is at most that one report indicates.
const INDICATED: f64 = 0.6;
/// So many tasks of one name, and this part of those that are listed, are many.
const MANY_TASKS: usize = 32;
const SAME_NAME: f64 = 0.8;
/// A limit that is smaller leaves no room for a program.
const TINY: u64 = 4 << 20;

/// Puts what a report says where a recording's rows would be.
pub fn fill(context: &mut IncidentContext) {
    context.take_facts();
    let at = context.at_us;
    let Some(machine) = report(context).and_then(|report| report.machine.clone()) else { return };
    let fields = [
        (FieldId::MemTotal, machine.total),
        (FieldId::SwapTotal, machine.swap_total),
        (FieldId::SwapFree, machine.swap_free),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            context.host.put(field, at, value);
        }
    }
}

fn report(context: &IncidentContext) -> Option<&OomReport> {
    context.kill()?.report.as_deref()
}

/// What there was to share: of the cgroup what it held, of the machine its memory.
fn whole(context: &IncidentContext) -> Option<u64> {
    let limit = context.limit();
    match limit.owner {
        Owner::Machine => limit.limit,
        _ => limit.usage,
    }
    .filter(|whole| *whole > 0)
}

/// A part of the memory by the names it has in memory.stat or `Mem-Info`.
fn part(report: &OomReport, names: &[&str]) -> Option<u64> {
    let of = |list: &[(String, u64)]| {
        names.iter().find_map(|name| list.iter().find(|(key, _)| key == name).map(|(_, value)| *value))
    };
    of(&report.stats).or_else(|| of(&report.machine.as_ref()?.parts))
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn held(victim: &Victim) -> u64 {
    victim.anon_rss.saturating_add(victim.file_rss).saturating_add(victim.shmem_rss)
}

/// Judges the classes that a report can indicate.
pub fn judge(context: &IncidentContext) -> Vec<Judgement> {
    let mut all = Vec::new();
    let mut add = |class: CauseClass, score: f64, why: String| {
        let mut judgement = Judgement::new(class);
        judgement.pro(score, why);
        all.push(judgement);
    };
    if let (Some(report), Some(whole)) = (report(context), whole(context)) {
        if let Some(shmem) = part(report, &["shmem", "total_shmem"]).filter(|part| share(*part, whole) >= MOSTLY) {
            let words = format!("{} of {} was shared memory or files in a tmpfs", bytes(shmem), bytes(whole));
            add(CauseClass::Tmpfs, INDICATED, words);
        }
        let stuck: u64 = [&["dirty", "file_dirty"][..], &["writeback", "file_writeback"], &["unevictable"]]
            .iter()
            .filter_map(|names| part(report, names))
            .sum();
        if share(stuck, whole) >= MOSTLY {
            let words =
                format!("{} of {} could not be reclaimed: dirty, being written or locked", bytes(stuck), bytes(whole));
            add(CauseClass::Cache, INDICATED, words);
        }
        if let Some((comm, count)) = most_frequent(report) {
            let rows = report.task_rows.unwrap_or(0);
            add(CauseClass::Forks, 0.55, format!("at least {count} of {rows} processes are `{}`", printable(comm)));
        }
        if let Some(swapped) =
            report.swap.filter(|swap| report.kmem.is_none() && swap.limit == Some(swap.usage) && swap.usage > 0)
        {
            add(CauseClass::Swap, 0.5, format!("the {} of swap that it may use were full", bytes(swapped.usage)));
        }
    }
    let mut machine = Judgement::new(CauseClass::Swap);
    (cause::of(CauseClass::Swap).judge)(context, &mut machine);
    all.push(machine);
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

/// The name that nearly all of the listed tasks have, and how many.
fn most_frequent(report: &OomReport) -> Option<(&str, usize)> {
    let count = |comm: &str| report.tasks.iter().filter(|task| task.comm == comm).count();
    let best = report.tasks.iter().map(|task| task.comm.as_str()).max_by_key(|comm| count(comm))?;
    let count = count(best);
    (count >= MANY_TASKS && share(count as u64, report.tasks.len() as u64) >= SAME_NAME).then_some((best, count))
}

/// After what, as far as one moment shows it.
pub fn why(context: &IncidentContext, class: CauseClass) -> String {
    let Some(report) = report(context) else { return String::new() };
    match class {
        CauseClass::Tmpfs => {
            let shmem = part(report, &["shmem", "total_shmem"]).unwrap_or(0);
            return format!(" with {} of tmpfs files or shared memory, which no kill of a process frees", bytes(shmem));
        }
        CauseClass::Cache => return " with page cache that could not be reclaimed".into(),
        _ => {}
    }
    // v1 counts it by itself, v2 since 5.18.
    let kernel = part(report, &["kernel"]).or(report.kmem.map(|kmem| kmem.usage));
    if let Some((kernel, whole)) = kernel.zip(whole(context)).filter(|(kernel, whole)| share(*kernel, *whole) >= MOSTLY)
    {
        return format!("; {} of the {} was kernel memory", bytes(kernel), bytes(whole));
    }
    let victim = &report.victim;
    let largest = report.tasks.iter().max_by_key(|task| task.rss.saturating_add(task.swap));
    if let Some(task) = largest.filter(|task| task.pid != victim.pid && task.rss > held(victim).saturating_mul(2)) {
        return format!("; `{}` (pid {}) held most, {}", printable(&task.comm), task.pid, bytes(task.rss));
    }
    if victim.total_vm == 0 {
        return String::new();
    }
    match whole(context) {
        Some(whole) => {
            let percent = (100.0 * share(held(victim), whole)).min(100.0);
            format!("; it held {} of the {} ({percent:.0} %)", bytes(held(victim)), bytes(whole))
        }
        None => format!("; it held {}", bytes(held(victim))),
    }
}

/// What to change.
pub fn advice(context: &IncidentContext, class: CauseClass) -> Vec<Advice> {
    let mut all = Vec::new();
    let limit = context.limit();
    let report = report(context);
    if report.is_some_and(|report| report.manual) {
        return all;
    }
    if let Some(heap) = report.and_then(|report| heap(&report.victim.comm, whole(context))) {
        all.push(heap);
    }
    match (limit.owner, limit.cgroup.as_deref(), limit.limit) {
        (Owner::Own | Owner::Ancestor | Owner::WslUser, Some(path), Some(bytes_of)) if bytes_of < TINY => all.push(Advice {
            what: format!("Raise the limit of {}: no program fits below it.", context.called(path)),
            setting: Some(limit_setting(context, path, 64 << 20)),
            because: format!("the limit is {}", bytes(bytes_of)),
        }),
        (Owner::Own | Owner::Ancestor | Owner::WslUser, Some(path), Some(bytes_of)) if class == CauseClass::Tmpfs => {
            all.push(Advice {
                what: format!("Keep the files of {} on a disk, delete them, or bound the tmpfs.", context.called(path)),
                setting: Some(format!("compose: tmpfs: [\"/tmp:size={}\"]", config_size(bytes_of / 4))),
                because: "what is in a tmpfs counts against the limit, and a kill does not free it".into(),
            });
        }
        (Owner::Own | Owner::Ancestor | Owner::WslUser, Some(path), Some(bytes_of)) => all.push(Advice {
            what: format!(
                "If this is what it needs, raise the limit of {} from {}; if it only grows, a higher limit postpones the kill.",
                context.called(path),
                bytes(bytes_of)
            ),
            setting: Some(limit_setting(context, path, with_margin(bytes_of))),
            because: "one report does not show whether memory grew: a need and a leak look the same in it".into(),
        }),
        (Owner::Machine, ..) => machine(context, &mut all),
        _ => {}
    }
    all.push(Advice {
        what: "Record the next one: then the page shows who grew, since when and how fast.".into(),
        setting: Some("sudo sampler record".into()),
        because: "the kernel's log shows one moment and no growth".into(),
    });
    all
}

/// Of the machine: a limit for the one that was chosen, more memory for WSL, and swap where there is none left.
fn machine(context: &IncidentContext, all: &mut Vec<Advice>) {
    if let Some(path) = context.victim_cgroup().filter(|path| *path != "/") {
        let held = report(context).map(|report| held(&report.victim)).filter(|held| *held > 0);
        all.push(Advice {
            what: format!("Give {} a limit, so that it is stopped before the machine is.", context.called(path)),
            setting: held.map(|held| limit_setting(context, path, held)),
            because: "no limit of a cgroup was hit: the kernel chose among all processes of the machine".into(),
        });
    }
    let total = context.host.at(FieldId::MemTotal, context.at_us);
    if context.origin.wsl.is_some() {
        let size = total.map_or_else(String::new, |total| format!("it has {}, and ", bytes(total)));
        all.push(Advice {
            what: "Give the virtual machine of WSL more of the host's memory (memory= below [wsl2] in .wslconfig), if there is more."
                .into(),
            setting: total.map(|total| format!(".wslconfig: [wsl2] memory={}", config_size(with_margin(total)))),
            because: format!("{size}all distributions and containers share it"),
        });
    }
    let swap = cause::of(CauseClass::Swap);
    let mut judgement = Judgement::new(CauseClass::Swap);
    (swap.judge)(context, &mut judgement);
    if judgement.score >= cause::ENOUGH {
        all.extend((swap.advise)(context));
    }
}

/// A runtime that sizes its heap by itself.
fn heap(comm: &str, whole: Option<u64>) -> Option<Advice> {
    let whole = whole?;
    let (what, setting) = match comm {
        "java" => (
            "Bound the JVM's heap below the limit; it needs a quarter more for all else.",
            "-XX:MaxRAMPercentage=75".to_owned(),
        ),
        "node" | "nodejs" | "MainThread" | "node-MainThread" => {
            ("Bound V8's heap below the limit.", format!("NODE_OPTIONS=--max-old-space-size={}", (whole / 4 * 3) >> 20))
        }
        _ => return None,
    };
    Some(Advice {
        what: what.into(),
        setting: Some(setting),
        because: format!(
            "it may take {} in all; with a bound of its own it reports its own error in place of a kill",
            bytes(whole)
        ),
    })
}

/// What a log cannot say, and what this one does not.
pub fn unknown(context: &IncidentContext) -> Vec<String> {
    let mut all = vec![
        "who grew, since when and how fast: the report shows one moment; record the next one with `sudo sampler record`"
            .to_owned(),
    ];
    let Some(report) = report(context) else { return all };
    let is_bare = report.trigger.is_none() && report.oom_memcg.is_none() && report.task_memcg.is_none();
    if is_bare {
        all.push(
            "the log has no report of this kill, only its last line: the kernel leaves reports out after ten in five seconds, or \
             they were not copied; whose limit it was, who asked and who else held memory is not known"
                .into(),
        );
    } else if report.trigger.is_none() {
        all.push("who asked for the memory: the report's first line is not in the log".into());
    }
    if !is_bare && report.task_rows.is_none() {
        all.push("who else held memory: the report has no table of tasks".into());
    }
    if let Some((pid, comm)) = &report.chosen {
        let victim = printable(&report.victim.comm);
        all.push(format!(
            "the cgroup of `{victim}` itself: the kernel chose its parent `{}` (pid {pid}), whose cgroup is shown, and killed the child",
            printable(comm)
        ));
    }
    if report.truncated {
        all.push("the report is not whole: lines of it are missing, or it was too long to keep".into());
    }
    if report.victim.total_vm == 0 {
        all.push("what the victim held: its line has no sizes, or was cut".into());
    }
    all.extend(context.logged.as_ref().and_then(|logged| logged.unknown.clone()));
    all
}
