//! Reports from lines, wherever they come from: `/dev/kmsg`, or a file that somebody saved.
//!
//! Only the line `Killed process …` makes a kill: it is never rate-limited. What stands before it (header, usage, table of tasks,
//! `oom-kill:`) is its report when it can be: the kernel leaves the report out after ten in five seconds, and then an older one
//! is none of the new kill's.

use std::collections::VecDeque;

use crate::kernel::oom::kmsg::detail::{begins_cut, take_detail};
use crate::kernel::oom::kmsg::line::Line;
use crate::kernel::oom::kmsg::lines::{self, End};
use crate::kernel::oom::kmsg::open::Open;
use crate::kernel::oom::kmsg::place::{
    begins_again, goes_on, is_of, is_serial, place_among, place_of_summary, report_of,
};
use crate::kernel::oom::kmsg::record::KmsgRecord;
use crate::kernel::oom::kmsg::table::{is_row, row};
use crate::model::evidence::{Constraint, OomReport, Victim};

/// A report's lines come within this time of each other, microseconds.
const REPORT_US: u64 = 5_000_000;
/// The next member of a group comes within this: the kernel prints nothing else between. One of its table may be later.
const MEMBER_US: u64 = 100_000;
const GROUP_US: u64 = 2_000_000;
/// Lines of others after which a report does not go on.
const MOST_IDLE: u32 = 4096;
/// Reports that are open at once: kernels before 4.x may write two at the same time.
const MOST_OPEN: usize = 4;

/// What the lines say.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A process was killed.
    Kill(Box<OomReport>),
    /// A report killed nobody, or does not say whom.
    NoVictim(Box<OomReport>, End),
}

/// The kill before: the other members of its group die by the same OOM.
#[derive(Debug)]
struct Before {
    report: OomReport,
    /// The pids of its table.
    pids: Vec<i32>,
    seen_us: Option<u64>,
    /// Whether `Tasks in … are going to be killed` came after it.
    group: bool,
    /// Whether other lines of the kernel came since.
    apart: bool,
}

/// Builds reports from lines.
#[derive(Debug)]
pub struct OomParser {
    page_size: u64,
    /// Oldest first; the last one that a line went to is the last.
    open: Vec<Open>,
    before: Option<Before>,
    /// Whom the kernel chose without a report (before 5.0), and what ran out.
    chosen: Option<(i32, String, Constraint)>,
    /// SysRq was pressed.
    manual: bool,
    last: Option<(u64, u64)>,
    done: VecDeque<Outcome>,
}

impl Default for OomParser {
    fn default() -> Self {
        OomParser::with_page_size(4096)
    }
}

impl OomParser {
    /// A parser for a kernel with pages of `page_size` bytes, as far as a report does not show another size.
    pub fn with_page_size(page_size: u64) -> OomParser {
        OomParser {
            page_size,
            open: Vec::new(),
            before: None,
            chosen: None,
            manual: false,
            last: None,
            done: VecDeque::new(),
        }
    }

    /// Takes a record; returns a report when the record completes one.
    pub fn push(&mut self, record: &KmsgRecord) -> Option<OomReport> {
        // User space can write to the log as well.
        if record.facility != 0 {
            return None;
        }
        if self.last.is_some_and(|(seq, _)| record.seq > seq.saturating_add(1)) {
            self.lost();
        }
        self.last = Some((record.seq, record.time_us));
        self.push_line(&Line {
            text: &record.text,
            seq: record.seq,
            time_us: Some(record.time_us),
            exact_us: 1,
            continues: record.continues,
            caller: None,
        });
        let mut kill = None;
        while let Some(outcome) = self.take() {
            if let Outcome::Kill(report) = outcome {
                kill = Some(*report);
            }
        }
        kill
    }

    /// Whether lines of a report are to come: until then each line matters.
    pub fn is_busy(&self) -> bool {
        !self.open.is_empty() || self.before.as_ref().is_some_and(|before| !before.apart) || self.chosen.is_some()
    }

