//! `sampler advise` on recorded incidents, on a stack of five services, and its files in a real Compose.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

#[path = "support/journal.rs"]
mod journal;
#[path = "support/stack.rs"]
mod stack;

use stack::{MIB, SHOP};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(path)
}

fn sampler(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler")).arg("advise").args(args).output().unwrap()
}

fn advise(args: &[&str]) -> Value {
    let output = sampler(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(args: &[&str]) -> String {
    let output = sampler(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Path, state, limit and what it gets, of each container.
fn limits(document: &Value) -> Vec<(String, String, Option<u64>, Option<u64>)> {
    let list = document["containers"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.map(|c| (text(&c["path"]), text(&c["state"]), c["limit"].as_u64(), c["after"].as_u64())).collect()
}

/// `key = value` of a story's truth, a text or nothing.
fn truth(folder: &Path, key: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join("truth.toml")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")))?;
    serde_json::from_str::<Value>(line).unwrap().as_str().map(str::to_owned)
}

fn stories() -> Vec<PathBuf> {
    let all = fs::read_dir(data("recordings")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = all.filter(|folder| folder.join("truth.toml").exists()).collect();
    all.sort();
    all
}

#[test]
fn a_working_set_that_was_killed_is_raised_and_a_leak_never() {
    let (mut wrong, mut raised, mut leaks) = (Vec::new(), 0, 0);
    for folder in stories() {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let cause = truth(&folder, "cause").unwrap();
        let limited = truth(&folder, "limit_cgroup");
        let suspect = truth(&folder, "suspect");
        let advice = limits(&advise(&[folder.to_str().unwrap(), "--all"]));
        for (path, state, before, after) in &advice {
            let is_limited = limited.as_ref() == Some(path);
            let rose = before.zip(*after).is_some_and(|(before, after)| after > before);
            if matches!(&*cause, "limit-too-low" | "burst" | "load-spike") && is_limited {
                raised += 1;
                if !rose || state != "too-low" {
                    wrong.push(format!("{name}: {path} is not raised: {state} {before:?} {after:?}"));
                }
            } else if rose && is_limited {
                wrong.push(format!("{name}: {path} is raised although {cause}: {before:?} {after:?}"));
            }
            if cause == "leak" && (suspect.as_ref() == Some(path) || is_limited) {
                leaks += 1;
                if state != "leak" || rose {
                    wrong.push(format!("{name}: {path} leaks, but {state} {before:?} {after:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(raised >= 2 && leaks >= 6, "{raised} raised, {leaks} leaks");
}

#[test]
fn limits_fit_the_budget_or_it_says_what_is_missing() {
    let mut fitted = 0;
    for folder in stories() {
        let folder = folder.to_str().unwrap();
        let free = advise(&[folder, "--all", "--min-watch", "1s"]);
        let sum = |document: &Value| document["totals"]["after"].as_u64().unwrap();
        let asked = sum(&free) - sum(&free) / 50;
        let output = sampler(&[folder, "--all", "--min-watch", "1s", "--json", "--budget", &asked.to_string()]);
        let advice: Value = serde_json::from_slice(&output.stdout).unwrap();
        match advice["budget"]["missing"].as_u64() {
            Some(missing) => {
                assert_eq!(output.status.code(), Some(1), "{folder}");
                assert_eq!(missing, advice["budget"]["needed"].as_u64().unwrap() - asked);
            }
            None => {
                fitted += 1;
                assert!(output.status.success() && sum(&advice) <= asked, "{folder}: {} of {asked}", sum(&advice));
            }
        }
    }
    assert!(fitted >= 3, "{fitted} fitted");
}

/// The shop is watched for 40 minutes.
const ENOUGH: [&str; 2] = ["--min-watch", "30m"];

/// A recording of the shop, and a copy of its Compose file.
fn shop(swap: u64) -> (tempfile::TempDir, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("shop");
    stack::write(&home, &SHOP, swap);
    let compose = dir.path().join("docker-compose.yml");
    fs::copy(data("compose/docker-compose.yml"), &compose).unwrap();
    let (home, compose) = (home.to_str().unwrap().to_owned(), compose.to_str().unwrap().to_owned());
    (dir, home, compose)
}

#[test]
fn a_stack_is_cut_to_what_it_needs() {
    let (_dir, home, compose) = shop(2 << 30);
    let advice = advise(&[&[&*home, "--compose", &compose], &ENOUGH[..]].concat());
    assert_eq!(advice["format"], "sampler.advise.v1");
    for ((path, state, before, after), most) in limits(&advice).iter().zip([840, 425, 208, 205, 104]) {
        let (before, after) = (before.unwrap(), after.unwrap());
        assert_eq!(state, "too-high", "{path}");
        assert!(after > most * MIB && after < most * MIB * 5 / 4 + 4 * MIB && after < before, "{path}: {after}");
    }
    assert_eq!(advice["totals"]["before"], (2048 + 1024 + 1024 + 512 + 256) * MIB);
    let page = text(&[&[&*home, "--compose", &compose, "--why"], &ENOUGH[..]].concat());
    for part in [
        "shop/backend",
        "too high",
        "never used more than",
        "docker update --memory",
        "shop-redis-1",
        "total",
        "confidence low",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let checks: Vec<&str> = advice["checks"].as_array().unwrap().iter().map(|c| c["check"].as_str().unwrap()).collect();
    for check in ["health-checks", "settings", "image"] {
        assert!(checks.contains(&check), "{check}: {checks:?}");
    }
    assert!(!checks.contains(&"no-swap") && !checks.contains(&"total"), "{checks:?}");
    let postgres =
        advice["checks"].as_array().unwrap().iter().find(|c| c["evidence"].as_str().unwrap().contains("PostgreSQL"));
    assert!(postgres.unwrap()["change"][0].as_str().unwrap().contains("shared_buffers=64MB"), "{postgres:?}");
    // Without swap it says so, and gives none.
    let (_dir, home, compose) = shop(0);
    let advice = advise(&[&[&*home, "--compose", &compose], &ENOUGH[..]].concat());
    assert!(advice["checks"].as_array().unwrap().iter().any(|c| c["check"] == "no-swap"), "{}", advice["checks"]);
    assert!(
        advice["docker_update"][0].as_str().unwrap().contains("--memory 1024m --memory-swap 1024m"),
        "{}",
        advice["docker_update"]
    );
}

#[test]
fn the_page_of_a_stack_is_the_one_that_was_read() {
    let (_dir, home, _) = shop(2 << 30);
    let page = text(&[&[&*home], &ENOUGH[..]].concat());
    let snapshot = data("compose/advise.txt");
    if std::env::var_os("SAMPLER_BLESS").is_some() {
        fs::write(&snapshot, &page).unwrap();
    }
    assert_eq!(page, fs::read_to_string(&snapshot).unwrap(), "SAMPLER_BLESS=1 writes it");
    let table = page.lines().take_while(|line| !line.is_empty());
    assert!(table.clone().count() < 12 && table.clone().all(|line| line.chars().count() <= 80), "{page}");
}

#[test]
fn profiles_and_budgets_take_from_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("shop");
    // Sizes of limits are coarse: what one profile lets and another does not is between two of them.
    let mut services = SHOP;
    services[1].3 = 475;
    stack::write(&home, &services, 2 << 30);
    let home = home.to_str().unwrap().to_owned();
    let sum =
        |args: &[&str]| advise(&[&[home.as_str()], &ENOUGH[..], args].concat())["totals"]["after"].as_u64().unwrap();
    let (full, development, test) = (sum(&[]), sum(&["--profile", "development"]), sum(&["--profile", "test"]));
    assert!(full > development && development >= test, "{full} {development} {test}");
    assert!(sum(&["--budget", "2G"]) <= 2 << 30);
    let output = sampler(&[&[&*home, "--budget", "1G"], &ENOUGH[..]].concat());
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && page.contains("The budget of 1 GiB does not hold"), "{page}");
    let wrong = sampler(&[&home, "--profile", "prod"]);
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("full, development, test"));
}

#[test]
fn the_override_is_a_new_file_and_the_users_stays() {
    let (dir, home, compose) = shop(2 << 30);
    let before = fs::read(&compose).unwrap();
    let target = dir.path().join("override.yml");
    let out = target.to_str().unwrap();
    let page = text(&[&[&*home, "--compose", &compose, "--override", out], &ENOUGH[..]].concat());
    assert!(page.contains("without a limit in the override: mailer"), "{page}");
    assert_eq!(fs::read(&compose).unwrap(), before);
    let made = fs::read_to_string(&target).unwrap().replace(&compose, "docker-compose.yml");
    let snapshot = data("compose/override.yml");
    if std::env::var_os("SAMPLER_BLESS").is_some() {
        fs::write(&snapshot, &made).unwrap();
    }
    assert_eq!(made, fs::read_to_string(&snapshot).unwrap(), "SAMPLER_BLESS=1 writes it");
    // Again is no fault; over a file that is not ours is one.
    text(&[&home, "--compose", &compose, "--override", out]);
    let foreign = dir.path().join("other.yml");
    fs::write(&foreign, "services: {}\n").unwrap();
    for path in [foreign.to_str().unwrap(), &compose] {
        let output = sampler(&[&home, "--compose", &compose, "--override", path]);
        assert!(!output.status.success(), "{path}");
    }
    assert_eq!(fs::read(&compose).unwrap(), before);
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "services: {}\n");
    // A folder stands for the files that Compose finds in it, with their variables.
    let folder = dir.path().join("project");
    fs::create_dir(&folder).unwrap();
    let project = folder.to_str().unwrap();
    let empty = sampler(&[&home, "--compose", project]);
    assert!(
        !empty.status.success() && String::from_utf8_lossy(&empty.stderr).contains("find a Compose file in"),
        "{empty:?}"
    );
    fs::copy(&compose, folder.join("compose.yaml")).unwrap();
    fs::write(folder.join("compose.override.yaml"), "services: {redis: {mem_limit: \"${REDIS}\"}}\n").unwrap();
    fs::write(folder.join(".env"), "REDIS=300m\n").unwrap();
    fs::write(folder.join("other.env"), "REDIS=400m\n").unwrap();
    let redis = |more: &[&str]| {
        let advice = advise(&[&[home.as_str(), "--compose", project], more].concat());
        assert_eq!(advice["compose"]["files"].as_array().unwrap().len(), 2);
        let services = advice["compose"]["services"].as_array().unwrap().clone();
        services.iter().find(|service| service["name"] == "redis").unwrap()["limit_bytes"].as_u64().unwrap() / MIB
    };
    let other = folder.join("other.env");
    assert_eq!((redis(&[]), redis(&["--env-file", other.to_str().unwrap()])), (300, 400));
}

/// What Compose makes of files, as JSON; `None` where no Compose is.
fn config(files: &[&Path]) -> Option<Value> {
    let ways = [&["docker-compose"][..], &["docker", "compose"]];
    let is_there = |way: &&&[&str]| {
        Command::new(way[0]).args(&way[1..]).arg("version").output().is_ok_and(|output| output.status.success())
    };
    let way = ways.iter().find(is_there)?;
    let mut command = Command::new(way[0]);
    command.args(&way[1..]);
    for file in files {
        command.arg("-f").arg(file);
    }
    let output = command.arg("config").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_saphyr::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_real_compose_takes_the_override() {
    let (dir, home, compose) = shop(2 << 30);
    let user = fs::read_to_string(&compose).unwrap();
    for version in ["version: \"3.8\"\n", "version: \"2.4\"\n", ""] {
        fs::write(&compose, user.replace("version: \"3.8\"\n", version)).unwrap();
        let target = dir.path().join("override.yml");
        text(&[&[&*home, "--compose", &compose, "--override", target.to_str().unwrap()], &ENOUGH[..]].concat());
        let Some(merged) = config(&[Path::new(&compose), &target]) else {
            eprintln!("SKIPPED a_real_compose_takes_the_override: no docker-compose and no docker compose");
            return;
        };
        let services = &merged["services"];
        let mib = |value: &Value| match value {
            // Version 2 of Compose writes bytes, version 1 what was given.
            Value::String(text) => {
                text.strip_suffix('m').map_or_else(|| text.parse().unwrap(), |m| m.parse::<u64>().unwrap() * MIB)
            }
            value => value.as_u64().unwrap_or_else(|| panic!("{version}: {services}")),
        };
        assert_eq!(mib(&services["redis"]["mem_limit"]), 128 * MIB, "{version}");
        assert!(mib(&services["redis"]["memswap_limit"]) > 128 * MIB);
        assert_eq!(mib(&services["backend"]["deploy"]["resources"]["limits"]["memory"]), 1024 * MIB);
        assert!(services["backend"].get("mem_limit").is_none(), "{version}");
        assert_eq!(services["redis"]["restart"], "unless-stopped", "what the user merged is still there");
        let intervals: std::collections::BTreeSet<&str> = ["backend", "auth", "frontend", "postgres", "redis"]
            .iter()
            .map(|name| services[name]["healthcheck"]["interval"].as_str().unwrap())
            .collect();
        assert_eq!(intervals.len(), 5, "{intervals:?}");
    }
}

#[test]
fn wslconfig_and_drop_ins_are_written_down() {
    let (dir, home, _) = shop(2 << 30);
    let file = dir.path().join(".wslconfig");
    let utf16: Vec<u8> = "\u{feff}[wsl2]\r\nmemory=6GB\r\nmemoryy=1\r\nprocessors=4\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(&file, utf16).unwrap();
    let page = text(&[&[&*home, "--wslconfig", file.to_str().unwrap()], &ENOUGH[..]].concat());
    for part in [
        "it is UTF-16 (",
        "line 3: `memoryy` is no key of WSL: it does nothing; it is memory; write memory=1",
        "memoryy=1",
        "processors=4",
        "swap=1GB",
        "autoMemoryReclaim=gradual",
        "folklore",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let advice = advise(&[&[&*home, "--wslconfig", file.to_str().unwrap()], &ENOUGH[..]].concat());
    assert_eq!(advice["wslconfig"]["effective"]["wsl2.memory"], 6u64 << 30);
    assert_eq!(advice["wslconfig"]["ineffective"][0], 3);
    // The new one is written in the encoding of the old one, and never over a file.
    let new = dir.path().join("new.wslconfig");
    let args = [&home, "--wslconfig", file.to_str().unwrap(), "--new-wslconfig", new.to_str().unwrap()];
    text(&args);
    let bytes = fs::read(&new).unwrap();
    let units: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let written = String::from_utf16(&units).unwrap();
    assert!(
        written.starts_with("\u{feff}[wsl2]\r\n# ") && written.contains("\r\nmemoryy=1\r\nprocessors=4\r\n"),
        "{written}"
    );
    let again = sampler(&args);
    assert!(
        !again.status.success() && String::from_utf8_lossy(&again.stderr).contains("never written over"),
        "{again:?}"
    );
    let units = dir.path().join("units");
    fs::write(
        dir.path().join("in.csv"),
        (0..200).fold(String::from("cgroup,ts_ns,current,max\n"), |csv, t| {
            csv + &format!(
                "/system.slice/nginx.service,{},{},18446744073709551615\n",
                1_000_000_000_000_000_000u64 + t * 1_000_000_000,
                50 * MIB
            )
        }),
    )
    .unwrap();
    let rec = dir.path().join("rec");
    let import = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(["import", dir.path().join("in.csv").to_str().unwrap(), "--out", rec.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    text(&[rec.to_str().unwrap(), "--systemd", units.to_str().unwrap(), "--min-watch", "3m"]);
    let drop_in = fs::read_to_string(units.join("nginx.service.d/50-sampler.conf")).unwrap();
    assert!(drop_in.contains("[Service]\nMemoryHigh=57M\nMemoryMax=64M\n"), "{drop_in}");
}

#[test]
fn what_docker_keeps_is_listed_and_removed_only_after_a_yes() {
    use std::io::{Read, Write};
    let (dir, home, _) = shop(2 << 30);
    let socket = dir.path().join("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /system/df "), "only asks");
            let body =
                r#"{"Containers":[{"State":"exited","SizeRw":5242880}],"Images":null,"BuildCache":[{"Size":9}]}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).unwrap();
        }
    });
    // A docker that writes down its arguments.
    let (bin, log) = (dir.path().join("bin"), dir.path().join("log"));
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("docker"), format!("#!/bin/sh\necho \"$@\" >> '{}'\n", log.display())).unwrap();
    fs::set_permissions(bin.join("docker"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = |args: &[&str], answer: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sampler"))
            .args(["advise", &home, "--docker-socket", socket.to_str().unwrap()])
            .args(args)
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let page = run(&[], "");
    assert!(page.contains("docker container prune") && page.contains("1 containers that ended"), "{page}");
    assert!(!log.exists(), "nothing is run unasked");
    run(&["--apply"], "n\n\n");
    assert!(!log.exists(), "nor after a no");
    run(&["--apply"], "n\nyes\n");
    let arguments = format!("--host unix://{} builder prune --force\n", socket.display());
    assert_eq!(fs::read_to_string(&log).unwrap(), arguments, "of the daemon that was asked");
    run(&["--apply", "--yes"], "");
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 3);
}
