//! One answer: all commands give the same cause, limit and owner for the same kill and the same cgroup, on every committed recording
//! and on one in which everything happens at once.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/journal.rs"]
mod journal;
#[path = "support/loops.rs"]
mod loops;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn sampler(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&sampler(args)).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What all commands say of a recording.
struct Said {
    info: Value,
    analyze: Value,
    pages: Value,
    listed: Value,
    advise: Value,
    report: Value,
    top: Value,
}

impl Said {
    fn of(dir: &Path) -> Said {
        let dir = dir.to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let html = folder.path().join("report.html");
        sampler(&["report", dir, "--html", html.to_str().unwrap()]);
        let html = std::fs::read_to_string(&html).unwrap();
        let embedded = html.split("id=\"recording\">").nth(1).unwrap().split("</script>").next().unwrap();
        Said {
            info: json(&["info", dir, "--json"]),
            analyze: json(&["analyze", dir, "--json"]),
            pages: json(&["postmortem", dir, "--all", "--json"]),
            listed: json(&["postmortem", dir, "--list", "--json"]),
            advise: json(&["advise", dir, "--all", "--json"]),
            report: serde_json::from_str(embedded).unwrap(),
            top: json(&["top", dir, "--once", "--json"]),
        }
    }

    fn kills(&self) -> impl Iterator<Item = &Value> {
        list(&self.pages["incidents"]).iter().filter(|page| page["kind"] == "oom-kill")
    }

