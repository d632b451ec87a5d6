//! What a log says twice: a kill that it has in two forms, and what programs repeat.

use crate::kernel::oom::textlog::log::{ByProgram, Kill, When};
use crate::kernel::oom::textlog::stamp::Wall;
use crate::kernel::oom::textlog::userspace::Killing;
use crate::model::evidence::OomReport;

/// Rows of a table that are kept, the largest and the victim's.
const MOST_TASKS: usize = 48;
/// What is said twice of a kill by a program comes within this, microseconds.
const TWICE_US: i64 = 30_000_000;
/// A victim that is named again, as the first one of a group is, is named within this.
const AGAIN_US: u64 = 10_000_000;

/// The largest tasks, and the victim.
pub(super) fn keep_largest(report: &mut OomReport) {
    let size = |task: &crate::model::evidence::TaskRow| task.rss.saturating_add(task.swap);
    report.tasks.sort_by(|a, b| size(b).cmp(&size(a)).then(a.pid.cmp(&b.pid)));
    let (mut at, victim) = (0, report.victim.pid);
    report.tasks.retain(|task| {
        at += 1;
        at <= MOST_TASKS || task.pid == victim
    });
    report.tasks.shrink_to_fit();
    report.stats.shrink_to_fit();
}

/// Whether a kill is one that the log has already: a paste may hold `dmesg` and the journal, and of a group the kernel names the
/// first victim twice.
pub(super) fn is_same(known: &Kill, report: &OomReport, when: &When) -> bool {
    let (a, b) = (&known.report.victim, &report.victim);
    if a.pid != b.pid || a.comm != b.comm {
        return false;
    }
    let times = known.when.uptime_us.zip(when.uptime_us);
    let same_clock = |(a, b): &(Wall, Wall)| a.zoned == b.zoned && a.dated == b.dated;
    let walls = known.when.wall.zip(when.wall).filter(same_clock);
    // No pid is given again so soon.
    let soon = match (times, walls) {
        (Some((a, b)), _) => a.abs_diff(b) <= AGAIN_US,
        (None, Some((a, b))) => a.us.abs_diff(b.us) <= AGAIN_US,
        (None, None) => known.when == *when,
    };
    if soon && known.when.boot == when.boot {
        return true;
    }
    // Not both have sizes: the kubelet reports what the kernel did.
    let is_account = (a.total_vm == 0) != (b.total_vm == 0);
    let same_sizes =
        (a.total_vm, a.anon_rss, a.file_rss, a.shmem_rss) == (b.total_vm, b.anon_rss, b.file_rss, b.shmem_rss);
    if let Some((a, b)) = times {
        return same_sizes && a.abs_diff(b) <= 1;
    }
    if known.when.boot != when.boot && known.when.uptime_us.is_none() == when.uptime_us.is_none() {
        return false;
    }
    // By one clock two times are two kills.
    walls.is_none() && ((same_sizes && a.total_vm > 0) || is_account)
}

/// Two accounts of one kill: the fuller one stays, with the times of both.
pub(super) fn join(known: &mut Kill, mut report: OomReport, when: When, by_kubelet: bool) {
    known.copies += 1;
    known.by_kubelet &= by_kubelet;
    known.when.uptime_us = known.when.uptime_us.or(when.uptime_us);
    known.when.wall = known.when.wall.or(when.wall);
    let fullness = |report: &OomReport| {
        (
            report.oom_memcg.is_some() || report.task_memcg.is_some(),
            report.trigger.is_some(),
            report.task_rows,
            report.stats.len(),
        )
    };
    let old = &mut *known.report;
    let group = old.group || report.group;
    if fullness(&report) > fullness(old) && !(old.group || report.group)
        || (old.victim.total_vm == 0 && report.victim.total_vm > 0)
    {
        keep_largest(&mut report);
        *old = report;
    } else if old.task_memcg.is_none() {
        old.task_memcg = report.task_memcg;
    }
    old.group = group;
}

/// Whether a kill by a program is reported again: by the service manager, or as the signal grows.
pub(super) fn is_again(known: &ByProgram, killing: &Killing, when: &When) -> bool {
    if known.killing.by != killing.by || known.when.boot != when.boot {
        return false;
    }
    let near = match (known.when.wall, when.wall, known.when.uptime_us, when.uptime_us) {
        (_, _, Some(a), Some(b)) => a.abs_diff(b) <= TWICE_US as u64,
        (Some(a), Some(b), ..) => (a.us - b.us).abs() <= TWICE_US,
        _ => true,
    };
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let same_cgroup = match (&known.killing.cgroup, &killing.cgroup) {
        (Some(a), Some(b)) => last(a) == last(b),
        (None, None) => true,
        _ => false,
    };
    near && same_cgroup && known.killing.pid == killing.pid && known.killing.comm == killing.comm
}
