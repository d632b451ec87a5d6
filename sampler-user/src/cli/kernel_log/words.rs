//! What a log says beside its kills, in words and as JSON: what was read of it, reports without a victim, kills by programs.

use sampler::kernel::oom::kmsg::End;
use sampler::kernel::oom::textlog::{self, Coverage, NoVictim, TextLog, When};
use sampler::model::units::{bytes, count, printable};
use serde::Serialize;

use crate::cli::kernel_log::moments;

/// Lines of each kind that a page shows.
const MOST: usize = 12;

/// What was read.
#[derive(Serialize)]
pub struct Read<'a> {
    name: &'a str,
    bytes: u64,
    lines: u64,
    first: Option<String>,
    last: Option<String>,
    /// Boots that it shows.
    boots: u32,
    host: Option<&'a str>,
    kernel: Option<&'a str>,
    /// Lines that the kernel says it left out of its reports.
    suppressed: u64,
    /// Whether the last line has no end.
    cut: bool,
}

fn time(when: Option<&When>) -> Option<String> {
    when.map(|when| moments::logged(when).time).filter(|time| !time.is_empty())
}

impl<'a> Read<'a> {
    pub fn of(name: &'a str, coverage: &'a Coverage) -> Read<'a> {
        Read {
            name,
            bytes: coverage.bytes,
            lines: coverage.lines,
            first: time(coverage.first.as_ref()),
            last: time(coverage.last.as_ref()),
            boots: coverage.boots + 1,
            host: coverage.host.as_deref(),
            kernel: coverage.kernel.as_deref(),
            suppressed: coverage.suppressed,
            cut: coverage.open_end || coverage.cut,
        }
    }
}

/// A report without a victim.
#[derive(Serialize)]
pub struct Ended {
    time: Option<String>,
    /// `none-killable`, `exiting`, `panic` or `broken-off`.
    end: &'static str,
    limit_cgroup: Option<String>,
    usage: Option<u64>,
    limit: Option<u64>,
    trigger: Option<String>,
    line: u64,
    what: String,
}

impl Ended {
    pub fn of(one: &NoVictim) -> Ended {
        let report = &one.report;
        let (end, words) = match one.end {
            End::NoneKillable => ("none-killable", "there was no process that it may kill: nobody died"),
            End::Exiting => ("exiting", "the process that it chose was ending already"),
            End::Panic => ("panic", "the kernel stopped the machine in place of a kill (panic)"),
            End::Broken => ("broken-off", "the report breaks off: whether and whom it killed is not in the log"),
        };
        let trigger = report.trigger.as_ref().map(|trigger| printable(&trigger.comm));
        let limit = report.memory.and_then(|memory| memory.limit);
        let of = match (&report.oom_memcg, limit) {
            (Some(path), Some(limit)) => format!(" at the limit of {} of {}", bytes(limit), printable(path)),
            (Some(path), None) => format!(" at the limit of {}", printable(path)),
            (None, Some(limit)) => format!(" at a limit of {}", bytes(limit)),
            (None, None) => String::new(),
        };
        let who = trigger
            .as_ref()
            .map_or_else(|| "the OOM killer came".into(), |comm| format!("`{comm}` called the OOM killer"));
        Ended {
            time: time(Some(&one.when)),
            end,
            limit_cgroup: report.oom_memcg.clone(),
            usage: report.memory.map(|memory| memory.usage),
            limit,
            what: format!("{who}{of}; {words}"),
            trigger,
            line: report.seq,
        }
    }
}

/// A kill by a program.
#[derive(Serialize)]
pub struct ByProgram<'a> {
    time: Option<String>,
    by: &'a str,
    cgroup: Option<&'a str>,
    pid: Option<i32>,
    comm: Option<&'a str>,
    why: Option<&'a str>,
}

impl<'a> ByProgram<'a> {
    pub fn of(one: &'a textlog::ByProgram) -> ByProgram<'a> {
        let killing = &one.killing;
        ByProgram {
            time: time(Some(&one.when)),
            by: killing.by,
            cgroup: killing.cgroup.as_deref(),
            pid: killing.pid,
            comm: killing.comm.as_deref(),
            why: killing.why.as_deref(),
        }
    }
}

/// What a program says of an OOM kill.
#[derive(Serialize)]
pub struct Mention<'a> {
    time: Option<String>,
    text: &'a str,
}

