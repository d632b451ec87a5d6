//! Real logs and files of real kernels (`cargo xtask vm --collect`), through the parsers.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sampler::kernel::cgroupfs::layout::{Layout, Version};
use sampler::kernel::cgroupfs::plan::Plan;
use sampler::kernel::oom::kmsg::{KmsgRecord, OomParser};
use sampler::kernel::oom::merge::Merge;
use sampler::kernel::oom::witness::Witness;
use sampler::model::evidence::{Constraint, OomReport};
use sampler::model::fields::{Key, Source, Table, UNLIMITED, of};
use sampler::model::sample::{PassKind, Row};

fn fixtures(hierarchy: &str) -> Vec<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/kernel");
    let mut found: Vec<_> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(hierarchy));
    found.sort();
    found
}

fn reports(log: &[u8]) -> Vec<OomReport> {
    let mut parser = OomParser::default();
    // A record is a line and the ` KEY=value` lines that follow it.
    let records = log.split(|&b| b == b'\n').filter(|line| !line.is_empty() && line[0] != b' ');
    records.filter_map(|line| parser.push(&KmsgRecord::parse(line).unwrap())).collect()
}

#[test]
fn every_kill_in_the_logs_of_real_kernels_is_reported_once() {
    let (v1, v2) = (fixtures("hybrid"), fixtures("v2"));
    assert!(v1.len() >= 2 && v2.len() >= 4);
    for (path, is_v2) in v1.iter().map(|p| (p, false)).chain(v2.iter().map(|p| (p, true))) {
        let reports = reports(&fs::read(path.join("kmsg")).unwrap());
        let mut merge = Merge::default();
        for (i, report) in reports.iter().enumerate() {
            merge.witness(Witness::Kmsg { time_ns: i as u64, report: Box::new(report.clone()) });
        }
        let kills = merge.poll(u64::MAX).kills;
        let mut found: Vec<(String, Constraint, Option<&str>, Option<&str>)> = kills
            .iter()
            .map(|kill| {
                let comm = kill.victim.as_ref().unwrap().comm.clone();
                (comm, kill.constraint, kill.limit_cgroup.as_deref(), kill.victim_cgroup.as_deref())
            })
            .collect();
        // The members of a group die in any order.
        found.sort_by(|a, b| (a.3, &a.0).cmp(&(b.3, &b.0)));
        let web = |comm: &str| (comm.to_owned(), Constraint::Memcg, Some("/web"), Some("/web"));
        let mut want = Vec::new();
        if is_v2 {
            want.push(("sampler".to_owned(), Constraint::None, None, Some("/big")));
            want.push(("sampler".to_owned(), Constraint::Memcg, Some("/group"), Some("/group")));
            want.push(("sleep".to_owned(), Constraint::Memcg, Some("/group"), Some("/group")));
        }
        want.extend([web("a b) total-vm:1"), web("hog"), web("x\u{1b}[31m\n(y")]);
        assert_eq!(found, want, "{}", path.display());

        let first = &reports[0];
        assert_eq!(first.memory.as_ref().unwrap().limit, Some(24 << 20), "{}", path.display());
        assert!(first.stats.iter().any(|(key, value)| key == "anon" && *value > 20 << 20) || !is_v2);
        assert_eq!(first.trigger.as_ref().unwrap().comm, "hog");
        let row = first.tasks.iter().find(|task| task.pid == first.victim.pid).unwrap();
        assert_eq!(row.comm, "hog");
        assert_eq!(row.rss, first.victim.anon_rss + first.victim.file_rss + first.victim.shmem_rss);
        assert!(!first.truncated);
    }
}

#[test]
fn a_log_cut_anywhere_reports_no_kill_that_was_not() {
    let log = fs::read(fixtures("v2")[0].join("kmsg")).unwrap();
    let all: BTreeSet<i32> = reports(&log).iter().map(|report| report.victim.pid).collect();
    for cut in (0..log.len()).step_by(61) {
        let tail = &log[cut..];
        let mut parser = OomParser::default();
        for record in tail.split(|&b| b == b'\n').filter_map(KmsgRecord::parse) {
            if let Some(report) = parser.push(&record) {
                assert!(all.contains(&report.victim.pid), "cut at {cut}");
            }
        }
    }
}

