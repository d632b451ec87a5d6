//! `sampler top`, the metrics and the service, as a user has them.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::path::Path;
use std::process::{Command, Output};

fn sampler(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn demo() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings/demo").display().to_string()
}

#[test]
fn top_prints_a_recording_once() {
    let out = sampler(&["top", &demo(), "--once"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let table = text(&out.stdout);
    assert!(table.starts_with("NAME") && table.contains("/sampler-run-"), "{table}");
    let json: serde_json::Value = serde_json::from_slice(&sampler(&["top", &demo(), "--json"]).stdout).unwrap();
    assert_eq!(json["format"], "sampler.top.v1");
    assert_eq!(json["cgroups"][0]["oom_kills"], 1, "{json}");
    assert_eq!(json["cgroups"][0]["limit"], 64 << 20);
    assert_eq!(json["machine"]["host"], "vm");
    let none = sampler(&["top", &demo(), "--json", "--filter", "no such name"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&none.stdout).unwrap()["cgroups"], serde_json::json!([]));
}

#[test]
fn a_running_agent_is_looked_at_through_its_journal() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED a_running_agent_is_looked_at_through_its_journal: needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let options = ["record", "--out", out, "--for", "4s", "--no-names", "--no-protect", "--probe", "off"];
    let mut agent = Command::new(env!("CARGO_BIN_EXE_sampler")).args(options).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let got = sampler(&["top", out, "--json"]);
    assert!(got.status.success(), "{}", text(&got.stderr));
    let json: serde_json::Value = serde_json::from_slice(&got.stdout).unwrap();
    assert!(!json["cgroups"].as_array().unwrap().is_empty(), "{json}");
    assert!(json["machine"]["total"].as_u64().unwrap() > 1 << 20, "{json}");
    let none = sampler(&["top", out, "--json", "--cgroup", "/no/such/cgroup"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&none.stdout).unwrap()["cgroups"], serde_json::json!([]));
    assert!(agent.wait().unwrap().success());
}

#[test]
fn what_is_installed_is_removed_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let done = sampler(&["install", "--root", root, "--", "--burst", "1ms", "--cgroup", "/docker/**"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let unit = std::fs::read_to_string(dir.path().join("etc/systemd/system/sampler.service")).unwrap();
    assert!(unit.contains(" record --burst 1ms --cgroup \"/docker/**\"\n"), "{unit}");
    assert!(unit.contains("CapabilityBoundingSet=") && !unit.contains("CAP_SYS_ADMIN"), "{unit}");
    assert!(sampler(&["uninstall", "--root", root]).status.success());
    assert_eq!(std::fs::read_dir(dir.path().join("etc/systemd/system")).unwrap().count(), 0);
    let refused = sampler(&["install", "--root", root, "--", "a\nExecStartPre=x"]);
    assert!(!refused.status.success());
}

#[test]
fn completions_and_man_pages_are_written() {
    let bash = text(&sampler(&["completions", "bash"]).stdout);
    assert!(bash.contains("complete -F _sampler"), "{bash}");
    let dir = tempfile::tempdir().unwrap();
    assert!(sampler(&["man", dir.path().to_str().unwrap()]).status.success());
    let page = std::fs::read_to_string(dir.path().join("sampler-top.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("sampler"), "{page}");
}