    /// What was completed.
    pub fn take(&mut self) -> Option<Outcome> {
        self.done.pop_front()
    }

    /// Lines are missing here.
    pub fn lost(&mut self) {
        self.open.iter_mut().for_each(Open::lost);
    }

    /// The log ends, or another boot begins: nothing goes on.
    pub fn finish(&mut self) {
        while !self.open.is_empty() {
            self.end(0, End::Broken);
        }
        (self.before, self.chosen, self.manual) = (None, None, false);
    }

    /// Takes a line.
    pub fn push_line(&mut self, line: &Line<'_>) {
        self.forget_old(line);
        let text = line.text;
        if self.summary_goes_on(line) {
            return;
        }
        if is_row(text) {
            self.detail(line);
        } else if let Some(trigger) = lines::trigger(text) {
            let mut open = Open::of(OomReport { trigger: Some(trigger), ..OomReport::default() });
            let order = open.report.trigger.as_ref().map_or(0, |trigger| trigger.order);
            open.report.manual = std::mem::take(&mut self.manual) || order < 0;
            if is_serial(&open.report) {
                self.end_all(line);
            }
            self.begin(open, line);
            (self.before, self.chosen) = (None, None);
        } else if let Some((victim, prefix)) = lines::killed(text) {
            self.kill(victim, prefix, line);
        } else if let Some((pid, comm, prefix)) = lines::chosen(text) {
            self.choose(pid, comm, prefix, line);
        } else if let Some(cgroup) = lines::group(text) {
            self.group(cgroup, line);
        } else if let Some(end) = lines::end(text) {
            self.no_victim(end, line);
        } else if text.contains("Manual OOM execution") {
            self.manual = true;
        } else {
            self.detail(line);
        }
    }

    /// What is too old goes on no more.
    fn forget_old(&mut self, line: &Line<'_>) {
        let is_old = |seen_us: Option<u64>, most_us: u64| {
            let (Some(now), Some(seen)) = (line.time_us, seen_us) else { return false };
            // Times that go back are of another boot, but for the little by which two lines may be exchanged.
            now > seen.saturating_add(most_us) || now.saturating_add(most_us) < seen
        };
        for at in (0..self.open.len()).rev() {
            self.open[at].idle += 1;
            if is_old(self.open[at].seen_us, REPORT_US) || self.open[at].idle > MOST_IDLE {
                self.end(at, End::Broken);
            }
        }
        if self.before.as_ref().is_some_and(|before| {
            is_old(before.seen_us, GROUP_US.max(2 * line.exact_us)) || (before.apart && line.time_us.is_none())
        }) {
            self.before = None;
        }
    }

    /// The line that names the cgroups may come in pieces.
    fn summary_goes_on(&mut self, line: &Line<'_>) -> bool {
        let Some(at) = self.open.iter().rposition(|open| open.awaits_summary() && is_of(open, line)) else {
            return false;
        };
        const KEYS: [&str; 6] = [",cpuset=", ",mems_allowed=", ",oom_memcg=", ",global_oom", ",task_memcg=", ",task="];
        // A terminal may have wrapped it: then nothing stands before the rest.
        let is_wrapped = line.time_us.is_none() && self.open[at].seen_us.is_some();
        let goes_on = line.continues
            || line.text.starts_with(',')
            || (KEYS.iter().any(|key| line.text.contains(key)) && !line.text.starts_with("oom-kill:"))
            || (is_wrapped && lines::killed(line.text).is_none());
        if goes_on {
            self.open[at].add_summary(line.text);
            self.touch(at, line);
        }
        goes_on
    }

