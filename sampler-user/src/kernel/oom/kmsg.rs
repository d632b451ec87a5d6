//! `/dev/kmsg`: records, and the OOM reports in them. Pure; never panics on any bytes; bounded.
//!
//! Only the line `Killed process …` makes a report: it is never rate-limited and its form has not changed from 5.15 to 6.18.
//! What stands before it (header, usage, table of tasks, `oom-kill:`) is attached when it is there. Pids are those of the
//! initial pid namespace.

use crate::model::evidence::{Constraint, OomReport, TaskRow, Trigger, Usage, Victim};
use crate::model::paths::from_bytes;

/// Tasks kept of one report.
const MOST_TASKS: usize = 1024;
/// memory.stat values kept of one report.
const MOST_STATS: usize = 128;
/// Bytes kept of the line that names the cgroups.
const MOST_SUMMARY: usize = 16 << 10;
/// A report's lines come within this time of each other, microseconds.
const REPORT_US: u64 = 10_000_000;

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsgRecord {
    /// Who wrote it: 0 is the kernel.
    pub facility: u32,
    /// Severity, 0 (worst) to 7.
    pub level: u32,
    /// Sequence number.
    pub seq: u64,
    /// Time by the log's own clock, microseconds since boot.
    pub time_us: u64,
    /// Whether it goes on where the record before ended.
    pub continues: bool,
    /// The text, unescaped.
    pub text: String,
}

impl KmsgRecord {
    /// Reads a record as one `read` of `/dev/kmsg` gives it: `prio,seq,time,flag[,…];text`, then ` KEY=value` lines.
    pub fn parse(bytes: &[u8]) -> Option<KmsgRecord> {
        let head_end = bytes.iter().position(|&b| b == b';')?;
        let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
        let mut words = head.split(',');
        let prio: u32 = words.next()?.parse().ok()?;
        let seq = words.next()?.parse().ok()?;
        let time_us = words.next()?.parse().ok()?;
        let continues = words.next().is_some_and(|flag| flag.starts_with('c'));
        let text = bytes[head_end + 1..].split(|&b| b == b'\n').next()?;
        Some(KmsgRecord { facility: prio >> 3, level: prio & 7, seq, time_us, continues, text: unescape(text) })
    }
}

