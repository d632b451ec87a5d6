//! Kernel logs as people keep them, against what is true of each.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says what it compares")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use proptest::prelude::*;
use sampler::kernel::oom::kmsg::{End, KmsgRecord, OomParser};
use sampler::kernel::oom::textlog::{TextLog, read};
use sampler::model::evidence::Constraint;
use serde_json::{Value, json};

fn parse(log: &[u8]) -> TextLog {
    read(log, &mut |_| {}).unwrap()
}

/// What a log says, in the words of a truth.
fn as_truth(log: &TextLog) -> Value {
    let kills: Vec<Value> = (0..log.kills.len())
        .map(|at| {
            let facts = log.facts(at);
            let constraint = match facts.constraint {
                Constraint::Memcg => Some("memcg"),
                Constraint::Unknown => None,
                _ => Some("machine"),
            };
            let limit = facts.limit_cgroup.or(constraint.filter(|of| *of == "machine"));
            json!({
                "pid": facts.pid, "comm": facts.comm, "anon_kb": facts.victim.map(|victim| victim.anon_rss >> 10),
                "limit_cgroup": limit, "victim_cgroup": facts.victim_cgroup, "constraint": constraint,
                "usage_kb": facts.usage.map(|bytes| bytes >> 10), "limit_kb": facts.limit.map(|bytes| bytes >> 10),
                "trigger_comm": facts.trigger.map(|trigger| &trigger.comm), "tasks_rows": facts.tasks_rows,
            })
        })
        .collect();
    let by: Vec<Value> = log
        .by_program
        .iter()
        .map(|one| json!({"by": one.killing.by, "cgroup": one.killing.cgroup, "pid": one.killing.pid}))
        .collect();
    let none = log.no_victim.iter().any(|report| matches!(report.end, End::NoneKillable | End::Panic | End::Exiting));
    let said: Vec<&str> = log.last_words.iter().map(|said| said.text.as_str()).collect();
    json!({"kills": kills, "userspace": by, "no_victim": none, "last_words": said})
}

/// Compares a folder of logs with its `truth.json`; returns what differs.
fn compare(folder: &Path) -> Vec<String> {
    let truth: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let mut faults = Vec::new();
    for case in &truth {
        let file = case["file"].as_str().unwrap();
        let found = as_truth(&parse(&fs::read(folder.join(file)).unwrap()));
        let mut differs = |what: String, want: &Value, is: &Value| {
            if want != is {
                faults.push(format!("{file}: {what}: {is}, not {want}"));
            }
        };
        let (want, is) = (case["kills"].as_array().unwrap(), found["kills"].as_array().unwrap());
        differs("kills".into(), &json!(want.len()), &json!(is.len()));
        for (at, (want, is)) in want.iter().zip(is).enumerate() {
            for (key, value) in want.as_object().unwrap() {
                differs(format!("kill {at}: {key}"), value, &is[key]);
            }
        }
        for key in ["userspace", "no_victim", "last_words"] {
            if let Some(value) = case.get(key) {
                differs(key.into(), value, &found[key]);
            }
        }
    }
    faults
}

/// By hand: `SAMPLER_KERNEL_LOGS=FOLDER cargo test --test kernel_log -- --ignored`.
#[test]
#[ignore = "needs a folder of logs with a truth.json"]
fn a_folder_of_logs_is_read_as_its_truth_says() {
    let folder = std::env::var("SAMPLER_KERNEL_LOGS").unwrap();
    assert_eq!(compare(Path::new(&folder)), Vec::<String>::new());
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/kernel-logs")
}

#[test]
fn logs_as_people_keep_them_are_read_as_their_truths_say() {
    assert_eq!(compare(&own()), Vec::<String>::new());
}

