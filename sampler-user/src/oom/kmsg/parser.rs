//! Reports from lines, wherever they come from: `/dev/kmsg`, or a file that somebody saved.
//!
//! Only the line `Killed process …` makes a kill: it is never rate-limited. What stands before it (header, usage, table of tasks,
//! `oom-kill:`) is its report when it can be: the kernel leaves the report out after ten in five seconds, and then an older one
//! is none of the new kill's.

use std::collections::VecDeque;

use super::detail::{begins_cut, stats_path, take_detail};
use super::lines::{self, End};
use super::open::{Open, Part};
use super::record::KmsgRecord;
use super::table::{Columns, is_row, row};
use crate::evidence::{Constraint, OomReport, Victim};

/// A report's lines come within this time of each other, microseconds.
const REPORT_US: u64 = 5_000_000;
/// Where nothing but the order of the lines says that a kill is of a report, it comes within this behind its other lines, or behind
/// its first line where all others were left out.
const NEXT_US: u64 = 100_000;
const HEADER_US: u64 = 2_000_000;
/// And the next member of a group within this: the kernel prints nothing else between.
const MEMBER_US: u64 = 100_000;
/// Lines of others after which a report does not go on.
const MOST_IDLE: u32 = 4096;
/// Reports that are open at once: kernels before 4.x may write two at the same time.
const MOST_OPEN: usize = 4;

/// One line of the kernel's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line<'a> {
    /// The text, without what stands before it.
    pub text: &'a str,
    /// Number of the record; 0 where there is none.
    pub seq: u64,
    /// By any clock, microseconds; the kernel's own where there is one.
    pub time_us: Option<u64>,
    /// How exact that is, microseconds.
    pub exact_us: u64,
    /// Whether it goes on where the line before ended.
    pub continues: bool,
    /// The context that wrote it (`T1234`, `C0`), where the kernel prints that.
    pub caller: Option<&'a str>,
}

/// What the lines tell.
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
    /// A parser for a kernel with pages of `page_size` bytes, as far as a report does not tell otherwise.
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
            is_old(before.seen_us, HEADER_US.max(2 * line.exact_us)) || (before.apart && line.time_us.is_none())
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
        let goes_on = line.continues
            || line.text.starts_with(',')
            || (KEYS.iter().any(|key| line.text.contains(key)) && !line.text.starts_with("oom-kill:"));
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
        // A line alone that was cut out of a report tells nothing.
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
        let at = self.report_of(pid, &comm, prefix, line, true);
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

    /// The open report that a kill belongs to.
    fn report_of(&self, pid: i32, comm: &str, prefix: Constraint, line: &Line<'_>, chooses: bool) -> Option<usize> {
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
        let find = |wants: &dyn Fn(&&Open) -> bool| self.open.iter().rposition(|open| fits(&open) && wants(&open));
        let is_named = |open: &&Open| open.named.pid == Some(pid);
        let is_chosen = |open: &&Open| open.chosen.as_ref().is_some_and(|(chosen, _)| *chosen == pid);
        // The chosen one's child may die, and of a process that is named by a thread the process.
        let is_child = |open: &&Open| open.chosen.is_some();
        let is_thread = |open: &&Open| {
            open.named.pid.is_some() && near(open) && (open.named.comm.as_deref() == Some(comm) || open.lists(pid))
        };
        let is_listed = |open: &&Open| open.named.pid.is_none() && open.lists(pid);
        let is_next =
            |open: &&Open| open.named.pid.is_none() && near(open) && (!open.has_table() || open.report.truncated);
        [&is_named as &dyn Fn(&&Open) -> bool, &is_chosen, &is_child, &is_thread, &is_listed, &is_next]
            .into_iter()
            .find_map(find)
    }

    fn kill(&mut self, victim: Victim, prefix: Constraint, line: &Line<'_>) {
        let chosen = self.chosen.take();
        let is_whole_line = prefix != Constraint::Unknown;
        let prefix = match (&chosen, prefix) {
            (Some((_, _, of_chosen)), Constraint::Unknown) => *of_chosen,
            _ => prefix,
        };
        let lone = chosen.is_some();
        let at = if lone { None } else { self.report_of(victim.pid, &victim.comm, prefix, line, false) };
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
        // Behind the line that names the victim comes the kill and nothing else.
        let mine = |open: &&Open| is_of(open, line) && open.named.pid.is_none() && open.chosen.is_none();
        if let Some(rest) = text.strip_prefix("oom-kill:") {
            let mut report = OomReport::default();
            let named = lines::summary(rest, &mut report);
            let lists = |open: &&Open| named.pid.is_some_and(|pid| open.lists(pid));
            let fits = |open: &&Open| {
                let known = open.constraint();
                known == Constraint::Unknown
                    || report.constraint == Constraint::Unknown
                    || (known == Constraint::Memcg) == (report.constraint == Constraint::Memcg)
            };
            let lacks = |open: &&Open| mine(open) && fits(open) && !open.awaits_summary();
            let find = |wants: &dyn Fn(&&Open) -> bool| self.open.iter().rposition(|open| lacks(&open) && wants(&open));
            // A thread that is named is in no table.
            let at = find(&lists).or_else(|| find(&|open| !open.has_table())).or_else(|| find(&|_| true));
            return at.or_else(|| self.begin_cut(line));
        }
        let count = self.open.iter().filter(mine).count();
        if count > 1
            && let Some(at) = self.place_among(line)
        {
            return Some(at);
        }
        match self.open.iter().rposition(|open| mine(&open)) {
            // What is said a second time is of another report, whose beginning is missing.
            Some(at) if count == 1 && says_again(&self.open[at], text) => {
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

    /// Of two reports that are written at the same time, the one that lacks what the line says, or that it names.
    fn place_among(&self, line: &Line<'_>) -> Option<usize> {
        let text = line.text;
        let find = |wants: &dyn Fn(&Open) -> bool| {
            let mut found = self.open.iter().enumerate().filter(|(_, open)| is_of(open, line) && wants(open));
            found.next().map(|(at, _)| at)
        };
        let only = |wants: &dyn Fn(&Open) -> bool| {
            let count = self.open.iter().filter(|open| is_of(open, line) && wants(open)).count();
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
            let is =
                |open: &Open| open.report.oom_memcg.as_deref().is_some_and(|limit| crate::paths::is_below(path, limit));
            return only(&is);
        }
        None
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

/// Whether a line may be of a report: where the kernel says who writes, of that one alone.
fn is_of(open: &Open, line: &Line<'_>) -> bool {
    match (&open.caller, line.caller) {
        (Some(known), Some(caller)) => known == caller,
        _ => true,
    }
}

/// Whether one report comes behind the other, as since 4.2 (`oom_lock`): flags have names since 4.6.
fn is_serial(report: &OomReport) -> bool {
    report.trigger.as_ref().is_some_and(|trigger| trigger.gfp_mask.contains('('))
}

/// Whether a report has already what a line says.
fn says_again(open: &Open, text: &str) -> bool {
    match lines::usage(text) {
        Some(("memory", usage)) => open.report.memory.is_some_and(|known| known != usage),
        _ if Columns::of(text).is_some() => open.has_table(),
        _ => lines::task_in(text)
            .is_some_and(|(_, limit)| open.report.oom_memcg.as_deref().is_some_and(|known| known != limit)),
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