/// The kernel writes bytes that are not printable as `\xNN`.
fn unescape(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|b| (*b as char).to_digit(16));
        if let (b'\\', Some(b'x'), Some(high), Some(low)) = (byte, tail.first(), hex(1), hex(2)) {
            out.push((high * 16 + low) as u8);
            rest = &tail[3..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    from_bytes(&out)
}

/// Builds reports from records.
#[derive(Debug)]
pub struct OomParser {
    page_size: u64,
    open: Option<OomReport>,
    /// The report before, without its tables: a group's other members die by the same OOM.
    before: Option<OomReport>,
    /// Whether lines are those of `Memory cgroup stats for …`.
    in_stats: bool,
    in_tasks: bool,
    /// The line that names the cgroups: with long names it goes on in further records.
    summary: Option<String>,
    last: Option<(u64, u64)>,
}

impl Default for OomParser {
    fn default() -> Self {
        OomParser {
            page_size: 4096,
            open: None,
            before: None,
            in_stats: false,
            in_tasks: false,
            summary: None,
            last: None,
        }
    }
}

impl OomParser {
    /// A parser for a kernel with pages of `page_size` bytes, as far as a report does not tell otherwise.
    pub fn with_page_size(page_size: u64) -> OomParser {
        OomParser { page_size, ..OomParser::default() }
    }

    /// Takes a record; returns a report when the record completes one.
    pub fn push(&mut self, record: &KmsgRecord) -> Option<OomReport> {
        // User space can write to the log as well.
        if record.facility != 0 {
            return None;
        }
        let lost = self.last.is_some_and(|(seq, _)| record.seq > seq.saturating_add(1));
        let stale = self.last.is_some_and(|(_, time)| record.time_us.saturating_sub(time) > REPORT_US);
        self.last = Some((record.seq, record.time_us));
        if stale {
            (self.open, self.before) = (None, None);
        }
        if lost && let Some(open) = &mut self.open {
            open.truncated = true;
        }
        let text = record.text.as_str();
        if let Some(mut summary) = self.summary.take().filter(|_| record.continues && !lost) {
            if summary.len() + text.len() <= MOST_SUMMARY {
                summary.push_str(text);
                parse_summary(&summary, self.open.get_or_insert_default());
            }
            self.summary = Some(summary);
            return None;
        }
        if let Some(trigger) = parse_trigger(text) {
            self.open = Some(OomReport { trigger: Some(trigger), ..OomReport::default() });
            self.in_stats = false;
            self.in_tasks = false;
            return None;
        }
        if let Some(victim) = parse_killed(text) {
            let mut report = self.open.take().unwrap_or_default();
            report.seq = record.seq;
            report.time_us = record.time_us;
            if report.constraint == Constraint::Unknown && text.starts_with("Memory cgroup out of memory") {
                report.constraint = Constraint::Memcg;
            }
            if report.constraint == Constraint::Unknown && text.starts_with("Out of memory") {
                report.constraint = Constraint::None;
            }
            report.victim = victim;
            let page_size = told_page_size(&report).unwrap_or(self.page_size);
            for task in &mut report.tasks {
                for pages in [&mut task.total_vm, &mut task.rss, &mut task.swap] {
                    *pages = pages.saturating_mul(page_size);
                }
            }
            self.in_stats = false;
            self.in_tasks = false;
            let bare = OomReport { victim: Victim::default(), trigger: None, tasks: Vec::new(), ..report.clone() };
            // Further victims of the same group follow with their Killed line alone.
            self.open = report.group.then(|| bare.clone());
            self.before = Some(bare);
            return Some(report);
        }
        if let Some(rest) = text.strip_prefix("oom-kill:") {
            parse_summary(rest, self.open.get_or_insert_default());
            self.summary = Some(rest.to_owned());
            self.in_tasks = false;
            self.in_stats = false;
            return None;
        }
        if text.starts_with("Tasks in ") && text.contains("are going to be killed due to memory.oom.group set") {
            // The cgroup of the group, which holds its members' own.
            let cgroup = text["Tasks in ".len()..].split(" are going to be killed").next().map(str::to_owned);
            let open = self.open.get_or_insert_with(|| self.before.take().unwrap_or_default());
            open.group = true;
            open.task_memcg = cgroup;
            return None;
        }
        let open = self.open.as_mut()?;
        if let Some(usage) = text.strip_prefix("memory: ").and_then(parse_usage) {
            open.memory = Some(usage);
        } else if let Some(usage) =
            text.strip_prefix("swap: ").or_else(|| text.strip_prefix("memory+swap: ")).and_then(parse_usage)
        {
            open.swap = Some(usage);
        } else if text.starts_with("Memory cgroup stats for ") {
            self.in_stats = true;
            // 5.x prints all values behind the colon, in one record.
            if let Some((_, values)) = text.split_once(": ").or_else(|| text.split_once(":\n")) {
                values.split([' ', '\n']).filter_map(|word| word.split_once(':')).for_each(|(key, value)| {
                    push_stat(open, key, value.trim_end_matches("KB"), 1024);
                });
            }
        } else if text.starts_with("Tasks state") {
            self.in_tasks = true;
            self.in_stats = false;
        } else if self.in_tasks && text.starts_with('[') {
            if open.tasks.len() >= MOST_TASKS {
                open.truncated = true;
            } else {
                open.tasks.extend(parse_task(text));
            }
        } else if self.in_stats {
            for line in text.split('\n') {
                if let Some((key, value)) = line.split_once(' ') {
                    push_stat(open, key, value, 1);
                }
            }
        }
        None
    }
}

fn push_stat(report: &mut OomReport, key: &str, value: &str, scale: u64) {
    if let Ok(value) = value.parse::<u64>() {
        if report.stats.len() < MOST_STATS {
            report.stats.push((key.to_owned(), value.saturating_mul(scale)));
        } else {
            report.truncated = true;
        }
    }
}

/// `NAME invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0`
fn parse_trigger(text: &str) -> Option<Trigger> {
    let (comm, rest) = text.rsplit_once(" invoked oom-killer: ")?;
    let after = |key: &str| rest.rsplit_once(key).map(|(_, value)| value);
    let number = |key: &str| after(key)?.split(',').next()?.trim().parse().ok();
    Some(Trigger {
        comm: comm.to_owned(),
        gfp_mask: after("gfp_mask=").and_then(|v| v.split(", ").next()).unwrap_or_default().to_owned(),
        order: number("order=").unwrap_or(0),
        oom_score_adj: number("oom_score_adj=").unwrap_or(0),
    })
}

/// `…: Killed process 103 (hog) total-vm:21544kB, anon-rss:20268kB, …`. The name may hold anything, the tail may not.
fn parse_killed(text: &str) -> Option<Victim> {
    let (_, rest) = text.split_once("Killed process ")?;
    let (pid, rest) = rest.split_once(" (")?;
    let (comm, tail) = rest.rsplit_once(") total-vm:")?;
    let mut words = tail.split([' ', ',']).filter(|word| !word.is_empty());
    let kib = |word: &str| word.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024);
    let mut victim = Victim {
        pid: pid.parse().ok()?,
        comm: comm.to_owned(),
        total_vm: words.next().and_then(kib)?,
        ..Victim::default()
    };
    for word in words {
        let Some((key, value)) = word.split_once(':') else { continue };
        match key {
            "anon-rss" => victim.anon_rss = kib(value)?,
            "file-rss" => victim.file_rss = kib(value)?,
            "shmem-rss" => victim.shmem_rss = kib(value)?,
            "pgtables" => victim.pgtables = kib(value)?,
            "UID" => victim.uid = value.parse().ok()?,
            "oom_score_adj" => victim.oom_score_adj = value.parse().ok()?,
            _ => {}
        }
    }
    Some(victim)
}

