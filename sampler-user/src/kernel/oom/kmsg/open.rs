//! A report while its lines come.

use crate::kernel::oom::kmsg::lines::{Summary, is_whole, summary};
use crate::kernel::oom::kmsg::machine;
use crate::kernel::oom::kmsg::table::{Columns, Row};
use crate::model::evidence::{Constraint, OomReport, Victim};

/// Tasks kept of one report, the largest.
const MOST_TASKS: usize = 1024;
/// Pids kept of one table.
const MOST_PIDS: usize = 1 << 16;
/// memory.stat values kept of one report.
const MOST_STATS: usize = 128;
/// Bytes kept of the line that names the cgroups.
const MOST_SUMMARY: usize = 16 << 10;

/// What the lines are that have no form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Any.
    None,
    /// Those of `Memory cgroup stats for …`.
    Stats,
    /// Rows of tasks.
    Tasks,
}

/// A report that is not at its end.
#[derive(Debug)]
pub(super) struct Open {
    pub report: OomReport,
    /// Context that wrote it, where the kernel prints that.
    pub caller: Option<String>,
    /// When its last line came, microseconds.
    pub seen_us: Option<u64>,
    /// Lines of the log since then.
    pub idle: u32,
    pub part: Part,
    pub columns: Option<Columns>,
    pub machine: machine::Reading,
    /// Whom the kernel chose, before 5.0.
    pub chosen: Option<(i32, String)>,
    pub named: Summary,
    /// The cpuset of the trigger, which is often named like its container.
    pub cpuset: Option<String>,
    pids: Vec<i32>,
    rows: Option<u64>,
    table_pages: bool,
    /// The line that names the cgroups: with long names, or with lines of others between, it goes on.
    summary: Option<String>,
    /// The beginning of `Task in … killed as a result of limit of …`, which older kernels write in pieces.
    pub task_in: Option<String>,
}

impl Open {
    pub(super) fn of(report: OomReport) -> Open {
        Open {
            report,
            caller: None,
            seen_us: None,
            idle: 0,
            part: Part::None,
            columns: None,
            machine: machine::Reading::default(),
            chosen: None,
            named: Summary::default(),
            cpuset: None,
            pids: Vec::new(),
            rows: None,
            table_pages: false,
            summary: None,
            task_in: None,
        }
    }

    /// Takes the line that names the cgroups, or its first piece.
    pub(super) fn set_summary(&mut self, text: &str) {
        self.named = summary(text, &mut self.report);
        self.summary = (!is_whole(text)).then(|| text.to_owned());
        self.part = Part::None;
    }

    /// Takes a further piece of it.
    pub(super) fn add_summary(&mut self, piece: &str) {
        let Some(mut text) = self.summary.take() else { return };
        if text.len() + piece.len() > MOST_SUMMARY {
            self.report.truncated = true;
            return;
        }
        text.push_str(piece);
        self.set_summary(&text);
    }

    /// Whether more of that line is to come.
    pub(super) fn awaits_summary(&self) -> bool {
        self.summary.is_some()
    }

    /// Lines are missing: nothing goes on where it was.
    pub(super) fn lost(&mut self) {
        self.report.truncated = true;
        self.summary = None;
        self.task_in = None;
    }

    pub(super) fn begin_table(&mut self, columns: Option<Columns>) {
        self.part = Part::Tasks;
        self.rows = self.rows.or(columns.is_some().then_some(0));
        self.columns = columns.or(self.columns.take());
    }

    pub(super) fn has_table(&self) -> bool {
        self.rows.is_some_and(|rows| rows > 0)
    }

    pub(super) fn add_row(&mut self, row: Row) {
        self.rows = Some(self.rows.unwrap_or(0) + 1);
        self.table_pages |= row.table_pages;
        if self.pids.len() < MOST_PIDS {
            self.pids.push(row.task.pid);
            self.pids.extend((row.tgid != row.task.pid).then_some(row.tgid));
        }
        self.report.tasks.push(row.task);
        if self.report.tasks.len() >= 2 * MOST_TASKS {
            self.keep_largest();
        }
    }

