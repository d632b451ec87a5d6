//! What the lines of a log say, put together: each kill once, boots apart.

use std::collections::HashMap;

use crate::kernel::oom::kmsg::{Line, Outcome, is_row, kernel, unescape};
use crate::kernel::oom::textlog::clean::{clean, unquote};
use crate::kernel::oom::textlog::entry::{Entry, Message, Taken, of_json};
use crate::kernel::oom::textlog::envelope::{Envelope, Source, open};
use crate::kernel::oom::textlog::log::{ByProgram, Coverage, Kill, Mention, NoVictim, TextLog, When};
use crate::kernel::oom::textlog::same::{is_again, is_same, join, keep_largest};
use crate::kernel::oom::textlog::stream::{MOST_STREAMS, Stream};
use crate::kernel::oom::textlog::table::Table;
use crate::kernel::oom::textlog::unfold::{Wrapped, escaped, stamps};
use crate::kernel::oom::textlog::userspace::{killing, last_words, mentions, nohang_victim, shown};
use crate::model::evidence::{Constraint, OomReport, Victim};

/// Kills that are kept, and those of them with their tables.
const MOST_KILLS: usize = 20_000;
const DETAILED: usize = 1_000;
/// Reports without a victim, and kills by programs, that are kept.
const MOST_OTHERS: usize = 1_000;
const MOST_MENTIONS: usize = 100;
/// Programs that pass on the kernel's own words.
const RELAYS: [&str; 6] =
    ["kubelet", "kernel-monitor", "node-problem-detector", "npd", "systemd-kmsg", "abrt-dump-journal-oops"];

/// Who wrote the line before: a line without anything before it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Unknown,
    Kernel,
    Program,
}

/// Takes lines and keeps what they say.
#[derive(Debug, Default)]
pub struct Collector {
    log: TextLog,
    entry: Entry,
    line: u64,
    writer: Writer,
    /// The machine whose lines come, and others.
    stream: Stream,
    others: Vec<Stream>,
    /// Boots so far, of all machines.
    boots: u32,
    by_pid: HashMap<i32, Vec<usize>>,
    nohang: Option<(i32, String)>,
    /// The first kill that has its tables still.
    detailed: usize,
    /// The first line, where nothing stands before it: it may be the rest of one that was cut.
    held: Option<String>,
    wrapped: Wrapped,
    /// The columns, where it is CSV.
    table: Option<Table>,
}

impl Collector {
    /// Lines so far.
    pub(super) fn lines(&self) -> u64 {
        self.line
    }

    pub(super) fn set_lines(&mut self, lines: u64) {
        self.line = lines;
    }

    pub(super) fn coverage(&mut self) -> &mut Coverage {
        &mut self.log.coverage
    }

    /// Whether each line matters.
    pub(super) fn is_busy(&self) -> bool {
        self.stream.is_busy(self.line)
            || self.others.iter().any(|stream| stream.is_busy(self.line))
            || self.entry.is_open()
            || self.nohang.is_some()
            || self.wrapped.is_open()
            || self.table.is_some()
    }

    /// Everything, at the end of the log.
    pub fn finish(mut self) -> TextLog {
        if let Some(held) = self.wrapped.finish() {
            self.whole(&held);
        }
        self.end_entry();
        if let Some(held) = self.held.take() {
            self.take(&open(&held), false);
        }
        self.end_stream();
        while let Some(stream) = self.others.pop() {
            self.stream = stream;
            self.end_stream();
        }
        self.log.coverage.lines = self.line;
        self.log
    }

    /// Takes a line as it is in the file.
    pub fn line(&mut self, raw: &[u8]) {
        self.log.coverage.binary |= raw.contains(&0);
        let text = clean(raw);
        if self.line == 1 {
            self.table = Table::of(&text);
        }
        for line in self.wrapped.take(text).into_iter().flatten() {
            self.whole(&line);
        }
    }

    /// Takes a line that nothing wrapped, which may be several.
    fn whole(&mut self, text: &str) {
        let unfolded = escaped(text);
        for piece in unfolded.as_deref().unwrap_or(text).split('\n') {
            match stamps(piece).as_slice() {
                [] => self.piece(piece),
                cuts => {
                    let mut from = 0;
                    for at in cuts.iter().copied().chain([piece.len()]) {
                        self.piece(&piece[from..at]);
                        from = at;
                    }
                }
            }
        }
    }