    fn begin(&mut self, mut open: Open, line: &Line<'_>) {
        if self.open.len() >= MOST_OPEN {
            self.end(0, End::Broken);
        }
        open.caller = line.caller.map(str::to_owned);
        open.seen_us = line.time_us;
        (open.report.seq, open.report.time_us) = (line.seq, line.time_us.unwrap_or(0));
        self.open.push(open);
    }

    /// A line went to a report.
    fn touch(&mut self, at: usize, line: &Line<'_>) {
        let mut open = self.open.remove(at);
        open.idle = 0;
        open.seen_us = line.time_us.or(open.seen_us);
        self.open.push(open);
    }

    /// One report follows the other: those that are open have ended, and their ends are missing.
    fn end_all(&mut self, line: &Line<'_>) {
        while line.caller.is_none() && !self.open.is_empty() {
            self.end(0, End::Broken);
        }
    }

    /// A report ends without a victim.
    fn end(&mut self, at: usize, end: End) {
        let open = self.open.remove(at);
        let mut report = open.close(Victim::default(), self.page_size);
        report.truncated |= end == End::Broken;
        // A line alone that was cut out of a report shows nothing.
        if report.trigger.is_some() || report.task_memcg.is_some() || end != End::Broken {
            self.done.push_back(Outcome::NoVictim(Box::new(report), end));
        }
    }

    fn no_victim(&mut self, end: End, line: &Line<'_>) {
        let at = self.open.iter().rposition(|open| is_of(open, line));
        match (at, end) {
            (Some(at), _) => {
                self.open[at].seen_us = line.time_us;
                self.open[at].report.seq = line.seq;
                self.open[at].report.time_us = line.time_us.unwrap_or(0);
                self.end(at, end);
            }
            // Members of a group that end by themselves are no news.
            (None, End::Exiting) => {}
            (None, _) => {
                let report = OomReport { seq: line.seq, time_us: line.time_us.unwrap_or(0), ..OomReport::default() };
                self.done.push_back(Outcome::NoVictim(Box::new(report), end));
            }
        }
    }

    fn choose(&mut self, pid: i32, comm: String, prefix: Constraint, line: &Line<'_>) {
        let at = report_of(&self.open, pid, &comm, prefix, line, true);
        if let Some(at) = at {
            let open = &mut self.open[at];
            open.chosen = Some((pid, comm));
            if open.report.constraint == Constraint::Unknown {
                open.report.constraint = if open.report.oom_memcg.is_some() { Constraint::Memcg } else { prefix };
            }
            self.touch(at, line);
            self.chosen = None;
        } else {
            self.chosen = Some((pid, comm, prefix));
        }
        self.before = None;
    }

    fn kill(&mut self, victim: Victim, prefix: Constraint, line: &Line<'_>) {
        let chosen = self.chosen.take();
        let is_whole_line = prefix != Constraint::Unknown;
        let prefix = match (&chosen, prefix) {
            (Some((_, _, of_chosen)), Constraint::Unknown) => *of_chosen,
            _ => prefix,
        };
        let lone = chosen.is_some();
        let at = if lone { None } else { report_of(&self.open, victim.pid, &victim.comm, prefix, line, false) };
        if at.is_none() && is_whole_line {
            self.end_all(line);
        }
        let mut pids = Vec::new();
        let mut report = match (at, &mut self.before) {
            (Some(at), _) => {
                let mut open = self.open.remove(at);
                pids = open.take_pids();
                open.close(victim, self.page_size)
            }
            (None, Some(before)) if !lone && before.takes(victim.pid, prefix, line) => {
                pids = std::mem::take(&mut before.pids);
                OomReport { victim, group: true, ..before.report.clone() }
            }
            (None, _) => {
                let chosen = chosen.map(|(pid, comm, _)| (pid, comm)).filter(|(pid, _)| *pid != victim.pid);
                OomReport { victim, chosen, ..OomReport::default() }
            }
        };
        (report.seq, report.time_us) = (line.seq, line.time_us.unwrap_or(0));
        if report.constraint == Constraint::Unknown {
            report.constraint = match (report.oom_memcg.is_some(), prefix) {
                (true, _) => Constraint::Memcg,
                (false, prefix) => prefix,
            };
        }
        let bare = OomReport {
            victim: Victim::default(),
            trigger: None,
            tasks: Vec::new(),
            chosen: None,
            machine: None,
            ..report.clone()
        };
        let group = report.group;
        self.before = Some(Before { report: bare, pids, seen_us: line.time_us, group, apart: false });
        self.done.push_back(Outcome::Kill(Box::new(report)));
    }

