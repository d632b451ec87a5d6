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

use sampler::model::event::{Event, EventKind};
use sampler::model::evidence::{Constraint, MoreOomKills, OomKill, Victim, WitnessKind};
use sampler::model::fields::FieldId;
use sampler::model::recording::Subject;
use sampler::model::sample::{PassHead, PassKind, Row};
use sampler::model::sink::Sink;
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
        let key = |kill: &Value, cgroup: &str| {
            let cgroup = kill[cgroup].as_str().unwrap_or_default().to_owned();
            (kill["time_us"].as_i64().unwrap(), kill["pid"].as_i64().unwrap_or(0), cgroup)
        };
        let mut victims: BTreeMap<(i64, i64, String), &Value> = BTreeMap::new();
        let (mut on_pages, mut more) = (0, 0);
        for page in self.kills() {
            on_pages += list(&page["victims"]).len();
            more += page["more_victims"].as_u64().unwrap_or(0);
            for victim in list(&page["victims"]) {
                victims.insert(key(victim, "cgroup"), page);
            }
        }
        let kills = list(&self.info["oom_kills"]);
        if kills.len() != on_pages {
            wrong.push(format!("info has {} kills, the pages have {on_pages}", kills.len()));
        }
        let folded: u64 = list(&self.info["more_oom_kills"]).iter().map(|more| more["count"].as_u64().unwrap()).sum();
        // The first of a storm that is folded whole stands on its page as a victim of whom nothing is known.
        if folded != more {
            wrong.push(format!("info has {folded} folded kills, the pages have {more}"));
        }
        for kill in kills {
            let Some(page) = victims.get(&key(kill, "victim_cgroup")) else {
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
            let limit = &page["limit"];
            // A kill that no witness placed is on a page without a limit, or on that of its own cgroup's.
            let agrees = match owner {
                "unknown" if limit["owner"] == "own" => limit["cgroup"] == kill["victim_cgroup"],
                _ => limit["owner"] == owner && limit["cgroup"] == kill["limit_cgroup"],
            };
            if !agrees {
                wrong.push(format!(
                    "{}: info says {owner} {}, the page {}",
                    kill["time"], kill["limit_cgroup"], page["limit"]
                ));
            }
        }
        let listed: u64 = list(&self.listed).iter().map(|line| line["kills"].as_u64().unwrap()).sum();
        if listed != kills.len() as u64 + folded {
            wrong.push(format!("the list has {listed} kills, info has {} and {folded} folded", kills.len()));
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
            let is_suspect = page["suspect"] == *path;
            // A leak of shared memory has one name on a page: tmpfs.
            let is_tmpfs = page["cause"] == "tmpfs";
            let judged = list(&page["causes"]).iter().find(|judged| judged["class"] == "leak");
            if is_tmpfs && (leaks || judged.is_some_and(|judged| judged["score"].as_f64() >= Some(0.5))) {
                wrong.push(format!("{path}: the page says tmpfs and leak: {judged:?}"));
            }
            let has_leak = |verdict: &Value| verdict == "leak";
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
                    let agrees = match has_leak(&cgroup["verdict"]) {
                        true if is_tmpfs => cgroup["component"] == "shmem",
                        other => other == leaks,
                    };
                    if is_suspect && !agrees {
                        wrong.push(format!(
                            "{path}: the page says {}, analyze {}: {}",
                            page["cause"], cgroup["verdict"], cgroup["evidence"]
                        ));
                    }
                    // Advice follows the kills and the analysis: it has a leak where one of them has.
                    let advised = find(&self.advise["containers"], path);
                    if let Some(advised) = advised.filter(|_| is_suspect && is_tmpfs)
                        && has_leak(&advised["state"]) != has_leak(&cgroup["verdict"])
                    {
                        wrong.push(format!("{path}: analyze says {}, advise {}", cgroup["verdict"], advised["state"]));
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
            // A service is named once, by its last container.
            if let Some(advised) = advised {
                if advised["limit"] != *limit {
                    wrong.push(format!("{path}: its limit is {limit}, advise says {}", advised["limit"]));
                }
                if is_suspect && !is_tmpfs && (advised["state"] == "leak") != leaks {
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
                wrong.push(format!("{name}: too sure of what cannot be distinguished: {}", page["confidence"]));
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

/// A kill of this cgroup that no witness placed below a limit.
fn unplaced(victim_cgroup: Option<&str>, pid: i32) -> EventKind {
    let victim = (pid > 0).then(|| Victim { pid, comm: "sh".into(), ..Victim::default() });
    EventKind::OomKill(Box::new(OomKill {
        time_ns: 0,
        constraint: Constraint::Unknown,
        victim_cgroup: victim_cgroup.map(str::to_owned),
        limit_cgroup: None,
        victim,
        witnesses: vec![WitnessKind::Vmstat],
        report: None,
        probe: None,
        hit: None,
    }))
}

fn placed(cgroup: &str, pid: i32) -> EventKind {
    let EventKind::OomKill(mut kill) = unplaced(Some(cgroup), pid) else { unreachable!() };
    (kill.constraint, kill.limit_cgroup) = (Constraint::Memcg, Some(cgroup.into()));
    EventKind::OomKill(kill)
}

#[test]
fn kills_that_no_witness_placed_are_the_same_kills_in_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = journal::create(dir.path());
    let begin = journal::origin().anchor.mono_ns;
    let more = |cgroup: Option<&str>| {
        EventKind::MoreOomKills(Box::new(MoreOomKills {
            count: 40,
            first_ns: begin,
            last_ns: begin,
            constraint: if cgroup.is_some() { Constraint::Memcg } else { Constraint::Unknown },
            victim_cgroup: cgroup.map(str::to_owned),
            limit_cgroup: cgroup.map(str::to_owned),
        }))
    };
    let start = EventKind::AgentStart { version: "0".into(), interval_us: 100_000, slow_interval_us: 1_000_000 };
    // `top` asks for rows.
    writer.subject(1, &Subject { cgroup: "/docker/a".into(), id: 1, process: None });
    for second in 0..150 {
        let head = PassHead { kind: PassKind::Fast, mono_ns: begin + second * 1_000_000_000, rows: 1 };
        let mut row = Row::new(1);
        row.put(FieldId::Current.field(), loops::MIB);
        writer.pass(head);
        writer.row(head, &row);
    }
    for (second, what) in [
        (0, start),
        (5, placed("/docker/a", 7)),
        (6, unplaced(Some("/docker/a"), 8)),
        (6, unplaced(Some("/docker/b"), 0)),
        (7, unplaced(None, 0)),
        (7, unplaced(None, 0)),
        (8, more(Some("/docker/a"))),
        (60, unplaced(Some("/docker/b"), 9)),
        (61, placed("/docker/b", 10)),
        (120, unplaced(None, 11)),
        (150, EventKind::AgentStop { reason: "SIGTERM".into() }),
    ] {
        let cgroup = match &what {
            EventKind::OomKill(kill) => kill.victim_cgroup.clone(),
            EventKind::MoreOomKills(more) => more.victim_cgroup.clone(),
            _ => None,
        };
        writer.event(&Event { mono_ns: begin + second * 1_000_000_000, cgroup, what });
    }
    writer.flush(true);
    let said = Said::of(dir.path());
    let mut wrong = Vec::new();
    said.of_kills(&mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let limits: Vec<_> = said.kills().map(|page| page["limit"]["owner"].as_str().unwrap()).collect();
    assert_eq!(limits, ["own", "unknown", "unknown", "own", "unknown"]);
}

#[test]
fn a_page_made_right_after_the_first_kill_says_that_one_life_is_not_enough() {
    for (name, kill) in [("shop/worker", 700 + 140), ("shop/prefork", 699), ("shop/backend", 50 + 1300)] {
        let dir = tempfile::tempdir().unwrap();
        loops::write(dir.path(), kill + 5);
        let document = json(&["postmortem", dir.path().to_str().unwrap(), "--all", "--json"]);
        let of = |page: &&Value| page["names"][page["victims"][0]["cgroup"].as_str().unwrap()] == name;
        let page = list(&document["incidents"]).iter().rfind(of).unwrap();
        assert!(page["loop"].is_null(), "{name}: {}", page["verdict"]);
        assert!(page["confidence"].as_f64().unwrap() < 0.8, "{name}: {}", page["confidence"]);
        let unknown = page["unknown"].to_string();
        assert!(
            unknown.contains("is not enough to distinguish a leak"),
            "{name}: {} {} {unknown}",
            page["cause"],
            page["verdict"]
        );
    }
    // What stood at its limit for minutes is no such case.
    let dir = tempfile::tempdir().unwrap();
    loops::write(dir.path(), 4505);
    let document = json(&["postmortem", dir.path().to_str().unwrap(), "--last", "--json"]);
    let page = &document["incidents"][0];
    assert!(page["cause"] != "leak" && !page["unknown"].to_string().contains("one life"), "{page}");
}

#[test]
fn a_page_made_right_after_the_second_kill_says_leak_and_is_not_sure() {
    // Of the loop of 14 s and of that of 130 s.
    for (name, kill) in [("shop/worker", 700 + 150 + 133), ("shop/backend", 50 + 1310 + 1235)] {
        let dir = tempfile::tempdir().unwrap();
        loops::write(dir.path(), kill + 5);
        let pages = json(&["postmortem", dir.path().to_str().unwrap(), "--all", "--json"]);
        let of = |page: &&Value| page["names"][page["victims"][0]["cgroup"].as_str().unwrap()] == name;
        let page = list(&pages["incidents"]).iter().rfind(of).unwrap();
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
