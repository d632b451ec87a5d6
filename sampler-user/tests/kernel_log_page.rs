//! `sampler postmortem` on a kernel log, as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn log(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/kernel-logs").join(name)
}

fn sampler(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .env("COLUMNS", "100")
        .arg("postmortem")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn text(arguments: &[&str], input: &[u8]) -> String {
    let output = sampler(arguments, input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn path(name: &str) -> String {
    log(name).to_str().unwrap().to_owned()
}

#[test]
fn a_page_says_whose_limit_it_was_and_what_a_log_cannot_say() {
    let page = text(&[&path("6.12-table.log")], b"");
    for words in [
        "`python3` in `ab12ab12ab12` was OOM-killed 5000.0 s after boot by its own limit of 64 MiB",
        "cause: unknown",
        "python3 (pid 88)",
        "  2. python3                  88",
        "sudo sampler record",
        "the date and the time of day",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(!page.contains("leak,"), "one report shows no growth\n{page}");
    let page = text(&[&path("global-meminfo.log")], b"");
    for words in ["zone DMA32 of node 0: 38.9 MiB of 1.9 GiB free", "no swap", "kmalloc-512 4 MiB", "asked    Xorg"] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

#[test]
fn a_log_is_known_by_what_it_holds_and_may_come_by_standard_input() {
    let bytes = fs::read(log("dmesg-uptime.log")).unwrap();
    let by_name = text(&[&path("dmesg-uptime.log"), "--json"], b"");
    let by_input = text(&["-", "--json"], &bytes);
    let kills = |text: &str| serde_json::from_str::<Value>(text).unwrap()["kills"].clone();
    assert_eq!(kills(&by_name), kills(&by_input));
    // A name says nothing: this one is a log all the same.
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("system.journal");
    fs::write(&named, &bytes).unwrap();
    assert!(text(&[named.to_str().unwrap()], b"").contains("`node`"));
}

#[test]
fn what_is_no_log_gets_no_all_clear() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("a.txt", &b"hello\nworld\n"[..]), ("a.xz", b"\xfd7zXZ\0\0\x04")] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let output = sampler(&[file.to_str().unwrap()], b"");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("no kill"), "{name}");
        assert!(!output.status.success() || String::from_utf8_lossy(&output.stdout).contains("problem"), "{name}");
    }
    let output = sampler(&["-"], b"hello\n");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("dmesg -T | sampler postmortem -"));
    let page = text(&[&path("clean.log")], b"");
    assert!(page.contains("no kill by the kernel's OOM killer in this log") && page.contains("2 lines"), "{page}");
}

#[test]
fn json_has_each_kill_once_and_null_where_nothing_is_known() {
    let shown: Value = serde_json::from_str(&text(&[&path("storm-lone.log"), "--json"], b"")).unwrap();
    assert_eq!((&shown["format"], &shown["source"]), (&"sampler.postmortem.v1".into(), &"kernel-log".into()));
    let kills = shown["kills"].as_array().unwrap();
    assert_eq!(kills.len(), 14, "all of them, although one incident is shown");
    assert_eq!(shown["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(kills[0]["limit"], 268_435_456);
    let lone = kills[1].as_object().unwrap();
    for key in ["limit_cgroup", "victim_cgroup", "usage", "limit", "trigger", "tasks_rows", "time_us"] {
        assert!(lone.contains_key(key) && lone[key].is_null(), "{key}: {}", kills[1]);
    }
    assert_eq!(shown["log"]["suppressed"], 31);
    let incident = &shown["incidents"][0];
    assert_eq!((&incident["limit"]["owner"], &incident["victims"][0]["pid"]), (&"own".into(), &5000.into()));
}

#[test]
fn other_killers_and_reports_without_a_victim_are_shown_as_what_they_are() {
    let page = text(&[&path("systemd-oomd-marked.log")], b"");
    assert!(
        page.contains("no kill by the kernel's OOM killer") && page.contains("systemd-oomd killed /user.slice"),
        "{page}"
    );
    let shown: Value = serde_json::from_str(&text(&[&path("panic-on-oom.log"), "--json"], b"")).unwrap();
    assert_eq!((&shown["kills"], &shown["no_victim"][0]["end"]), (&Value::Array(Vec::new()), &"panic".into()));
}

/// Kills of a container by its own limit, 60 s apart.
fn restarts(count: u32) -> String {
    let id = "ab".repeat(32);
    let one = |at: u32| {
        let pid = 100 + at;
        format!(
            "2024-03-01T10:{at:02}:00Z h kernel: app invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n2024-03-01T10:{at:02}:00Z h kernel: oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/docker/{id},task_memcg=/docker/{id},task=app,pid={pid},uid=0\n2024-03-01T10:{at:02}:00Z h kernel: Memory cgroup out of memory: Killed process {pid} (app) total-vm:10kB, anon-rss:5kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n"
        )
    };
    (0..count).map(one).collect()
}

#[test]
fn a_restart_loop_is_one_line_of_the_list_and_at_finds_one_of_its_kills() {
    let log = restarts(8);
    let list = text(&["-", "--list"], log.as_bytes());
    assert_eq!(list.lines().count(), 1, "{list}");
    assert!(list.contains("and again: 8 times until 2024-03-01T10:07:00Z, one every 60 s"), "{list}");
    assert_eq!(text(&["-", "--list", "--unfold"], log.as_bytes()).lines().count(), 8);
    let page = text(&["-", "--at", "2024-03-01T10:03:10Z"], log.as_bytes());
    assert!(page.contains("(pid 103)") && page.contains("2024-03-01T10:03:00Z"), "{page}");
    let all: Value = serde_json::from_str(&text(&["-", "--all", "--json"], log.as_bytes())).unwrap();
    assert_eq!(all["incidents"].as_array().unwrap().len(), 8);
}

#[test]
fn the_html_of_a_log_opens_without_plots() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    text(&[&path("dmesg-uptime.log"), "--html", file.to_str().unwrap()], b"");
    let page = fs::read_to_string(&file).unwrap();
    assert!(page.contains("its own limit of 256 MiB") && page.contains("\"sets\":[]"));
}