    /// Takes the time of a line that is not looked at.
    pub(super) fn note_time(&mut self, raw: &[u8]) {
        let text = clean(raw);
        let all = open(unquote(&text));
        self.cover(&all);
    }

    fn piece(&mut self, text: &str) {
        if let Some(message) = self.table.and_then(|table| table.message(text)).filter(|_| self.line > 1) {
            self.message(message);
            return;
        }
        let line = unquote(text);
        if line.contains("[s=") {
            let mut next = Entry::default();
            if next.begin(line) {
                self.end_entry();
                self.entry = next;
                return;
            }
        }
        match self.entry.take(line) {
            Taken::Field => return,
            Taken::Ends => {
                self.end_entry();
                // The line may begin the next one.
                if self.entry.take(line) == Taken::Field {
                    return;
                }
            }
            Taken::No => {}
        }
        if let Some(message) = of_json(line) {
            self.message(message);
            return;
        }
        let all = open(line);
        let is_plain = all.text.len() == line.trim_start().len();
        if is_plain && self.line == 1 {
            self.held = Some(line.to_owned());
            return;
        }
        if let Some(held) = self.held.take().filter(|_| is_plain) {
            self.take(&open(&held), false);
        }
        self.take(&all, is_plain && text.starts_with(char::is_whitespace));
    }

    fn end_entry(&mut self) {
        if let Some(message) = self.entry.finish() {
            self.message(message);
        }
    }

    /// An entry of a journal, or a line of JSON.
    fn message(&mut self, message: Message) {
        if message.boot.is_some() && message.boot != self.stream.boot_id {
            if self.stream.boot_id.is_some() {
                self.reboot();
            }
            self.stream.boot_id.clone_from(&message.boot);
        }
        let text = message.text.replace('\n', "\u{b}");
        let mut all = open(&text);
        all.uptime_us = message.uptime_us.or(all.uptime_us);
        all.wall = message.wall.or(all.wall);
        all.host = message.host.as_deref().or(all.host);
        all.source = match (message.kernel, message.program.as_deref()) {
            (Some(true), _) => Source::Kernel,
            (Some(false), program) => {
                // The time is of the journal here, and not of the line.
                all.uptime_us = None;
                Source::Program(program.unwrap_or_default())
            }
            (None, _) => all.source,
        };
        self.take(&all, false);
    }

    fn cover(&mut self, all: &Envelope<'_>) {
        let coverage = &mut self.log.coverage;
        if all.uptime_us.is_some() || all.wall.is_some() {
            let when = When { uptime_us: all.uptime_us, wall: all.wall, boot: self.stream.when.boot };
            coverage.first.get_or_insert(when);
            coverage.last = Some(when);
        }
        coverage.has_kernel |= all.source == Source::Kernel || all.uptime_us.is_some();
        if coverage.host.is_none() {
            coverage.host = all.host.map(str::to_owned);
        }
    }

    /// Takes a line apart from what stood before it.
    fn take(&mut self, all: &Envelope<'_>, goes_on: bool) {
        let text = all.text.trim();
        self.cover(all);
        self.turn_to(all);
        if let (Some(now), Some(before)) = (all.uptime_us, self.stream.when.uptime_us)
            && now.saturating_add(1_000_000) < before
        {
            // Another boot, or the same lines again: nothing goes on here.
            self.end_stream();
        }
        if !goes_on {
            self.writer = match all.source {
                Source::Kernel => Writer::Kernel,
                // A program that passes the kernel's lines on leaves their time in.
                Source::Program(name) if all.uptime_us.is_none() || name.is_empty() => Writer::Program,
                _ => Writer::Unknown,
            };
            if all.uptime_us.is_some() || all.wall.is_some() {
                let boot = self.stream.when.boot;
                self.stream.when = When { uptime_us: all.uptime_us, wall: all.wall, boot };
            }
        }
        if text.is_empty() {
            return;
        }
        if is_row(text) && self.writer != Writer::Program {
            self.push(text, all);
            return;
        }
        if self.boots(text) {
            return;
        }
        self.stream.begun = true;
        if text.starts_with("message repeated ") {
            return;
        }
        // Lines of a report may be among those that are missing.
        if text.starts_with("Missed ") && text.contains("kernel messages") || text.contains("kmsg buffer overrun") {
            self.stream.parser.lost();
        }
        self.programs(text);
        if self.writer == Writer::Program {
            let is_relay = matches!(all.source, Source::Program(name) if RELAYS.contains(&name));
            if !is_relay
                || (!text.contains("Killed process ") && !text.contains("ystem OOM") && !text.contains("sys oom"))
            {
                return;
            }
        }
        if self.system_oom(text) {
            return;
        }
        if let Some((_, rest)) = text.split_once("oom_kill_process: ").filter(|(before, _)| before.is_empty()) {
            let count = rest.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            self.log.coverage.suppressed += count.unwrap_or(0);
            return;
        }
        if text.contains(" invoked oom-killer:") {
            self.stream.begins(self.line);
        }
        self.push(text, all);
    }

