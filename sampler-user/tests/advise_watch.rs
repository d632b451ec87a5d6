//! `sampler advise` by how long it watched: seconds, a week, and what was killed while it grew.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/journal.rs"]
mod journal;
#[path = "support/stack.rs"]
mod stack;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use self::stack::{Container, MIB, Machine};

fn fake(name: impl Into<String>, image: &'static str, limit: u64, holds: impl Fn(u64) -> u64 + 'static) -> Container {
    Container { name: name.into(), image, compose: None, limit, cache: 8, holds: Box::new(holds) }
}

/// Writes a recording of all of them at once on a machine with 16 GiB.
fn write(dir: &Path, fakes: &[Container], seconds: u64, step: u64) {
    let machine = Machine { total: 16384 * MIB, available: 9000 * MIB, swap: 2048 * MIB };
    stack::record(dir, &machine, fakes, (0..=seconds).step_by(step as usize));
}

fn sampler(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&sampler(&[args, &["--json"]].concat())).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Noise of -1 to 1 that a week of another seed has otherwise.
fn noise(seed: u64, of: u64) -> f64 {
    let mixed = (seed ^ of.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// What a workload holds: at rest, by the day, in a sawtooth, or with a job once an hour.
fn shape(n: u64, seed: u64, second: u64) -> u64 {
    let base = 24.0 * 1.17_f64.powi(n as i32);
    let day = (second % 86_400) as f64 / 86_400.0;
    let part = match n % 4 {
        0 => 1.0,
        1 => 0.7 + 0.3 * (std::f64::consts::TAU * day).sin(),
        2 => 0.6 + 0.4 * (second % 7200) as f64 / 7200.0,
        _ => {
            if second % 3600 < 240 {
                1.0
            } else {
                0.5
            }
        }
    };
    (base * (part + 0.015 * noise(seed + n, second / 60)) * MIB as f64) as u64
}

const WEEK_S: u64 = 7 * 86_400;

#[test]
fn after_85_seconds_of_a_healthy_stack_no_limit_is_lowered_and_no_setting_made() {
    let dir = tempfile::tempdir().unwrap();
    let images = ["postgres:15", "redis:7", "node:20", "eclipse-temurin:21", "nginx:1.25", "busybox"];
    let fakes: Vec<Container> = (0..18)
        .map(|n| {
            let name = format!("shop-with-a-rather-long-name-for-a-service-{n}");
            fake(name, images[n % images.len()], [0, 64, 512][n / 6], move |s| (10 + n as u64) * MIB + s % 7 * 4096)
        })
        .collect();
    let home = dir.path().join("rec");
    write(&home, &fakes, 85, 1);
    let home = home.to_str().unwrap();
    let advice = json(&["advise", home]);
    for container in list(&advice["containers"]) {
        assert!(container["after"].is_null() && container["target"].is_null(), "{container}");
        assert_eq!(container["state"], "watch", "{container}");
        let until = container["watch_until"].as_str().unwrap();
        assert!(until > advice["to"].as_str().unwrap(), "{until}");
    }
    assert!(!list(&advice["checks"]).iter().any(|check| check["check"] == "settings"), "{}", advice["checks"]);
    assert!(list(&advice["docker_update"]).is_empty() && list(&advice["systemd"]).is_empty());
    let page = sampler(&["advise", home]);
    assert!(page.contains("watch until") && page.contains("8 others: 8 to be watched for longer"), "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 80 && !line.contains("\u{1b}")), "{page}");
    assert!(page.lines().count() <= 25, "{page}");
    // The override says nothing of what is only watched.
    let compose = dir.path().join("compose.yml");
    let services: String = fakes
        .iter()
        .map(|fake| format!("  {0}:\n    image: {1}\n    container_name: {0}\n", fake.name, fake.image))
        .collect();
    fs::write(&compose, format!("services:\n{services}")).unwrap();
    let advice = json(&["advise", home, "--compose", compose.to_str().unwrap()]);
    let text = advice["compose"]["text"].as_str().unwrap();
    assert!(!text.contains("mem_"), "{text}");
    let enough = json(&["advise", home, "--min-watch", "1m"]);
    assert!(list(&enough["containers"]).iter().any(|container| container["state"] == "too-high"), "{enough}");
}

#[test]
fn a_week_of_many_containers_gives_limits_that_hold_next_week_and_waste_little() {
    let dir = tempfile::tempdir().unwrap();
    let mut fakes: Vec<Container> =
        (0..24).map(|n| fake(format!("w{n}"), "busybox", [0, 4096][n as usize % 2], move |s| shape(n, 1, s))).collect();
    let at_rest = [
        ("postgres:15", 30, 192),
        ("redis:7", 5, 32),
        ("eclipse-temurin:21", 60, 192),
        ("node:20", 40, 96),
        ("mysql:8", 300, 512),
        ("nginx:1.25", 6, 32),
        ("busybox", 1, 16),
    ];
    for (n, (image, holds, _)) in at_rest.into_iter().enumerate() {
        for limit in [0, 2048] {
            fakes.push(fake(format!("rest{n}-{limit}"), image, limit, move |_| holds * MIB));
        }
    }
    let home = dir.path().join("rec");
    write(&home, &fakes, WEEK_S, 120);
    let advice = json(&["advise", home.to_str().unwrap()]);
    let of = |name: &str| list(&advice["containers"]).iter().find(|container| container["title"] == name).unwrap();
    let mut slacks = Vec::new();
    for n in 0..24 {
        let container = of(&format!("w{n}"));
        assert_eq!(container["confidence"], "high", "{container}");
        let limit = container["after"].as_u64().unwrap();
        let most = |seed| (0..WEEK_S).step_by(60).map(|second| shape(n, seed, second)).max().unwrap();
        assert!(most(2) < limit, "w{n} is killed next week: {} of {limit}", most(2));
        slacks.push(limit as f64 / most(1) as f64 - 1.0);
    }
    slacks.sort_by(f64::total_cmp);
    assert!(slacks[12] <= 0.25 && slacks[0] > 0.05, "{slacks:?}");
    for (n, (image, _, floor)) in at_rest.into_iter().enumerate() {
        for limit in [0, 2048] {
            let container = of(&format!("rest{n}-{limit}"));
            let after = container["after"].as_u64().unwrap();
            assert!(after >= floor * MIB && after <= 2 * floor * MIB, "{image}: {container}");
        }
    }
    let budget = json(&["advise", home.to_str().unwrap(), "--budget", "12.9G"]);
    assert!(budget["budget"]["missing"].is_null(), "{}", budget["budget"]);
    for (n, (image, _, floor)) in at_rest.into_iter().enumerate() {
        let name = format!("rest{n}-2048");
        let container = list(&budget["containers"]).iter().find(|container| container["title"] == *name).unwrap();
        assert!(container["after"].as_u64().unwrap() >= floor * MIB, "{image}: {container}");
    }
}

#[test]
fn the_demo_is_growing_and_never_too_low() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings/demo");
    let advice = json(&["advise", demo.to_str().unwrap(), "--all"]);
    let killed = list(&advice["containers"]).iter().find(|container| container["kills"].as_u64() > Some(0)).unwrap();
    assert_eq!((&killed["state"], &killed["after"]), (&"growing".into(), &Value::Null), "{killed}");
    let page = sampler(&["advise", demo.to_str().unwrap(), "--all"]);
    let third = page.lines().nth(2).unwrap();
    assert!(third.contains("growing, cause unknown: watch until"), "what was killed comes first: {page}");
}

#[test]
fn a_leak_without_a_limit_knows_the_machines_end_as_analyze_does() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("rec");
    let mut fakes: Vec<Container> =
        (0..6).map(|n| fake(format!("calm{n}"), "busybox", 0, move |_| (20 + n) * MIB)).collect();
    fakes.push(fake("leaky", "busybox", 0, |s| 50 * MIB + s * 50_000));
    // A limit that the machine cannot fill any more is not what ends it.
    fakes.push(fake("roomy", "busybox", 65536, |s| 70 * MIB + s * 40_000));
    write(&home, &fakes, 2 * 3600, 5);
    let home = home.to_str().unwrap();
    let analyzed = json(&["analyze", home]);
    let verdict = list(&analyzed["cgroups"]).iter().find(|cgroup| cgroup["name"] == "leaky").unwrap();
    assert_eq!((&verdict["verdict"], &verdict["limit_owner"]), (&"leak".into(), &"".into()), "{verdict}");
    let left = verdict["time_to_limit_s"].as_f64().unwrap();
    let left = sampler::model::units::micros((left * 1e6) as u64);
    let advice = json(&["advise", home]);
    let leaky = list(&advice["containers"]).iter().find(|container| container["title"] == "leaky").unwrap();
    let why = leaky["reasons"][0].as_str().unwrap();
    assert!(leaky["state"] == "leak" && why.contains(&format!("fills the machine in {left}:")), "{why}, {left}");
    let roomy = list(&advice["containers"]).iter().find(|container| container["title"] == "roomy").unwrap();
    let why = roomy["reasons"][0].as_str().unwrap();
    assert!(roomy["state"] == "leak" && why.contains("it fills the machine in"), "{why}");
    assert_eq!(roomy["after"], roomy["limit"]);
    let page = sampler(&["advise", home]);
    let first: Vec<&str> = page.lines().skip(2).take(2).collect();
    assert!(first.iter().all(|line| line.contains("leak ")), "leaks come first: {page}");
}
