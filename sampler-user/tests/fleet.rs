//! A fleet as a user has it: recordings of several hosts, findings of each, and their merge.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/journal.rs"]
mod journal;
#[path = "support/stack.rs"]
mod stack;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sampler::model::findings::{IncidentRow, LifeRow, RecordingRow, Row};
use sampler::store::findings::{files_of, read};
use serde_json::Value;
use stack::{Container, MIB, Machine};

fn sampler(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn rows<R: Row>(dir: &Path) -> Vec<R> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for file in files_of::<R>(dir) {
        read(&file, &mut problems, |row| rows.push(row));
    }
    assert!(problems.is_empty(), "{problems:?}");
    rows
}

/// Six hosts: `api` 1.42 of three leaks, 1.41 of the others does not; a database and a front end do what healthy ones do.
fn recordings(dir: &Path) -> Vec<PathBuf> {
    (0..6_u64)
        .map(|host| {
            let leaks = host % 2 == 0;
            let container = |name: &str, image, holds: Box<dyn Fn(u64) -> u64>| Container {
                name: format!("shop-{name}-1"),
                image,
                compose: Some(("shop", name.to_owned())),
                limit: 1024,
                cache: 30,
                holds,
            };
            let wobble = move |second: u64, n: u64| (second * 7919 + n * 31 + host * 101) % 64 * 4096;
            let image = if leaks { "registry:5000/shop/api:1.42" } else { "registry:5000/shop/api:1.41" };
            let pace = if leaks { 40_000 + 1000 * host } else { 0 };
            let containers = [
                container("api", image, Box::new(move |s| 80 * MIB + s * pace + wobble(s, 1))),
                container("db", "postgres:15", Box::new(move |s| 200 * MIB + wobble(s, 2))),
                container("front", "nginx:1.25", Box::new(move |s| 40 * MIB + s % 60 * MIB / 4 + wobble(s, 3))),
            ];
            let folder = dir.join(format!("rec-{host}"));
            let machine = Machine { total: 8192 * MIB, available: 5000 * MIB, swap: 0 };
            stack::record_on(&format!("node-{host}"), &folder, &machine, &containers, 0..2000);
            folder
        })
        .collect()
}

