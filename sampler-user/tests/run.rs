//! `sampler run` on the machine's own cgroups: what it says of the end of a command, beside others that are killed meanwhile.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/cgroups.rs"]
mod cgroups;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cgroups::{Cgroup, Storm};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command in a cgroup; gives what was said and the report.
fn run(dir: &Path, options: &[&str], command: &[&str]) -> (Output, Value) {
    let report = dir.join("report.json");
    let mut sampler = Command::new(env!("CARGO_BIN_EXE_sampler"));
    sampler.arg("run").args(options).arg("--out").arg(dir.join("recording")).arg("--report").arg(&report);
    let output = sampler.arg("--").args(command).output().unwrap();
    let report = std::fs::read(&report).unwrap_or_else(|_| panic!("no report: {}", text(&output.stderr)));
    (output, serde_json::from_slice(&report).unwrap())
}

#[test]
fn a_kill_before_the_command_has_begun_is_seen() {
    let Some(_others) = Storm::begin("a_kill_before_the_command_has_begun_is_seen", "0.1") else { return };
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let (output, report) = run(dir.path(), &["--memory-max", "100K"], &["sh", "-c", "exit 0"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(137), "{said}");
        assert_eq!(report["format"], "sampler.run.v1");
        assert_eq!((&report["oom"], &report["signal"], &report["exit_code"]), (&true.into(), &9.into(), &Value::Null));
        assert_eq!(report["oom_kills"], 1, "{report}");
        cause_of_the_post_mortem(dir.path(), &report);
        assert!(said.contains("OOM-killed") || said.contains("the OOM killer"), "{said}");
        assert!(!said.contains("no OOM kill"), "{said}");
        assert!(!said.contains("sampler-test"), "the others' kills are not the command's: {said}");
        // After ten kills in five seconds the kernel's log names neither cgroup nor limit.
        match report["limit"]["owner"].as_str().unwrap() {
            "own" => {
                assert_eq!(report["limit"]["limit"], 100 << 10);
                assert_eq!(
                    (&report["limit"]["cgroup"], report["victims"][0]["pid"].as_i64()),
                    (&report["cgroup"], report["pid"].as_i64())
                );
            }
            owner => assert_eq!((owner, &report["victims"][0]["cgroup"]), ("unknown", &Value::Null), "{report}"),
        }
    }
}

#[test]
fn the_kill_of_a_grandchild_is_reported_although_the_command_goes_on() {
    let _quiet = cgroups::quiet();
    let Some(_cgroups) = Cgroup::make("grandchild", b"probe") else { return };
    let dir = tempfile::tempdir().unwrap();
    let line = format!("{} demo --leak 64; echo $?; exit 3", env!("CARGO_BIN_EXE_sampler"));
    let (output, report) = run(dir.path(), &["--memory-max", "24M"], &["sh", "-c", &line]);
    assert_eq!((output.status.code(), text(&output.stdout).trim()), (Some(3), "137"), "{}", text(&output.stderr));
    assert_eq!((&report["oom"], &report["exit_code"], &report["signal"]), (&true.into(), &3.into(), &Value::Null));
    assert_eq!(report["oom_kills"], 1, "{report}");
    assert!(report["peak_bytes"].as_u64().unwrap() > 20 << 20, "{report}");
    let victim = &report["victims"][0];
    assert!(victim["comm"] == "sampler" && victim["pid"] != report["pid"], "{report}");
    assert!(victim["anon_rss"].as_u64().unwrap() > 10 << 20, "{report}");
    cause_of_the_post_mortem(dir.path(), &report);
}

/// Once the command has ended its report and the post-mortem have one cause and one sentence, also while others are killed.
fn cause_of_the_post_mortem(dir: &Path, report: &Value) {
    let mut postmortem = Command::new(env!("CARGO_BIN_EXE_sampler"));
    let output = postmortem.args(["postmortem", "--all", "--json"]).arg(dir.join("recording")).output().unwrap();
    let page: Value = serde_json::from_slice(&output.stdout).unwrap();
    let here = |incident: &&Value| {
        let cgroups = [&incident["limit"]["cgroup"], &incident["victims"][0]["cgroup"]];
        cgroups
            .iter()
            .any(|path| path.as_str().is_some_and(|path| path.starts_with(report["cgroup"].as_str().unwrap())))
    };
    let own = page["incidents"].as_array().unwrap().iter().rfind(here).unwrap_or_else(|| panic!("{page}"));
    assert_eq!((&report["cause"], &report["verdict"]), (&own["cause"], &own["verdict"]), "{report}");
    assert!(report["cause"].is_string() && report["cause_reason"].is_null(), "{report}");
}

#[test]
fn a_command_that_ends_by_itself_while_others_are_killed_had_no_oom_kill() {
    let Some(others) = Storm::begin("a_command_that_ends_by_itself_while_others_are_killed_had_no_oom_kill", "0.1")
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let before = others.kills();
    let (output, report) = run(dir.path(), &["--memory-max", "64M"], &["sh", "-c", "sleep 2; kill -9 $$"]);
    assert!(others.kills() > before + 2, "nobody else was killed meanwhile");
    let said = text(&output.stderr);
    assert_eq!(
        (output.status.code(), &report["oom"], &report["signal"]),
        (Some(137), &false.into(), &9.into()),
        "{report}"
    );
    assert!(report["limit"].is_null() && report["victims"] == serde_json::json!([]) && report["cause"].is_null());
    assert!(said.contains("no OOM kill") && !said.contains("OOM-killed"), "{said}");
    assert!(report["duration_us"].as_u64().unwrap() >= 2_000_000, "{report}");
}

