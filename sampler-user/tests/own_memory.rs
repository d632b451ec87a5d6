//! Leak, garbage or a ceiling of its own: many containers in one recording, each of which grows alike.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/journal.rs"]
mod journal;

use std::process::Command;

use sampler::model::event::{Event, EventKind};
use sampler::model::fields::FieldId;
use sampler::model::own_memory::{JavaHeap, Manager, OwnMemory};
use sampler::model::recording::Subject;
use sampler::model::sample::{PassHead, PassKind, Row};
use sampler::model::sink::Sink;
use serde_json::Value;

const MIB: u64 = 1 << 20;
/// How long the recording is, seconds; a look at processes every ten.
const SECONDS: u64 = 1500;
const LOOK: u64 = 10;
/// What nearly all of them grow by each second.
const PACE: u64 = 100_000;

/// What a process says after so many seconds.
type Says = Box<dyn Fn(u64) -> Option<OwnMemory>>;

/// A container: its name, the verdict, words of its evidence, whether it is shared memory that grows, and what its processes say.
struct Case {
    name: &'static str,
    verdict: &'static str,
    words: &'static str,
    shared: bool,
    /// What it grows by each second.
    pace: u64,
    says: Vec<Says>,
}

fn case(name: &'static str, verdict: &'static str, words: &'static str, says: Vec<Says>) -> Case {
    Case { name, verdict, words, shared: false, pace: PACE, says }
}

/// A process that is as large as its container.
fn own(manager: Manager, ceiling: u64, second: u64) -> OwnMemory {
    OwnMemory {
        pid: 0,
        comm: "a\u{1b}[31m".into(),
        manager,
        ceiling: Some(ceiling * MIB),
        set_by: Some(format!("-X{ceiling}")),
        uncollected: false,
        resident: Some(40 * MIB + PACE * second),
        heap: None,
    }
}

/// A JVM; `heap` gives what it has, uses, has in its old generation, and the collections of that.
fn java(heap: impl Fn(u64) -> (u64, u64, u64, u64) + 'static) -> Says {
    Box::new(move |second| {
        let (committed, used, old_used, old_collections) = heap(second);
        let heap =
            JavaHeap { committed, used, old_used, young_collections: 5 + second, old_collections, metaspace: None };
        Some(OwnMemory { heap: Some(heap), ..own(Manager::Jvm, 512, second) })
    })
}

/// What the heap has when it grows as its container does.
fn has(second: u64) -> u64 {
    30 * MIB + PACE * second
}

fn cases() -> Vec<Case> {
    let plain = |manager, ceiling| -> Says { Box::new(move |t| Some(own(manager, ceiling, t))) };
    let mapping = |ceiling: fn(u64) -> u64| -> Says {
        Box::new(move |t| Some(OwnMemory { resident: None, ..own(Manager::SharedMapping, ceiling(t), t) }))
    };
    // Collected every 300 s: garbage above 8 MiB that are alive.
    let teeth = |t: u64| 8 * MIB + PACE * (t % 300);
    let mut all = vec![
        case("plain", "leak", "", vec![]),
        case(
            "java-garbage",
            "garbage",
            "after collections 8 MiB",
            vec![java(move |t| (has(t), has(t), teeth(t), t / 300))],
        ),
        case(
            "java-young",
            "garbage",
            "had no need of a collection",
            vec![java(|t| (has(t), has(t), 5 * MIB + t * 100, 0))],
        ),
        case(
            "java-uncollected",
            "undetermined",
            "garbage not collected yet: no collection",
            vec![java(|t| (has(t), has(t), has(t) / 2, 0))],
        ),
        case("java-once", "undetermined", "only one collection", vec![java(|t| (has(t), has(t), has(t) / 2, t / 800))]),
        case(
            "java-leak",
            "leak",
            "old generation leave rose",
            vec![java(|t| (has(t), has(t), 8 * MIB + PACE * t * 8 / 10, t / 200))],
        ),
        case("java-native", "leak", "", vec![java(move |t| (64 * MIB, 40 * MIB, 8 * MIB + t % 3 * 1000, t / 300))]),
        case(
            "java-unseen",
            "leak",
            "",
            vec![Box::new(|t| (t > 1200).then(|| java(|t| (has(t), has(t), 5 * MIB, 0))(t)).flatten())],
        ),
        case(
            "java-and-sidecar",
            "leak",
            "",
            vec![Box::new(|t| {
                let java = java(|t| (has(t), 10 * MIB, 5 * MIB, 0))(t)?;
                Some(OwnMemory { resident: Some(40 * MIB), ..java })
            })],
        ),
        case(
            "go-off",
            "garbage",
            "collects no garbage below",
            vec![Box::new(|t| Some(OwnMemory { uncollected: true, ..own(Manager::Go, 400, t) }))],
        ),
        case(
            "go-off-beyond",
            "leak",
            "",
            vec![Box::new(|t| Some(OwnMemory { uncollected: true, ..own(Manager::Go, 100, t) }))],
        ),
        case("go-on", "leak", "", vec![plain(Manager::Go, 400)]),
        case("node", "leak", "", vec![plain(Manager::Node, 400)]),
        case("memcached", "own-ceiling", "fills its cache", vec![plain(Manager::Cache, 400)]),
        case("memcached-beyond", "leak", "", vec![plain(Manager::Cache, 64)]),
        case(
            "memcached-and-app",
            "leak",
            "",
            vec![Box::new(|t| Some(OwnMemory { resident: Some(30 * MIB), ..own(Manager::Cache, 400, t) }))],
        ),
    ];
    all.push(Case {
        pace: PACE / 7,
        ..case(
            "node-idle",
            "undetermined",
            "garbage not collected yet",
            vec![Box::new(|t| {
                Some(OwnMemory { ceiling: None, resident: Some(40 * MIB + PACE / 7 * t), ..own(Manager::Node, 0, t) })
            })],
        )
    });
    all.push(Case { pace: PACE / 7, ..case("slow", "leak", "", vec![]) });
    for (name, verdict, words, says) in [
        ("postgres", "own-ceiling", "fills shared memory that it mapped before", vec![mapping(|_| 256)]),
        ("postgres-two", "own-ceiling", "of 320 MiB", vec![mapping(|_| 128), mapping(|_| 192)]),
        ("shm-plain", "leak", "", vec![]),
        ("shm-beyond", "leak", "", vec![mapping(|_| 100)]),
        ("shm-more", "leak", "", vec![mapping(|t| 64 + t)]),
    ] {
        all.push(Case { shared: true, ..case(name, verdict, words, says) });
    }
    all
}