    /// Drops the smallest tasks beyond those that are kept.
    fn keep_largest(&mut self) {
        let tasks = &mut self.report.tasks;
        if tasks.len() <= MOST_TASKS {
            return;
        }
        let mut sizes: Vec<u64> = tasks.iter().map(|task| task.rss.saturating_add(task.swap)).collect();
        let (_, least, _) = sizes.select_nth_unstable_by(MOST_TASKS - 1, |a, b| b.cmp(a));
        let least = *least;
        let mut spare = tasks.iter().filter(|task| task.rss.saturating_add(task.swap) >= least).count() - MOST_TASKS;
        tasks.retain(|task| {
            let size = task.rss.saturating_add(task.swap);
            let drops = size < least || (size == least && spare > 0);
            spare -= usize::from(drops && size == least);
            !drops
        });
        self.report.truncated = true;
    }

    /// The pids of its table, of which the members of a group are some.
    pub(super) fn take_pids(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.pids)
    }

    /// Whether any line came between the first and the last.
    pub(super) fn has_details(&self) -> bool {
        self.rows.is_some()
            || self.report.kernel.is_some()
            || self.report.memory.is_some()
            || self.report.oom_memcg.is_some()
            || !self.machine.is_empty()
    }

    /// Whether a pid is in its table.
    pub(super) fn lists(&self, pid: i32) -> bool {
        self.pids.contains(&pid)
    }

    /// What it was that ran out, as far as the lines before the kill say.
    pub(super) fn constraint(&self) -> Constraint {
        match self.report.constraint {
            Constraint::Unknown if self.report.oom_memcg.is_some() || self.report.memory.is_some() => Constraint::Memcg,
            Constraint::Unknown if !self.machine.is_empty() => Constraint::None,
            known => known,
        }
    }

    pub(super) fn push_stat(&mut self, key: &str, value: &str, scale: u64) {
        let Ok(value) = value.parse::<u64>() else { return };
        let (value, stats) = (value.saturating_mul(scale), &mut self.report.stats);
        // Older kernels print each cgroup below the limit without those below it: what is held in all is their sum.
        if let Some((_, sum)) = stats.iter_mut().find(|(known, _)| known == key) {
            *sum = sum.saturating_add(value);
        } else if stats.len() < MOST_STATS {
            stats.push((key.to_owned(), value));
        } else {
            self.report.truncated = true;
        }
    }

    /// The report with its end.
    pub(super) fn close(mut self, victim: Victim, page_size: u64) -> OomReport {
        self.keep_largest();
        let mut report = self.report;
        report.victim = victim;
        let page_size = page_size_of(&report).unwrap_or(page_size);
        for task in &mut report.tasks {
            for pages in [&mut task.total_vm, &mut task.rss, &mut task.swap] {
                *pages = pages.saturating_mul(page_size);
            }
            if self.table_pages {
                task.pgtables = task.pgtables.saturating_mul(page_size);
            }
        }
        // The head alone is of a table whose rows are not in the log.
        report.task_rows = self.rows.filter(|rows| *rows > 0);
        report.machine = self.machine.finish(page_size).map(Box::new);
        report.chosen = self.chosen.filter(|(pid, _)| *pid != report.victim.pid);
        report
    }
}

/// Bytes of a page: the table of tasks counts the victim's virtual size in pages, the line that names it in bytes.
fn page_size_of(report: &OomReport) -> Option<u64> {
    let row = report.tasks.iter().find(|task| task.pid == report.victim.pid && task.total_vm > 0)?;
    let size = report.victim.total_vm / row.total_vm;
    // It may have grown meanwhile: then the two do not fit and say nothing.
    let fits = size.is_power_of_two()
        && (4 << 10..=256 << 10).contains(&size)
        && size.checked_mul(row.total_vm) == Some(report.victim.total_vm);
    fits.then_some(size)
}