#[test]
fn a_kill_on_6_18_with_memory_on_v1_is_reported_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/kernel/6.18/kmsg");
    let reports = reports(&fs::read(path).unwrap());
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    assert_eq!((report.victim.pid, report.victim.anon_rss), (5690, 24320 << 10));
    assert_eq!(report.oom_memcg.as_deref(), Some("/sampler-run-5686"));
    assert_eq!(report.tasks.len(), 1);
    assert_eq!(report.tasks[0].rss, 7763 * 4096);
    let stat = |key: &str| report.stats.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
    assert_eq!(stat("total_rss"), Some(25_026_560), "this form prints bytes");
}

#[test]
fn lines_of_others_between_change_nothing() {
    let others = ["eth0: link up", "audit: type=1400 comm=\"Killed process 1 (x)\"", "usb 1-1: new device"];
    for home in fixtures("v2").into_iter().chain(fixtures("hybrid")) {
        let log = fs::read_to_string(home.join("kmsg")).unwrap();
        let mut mixed = String::new();
        let mut seq = 0;
        let mut number = |line: &str| {
            let (head, text) = line.split_once(';').unwrap();
            let mut parts: Vec<String> = head.split(',').map(str::to_owned).collect();
            (parts[1], seq) = (seq.to_string(), seq + 1);
            format!("{};{text}\n", parts.join(","))
        };
        for (i, line) in log.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).enumerate() {
            mixed += &number(line);
            if i % 7 == 0 {
                // At the same moment: a pause of many seconds does end a report.
                let time = line.split(',').nth(2).unwrap();
                mixed += &number(&format!("6,0,{time},-;{}", others[i / 7 % others.len()]));
            }
        }
        let numbered = |log: &str| -> Vec<OomReport> {
            let all = reports(log.as_bytes()).into_iter();
            all.map(|report| OomReport { seq: 0, ..report }).collect()
        };
        assert_eq!(numbered(&mixed), numbered(&log), "{}", home.display());
    }
}

/// The value of a source, found in the plainest way.
fn plain(text: &str, key: Key) -> Option<u64> {
    let value = match key {
        Key::Whole => text.split_whitespace().next()?,
        Key::Flat(key) => text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?,
        Key::Nested(row, key) => {
            let line = text.lines().find(|line| line.split(' ').next() == Some(row))?;
            line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?
        }
        Key::Pairs(..) | Key::Column(..) | Key::Sum(_) | Key::Blocks(_) => unreachable!("no file of a cgroup"),
    };
    match value.trim() {
        "max" | "9223372036854771712" => Some(UNLIMITED),
        number => number.replace('.', "").parse().ok(),
    }
}

#[test]
fn every_field_of_a_real_file_has_the_value_that_stands_there() {
    for (hierarchy, version) in [("hybrid", Version::V1), ("v2", Version::V2)] {
        let nowhere = PathBuf::from("/nowhere");
        let layout = Layout { version, memory: nowhere.clone(), unified: Some(nowhere), cpuacct: None, pids: None };
        for path in fixtures(hierarchy) {
            let mut seen = 0;
            for mut file in Plan::cgroups(PassKind::Full, &layout, &[]).files {
                let Ok(text) = fs::read_to_string(path.join("files").join(file.name())) else { continue };
                let mut row = Row::new(1);
                // The second time goes the way of keys that are known.
                for _ in 0..2 {
                    row = Row::new(1);
                    file.parser.parse(text.as_bytes(), &mut row);
                }
                for field in of(Table::Samples) {
                    let source = if version == Version::V1 { field.v1 } else { field.v2 };
                    let Some(Source { file: name, key, mul, div }) = source else { continue };
                    if name != file.source {
                        continue;
                    }
                    let want = plain(&text, key).map(|v| if v == UNLIMITED { v } else { v * mul / div });
                    assert_eq!(row.get(field), want, "{} of {}", field.column, path.join("files").join(name).display());
                    seen += usize::from(want.is_some());
                }
            }
            assert!(seen > 20, "{} of {}", seen, path.display());
        }
    }
}