    fn contradictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.of_kills(&mut wrong);
        self.of_cgroups(&mut wrong);
        wrong
    }

    /// Each kill is in each command once, with the same victim and the same limit.
    fn of_kills(&self, wrong: &mut Vec<String>) {
        let mut victims: BTreeMap<(i64, i64), &Value> = BTreeMap::new();
        for page in self.kills() {
            for victim in list(&page["victims"]) {
                victims.insert((victim["time_us"].as_i64().unwrap(), victim["pid"].as_i64().unwrap_or(0)), page);
            }
        }
        let told = list(&self.info["oom_kills"]);
        if told.len() != victims.len() {
            wrong.push(format!("info has {} kills, the pages have {}", told.len(), victims.len()));
        }
        for kill in told {
            let at = (kill["time_us"].as_i64().unwrap(), kill["pid"].as_i64().unwrap_or(0));
            let Some(page) = victims.get(&at) else {
                wrong.push(format!("a kill of info has no page: {}", kill["time"]));
                continue;
            };
            let owner = match (&kill["limit_cgroup"], &kill["victim_cgroup"], kill["constraint"].as_str()) {
                (_, _, Some("none" | "cpuset" | "memory_policy")) => "machine",
                (Value::Null, ..) => "unknown",
                (limit, victim, _) if limit == victim => "own",
                (limit, ..) if limit == "/wsl-user" => "wsl-user",
                _ => "ancestor",
            };
            // A kill that no witness placed says nothing; its page has the limit of the kills around it.
            let is_placed = owner != "unknown";
            if is_placed && (page["limit"]["owner"] != owner || page["limit"]["cgroup"] != kill["limit_cgroup"]) {
                wrong.push(format!(
                    "{}: info says {owner} {}, the page {}",
                    kill["time"], kill["limit_cgroup"], page["limit"]
                ));
            }
        }
        let listed: u64 = list(&self.listed).iter().map(|line| line["kills"].as_u64().unwrap()).sum();
        if listed != told.len() as u64 {
            wrong.push(format!("the list has {listed} kills, info has {}", told.len()));
        }
        for page in list(&self.report["incidents"]) {
            let other = list(&self.pages["incidents"])
                .iter()
                .find(|other| other["time"] == page["time"] && other["limit"] == page["limit"]);
            if other.is_none_or(|other| other["cause"] != page["cause"] || other["verdict"] != page["verdict"]) {
                wrong.push(format!("the report's page of {} is another: {} {other:?}", page["time"], page["cause"]));
            }
        }
    }

    /// Limit and cause of each cgroup that was killed by its own limit: its last kill counts.
    fn of_cgroups(&self, wrong: &mut Vec<String>) {
        let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
        let mut of_name: BTreeMap<String, (&str, &Value)> = BTreeMap::new();
        for page in self.kills().filter(|page| page["limit"]["owner"] == "own") {
            let path = page["limit"]["cgroup"].as_str().unwrap();
            last.insert(path, page);
            let name = page["names"][path].as_str().unwrap_or(path).to_owned();
            if let Some((_, before)) = of_name.insert(name.clone(), (path, page))
                && before["loop"].is_object()
                && before["cause"] != page["cause"]
            {
                wrong.push(format!(
                    "{name}: two kills of one loop have causes {} and {}",
                    before["cause"], page["cause"]
                ));
            }
        }
        let find = |document: &Value, path: &str| list(document).iter().rfind(|entry| entry["path"] == path).cloned();
        for (path, page) in &last {
            let limit = &page["limit"]["limit"];
            let leaks = page["cause"] == "leak" || list(&page["contributing"]).iter().any(|class| class == "leak");
            // A tmpfs that fills is a growth without bound of shared memory.
            let is_shmem = page["cause"] == "tmpfs";
            let is_suspect = page["suspect"] == *path && !is_shmem;
            let info = list(&self.info["cgroups"])
                .iter()
                .filter(|cgroup| cgroup["path"] == *path)
                .max_by_key(|cgroup| cgroup["last_us"].as_i64());
            if info.is_none_or(|cgroup| cgroup["limit_bytes"] != *limit) {
                wrong.push(format!(
                    "{path}: its limit is {limit}, info says {:?}",
                    info.map(|cgroup| &cgroup["limit_bytes"])
                ));
            }
            match find(&self.analyze["cgroups"], path) {
                None => wrong.push(format!("{path}: analyze does not know it")),
                Some(cgroup) => {
                    if cgroup["limit_owner"] != *path || cgroup["limit_bytes"] != *limit {
                        wrong.push(format!(
                            "{path}: its limit is {limit}, analyze says {} of {}",
                            cgroup["limit_bytes"], cgroup["limit_owner"]
                        ));
                    }
                    if is_suspect && (cgroup["verdict"] == "leak") != leaks {
                        wrong.push(format!(
                            "{path}: the page says {}, analyze {}: {}",
                            page["cause"], cgroup["verdict"], cgroup["evidence"]
                        ));
                    }
                    if is_shmem && cgroup["verdict"] == "leak" && cgroup["component"] != "shmem" {
                        wrong.push(format!("{path}: the page says tmpfs, analyze a leak of {}", cgroup["component"]));
                    }
                    let finding = find(&self.report["findings"], path).unwrap_or_default();
                    if finding["class"] != cgroup["verdict"] {
                        wrong.push(format!(
                            "{path}: the report says {}, analyze {}",
                            finding["class"], cgroup["verdict"]
                        ));
                    }
                }
            }
            let advised = find(&self.advise["containers"], path);
            // A service is told once, by its last container.
            if let Some(advised) = advised {
                if advised["limit"] != *limit {
                    wrong.push(format!("{path}: its limit is {limit}, advise says {}", advised["limit"]));
                }
                if is_suspect && (advised["state"] == "leak") != leaks {
                    wrong.push(format!(
                        "{path}: the page says {}, advise {}: {}",
                        page["cause"], advised["state"], advised["reasons"]
                    ));
                }
            } else if of_name.values().any(|(last, _)| last == path) {
                wrong.push(format!("{path}: advise does not know it"));
            }
            if let Some(live) = find(&self.top["cgroups"], path).filter(|live| !live["max"].is_null())
                && live["max"] != *limit
            {
                wrong.push(format!("{path}: its limit is {limit}, top says {}", live["max"]));
            }
        }
        for workload in list(&self.analyze["workloads"]) {
            let name = workload["workload"].as_str().unwrap();
            if let Some((_, page)) = of_name.get(name).filter(|(_, page)| page["loop"].is_object())
                && (workload["verdict"] == "leak") != (page["cause"] == "leak")
            {
                wrong.push(format!("{name}: the page says {}, its workload {}", page["cause"], workload["verdict"]));
            }
        }
    }
}

