//! Which of the reports that are open a line is of.

use crate::kernel::oom::kmsg::detail::stats_path;
use crate::kernel::oom::kmsg::line::Line;
use crate::kernel::oom::kmsg::lines;
use crate::kernel::oom::kmsg::open::{Open, Part};
use crate::kernel::oom::kmsg::table::Columns;
use crate::model::evidence::{Constraint, OomReport};

/// Where nothing but the order of the lines says that a kill is of a report, it comes within this behind its other lines, or behind
/// its first line where all others were left out.
const NEXT_US: u64 = 100_000;
const HEADER_US: u64 = 2_000_000;

/// Whether a line may be of a report: where the kernel says who writes, of that one alone.
pub(super) fn is_of(open: &Open, line: &Line<'_>) -> bool {
    match (&open.caller, line.caller) {
        (Some(known), Some(caller)) => known == caller,
        _ => true,
    }
}

/// Whether a line may go on a report: behind the line that names the victim comes the kill and nothing else.
pub(super) fn goes_on(open: &Open, line: &Line<'_>) -> bool {
    is_of(open, line) && open.named.pid.is_none() && open.chosen.is_none()
}

/// Whether one report comes behind the other, as since 4.2 (`oom_lock`): flags have names since 4.6.
pub(super) fn is_serial(report: &OomReport) -> bool {
    report.trigger.as_ref().is_some_and(|trigger| trigger.gfp_mask.contains('('))
}

/// Whether a report has already what a line says.
pub(super) fn begins_again(open: &Open, text: &str) -> bool {
    match lines::usage(text) {
        Some(("memory", usage)) => open.report.memory.is_some_and(|known| known != usage),
        _ if Columns::of(text).is_some() => open.has_table(),
        _ => lines::task_in(text)
            .is_some_and(|(_, limit)| open.report.oom_memcg.as_deref().is_some_and(|known| known != limit)),
    }
}

/// The open report that a kill belongs to.
pub(super) fn report_of(
    all: &[Open],
    pid: i32,
    comm: &str,
    prefix: Constraint,
    line: &Line<'_>,
    chooses: bool,
) -> Option<usize> {
    let fits = |open: &&Open| {
        let known = open.constraint();
        let same = match (known, prefix) {
            (Constraint::Unknown, _) | (_, Constraint::Unknown) => true,
            (Constraint::Memcg, prefix) => prefix == Constraint::Memcg,
            (_, prefix) => prefix != Constraint::Memcg,
        };
        same && is_of(open, line) && !(chooses && open.chosen.is_some())
    };
    let near = |open: &&Open| match (line.time_us, open.seen_us) {
        (Some(now), Some(seen)) => {
            let most_us = if open.has_details() { NEXT_US } else { HEADER_US };
            now.abs_diff(seen) <= most_us.max(line.exact_us)
        }
        _ => true,
    };
    let find = |wants: &dyn Fn(&&Open) -> bool| all.iter().rposition(|open| fits(&open) && wants(&open));
    let is_named = |open: &&Open| open.named.pid == Some(pid);
    let is_chosen = |open: &&Open| open.chosen.as_ref().is_some_and(|(chosen, _)| *chosen == pid);
    // The chosen one's child may die, and of a process that is named by a thread the process.
    let is_child = |open: &&Open| open.chosen.is_some();
    let is_thread = |open: &&Open| {
        open.named.pid.is_some() && near(open) && (open.named.comm.as_deref() == Some(comm) || open.lists(pid))
    };
    let is_listed = |open: &&Open| open.named.pid.is_none() && open.lists(pid);
    let is_next = |open: &&Open| open.named.pid.is_none() && near(open) && (!open.has_table() || open.report.truncated);
    [&is_named as &dyn Fn(&&Open) -> bool, &is_chosen, &is_child, &is_thread, &is_listed, &is_next]
        .into_iter()
        .find_map(find)
}

/// The report that the line which names the cgroups is of.
pub(super) fn place_of_summary(all: &[Open], rest: &str, line: &Line<'_>) -> Option<usize> {
    let mut report = OomReport::default();
    let named = lines::summary(rest, &mut report);
    let lists = |open: &&Open| named.pid.is_some_and(|pid| open.lists(pid));
    let fits = |open: &&Open| {
        let known = open.constraint();
        known == Constraint::Unknown
            || report.constraint == Constraint::Unknown
            || (known == Constraint::Memcg) == (report.constraint == Constraint::Memcg)
    };
    let lacks = |open: &&Open| goes_on(open, line) && fits(open) && !open.awaits_summary();
    let find = |wants: &dyn Fn(&&Open) -> bool| all.iter().rposition(|open| lacks(&open) && wants(&open));
    // A thread that is named is in no table.
    find(&lists).or_else(|| find(&|open| !open.has_table())).or_else(|| find(&|_| true))
}

/// Of two reports that are written at the same time, the one that lacks what the line says, or that it names.
pub(super) fn place_among(all: &[Open], line: &Line<'_>) -> Option<usize> {
    let text = line.text;
    let find = |wants: &dyn Fn(&Open) -> bool| {
        let mut found = all.iter().enumerate().filter(|(_, open)| is_of(open, line) && wants(open));
        found.next().map(|(at, _)| at)
    };
    let only = |wants: &dyn Fn(&Open) -> bool| {
        let count = all.iter().filter(|open| is_of(open, line) && wants(open)).count();
        if count == 1 { find(wants) } else { None }
    };
    if let Some((comm, _)) = text.split_once(" cpuset=") {
        let is = |open: &Open| open.report.trigger.as_ref().is_some_and(|trigger| trigger.comm == comm);
        return find(&|open| is(open) && open.cpuset.is_none());
    }
    if let Some((_, rest)) = text.split_once(" Comm: ") {
        let is = |open: &Open| open.report.trigger.as_ref().is_some_and(|t| rest.starts_with(&t.comm));
        return find(&|open| is(open) && open.report.kernel.is_none());
    }
    if let Some((task, _)) = lines::task_in(text) {
        let is = |open: &Open| open.cpuset.as_deref().is_some_and(|name| task.contains(name) && name.len() > 1);
        return only(&is).or_else(|| find(&|open| open.report.oom_memcg.is_none()));
    }
    if let Some((what, _)) = lines::usage(text) {
        let lacks = |open: &Open| match what {
            "memory" => open.report.memory.is_none(),
            "kmem" => open.report.kmem.is_none() && open.report.memory.is_some(),
            _ => open.report.swap.is_none() && open.report.memory.is_some(),
        };
        return find(&lacks);
    }
    if text.starts_with("Tasks state") {
        return find(&|open| open.part != Part::Tasks && !open.has_table());
    }
    if Columns::of(text).is_some() {
        return find(&|open| open.columns.is_none());
    }
    if let Some(path) = stats_path(text) {
        let is = |open: &Open| {
            open.report.oom_memcg.as_deref().is_some_and(|limit| crate::model::paths::is_below(path, limit))
        };
        return only(&is);
    }
    None
}