fn merged(paths: &[&Path], code: i32) -> Value {
    let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let out = sampler(&[&["analyze", "--merge", "--json"], &paths[..]].concat());
    assert_eq!(out.status.code(), Some(code), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn findings_of_hosts_are_merged_into_the_version_that_leaks_however_the_work_was_split() {
    let dir = tempfile::tempdir().unwrap();
    let recordings = recordings(dir.path());
    let path = |name: &str| dir.path().join(name);
    // A job a host, into one folder and into one each.
    for (n, recording) in recordings.iter().enumerate() {
        let one = path(&format!("one-{n}"));
        for out in [&path("together"), &one] {
            let args = ["analyze", recording.to_str().unwrap(), "--findings", out.to_str().unwrap(), "--json"];
            let analysed = sampler(&args);
            assert!(analysed.status.success(), "{}", text(&analysed.stderr));
            // Two commands never disagree.
            let document: Value = serde_json::from_slice(&analysed.stdout).unwrap();
            for row in rows::<LifeRow>(&one) {
                let of = |c: &&Value| c["path"] == row.cgroup.as_str();
                let cgroup = document["cgroups"].as_array().unwrap().iter().find(of).unwrap();
                assert_eq!(cgroup["verdict"].as_str(), row.verdict.as_deref());
                assert_eq!(cgroup["rate_bytes_per_s"].as_f64(), row.rate);
                assert_eq!(cgroup["limit_bytes"].as_u64(), row.limit_bytes);
            }
        }
    }
    let whole = merged(&[&path("together")], 0);
    let leaks: Vec<&Value> =
        whole["workloads"].as_array().unwrap().iter().filter(|unit| unit["verdict"] == "leak").collect();
    assert_eq!(leaks.len(), 1, "{whole:#}");
    assert_eq!(
        (leaks[0]["name"].as_str(), leaks[0]["image"].as_str()),
        (Some("shop/api"), Some("registry:5000/shop/api"))
    );
    let of = |name: &str| leaks[0]["versions"].as_array().unwrap().iter().find(|v| v["version"] == name).unwrap();
    assert_eq!((&of("1.42")["leaking_hosts"], &of("1.41")["leaking_hosts"]), (&3.into(), &0.into()));
    let rate = of("1.42")["rate_bytes_per_s"].as_f64().unwrap();
    assert!((rate / 42_000.0 - 1.0).abs() < 0.05, "{rate}");
    assert_eq!((&whole["hosts"], &whole["lives"], &whole["recordings"]), (&6.into(), &18.into(), &6.into()));

    let each: Vec<PathBuf> = (0..6).rev().map(|n| path(&format!("one-{n}"))).collect();
    let each: Vec<&Path> = each.iter().map(PathBuf::as_path).collect();
    assert_eq!(merged(&each, 0), whole, "a folder a job, in another order");
    assert_eq!(merged(&[&each[..], &[&path("together")]].concat(), 0), whole, "everything twice");
    // One job for all hosts.
    let at_once = path("at-once");
    let mut args = vec!["analyze", "--findings", at_once.to_str().unwrap()];
    args.extend(recordings.iter().map(|path| path.to_str().unwrap()));
    assert!(sampler(&args).status.success());
    assert_eq!(merged(&[&at_once], 0), whole, "one job for all");

    let words = text(&sampler(&["analyze", "--merge", at_once.to_str().unwrap()]).stdout);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("shop/api: image registry:5000/shop/api:1.42 leaks"), "{words}");
    assert!(words.contains("on 3 of 3 hosts; image registry:5000/shop/api:1.41 on none of 3 hosts"), "{words}");
}

#[test]
fn what_could_not_be_read_is_no_all_clear() {
    let dir = tempfile::tempdir().unwrap();
    let recording = recordings(dir.path()).remove(1);
    let journal = fs::read_dir(recording.join("journal")).unwrap().flatten().next().unwrap().path();
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4].fill(0xff);
    fs::write(&journal, bytes).unwrap();
    let out = dir.path().join("out");
    let analysed = sampler(&["analyze", recording.to_str().unwrap(), "--findings", out.to_str().unwrap()]);
    assert_eq!(analysed.status.code(), Some(5), "{}", text(&analysed.stderr));
    assert!(rows::<LifeRow>(&out).iter().all(|row| row.unread > 0));
    assert_eq!(rows::<RecordingRow>(&out).len(), 1);
    let found = merged(&[&out], 5);
    assert_eq!(found["unread"].as_array().unwrap().len(), 1, "{found:#}");
    let words = text(&sampler(&["analyze", "--merge", out.to_str().unwrap()]).stdout);
    assert!(words.contains("problem") && !words.contains("no leak       in"), "{words}");
}

#[test]
fn what_is_no_findings_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let out = sampler(&["analyze", "--merge", folder]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("--findings OUT"), "{}", text(&out.stderr));
    assert_eq!(sampler(&["analyze", "--merge"]).status.code(), Some(2), "nothing to merge");
}

#[test]
fn incidents_as_rows_are_those_that_the_post_mortem_explains() {
    let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings");
    let mut kills = 0;
    for name in ["burst", "docker-leak", "global-swap", "oom-group", "sibling", "storm"] {
        let dir = tempfile::tempdir().unwrap();
        let (story, out) = (stories.join(name), dir.path().to_str().unwrap());
        let done = sampler(&["postmortem", story.to_str().unwrap(), "--all", "--json", "--findings", out]);
        assert!(done.status.success(), "{name}: {}", text(&done.stderr));
        let document: Value = serde_json::from_slice(&done.stdout).unwrap();
        let pages = document["incidents"].as_array().unwrap();
        let mut rows = rows::<IncidentRow>(dir.path());
        rows.sort_by_key(|row| row.time);
        assert_eq!(rows.len(), pages.len(), "{name}");
        for (row, page) in rows.iter().zip(pages) {
            assert_eq!(page["time_us"].as_i64(), Some(row.time.0), "{name}");
            assert_eq!((page["cause"].as_str(), page["verdict"].as_str()), (Some(&*row.cause), Some(&*row.verdict)));
            assert_eq!(page["limit"]["owner"].as_str(), Some(&*row.limit_owner), "{name}");
            let more = page["more_victims"].as_u64().unwrap_or(0);
            assert_eq!(row.kills, page["victims"].as_array().unwrap().len() as u64 + more, "{name}");
            kills += row.kills;
        }
        let found = merged(&[dir.path()], 0);
        let counted: u64 =
            found["incidents"].as_array().unwrap().iter().map(|one| one["kills"].as_u64().unwrap()).sum();
        assert_eq!(counted, rows.iter().map(|row| row.kills).sum::<u64>(), "{name}");
    }
    assert!(kills > 6, "{kills}");
}