    /// Gives a line of the kernel's to the parser.
    fn push(&mut self, text: &str, all: &Envelope<'_>) {
        let stamped = all.uptime_us.is_some() || all.wall.is_some();
        let when = self.stream.when;
        let time_us = when.uptime_us.or_else(|| u64::try_from(when.wall?.us).ok()).filter(|_| stamped);
        let exact_us = match (when.uptime_us, when.wall) {
            (Some(_), _) => 1,
            (None, wall) => wall.map_or(1, |wall| wall.exact_us),
        };
        let is_quoted = all.uptime_us.is_none() && all.source != Source::Kernel;
        let text = if is_quoted { inside(text) } else { text };
        let text = match text {
            _ if all.escaped => unescape(text.as_bytes()),
            // Two lines in a value of JSON.
            _ if is_quoted && text.contains("\\nKilled process ") => text.replace("\\n", "\n"),
            _ => text.replace('\u{b}', "\n"),
        };
        let line = Line { text: &text, seq: self.line, time_us, exact_us, continues: false, caller: all.caller };
        self.stream.parser.push_line(&line);
        self.stream.line = self.line;
        self.drain();
    }

    /// Turns to the machine of a line. Only the beginning of a report or of a boot makes one known: what stands in the place of a
    /// name may be something else.
    fn turn_to(&mut self, all: &Envelope<'_>) {
        let is_kernel = all.source == Source::Kernel || all.uptime_us.is_some();
        let Some(host) = all.host.filter(|host| is_kernel && self.stream.host.as_deref() != Some(host)) else { return };
        if let Some(at) = self.others.iter().position(|stream| stream.host.as_deref() == Some(host)) {
            std::mem::swap(&mut self.stream, &mut self.others[at]);
            return;
        }
        if self.stream.host.is_none() {
            self.stream.host = Some(host.to_owned());
            return;
        }
        if !all.text.contains(" invoked oom-killer:") && !all.text.trim_start().starts_with("Linux version ") {
            return;
        }
        if self.others.len() + 1 >= MOST_STREAMS {
            let kept = std::mem::replace(&mut self.stream, self.others.remove(0));
            self.end_stream();
            self.stream = kept;
        }
        self.boots += 1;
        let next = Stream::of(host, self.boots);
        self.others.push(std::mem::replace(&mut self.stream, next));
    }

    /// Nothing goes on here.
    fn end_stream(&mut self) {
        self.stream.parser.finish();
        self.drain();
    }

    /// Whether a line begins another boot.
    fn boots(&mut self, text: &str) -> bool {
        let marked = text.starts_with("-- Boot ") || text.starts_with("-- Reboot --");
        let begins = self.writer != Writer::Program && text.starts_with("Linux version ");
        if begins && let Some(release) = kernel(text) {
            self.log.coverage.kernel = Some(release.to_owned());
        }
        if marked || (begins && self.stream.begun) {
            self.reboot();
        }
        marked || begins
    }

    fn reboot(&mut self) {
        self.end_stream();
        // The mark of the journal and the kernel's first line are of one boot.
        let mut boot = self.stream.when.boot;
        if self.stream.begun {
            self.boots += 1;
            self.log.coverage.boots += 1;
            boot = self.boots;
        }
        (self.stream.begun, self.stream.head) = (false, None);
        self.stream.when = When { boot, ..When::default() };
    }

