//! The kernel's log: its records, and the OOM reports in its lines. Pure; never panics on any bytes; bounded.
//!
//! The same parser reads `/dev/kmsg` while it is written and the files that people keep of it. Pids are those of the initial pid
//! namespace.

mod detail;
mod line;
mod lines;
mod machine;
mod open;
mod parser;
mod place;
mod record;
mod table;

pub use line::Line;
pub use lines::{End, kernel};
pub use parser::{OomParser, Outcome};
pub use record::{KmsgRecord, unescape};
pub use table::is_row;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::evidence::{Constraint, OomReport, Usage};
    use crate::model::paths::from_bytes;

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
        let global = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/g,task=hog,pid=103,uid=0";
        let killed = KILLED.replace("Memory cgroup out of memory", "Out of memory");
        let report = &reports(&[global, &killed])[0];
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
    fn the_victim_s_own_row_shows_the_size_of_a_page() {
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