/// `constraint=…,nodemask=…,cpuset=…,mems_allowed=0[-1,3],oom_memcg=P|global_oom,task_memcg=P,task=NAME,pid=N,uid=N`. Paths and
/// names may hold commas, so the keys are looked for in their order, from the left for paths and from the right for numbers.
fn parse_summary(text: &str, report: &mut OomReport) {
    report.constraint = match text.strip_prefix("constraint=").and_then(|rest| rest.split(',').next()) {
        Some("CONSTRAINT_MEMCG") => Constraint::Memcg,
        Some("CONSTRAINT_NONE") => Constraint::None,
        Some("CONSTRAINT_CPUSET") => Constraint::Cpuset,
        Some("CONSTRAINT_MEMORY_POLICY") => Constraint::MemoryPolicy,
        _ => Constraint::Unknown,
    };
    let Some((before, rest)) = text.rsplit_once(",task_memcg=") else { return };
    // Where the line was cut, the path may be cut too.
    let whole = rest.rsplit_once(",pid=").and_then(|(rest, _)| rest.rsplit_once(",task="));
    report.task_memcg = whole.map(|(path, _)| path.to_owned());
    report.oom_memcg = before.split_once(",oom_memcg=").map(|(_, path)| path.to_owned());
}

/// `usage 20480kB, limit 20480kB, failcnt 29`
fn parse_usage(text: &str) -> Option<Usage> {
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let mut next = |key: &str| (words.next()? == key).then(|| words.next())?;
    let kib = |word: &str| word.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024);
    let usage = kib(next("usage")?)?;
    let limit = kib(next("limit")?);
    let failcnt = next("failcnt")?.parse().ok()?;
    // No limit prints as the largest number of pages.
    Some(Usage { usage, limit: limit.filter(|limit| *limit < 1 << 62), failcnt })
}

/// Bytes of a page: the table of tasks counts the victim's virtual size in pages, the line that names it in bytes.
fn told_page_size(report: &OomReport) -> Option<u64> {
    let row = report.tasks.iter().find(|task| task.pid == report.victim.pid && task.total_vm > 0)?;
    let size = report.victim.total_vm / row.total_vm;
    // It may have grown meanwhile: then the two do not fit and say nothing.
    let fits = size.is_power_of_two()
        && (4 << 10..=256 << 10).contains(&size)
        && size * row.total_vm == report.victim.total_vm;
    fits.then_some(size)
}