/// The findings of all of them at once; `with` leaves what processes say out.
fn analyze(cases: &[Case], with: bool) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = journal::create(dir.path());
    for (number, case) in (1..).zip(cases) {
        writer.subject(number, &Subject { cgroup: format!("/{}", case.name), id: number.into(), process: None });
    }
    let begin = sampler::model::time::mono_ns();
    for second in 0..SECONDS {
        let mono_ns = begin + second * 1_000_000_000;
        for (number, case) in (1u32..).zip(cases).filter(|_| with && second % LOOK == 0) {
            for (process, says) in case.says.iter().enumerate() {
                if let Some(mut own) = says(second) {
                    own.pid = (number * 10) as i32 + process as i32;
                    let what = EventKind::OwnMemory(Box::new(own));
                    writer.event(&Event { mono_ns, cgroup: Some(format!("/{}", case.name)), what });
                }
            }
        }
        let head = PassHead { kind: PassKind::Full, mono_ns, rows: cases.len() as u32 };
        writer.pass(head);
        for (number, case) in (1u32..).zip(cases) {
            let noise = (second * 7919 + u64::from(number) * 104_729) % 101 * 2048;
            let grown = case.pace * second + noise;
            let (anon, shmem) = if case.shared { (40 * MIB, 10 * MIB + grown) } else { (50 * MIB + grown, 0) };
            let mut row = Row::new(number);
            for (field, value) in [
                (FieldId::Current, anon + shmem),
                (FieldId::Anon, anon),
                (FieldId::File, shmem),
                (FieldId::Shmem, shmem),
                (FieldId::Max, 1024 * MIB),
            ] {
                row.put(field.field(), value);
            }
            writer.row(head, &row);
        }
    }
    writer.flush(true);
    let out = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(["analyze", "--all", "--json", dir.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn of<'a>(document: &'a Value, name: &str) -> &'a Value {
    let path = format!("/{name}");
    document["cgroups"].as_array().unwrap().iter().find(|cgroup| cgroup["path"] == path).unwrap()
}

#[test]
fn a_leak_is_what_the_words_of_no_process_explain() {
    let cases = cases();
    let (document, without) = (analyze(&cases, true), analyze(&cases, false));
    let mut wrong = Vec::new();
    for case in &cases {
        let (found, alone) = (of(&document, case.name), of(&without, case.name));
        let evidence = found["evidence"].to_string();
        let is_right = found["verdict"] == case.verdict && evidence.contains(case.words);
        // A name is escaped, and without their words all of them are alike.
        if !is_right || evidence.contains("\\u001b") || alone["verdict"] != "leak" {
            wrong.push(format!("{}: {}; without words {}; {evidence}", case.name, found["verdict"], alone["verdict"]));
        }
        assert!(case.verdict == "leak" || found["probability"].as_f64().unwrap() < 0.81, "{found}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