#[test]
fn the_report_is_there_within_100_ms_of_the_death() {
    let Some(_others) = Storm::begin("the_report_is_there_within_100_ms_of_the_death", "0.1") else { return };
    let mut took: Vec<Duration> = (0..7)
        .map(|_| {
            let dir = tempfile::tempdir().unwrap();
            let (report, pid) = (dir.path().join("report.json"), dir.path().join("pid"));
            let line = format!("echo $$ > {}; exec {} demo --leak 64", pid.display(), env!("CARGO_BIN_EXE_sampler"));
            let mut sampler = Command::new(env!("CARGO_BIN_EXE_sampler"))
                .args(["run", "--memory-max", "24M", "--out"])
                .arg(dir.path().join("recording"))
                .arg("--report")
                .arg(&report)
                .args(["--", "sh", "-c", &line])
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let pid = loop {
                match std::fs::read_to_string(&pid).ok().and_then(|pid| pid.trim().parse().ok()) {
                    Some(pid) => break rustix::process::Pid::from_raw(pid).unwrap(),
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            let death = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
            let mut poll = [rustix::event::PollFd::new(&death, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut poll, None).unwrap();
            let died = Instant::now();
            while !report.exists() {
                assert!(died.elapsed() < Duration::from_secs(10), "no report");
                std::thread::sleep(Duration::from_micros(200));
            }
            let took = died.elapsed();
            let whole: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
            assert_eq!(whole["oom"], true, "it is whole as soon as it is there");
            sampler.wait().unwrap();
            took
        })
        .collect();
    took.sort();
    eprintln!("from the death to the report: median {:?}, longest {:?}", took[3], took[6]);
    assert!(took[3] < Duration::from_millis(100), "{took:?}");
}

#[test]
fn an_interval_is_taken_as_given() {
    let Some(_cgroups) = Cgroup::make("interval", b"probe") else { return };
    for (options, interval) in
        [(&["--interval", "100ms"][..], 100_000), (&[], 10_000), (&["--interval", "20ms"], 20_000)]
    {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), options, &["true"]);
        let recording =
            sampler::store::scan::Recording::open(&dir.path().join("recording")).unwrap().events(i64::MIN..i64::MAX);
        let start = recording.into_iter().find_map(|event| match event.event.what {
            sampler::model::event::EventKind::AgentStart { interval_us, .. } => Some(interval_us),
            _ => None,
        });
        assert_eq!(start, Some(interval), "{options:?}");
    }
}

#[test]
fn without_a_cgroup_of_its_own_a_kill_is_not_ruled_out() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let Some(_cgroups) = Cgroup::make("nobody", b"probe") else { return };
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("sampler");
    std::fs::copy(env!("CARGO_BIN_EXE_sampler"), &program).unwrap();
    for (path, mode) in [(dir.path(), 0o777), (&program, 0o755)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(&program);
    command
        .args(["run", "--report", "-", "--out"])
        .arg(dir.path().join("recording"))
        .args(["--", "sh", "-c", "exit 5"]);
    let output = command.uid(65534).gid(65534).current_dir("/").output().unwrap();
    let said = text(&output.stderr);
    let report = said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"));
    let report: Value = serde_json::from_str(report).unwrap();
    assert_eq!((output.status.code(), &report["oom"], &report["exit_code"]), (Some(5), &"unknown".into(), &5.into()));
    assert!(report["oom_kills"].is_null() && report["oom_reason"].as_str().unwrap().contains("root"), "{report}");
    assert!(!said.contains("no OOM kill"), "{said}");
}

#[test]
fn a_report_that_cannot_be_written_costs_no_exit_code() {
    let Some(_cgroups) = Cgroup::make("unwritten", b"probe") else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let mut sampler = Command::new(env!("CARGO_BIN_EXE_sampler"));
    sampler.arg("run").arg("--out").arg(dir.path().join("recording")).arg("--report").arg(folder.join("report.json"));
    let output = sampler.args(["--", "sh", "-c", "rm -r \"$0\"; exit 6"]).arg(&folder).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("report.json") && said.contains("no OOM kill"), "{said}");
}

#[test]
fn a_report_of_an_earlier_command_is_not_taken_for_that_of_one_that_did_not_start() {
    let Some(_cgroups) = Cgroup::make("stale", b"probe") else { return };
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    std::fs::write(&report, "{}").unwrap();
    let sampler = |report: &Path, command: &str| {
        let mut sampler = Command::new(env!("CARGO_BIN_EXE_sampler"));
        sampler
            .arg("run")
            .arg("--out")
            .arg(dir.path().join("recording"))
            .arg("--report")
            .arg(report)
            .arg("--")
            .arg(command);
        sampler.output().unwrap().status.code()
    };
    assert_eq!(sampler(&report, "no-such-command"), Some(127));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["recording"], "neither the old report nor a draft");
    assert_eq!(
        sampler(&dir.path().join("no/such/folder/report.json"), "true"),
        Some(1),
        "said before the command starts"
    );
    // What is no file is written to and not replaced.
    assert_eq!(sampler(Path::new("/dev/null"), "true"), Some(0));
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}