    /// The first victim of a group stands before the line that says so, and the members follow with their own lines alone.
    fn group(&mut self, cgroup: &str, line: &Line<'_>) {
        let mut before = self.before.take().unwrap_or(Before {
            report: OomReport::default(),
            pids: Vec::new(),
            seen_us: line.time_us,
            group: true,
            apart: false,
        });
        before.report.group = true;
        // The cgroup of the group, which holds its members' own.
        before.report.task_memcg = Some(cgroup.to_owned());
        (before.group, before.seen_us) = (true, line.time_us.or(before.seen_us));
        self.before = Some(before);
    }

    /// A line of a report that neither begins nor ends it.
    fn detail(&mut self, line: &Line<'_>) {
        let text = line.text;
        if text.starts_with("oom_reaper:") || text.is_empty() {
            return;
        }
        if let Some(before) = &mut self.before {
            before.apart = true;
        }
        let Some(at) = self.place_of(line) else { return };
        if take_detail(&mut self.open[at], text) {
            self.touch(at, line);
        }
    }

    /// The report that a line goes on, or begins where the log was cut.
    fn place_of(&mut self, line: &Line<'_>) -> Option<usize> {
        let text = line.text;
        let mine = |open: &&Open| goes_on(open, line);
        if let Some(rest) = text.strip_prefix("oom-kill:") {
            return place_of_summary(&self.open, rest, line).or_else(|| self.begin_cut(line));
        }
        let count = self.open.iter().filter(mine).count();
        if count > 1
            && let Some(at) = place_among(&self.open, line)
        {
            return Some(at);
        }
        match self.open.iter().rposition(|open| mine(&open)) {
            // What is said a second time is of another report, whose beginning is missing.
            Some(at) if count == 1 && begins_again(&self.open[at], text) => {
                if is_serial(&self.open[at].report) {
                    self.end_all(line);
                }
                self.begin_cut(line)
            }
            Some(at) => Some(at),
            // A row alone is of a table whose head is not in the log, unless a kill came before it.
            None if begins_cut(text) || (self.before.is_none() && row(text, None).is_some()) => self.begin_cut(line),
            None => None,
        }
    }

    /// A report whose beginning is not in the log.
    fn begin_cut(&mut self, line: &Line<'_>) -> Option<usize> {
        let mut open = Open::of(OomReport::default());
        if line.text.starts_with('[') {
            open.begin_table(None);
            open.report.truncated = true;
        }
        self.begin(open, line);
        Some(self.open.len() - 1)
    }
}

impl Before {
    /// Whether a kill is of its group: right behind it, or of a process of its table.
    fn takes(&self, pid: i32, prefix: Constraint, line: &Line<'_>) -> bool {
        let near = match (line.time_us, self.seen_us) {
            // Of times in whole seconds only the same one is near.
            (Some(now), Some(seen)) => now.abs_diff(seen) < MEMBER_US.max(line.exact_us),
            _ => true,
        };
        self.group && (near || self.pids.contains(&pid)) && agree(&self.report, prefix)
    }
}

/// Whether a kill may be by what another was by.
fn agree(before: &OomReport, prefix: Constraint) -> bool {
    prefix == Constraint::Unknown
        || before.constraint == Constraint::Unknown
        || (before.constraint == Constraint::Memcg) == (prefix == Constraint::Memcg)
}
