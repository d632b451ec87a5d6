//! `sampler machine`: the account of a machine adds up, live and from a recording.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/journal.rs"]
mod journal;

use std::process::{Command, Output};

use sampler::model::details::{MemoryDetails, MemoryMount, SlabCache};
use sampler::model::event::{Event, EventKind};
use sampler::model::fields::FieldId;
use sampler::model::identity::Identity;
use sampler::model::recording::Subject;
use sampler::model::sample::{HOST, PassHead, PassKind, Row};
use sampler::model::sink::Sink;
use serde_json::Value;

const MIB: u64 = 1 << 20;
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn sampler(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler")).args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let out = sampler(arguments);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// The size of a part; 0 if it is not there.
fn part(document: &Value, kind: &str) -> u64 {
    let parts = document["parts"].as_array().unwrap();
    parts.iter().find(|part| part["kind"] == kind).map_or(0, |part| part["bytes"].as_u64().unwrap())
}

fn adds_up(document: &Value) {
    let sum: u64 = document["parts"].as_array().unwrap().iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert_eq!(sum, document["total"].as_u64().unwrap() + document["overlap"].as_u64().unwrap(), "{document}");
}

#[test]
fn the_account_of_this_machine_adds_up_and_explains_nearly_all_of_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED the_account_of_this_machine_adds_up: needs root");
        return;
    }
    let document = json(&["machine", "--json"]);
    assert_eq!(document["format"], "sampler.machine.v1");
    adds_up(&document);
    let total = document["total"].as_u64().unwrap();
    assert!(
        part(&document, "unexplained") < total / 50 && document["overlap"].as_u64().unwrap() < total / 50,
        "{document}"
    );
    assert!(document["details"]["slab"].as_array().is_some_and(|slab| !slab.is_empty()), "{document}");
    let out = sampler(&["machine"]);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("page cache") && text.contains("not explained"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// Ten seconds of a WSL VM of 1 GiB: a container that grows, a cache that is dropped in the middle, and then given back in steps.
fn recording() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = journal::create(dir.path());
    let who = Identity { name: Some("web\u{1b}[31m".into()), ..Identity::container("docker", ID) };
    let (parent, container) = ("/docker".to_owned(), format!("/docker/{ID}"));
    writer.subject(HOST, &Subject::host());
    for (number, path) in [(1, &parent), (2, &container)] {
        writer.subject(number, &Subject { cgroup: path.clone(), id: number.into(), process: None });
    }
    writer.event(&Event::of(&container, EventKind::Named(Box::new(who))));
    let slab = vec![SlabCache { name: "dentry".into(), bytes: 40 * MIB, reclaimable: Some(true) }];
    let mount = MemoryMount { path: "/dev/shm".into(), cgroup: Some(container), bytes: 8 * MIB, limit: None };
    let details = MemoryDetails { slab, mounts: vec![mount], files: Vec::new() };
    writer.event(&Event::now(EventKind::MemoryDetails(Box::new(details))));
    let begin = sampler::model::time::mono_ns();
    for second in 0..10u64 {
        use FieldId::*;
        let (anon, cached) = ((100 + second) * MIB, if second < 5 { 600 } else { 200 } * MIB);
        let free = 1024 * MIB - anon - cached - 60 * MIB - 3 * MIB;
        let host = [
            (MemTotal, 1024 * MIB),
            (MemFree, free),
            (AnonPages, anon),
            (Cached, cached),
            (ShmemHost, 8 * MIB),
            (SReclaimable, 45 * MIB),
            (SUnreclaim, 15 * MIB),
            (Dirty, 5 * MIB),
            (FreeOrder9, free / 2 / 4096),
            (VmDropPagecache, u64::from(second >= 5)),
        ];
        let of = |number: u32, anon: u64, file: u64, reclaimed: u64| {
            let mut row = Row::new(number);
            for (field, value) in
                [(Anon, anon), (File, file), (Shmem, 0), (DyingDescendants, 0), (PgstealProactive, reclaimed)]
            {
                row.put(field.field(), value);
            }
            row
        };
        let mut row = Row::new(HOST);
        host.iter().for_each(|(field, value)| row.put(field.field(), *value));
        let mono_ns = begin + second * 1_000_000_000;
        let head = PassHead { kind: PassKind::Slow, mono_ns, rows: 2 };
        writer.pass(head);
        writer.row(head, &of(1, anon, cached, second / 2 * 256));
        writer.row(head, &of(2, anon - 10 * MIB, cached / 2, 0));
        let head = PassHead { kind: PassKind::Host, mono_ns, rows: 1 };
        writer.pass(head);
        writer.row(head, &row);
    }
    writer.flush(true);
    dir
}

#[test]
fn a_recording_shows_the_machine_at_any_second() {
    let dir = recording();
    let dir = dir.path().to_str().unwrap();
    let last = json(&["machine", dir, "--json"]);
    adds_up(&last);
    assert_eq!((part(&last, "processes"), part(&last, "page_cache")), (109 * MIB, 192 * MIB));
    assert_eq!((part(&last, "unexplained"), last["dirty"].as_u64()), (3 * MIB, Some(5 * MIB)));
    let holders = last["holders"]["list"].as_array().unwrap();
    let of = |path: &str| holders.iter().find(|holder| holder["path"] == path).unwrap();
    let container = format!("/docker/{ID}");
    assert_eq!((&of(&container)["held"], &of(&container)["cache"]), (&(99 * MIB).into(), &(100 * MIB).into()));
    assert_eq!((&of("/docker")["held"], &of("/docker")["cache"]), (&(10 * MIB).into(), &(100 * MIB).into()));
    assert_eq!(last["worst"]["accounts"], 10);
    assert_eq!(last["given_back"]["drops"][0]["freed"], 400 * MIB);
    assert_eq!((&last["given_back"]["reclaimed"], &last["given_back"]["steps"]), (&(4 * MIB).into(), &4.into()));

    let at = last["time_us"].as_i64().unwrap() - 6_000_000;
    let then = json(&["machine", dir, "--json", "--at", &format!("{}.{:06}", at / 1_000_000, at % 1_000_000)]);
    adds_up(&then);
    assert_eq!((part(&then, "processes"), part(&then, "page_cache")), (103 * MIB, 592 * MIB));

    let text = String::from_utf8(sampler(&["machine", dir]).stdout).unwrap();
    assert!(text.contains("dentry 40 MiB") && text.contains("/dev/shm of web"), "{text}");
    assert!(text.contains("  tmpfs and shared memory "), "no name of a part is cut: {text}");
    assert!(text.contains("nobody's pressure") && !text.contains('\u{1b}'), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let never = sampler(&["machine", dir, "--at", "2001-01-01T00:00:00Z"]);
    assert!(!never.status.success());
    let said = String::from_utf8_lossy(&never.stderr).into_owned();
    assert!(said.contains("nothing was recorded at 2001") && said.contains("reach from"), "{said}");
}

#[test]
fn a_recording_without_the_machine_has_no_account() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = journal::create(dir.path());
    writer.subject(1, &Subject { cgroup: "/a".into(), id: 1, process: None });
    let head = PassHead { kind: PassKind::Slow, mono_ns: sampler::model::time::mono_ns(), rows: 1 };
    let mut row = Row::new(1);
    row.put(FieldId::Anon.field(), 5);
    writer.pass(head);
    writer.row(head, &row);
    writer.flush(true);
    let out = sampler(&["machine", dir.path().to_str().unwrap()]);
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("no readings of the whole machine"));
}