#[test]
fn no_two_commands_disagree_on_a_committed_recording() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings");
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|folder| folder.join("events").exists());
    assert!(all.len() >= 15, "{all:?}");
    let mut wrong = Vec::new();
    for folder in &all {
        let name = folder.file_name().unwrap().to_str().unwrap();
        wrong.extend(Said::of(folder).contradictions().into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Limit and cause that each kill of a service has, and the first kill from which on it must have them.
const TRUTH: [(&str, u64, &str, usize); 6] = [
    ("shop/backend", 160, "leak", 1),
    ("shop/worker", 96, "leak", 1),
    ("shop/prefork", 150, "leak", 1),
    ("shop/import", 64, "burst", 0),
    ("shop/shm", 64, "tmpfs", 0),
    ("shop/jvm", 200, "limit-too-low", 0),
];

/// What is not as it is.
fn untrue(said: &Said) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, limit, cause, from) in TRUTH {
        let of = |page: &&Value| page["names"][page["victims"][0]["cgroup"].as_str().unwrap()] == name;
        let pages: Vec<&Value> = said.kills().filter(of).collect();
        if pages.is_empty() {
            wrong.push(format!("{name}: no page"));
        }
        for (n, page) in pages.iter().enumerate().skip(from) {
            if page["cause"] != cause || page["limit"]["limit"] != limit * loops::MIB {
                wrong.push(format!(
                    "{name}: kill {} of {}: {} ({})",
                    n + 1,
                    pages.len(),
                    page["cause"],
                    page["verdict"]
                ));
            }
            if page["loop"]["brief"] == true && page["confidence"].as_f64().unwrap() > 0.6 {
                wrong.push(format!("{name}: too sure of what cannot be told apart: {}", page["confidence"]));
            }
        }
    }
    wrong
}

#[test]
fn a_leak_in_a_restart_loop_is_a_leak_in_every_command_and_no_other_kill_becomes_one() {
    let dir = tempfile::tempdir().unwrap();
    loops::write(dir.path(), u64::MAX);
    let said = Said::of(dir.path());
    let wrong = [said.contradictions(), untrue(&said)].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let last = said.kills().find(|page| page["loop"]["kills"] == 8).unwrap();
    let verdict = last["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("`python3` in `shop/") && verdict.contains(": 8th OOM kill since "), "{verdict}");
    assert!(verdict.contains("; each life leaks ") && verdict.contains("/min from its start"), "{verdict}");
    assert_eq!(list(&last["lives"]).len(), 8);
}

#[test]
fn a_page_made_right_after_the_second_kill_says_leak_and_is_not_sure() {
    // Of the loop of 14 s and of that of 130 s.
    for (name, kill) in [("shop/worker", 700 + 150 + 133), ("shop/backend", 50 + 1310 + 1235)] {
        let dir = tempfile::tempdir().unwrap();
        loops::write(dir.path(), kill + 5);
        let told = json(&["postmortem", dir.path().to_str().unwrap(), "--all", "--json"]);
        let of = |page: &&Value| page["names"][page["victims"][0]["cgroup"].as_str().unwrap()] == name;
        let page = list(&told["incidents"]).iter().rfind(of).unwrap();
        assert_eq!((&page["loop"]["kills"], &page["cause"]), (&2.into(), &"leak".into()), "{}", page["verdict"]);
        assert!(page["confidence"].as_f64().unwrap() < 0.8, "two lives are no certainty: {}", page["confidence"]);
    }
}

#[test]
fn a_cgroup_that_lived_for_a_moment_has_its_own_limit_and_its_own_bars() {
    let dir = tempfile::tempdir().unwrap();
    loops::write(dir.path(), 3600);
    let folder = dir.path().to_str().unwrap();
    let said = Said::of(dir.path());
    for digit in [0x71, 0x72] {
        let path = loops::path(digit);
        let page = said.kills().find(|page| page["limit"]["cgroup"] == *path).unwrap();
        let timeline = list(&page["timeline"]["second"]);
        assert_eq!(timeline.last().unwrap()["suspect"], 32 * loops::MIB, "{timeline:?}");
        let text = sampler(&["postmortem", folder, "--at", page["time"].as_str().unwrap()]);
        assert!(!text.lines().any(|line| line.contains('█') && line.contains("GiB  available")), "{text}");
        let cgroup = list(&said.info["cgroups"]).iter().find(|cgroup| cgroup["path"] == *path).unwrap();
        assert_eq!(cgroup["limit_bytes"], 32 * loops::MIB, "{cgroup}");
    }
}
