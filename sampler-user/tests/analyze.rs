//! `sampler analyze` as a user has it: from columns collected elsewhere to verdicts.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::fmt::Write;
use std::process::{Command, Output};

fn sampler(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const MIB: u64 = 1 << 20;

/// Name, and anonymous memory and files at a second.
type Cgroup<'a> = (&'a str, &'a dyn Fn(u64) -> (u64, u64));

/// A recording at 1 Hz, imported.
fn recording(dir: &std::path::Path, seconds: u64, cgroups: &[Cgroup<'_>]) -> String {
    let mut csv = String::from("cgroup,ts_ns,current,anon,file,max,pgfault\n");
    for (name, at) in cgroups {
        for t in 0..seconds {
            let (anon, file) = at(t);
            let noise = t * 7919 % 101 * 1024;
            let _ = writeln!(
                csv,
                "{name},{},{},{},{file},{},{}",
                1_000_000_000_000_000_000 + t * 1_000_000_000,
                anon + noise + file,
                anon + noise,
                512 * MIB,
                t * 500
            );
        }
    }
    let file = dir.join("in.csv");
    std::fs::write(&file, csv).unwrap();
    let out = dir.join("rec").to_str().unwrap().to_owned();
    let imported = sampler(&["import", file.to_str().unwrap(), "--out", &out]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    out
}

#[test]
fn a_leak_is_told_from_cache_garbage_and_rest() {
    let dir = tempfile::tempdir().unwrap();
    let out = recording(
        dir.path(),
        1200,
        &[
            ("/leak", &|t| (100 * MIB + t * 200_000, 10 * MIB)),
            ("/late", &|t| (100 * MIB + t.saturating_sub(500) * 300_000, 10 * MIB)),
            ("/files", &|t| (100 * MIB, 10 * MIB + t * 200_000)),
            ("/rest", &|_| (100 * MIB, 10 * MIB)),
            ("/gc", &|t| (100 * MIB + t % 60 * MIB, 10 * MIB)),
            ("/full", &|t| (100 * MIB + t.min(500) * 200_000, 10 * MIB)),
            ("/step", &|t| (if t < 600 { 100 * MIB } else { 180 * MIB }, 10 * MIB)),
        ],
    );
    let first = sampler(&["analyze", &out, "--json"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert_eq!(first.stdout, sampler(&["analyze", &out, "--json"]).stdout, "the same recording, the same findings");
    let document: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(document["format"], "sampler.analyze.v1");
    let of = |path: &str| document["cgroups"].as_array().unwrap().iter().find(|c| c["path"] == path).unwrap().clone();
    for (path, verdict) in [
        ("/leak", "leak"),
        ("/late", "leak"),
        ("/files", "cache"),
        ("/rest", "steady"),
        ("/gc", "sawtooth"),
        ("/full", "bounded-cache"),
        ("/step", "step"),
    ] {
        assert_eq!(of(path)["verdict"], verdict, "{}", of(path));
    }
    let leak = of("/leak");
    assert_eq!((&leak["component"], &leak["name"]), (&"anon".into(), &"leak".into()));
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert!((number(&leak["rate_bytes_per_s"]) - 200_000.0).abs() < 4000.0, "{leak}");
    // 512 MiB less 100 MiB and what leaked already, at that pace; the files make room.
    let want = (412.0 * MIB as f64 - 1200.0 * 200_000.0) / 200_000.0;
    assert!((number(&leak["time_to_limit_s"]) / want - 1.0).abs() < 0.03, "{leak}");
    assert!(number(&leak["probability"]) > 0.8 && number(&of("/rest")["probability"]) < 0.2);
    let onset = sampler::time::parse_time(of("/late")["onset"].as_str().unwrap()).unwrap();
    let late = (onset - 1_000_000_000_000_000) / 1_000_000;
    assert!((430..570).contains(&late), "began after 500 s, said {late}");
    let words = text(&sampler(&["analyze", &out]).stdout);
    assert!(words.starts_with("leak "), "what leaks stands first: {words}");
}

#[test]
fn too_little_is_said_with_how_much_more_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let out = recording(dir.path(), 3, &[("/brief", &|t| (MIB * t, 0))]);
    let document: serde_json::Value = serde_json::from_slice(&sampler(&["analyze", &out, "--json"]).stdout).unwrap();
    let brief = &document["cgroups"][0];
    assert_eq!(brief["verdict"], "undetermined");
    assert!(brief["needs_s"].as_f64().unwrap() > 30.0, "{brief}");
}

#[test]
fn a_leak_that_kills_cut_is_a_leak_with_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = String::from("cgroup,ts_ns,current,anon,file,max,oom_kill\n");
    for t in 0..1200u64 {
        // Filled in 200 s, killed, begun again.
        let anon = 20 * MIB + t % 200 * MIB;
        let _ = writeln!(csv, "/web,{},{anon},{anon},0,{},{}", t * 1_000_000_000, 220 * MIB, t / 200);
    }
    let file = dir.path().join("in.csv");
    std::fs::write(&file, csv).unwrap();
    let out = dir.path().join("rec").to_str().unwrap().to_owned();
    assert!(sampler(&["import", file.to_str().unwrap(), "--out", &out]).status.success());
    let document: serde_json::Value = serde_json::from_slice(&sampler(&["analyze", &out, "--json"]).stdout).unwrap();
    let web = &document["cgroups"][0];
    assert_eq!((&web["verdict"], &web["component"]), (&"leak".into(), &"anon".into()), "{web}");
    assert!(web["restarts"].as_u64().unwrap() >= 4, "{web}");
}

#[test]
fn a_leak_without_a_limit_runs_into_that_of_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = String::from("cgroup,ts_ns,current,anon,file,max\n");
    for t in 0..600u64 {
        let (leak, other) = (50 * MIB + t * 100_000 + t * 7919 % 101 * 512, 100 * MIB);
        for (path, size, max) in [
            ("/vm", leak + other, (400 * MIB).to_string()),
            ("/vm/leak", leak, "max".into()),
            ("/vm/db", other, "max".into()),
        ] {
            let _ = writeln!(csv, "{path},{},{size},{size},0,{max}", t * 1_000_000_000);
        }
    }
    let file = dir.path().join("in.csv");
    std::fs::write(&file, csv).unwrap();
    let out = dir.path().join("rec").to_str().unwrap().to_owned();
    assert!(sampler(&["import", file.to_str().unwrap(), "--out", &out]).status.success());
    let document: serde_json::Value = serde_json::from_slice(&sampler(&["analyze", &out, "--json"]).stdout).unwrap();
    let leak = document["cgroups"].as_array().unwrap().iter().find(|c| c["path"] == "/vm/leak").unwrap();
    assert_eq!((&leak["verdict"], &leak["limit_owner"]), (&"leak".into(), &"/vm".into()), "{leak}");
    let left = (250.0 * MIB as f64 - 600.0 * 100_000.0) / 100_000.0;
    assert!((leak["time_to_limit_s"].as_f64().unwrap() / left - 1.0).abs() < 0.03, "{leak}, want {left}");
}

#[test]
fn detectors_are_listed_and_explained_and_names_cannot_write_to_the_terminal() {
    let list = text(&sampler(&["analyze", "--list"]).stdout);
    for name in list.lines() {
        assert!(sampler(&["analyze", "--explain", name]).stdout.len() > 60, "{name}");
    }
    assert!(list.lines().count() >= 9 && list.contains("leak"));
    let wrong = sampler(&["analyze", "--explain", "magic"]);
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("bounded-cache"));
    let dir = tempfile::tempdir().unwrap();
    let out = recording(dir.path(), 60, &[("/\u{1b}[31mred", &|_| (MIB, 0))]);
    assert!(!text(&sampler(&["analyze", &out, "-v"]).stdout).contains('\u{1b}'));
}
