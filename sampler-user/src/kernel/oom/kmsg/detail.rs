//! The lines of a report between its first and its last.

use crate::kernel::oom::kmsg::lines;
use crate::kernel::oom::kmsg::open::{Open, Part};
use crate::kernel::oom::kmsg::table::{Columns, row};

/// Whether a line can only be of a report.
pub(super) fn begins_cut(text: &str) -> bool {
    lines::task_in(text).is_some()
        || text.starts_with("Memory limit reached of cgroup ")
        || lines::usage(text).is_some_and(|(what, _)| what == "memory")
        || text.starts_with("Tasks state (memory values in pages)")
        || Columns::of(text).is_some()
}

/// The cgroup in `Memory cgroup stats for /a: cache:12KB …`, whose values may stand behind it.
pub(super) fn stats_path(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("Memory cgroup stats for ")?;
    let path = rest.split_once(": ").or_else(|| rest.split_once(":\n")).map_or(rest, |(path, _)| path);
    Some(path.trim_end_matches(':'))
}

/// Takes a line into a report; `false` when it is of something else.
pub(super) fn take_detail(open: &mut Open, text: &str) -> bool {
    if let Some(rest) = text.strip_prefix("oom-kill:") {
        open.set_summary(rest);
    } else if let Some((task, limit)) = lines::task_in(text) {
        open.report.task_memcg = Some(task.to_owned());
        open.report.oom_memcg = Some(limit.to_owned());
        open.task_in = None;
    } else if let Some(task) = text.strip_prefix("Task in ") {
        open.task_in = Some(text.to_owned()).filter(|_| task.starts_with('/'));
    } else if let Some(begun) = open.task_in.as_ref().filter(|_| is_rest_of_task_in(text)) {
        let whole = format!("{} {}", begun.trim_end(), text.trim_start());
        if let Some((task, limit)) = lines::task_in(&whole) {
            open.report.task_memcg = Some(task.to_owned());
            open.report.oom_memcg = Some(limit.to_owned());
        } else {
            open.task_in = Some(whole);
        }
    } else if let Some(limit) = text.strip_prefix("Memory limit reached of cgroup ") {
        open.report.oom_memcg = Some(limit.to_owned());
    } else if let Some((what, usage)) = lines::usage(text) {
        match what {
            "memory" => open.report.memory = Some(usage),
            "kmem" => open.report.kmem = Some(usage),
            _ => open.report.swap = Some(usage),
        }
    } else if let Some(path) = stats_path(text) {
        open.part = Part::Stats;
        if open.report.oom_memcg.is_none() && path.starts_with('/') {
            open.report.oom_memcg = Some(path.to_owned());
        }
        let values = text.split_once(": ").or_else(|| text.split_once(":\n")).map_or("", |(_, values)| values);
        inline_stats(open, values);
    } else if text.starts_with("Tasks state") {
        open.begin_table(None);
    } else if let Some(columns) = Columns::of(text) {
        open.begin_table(Some(columns));
    } else if open.part == Part::Tasks && text.starts_with('[') {
        let Some(row) = row(text, open.columns.as_ref()) else { return false };
        open.add_row(row);
    } else if let Some(release) = lines::kernel(text) {
        open.report.kernel = Some(release.to_owned());
        // The task that asked is named here as well: the first line may be cut within its name.
        let comm = text.split_once(" Comm: ").and_then(|(_, rest)| {
            let ends = [" Not tainted", " Tainted:", " Kdump:"].iter().filter_map(|mark| rest.find(mark));
            Some(&rest[..ends.min()?])
        });
        if let (Some(trigger), Some(comm)) = (&mut open.report.trigger, comm)
            && comm.ends_with(&trigger.comm)
        {
            comm.clone_into(&mut trigger.comm);
        }
    } else if let Some((_, rest)) = text.split_once(" cpuset=").filter(|(_, rest)| rest.contains(" mems_allowed=")) {
        open.cpuset = rest.split_once(" mems_allowed=").map(|(name, _)| name.to_owned());
    } else if open.part == Part::Stats && text.split(['\n', ' ']).next().is_some_and(|word| word.contains(":")) {
        inline_stats(open, text);
    } else if open.part == Part::Stats && plain_stats(open, text) {
    } else {
        let mut took = text == "Mem-Info:";
        text.split('\n').for_each(|line| took |= open.machine.take(line));
        return took;
    }
    true
}

fn is_rest_of_task_in(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("killed as a result") || text.starts_with("as a result of limit of") || text == "killed"
}

/// `cache:12KB rss:524276KB …`, behind the colon or in a line of their own.
fn inline_stats(open: &mut Open, values: &str) {
    for (key, value) in values.split([' ', '\n']).filter_map(|word| word.split_once(':')) {
        if let Some(kib) = value.strip_suffix("KB") {
            open.push_stat(key, kib, 1024);
        }
    }
    plain_stats(open, values);
}

/// `anon 14409728`, a line each.
fn plain_stats(open: &mut Open, text: &str) -> bool {
    let mut took = false;
    for (key, value) in text.split('\n').filter_map(|line| line.trim().split_once(' ')) {
        let is_key = key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if is_key && !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            open.push_stat(key, value, 1);
            took = true;
        }
    }
    took
}