/// `[    103]     0   103     5386     5230 [rss_anon rss_file rss_shmem]    77824        0             0 hog`, in pages.
fn parse_task(text: &str) -> Option<TaskRow> {
    let (pid, rest) = text.strip_prefix('[')?.split_once(']')?;
    // Numbers up to oom_score_adj, then the name, which may hold spaces: 7 numbers before 6.12, 10 after.
    let mut words = Vec::new();
    let mut tail = rest.trim_start();
    while let Some((word, after)) = tail.split_once(' ') {
        let Ok(number) = word.parse::<i64>() else { break };
        words.push(number);
        tail = after.trim_start();
        if words.len() == 10 {
            break;
        }
    }
    // A name that is a number looks like one more column; the last word is always the name.
    let (pages, rest) = match words.len() {
        10.. => (&words[..4], &words[7..10]),
        7..=9 => (&words[..4], &words[4..7]),
        _ => return None,
    };
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    Some(TaskRow {
        pid: pid.trim().parse().ok()?,
        uid: u32::try_from(pages[0]).ok()?,
        total_vm: unsigned(pages[2]),
        rss: unsigned(pages[3]),
        pgtables: unsigned(rest[0]),
        swap: unsigned(rest[1]),
        oom_score_adj: rest[2],
        comm: tail.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reports(lines: &[&str]) -> Vec<OomReport> {
        let mut parser = OomParser::default();
        let record = |(seq, text): (usize, &&str)| KmsgRecord {
            facility: 0,
            level: 6,
            seq: seq as u64,
            time_us: 1000,
            continues: false,
            text: (*text).to_owned(),
        };
        lines.iter().enumerate().map(record).filter_map(|record| parser.push(&record)).collect()
    }

    const KILLED: &str = "Memory cgroup out of memory: Killed process 103 (hog) total-vm:21544kB, anon-rss:20268kB, file-rss:4kB, shmem-rss:648kB, UID:7 pgtables:76kB oom_score_adj:-5";

    #[test]
    fn records_are_read_and_unescaped() {
        let record = KmsgRecord::parse(b"6,339,5140900,-,caller=T1;a\\x0ab \\xc3\\xa4 \\x\n SUBSYSTEM=x\n").unwrap();
        assert_eq!((record.facility, record.level, record.seq, record.time_us), (0, 6, 339, 5140900));
        assert_eq!(record.text, "a\nb ä \\x");
        assert_eq!(KmsgRecord::parse(b"12,1,2,c;x").map(|r| (r.facility, r.continues)), Some((1, true)));
        assert_eq!(KmsgRecord::parse(b"no head"), None);
    }

    #[test]
    fn the_killed_line_alone_is_a_report_whatever_the_name() {
        let report = &reports(&[KILLED])[0];
        assert_eq!(report.constraint, Constraint::Memcg);
        let victim = &report.victim;
        assert_eq!((victim.pid, victim.comm.as_str(), victim.uid, victim.oom_score_adj), (103, "hog", 7, -5));
        assert_eq!((victim.anon_rss, victim.shmem_rss, victim.pgtables), (20268 << 10, 648 << 10, 76 << 10));
        let hostile = KILLED.replace("(hog)", "(a) total-vm:1kB (b, c)");
        assert_eq!(reports(&[&hostile])[0].victim.comm, "a) total-vm:1kB (b, c");
        let global = KILLED.replace("Memory cgroup out of memory", "Out of memory (oom_kill_allocating_task)");
        assert_eq!(reports(&[&global])[0].constraint, Constraint::None);
    }

    #[test]
    fn paths_may_hold_commas_and_keys() {
        let summary = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0-1,3,oom_memcg=/a,b,task_memcg=/a,b/c d,task=x,y,pid=103,uid=0";
        let report = &reports(&[summary, KILLED])[0];
        assert_eq!(report.oom_memcg.as_deref(), Some("/a,b"));
        assert_eq!(report.task_memcg.as_deref(), Some("/a,b/c d"));
        let global = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/g,task=hog,pid=1,uid=0";
        let report = &reports(&[global, KILLED])[0];
        assert_eq!((report.constraint, report.oom_memcg.as_deref()), (Constraint::None, None));
        assert_eq!(report.task_memcg.as_deref(), Some("/g"));
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_the_same_text_as_in_the_tree() {
        let line = b"6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/\\xff\\xfe,task_memcg=/\\xff\\xfe/c\\xc3\\xa4\\x1b\\x5cx41,task=hog,pid=103,uid=0";
        let mut parser = OomParser::default();
        assert_eq!(parser.push(&KmsgRecord::parse(line).unwrap()), None);
        let killed = KmsgRecord { text: KILLED.into(), seq: 2, ..KmsgRecord::parse(line).unwrap() };
        let report = parser.push(&killed).unwrap();
        assert_eq!(report.oom_memcg, Some(from_bytes(b"/\xff\xfe")));
        assert_eq!(
            report.task_memcg,
            Some(from_bytes("\0/c\u{e4}\u{1b}\\x41".as_bytes()).replace('\0', &from_bytes(b"/\xff\xfe")))
        );
    }

    #[test]
    fn cgroups_with_long_names_are_named_by_more_than_one_record() {
        let long = "/a".repeat(300);
        let pieces = [
            format!("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg={long}"),
            ",task_memcg=".into(),
            format!("{long}/b"),
            ",task=x,pid=103,uid=0".into(),
        ];
        let report = |cut: usize, lost: u64| {
            let mut parser = OomParser::default();
            let lines = pieces[..cut].iter().map(String::as_str).chain([KILLED]);
            let record = |(at, text): (usize, &str)| KmsgRecord {
                facility: 0,
                level: 6,
                seq: at as u64 + if at > 1 { lost } else { 0 },
                time_us: 1000,
                continues: at > 0 && text != KILLED,
                text: text.to_owned(),
            };
            lines.enumerate().map(record).filter_map(|record| parser.push(&record)).last().unwrap()
        };
        let whole = report(4, 0);
        assert_eq!((whole.oom_memcg, whole.task_memcg), (Some(long.clone()), Some(format!("{long}/b"))));
        let cut = report(3, 0);
        assert_eq!((cut.oom_memcg, cut.task_memcg), (Some(long.clone()), None), "half a path is no path");
        let lost = report(4, 1);
        assert_eq!((lost.constraint, lost.task_memcg), (Constraint::Memcg, None));
    }

    #[test]
    fn both_forms_of_the_task_table() {
        let old = "[    103]     1   103     5386     5230    77824        2          -500 a name";
        let new =
            "[    104]     1   104     5386     5230     5067        1      162    77824        3          0 42 x";
        let rows = &reports(&[
            "h invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
            "Tasks state (memory values in pages):",
            "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
            old,
            new,
            KILLED,
        ])[0]
            .tasks;
        assert_eq!((rows[0].rss, rows[0].pgtables, rows[0].swap), (5230 * 4096, 77824, 8192));
        assert_eq!((rows[0].oom_score_adj, rows[0].comm.as_str()), (-500, "a name"));
        assert_eq!((rows[1].pgtables, rows[1].swap, rows[1].comm.as_str()), (77824, 3 * 4096, "42 x"));
    }

    /// A kernel of the long-term series that WSL2 ships: what stands in the log of one before and of one after it.
    #[test]
    fn the_forms_of_5_15_and_6_6() {
        // 5.15 prints the statistics as one record of many lines, 6.6 each in its own; both a table of seven numbers.
        let stats_5_15 = [
            "Memory cgroup stats for /docker/f00:",
            "anon 33554432\nfile 0\nkernel_stack 16384\npagetables 61440\nswapcached 4096\npgfault 32960",
        ];
        let stats_6_6 = [
            "Memory cgroup stats for /docker/f00:",
            "anon 33554432",
            "file 0",
            "kernel 114688",
            "kernel_stack 16384",
            "swapcached 4096",
            "pgfault 32960",
        ];
        for stats in [&stats_5_15[..], &stats_6_6] {
            let head = [
                "node invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
                "CPU: 3 PID: 512 Comm: node Not tainted 5.15.153.1-microsoft-standard-WSL2 #1",
                "memory: usage 32768kB, limit 32768kB, failcnt 41",
                "swap: usage 4kB, limit 32768kB, failcnt 0",
            ];
            let tail = [
                "Tasks state (memory values in pages):",
                "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
                "[    498]     0   498      573      258    40960        5             0 init",
                "[    512]  1000   512   157286     8704   212992        1             0 node",
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/docker,task_memcg=/docker/f00,task=node,pid=512,uid=1000",
                "Memory cgroup out of memory: Killed process 512 (node) total-vm:629144kB, anon-rss:32768kB, file-rss:2048kB, shmem-rss:0kB, UID:1000 pgtables:208kB oom_score_adj:0",
            ];
            let lines: Vec<&str> = head.iter().chain(stats).chain(&tail).copied().collect();
            let report = &reports(&lines)[0];
            assert_eq!(report.constraint, Constraint::Memcg);
            assert_eq!(report.oom_memcg.as_deref(), Some("/docker"));
            assert_eq!(report.task_memcg.as_deref(), Some("/docker/f00"));
            assert_eq!(report.memory, Some(Usage { usage: 32 << 20, limit: Some(32 << 20), failcnt: 41 }));
            let stat = |key: &str| report.stats.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
            assert_eq!((stat("anon"), stat("swapcached"), stat("pgfault")), (Some(32 << 20), Some(4096), Some(32960)));
            let row = &report.tasks[1];
            assert_eq!((row.pid, row.rss, row.swap, row.pgtables), (512, 8704 * 4096, 4096, 212992));
            assert_eq!(row.rss, report.victim.anon_rss + report.victim.file_rss);
            assert_eq!(report.victim.uid, 1000);
        }
    }

    #[test]
    fn the_size_of_a_page_is_told_by_the_victim_s_own_row() {
        let sizes = |kib: u64, total_kib: u64| {
            let row =
                format!("[    103]     0   103     {}      200    77824        3             0 hog", total_kib / kib);
            let other = "[    104]     0   104     50      20    77824        0             0 b".to_owned();
            let killed = KILLED.replace("21544kB", &format!("{total_kib}kB"));
            let head = "hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
            let report = reports(&[head, "Tasks state (memory values in pages):", &row, &other, &killed]).remove(0);
            report.tasks.iter().map(|task| (task.rss, task.swap)).collect::<Vec<_>>()
        };
        for kib in [4, 16, 64] {
            assert_eq!(sizes(kib, 64 * 5386), [(200 * kib * 1024, 3 * kib * 1024), (20 * kib * 1024, 0)], "{kib} KiB");
        }
        // It grew between the table and the kill: the machine's own size is taken.
        let grown = KILLED.replace("21544kB", "21548kB");
        let row = "[    103]     0   103     5386     5230    77824        2          -500 hog";
        let head = "hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
        let report = reports(&[head, "Tasks state (memory values in pages):", row, &grown]).remove(0);
        assert_eq!(report.tasks[0].rss, 5230 * 4096);
    }

    #[test]
    fn user_space_cannot_forge_a_report() {
        let mut parser = OomParser::default();
        let text = KILLED.to_owned();
        let record = KmsgRecord { facility: 1, level: 3, seq: 1, time_us: 1, continues: false, text };
        assert_eq!(parser.push(&record), None);
    }

    #[test]
    fn a_group_names_each_victim_once_per_line() {
        let group = "Tasks in /p/a are going to be killed due to memory.oom.group set";
        let second = KILLED.replace("103 (hog)", "104 (hog2)");
        let got = reports(&[KILLED, group, KILLED, &second]);
        let pids: Vec<_> = got.iter().map(|r| (r.victim.pid, r.task_memcg.as_deref(), r.group)).collect();
        assert_eq!(pids, [(103, None, false), (103, Some("/p/a"), true), (104, Some("/p/a"), true)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..250, lines in prop::collection::vec(".{0,80}", 0..8)) {
            KmsgRecord::parse(&bytes);
            let mut damaged = KILLED.as_bytes().to_vec();
            damaged.splice(cut.min(KILLED.len()).., bytes);
            let damaged = String::from_utf8_lossy(&damaged).into_owned();
            let mut all: Vec<&str> = vec!["x invoked oom-killer: ", "Tasks state", &damaged, "[1] 1", "Memory cgroup stats for /: a:1KB", "memory: usage 1kB", "oom-kill:constraint=,pid=,task=", "Tasks in  are going to be killed due to memory.oom.group set"];
            all.extend(lines.iter().map(String::as_str));
            reports(&all);
        }
    }
}