    fn programs(&mut self, text: &str) {
        if let Some(victim) = nohang_victim(text) {
            self.nohang = Some(victim);
            return;
        }
        let when = self.stream.when;
        if let Some(words) = last_words(text) {
            if self.log.last_words.len() < MOST_MENTIONS {
                self.log.last_words.push(Mention { when, text: words.to_owned() });
            }
            return;
        }
        let Some(mut killing) = killing(text) else {
            if mentions(text) && self.log.mentions.len() < MOST_MENTIONS {
                self.log.mentions.push(Mention { when, text: shown(text) });
            }
            return;
        };
        if killing.by == "nohang"
            && let Some((pid, name)) = self.nohang.take()
        {
            (killing.pid, killing.comm) = (Some(pid), Some(name));
        }
        if !self.log.by_program.iter().rev().take(16).any(|other| is_again(other, &killing, &when))
            && self.log.by_program.len() < MOST_OTHERS
        {
            self.log.by_program.push(ByProgram { when, killing });
        }
    }

    /// `System OOM encountered, victim process: postgres, pid: 1234`: the kubelet's account of a kill by the kernel. It says so of each
    /// report in which it finds no cgroup of a limit (`oomparser` of cAdvisor): the node ran out, or it could not read the line.
    fn system_oom(&mut self, text: &str) -> bool {
        let (comm, pid) = if let Some((_, rest)) = text.split_once("System OOM encountered, victim process: ") {
            let Some(named) = rest.rsplit_once(", pid: ") else { return true };
            named
        } else {
            // The kubelet's own log.
            let Some((_, event)) = text.split_once("Got sys oom event") else { return false };
            let after = |key: &str| event.split_once(key).map(|(_, rest)| rest);
            let name = after("\"ProcessName\":\"").and_then(|rest| rest.split('"').next());
            let Some(named) = name.zip(after("\"Pid\":")) else { return true };
            named
        };
        let end = pid.find(|c: char| !c.is_ascii_digit()).unwrap_or(pid.len());
        let Ok(pid) = pid[..end].parse() else { return true };
        let victim = Victim { pid, comm: comm.to_owned(), ..Victim::default() };
        let report = OomReport { victim, constraint: Constraint::Unknown, seq: self.line, ..OomReport::default() };
        self.add(report, true);
        true
    }

    fn drain(&mut self) {
        while let Some(outcome) = self.stream.parser.take() {
            match outcome {
                Outcome::Kill(report) => self.add(*report, false),
                Outcome::NoVictim(report, end) if self.log.no_victim.len() < MOST_OTHERS => {
                    let when = self.stream.begun_at(report.seq).unwrap_or(self.stream.when);
                    self.log.no_victim.push(NoVictim { when, end, report });
                }
                Outcome::NoVictim(..) => {}
            }
        }
    }

    fn add(&mut self, mut report: OomReport, by_kubelet: bool) {
        let when = self.stream.when;
        if let Some(release) = &report.kernel {
            self.log.coverage.kernel = Some(release.clone());
        }
        let known = self.by_pid.get(&report.victim.pid).into_iter().flatten().rev().copied();
        let again = known.take(8).find(|at| is_same(&self.log.kills[*at], &report, &when));
        if let Some(at) = again {
            join(&mut self.log.kills[at], report, when, by_kubelet);
            self.stream.head = Some(self.log.kills[at].head.unwrap_or(at));
            return;
        }
        if self.log.kills.len() >= MOST_KILLS {
            self.log.more += 1;
            return;
        }
        keep_largest(&mut report);
        let at = self.log.kills.len();
        let head = self.stream.head.filter(|_| report.group);
        if head.is_none() {
            self.stream.head = Some(at);
        }
        self.by_pid.entry(report.victim.pid).or_default().push(at);
        self.log.kills.push(Kill { when, report: Box::new(report), head, copies: 1, by_kubelet });
        if self.log.kills.len() - self.detailed > DETAILED {
            let old = &mut self.log.kills[self.detailed].report;
            (old.tasks, old.stats, old.machine) = (Vec::new(), Vec::new(), None);
            self.detailed += 1;
        }
    }
}

/// The kernel's words in what quotes them: an event, a value in YAML.
fn inside(text: &str) -> &str {
    let begins = ["Memory cgroup out of memory", "Out of memory", "Killed process "];
    let quotes = text.contains("Killed process ") || text.contains("Kill process ");
    let at = begins.iter().filter_map(|words| text.find(words)).min().filter(|_| quotes);
    at.map_or(text, |at| &text[at..])
}