/// What a part of a log says is what the whole says, or it is not said.
#[test]
fn a_log_that_is_cut_anywhere_says_nothing_that_the_whole_does_not() {
    let truth: Vec<Value> = serde_json::from_slice(&fs::read(own().join("truth.json")).unwrap()).unwrap();
    let (mut cuts, mut faults) = (0, Vec::new());
    for case in truth.iter().filter(|case| !case["kills"].as_array().unwrap().is_empty()) {
        let file = case["file"].as_str().unwrap();
        let log = fs::read(own().join(file)).unwrap();
        let whole = as_truth(&parse(&log))["kills"].as_array().unwrap().clone();
        for (cut, is_tail) in (1..log.len()).step_by(97).flat_map(|cut| [(cut, false), (cut, true)]) {
            if is_tail && ["interleaved.log", "two-hosts.log"].contains(&file) {
                // Of two reports that are written at the same time the lines are distinguished by their beginnings.
                continue;
            }
            let part = as_truth(&parse(if is_tail { &log[cut..] } else { &log[..cut] }));
            for kill in part["kills"].as_array().unwrap() {
                let same = whole.iter().find(|other| other["pid"] == kill["pid"]);
                let Some(same) = same else {
                    faults.push(format!("{file} cut at {cut}, tail {is_tail}: {kill}"));
                    continue;
                };
                let mut keys =
                    vec!["limit_cgroup", "victim_cgroup", "constraint", "usage_kb", "limit_kb", "trigger_comm"];
                // Of a table that begins in the middle the rows that are there count.
                keys.extend((!is_tail).then_some("tasks_rows"));
                for key in keys {
                    let is_fine = kill[key] == same[key] || kill[key].is_null();
                    if !is_fine {
                        faults.push(format!("{file} cut at {cut}, tail {is_tail}: {key}: {}", kill[key]));
                    }
                }
            }
            cuts += 1;
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(cuts > 1000);
}

/// Lines are lost as in a `grep`, or where a ring was overwritten: what is said of a kill is true or not said.
#[test]
fn a_log_of_which_lines_are_missing_says_nothing_false() {
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    for file in
        ["storm-lone.log", "dmesg-uptime.log", "group-first-twice.log", "copy-dmesg-syslog.log", "two-reports.log"]
    {
        let log = fs::read_to_string(own().join(file)).unwrap();
        let whole = as_truth(&parse(log.as_bytes()))["kills"].as_array().unwrap().clone();
        for _ in 0..400 {
            let part: String = log.split_inclusive('\n').filter(|_| next(3) > 0).collect();
            let killed = |pid: i64| part.contains(&format!("Killed process {pid} "));
            let is = as_truth(&parse(part.as_bytes()));
            let is = is["kills"].as_array().unwrap();
            let pids: Vec<i64> = is.iter().map(|kill| kill["pid"].as_i64().unwrap()).collect();
            let want: Vec<i64> =
                whole.iter().map(|kill| kill["pid"].as_i64().unwrap()).filter(|pid| killed(*pid)).collect();
            assert_eq!(pids, want, "{file}\n{part}");
            for kill in is {
                let same = whole.iter().find(|other| other["pid"] == kill["pid"]).unwrap();
                for key in ["limit_cgroup", "victim_cgroup", "constraint", "usage_kb", "limit_kb", "trigger_comm"] {
                    assert!(kill[key] == same[key] || kill[key].is_null(), "{file}: {key}: {kill}\n{part}");
                }
            }
        }
    }
}

#[test]
fn what_the_recorder_reads_of_the_kernel_a_file_of_it_says_too() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/kernel");
    let mut compared = 0;
    for log in fs::read_dir(home).unwrap().flatten().map(|entry| entry.path().join("kmsg")).filter(|log| log.is_file())
    {
        let bytes = fs::read(&log).unwrap();
        let mut parser = OomParser::default();
        let records = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty() && line[0] != b' ');
        let mut kills: Vec<(i32, String, Constraint, Option<String>)> = Vec::new();
        for report in records.filter_map(|line| parser.push(&KmsgRecord::parse(line)?)) {
            // Of a group the first victim is named twice.
            if !kills.iter().any(|(pid, ..)| *pid == report.victim.pid) {
                kills.push((report.victim.pid, report.victim.comm, report.constraint, report.oom_memcg));
            }
        }
        let file = parse(&bytes);
        let of_file: Vec<_> = (0..file.kills.len())
            .map(|at| {
                let report = &file.kills[at].report;
                (report.victim.pid, report.victim.comm.clone(), report.constraint, report.oom_memcg.clone())
            })
            .collect();
        assert_eq!(of_file, kills, "{}", log.display());
        compared += kills.len();
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn a_storm_without_end_takes_a_bounded_memory() {
    let kill = |pid: u32| {
        format!(
            "[{}.{:06}] Memory cgroup out of memory: Killed process {pid} (w) total-vm:10kB, anon-rss:5kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n",
            100 + pid / 100,
            pid % 100
        )
    };
    let log: String = (1..=25_000).map(kill).collect();
    let log = parse(log.as_bytes());
    assert_eq!((log.kills.len(), log.more), (20_000, 5_000));
}

#[test]
fn of_very_many_reports_the_first_lose_their_tables() {
    let report = |at: u32| {
        let rows: String = (0..60)
            .map(|row| {
                format!(
                    "[{at}.000003] [{:7}]     0 {row:5}     1000      {:4}    40960        0             0 t\n",
                    100 + row,
                    100 + row
                )
            })
            .collect();
        format!(
            "[{at}.000001] t invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n[{at}.000002] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n{rows}[{at}.000004] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a,task=t,pid={at},uid=0\n[{at}.000005] Memory cgroup out of memory: Killed process {at} (t) total-vm:10kB, anon-rss:5kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n"
        )
    };
    let text: String = (1..=1200).map(report).collect();
    let log = parse(text.as_bytes());
    assert_eq!(log.kills.len(), 1200);
    let kept = |at: usize| (log.kills[at].report.tasks.len(), log.facts(at).tasks_rows, log.facts(at).limit_cgroup);
    assert_eq!((kept(0), kept(1199)), ((0, Some(60), Some("/a")), (48, Some(60), Some("/a"))));
    assert_eq!(log.kills[1199].report.tasks[0].rss, 159 * 4096, "the largest are kept");
}

/// 1 GiB of syslog, a report with 300 tasks in each MiB.
struct Syslog {
    noise: Vec<u8>,
    block: Vec<u8>,
    at: usize,
    pid: u32,
}

impl Read for Syslog {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.block.len() && self.pid < 1024 {
            (self.at, self.pid) = (0, self.pid + 1);
            self.block.clear();
            self.block.extend_from_slice(&self.noise);
            let (pid, clock) = (10_000 + self.pid, format!("{:02}:{:02}:00", self.pid / 60, self.pid % 60));
            let mut line = |text: &str| {
                writeln!(self.block, "May  3 {clock} host kernel: [{}.000001] {text}", self.pid * 60).unwrap()
            };
            line("java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0");
            line("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name");
            (0..300).for_each(|task| {
                line(&format!(
                    "[{:7}]     0 {task:5}    90000     {task:4}   600000        0             0 worker-{task}",
                    20_000 + task
                ))
            });
            line(&format!(
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a,task=java,pid={pid},uid=0"
            ));
            line(&format!(
                "Memory cgroup out of memory: Killed process {pid} (java) total-vm:1600000kB, anon-rss:1000000kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:600kB oom_score_adj:0"
            ));
        }
        let count = to.len().min(self.block.len() - self.at);
        to[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// By hand: `cargo test --release --test kernel_log -- --ignored --exact a_gibibyte_of_syslog_takes_seconds_and_little_memory --nocapture`.
#[test]
#[ignore = "a measure of a release build"]
fn a_gibibyte_of_syslog_takes_seconds_and_little_memory() {
    let mut noise = Vec::new();
    let mut at = 0;
    while noise.len() < (1 << 20) - 40_000 {
        at += 1;
        for text in [
            "systemd[1]: Started Session 7 of user root.",
            "kernel: [4242.123456] docker0: port 2(veth1a2b3c4) entered disabled state",
            "dockerd[881]: time=\"2024-05-03T02:11:48.102938475Z\" level=info msg=\"ignoring event\" topic=/tasks/delete",
            "nginx[77]: 192.0.2.55 - - \"GET /api/v1/items HTTP/1.1\" 200 1234 \"-\" \"Mozilla/5.0\"",
        ] {
            writeln!(noise, "May  3 02:{:02}:{:02} host {text}", at / 60 % 60, at % 60).unwrap();
        }
    }
    let begin = Instant::now();
    let log = read(Syslog { noise, block: Vec::new(), at: 0, pid: 0 }, &mut |_| {}).unwrap();
    let (bytes, seconds) = (log.coverage.bytes, begin.elapsed().as_secs_f64());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    eprintln!(
        "{bytes} bytes, {} kills: {seconds:.1} s, {:.0} MB/s, {peak}",
        log.kills.len(),
        bytes as f64 / 1e6 / seconds
    );
    assert_eq!(log.kills.len(), 1024);
    assert!(log.kills.iter().all(|kill| kill.report.oom_memcg.as_deref() == Some("/a")));
    assert!(bytes as f64 / 1e6 / seconds > 200.0);
    assert!(peak.strip_suffix(" kB").unwrap().parse::<u64>().unwrap() < 32 << 10);
}

#[test]
fn a_line_without_end_is_cut() {
    let mut log = vec![b'x'; 3 << 20];
    log.extend_from_slice(b"\n[1.000001] Out of memory: Killed process 7 (a) total-vm:10kB, anon-rss:5kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n");
    let log = parse(&log);
    assert_eq!((log.kills.len(), log.coverage.lines), (1, 2));
}

#[test]
fn the_time_of_a_kill_is_as_exact_as_its_line() {
    let when = |line: &str| {
        parse(format!("{line}Out of memory: Killed process 7 (a) total-vm:10kB, anon-rss:5kB\n").as_bytes()).kills[0]
            .when
    };
    let wall = |line: &str| when(line).wall.map(|wall| (wall.us, wall.zoned, wall.dated));
    assert_eq!(when("[ 12.345678] ").uptime_us, Some(12_345_678));
    assert_eq!(wall("[Mon Aug 31 18:23:18 2015] "), Some((1_441_045_398_000_000, false, true)));
    assert_eq!(wall("2015-08-31T18:23:18.5+02:00 h kernel: "), Some((1_441_038_198_500_000, true, true)));
    assert_eq!(wall("2015-08-31T16:23:18,000007Z "), Some((1_441_038_198_000_007, true, true)));
    let (us, zoned, dated) = wall("Aug 31 18:23:18 h kernel: ").unwrap();
    assert_eq!((us.rem_euclid(86_400_000_000), zoned, dated), (66_198_000_000, false, false));
    assert_eq!(wall(""), None);
}

#[test]
fn a_log_that_was_rotated_into_gzip_is_read_and_one_that_is_cut_says_so() {
    let log = fs::read(own().join("storm-lone.log")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&log).unwrap();
    let packed = packed.finish().unwrap();
    let whole = parse(&packed);
    assert_eq!((whole.kills.len(), whole.coverage.cut), (parse(&log).kills.len(), false));
    let cut = parse(&packed[..packed.len() - 12]);
    assert!(cut.coverage.cut && cut.kills.len() <= whole.kills.len());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..5000, which in 0usize..200) {
        let truth: Vec<Value> = serde_json::from_slice(&fs::read(own().join("truth.json")).unwrap()).unwrap();
        let file = truth[which % truth.len()]["file"].as_str().unwrap();
        let mut log = fs::read(own().join(file)).unwrap();
        let at = at % (log.len() + 1);
        log.splice(at..at, bytes);
        parse(&log);
    }
}