impl<'a> Mention<'a> {
    pub fn of(one: &'a textlog::Mention) -> Mention<'a> {
        Mention { time: time(Some(&one.when)), text: &one.text }
    }
}

/// A line each, the first ones.
fn some(title: &str, all: impl ExactSizeIterator<Item = (Option<String>, String)>) -> String {
    let total = all.len();
    if total == 0 {
        return String::new();
    }
    let mut out = format!("{title}\n");
    for (time, words) in all.take(MOST) {
        out += &format!("  {}{words}\n", time.map(|time| time + "  ").unwrap_or_default());
    }
    if total > MOST {
        out += &format!("  and {} more; --json has them\n", total - MOST);
    }
    out
}

/// Reports that killed nobody, or do not say whom.
fn without_victim(log: &TextLog) -> String {
    let all = log.no_victim.iter().map(Ended::of).map(|ended| (ended.time, ended.what));
    some("Reports of the kernel without a victim", all)
}

/// What an event of the kubelet means.
pub const KUBELET: &str = "reported by the kubelet alone (SystemOOM): it says so of each kill in whose report it finds no cgroup with a limit. Most\nlikely the node ran out of memory; but a report that is in pieces, or of a kernel that the kubelet is too old for, looks the same.\n`journalctl -k` or `dmesg -T` on the node has the report.\n";

/// Kills by programs.
fn programs(log: &TextLog) -> String {
    let all = log.by_program.iter().map(ByProgram::of).map(|one| {
        let process = one.comm.map(|comm| format!("`{}`", printable(comm)));
        let process = match (process, one.pid) {
            (Some(comm), Some(pid)) => Some(format!("{comm} (pid {pid})")),
            (None, Some(pid)) => Some(format!("pid {pid}")),
            (comm, None) => comm,
        };
        let whom = process.or_else(|| one.cgroup.map(printable)).unwrap_or_else(|| "a process".into());
        let why = one.why.map(|why| format!(": {}", printable(why))).unwrap_or_default();
        (one.time, format!("{} killed {whom}{why}", one.by))
    });
    some("Killed by programs, not by the kernel's OOM killer", all)
}

/// What a recorder said before the end.
fn last_words(log: &TextLog) -> String {
    let all = log.last_words.iter().map(|one| (time(Some(&one.when)), printable(&one.text)));
    some("Last words of the recorder", all)
}

/// What programs say of OOM kills, where nothing better is known.
fn mentions(log: &TextLog) -> String {
    if !log.kills.is_empty() || !log.by_program.is_empty() {
        return String::new();
    }
    let all = log.mentions.iter().map(|one| (time(Some(&one.when)), printable(&one.text)));
    some("Programs report OOM kills; the kernel's own lines are not in this log (journalctl -k, dmesg)", all)
}

/// What there is beside the kernel's kills.
pub fn others(log: &TextLog) -> String {
    without_victim(log) + &programs(log) + &mentions(log) + &last_words(log)
}

/// What keeps the log from being whole.
pub fn problems(log: &TextLog) -> Vec<String> {
    let mut all = Vec::new();
    let coverage = &log.coverage;
    if coverage.binary {
        all.push("it holds bytes that are no text".into());
    }
    if coverage.cut {
        all.push("the compressed file is cut or damaged: what comes behind that is missing".into());
    }
    if log.more > 0 {
        all.push(format!(
            "{} kills beyond the first {} are counted alone",
            count(log.more),
            count(log.kills.len() as u64)
        ));
    }
    if coverage.suppressed > 0 {
        all.push(format!("the kernel left out {} reports: it prints ten in five seconds", count(coverage.suppressed)));
    }
    all
}

/// What was read of it.
pub fn covered(source: &str, log: &TextLog) -> String {
    let coverage = &log.coverage;
    let span = match (time(coverage.first.as_ref()), time(coverage.last.as_ref())) {
        (Some(first), Some(last)) => format!(", from {first} to {last}"),
        _ => ", without times".into(),
    };
    let boots = if coverage.boots > 0 { format!(", {} boots", coverage.boots + 1) } else { String::new() };
    let cut = if coverage.open_end { "; its last line has no end, it may be cut" } else { "" };
    format!(
        "read: {}: {} lines ({}){span}{boots}{cut}",
        printable(source),
        count(coverage.lines),
        bytes(coverage.bytes)
    )
}

/// What a log without a kill says, and no more than it covers.
pub fn all_clear(source: &str, log: &TextLog) -> String {
    let kernel = if !log.mentions.is_empty() && log.by_program.is_empty() {
        "But programs report OOM kills in it: the kernel's own lines are missing."
    } else if log.coverage.has_kernel {
        "What was before or after it, or was rotated away or overwritten, is not in it."
    } else {
        "None of its lines is surely the kernel's: `sudo dmesg -T` and `journalctl -k -b -1` have those."
    };
    format!("no kill by the kernel's OOM killer in this log. {kernel}\n{}", covered(source, log))
}

/// Of a file that is neither a recording nor a log.
pub fn not_a_log(source: &str, coverage: &Coverage) -> String {
    let source = printable(source);
    if coverage.binary {
        return format!(
            "{source} is no recording and no text; a log that is compressed by another program than gzip is to be unpacked first: xzcat FILE | sampler postmortem -"
        );
    }
    format!(
        "{source} is no recording, and none of its {} lines looks like a kernel log; try: sudo dmesg -T | sampler postmortem -",
        count(coverage.lines)
    )
}
