//! What the agent says while it records and what `analyze` says of the recording afterwards: the same rows, the same verdicts.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/journal.rs"]
mod journal;

use std::process::Command;

use sampler::analysis::live::Live;
use sampler::model::fields::{FieldId, UNLIMITED};
use sampler::model::recording::Subject;
use sampler::model::sample::{HOST, PassHead, PassKind, Row};
use sampler::model::sink::Sink;

const MIB: u64 = 1 << 20;

/// Anonymous memory at a second.
type Cgroup = (&'static str, fn(u64) -> u64);

const CGROUPS: [Cgroup; 6] = [
    ("/leak", |t| 100 * MIB + t * 60_000),
    ("/late", |t| 100 * MIB + t.saturating_sub(900) * 90_000),
    ("/rest", |_| 100 * MIB),
    ("/full", |t| 100 * MIB + t.min(1000) * 60_000),
    ("/free", |t| 100 * MIB + t * 60_000),
    ("/step", |t| if t < 1200 { 100 * MIB } else { 180 * MIB }),
];

#[test]
fn live_and_offline_agree_on_a_recording_of_fast_and_slow_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = journal::create(dir.path());
    let mut live = Live::new(&[]);
    writer.subject(HOST, &Subject::host());
    for (n, (path, _)) in CGROUPS.iter().enumerate() {
        let subject = Subject { cgroup: (*path).to_owned(), id: n as u64 + 1, process: None };
        writer.subject(n as u32 + 1, &subject);
        live.subject(n as u32 + 1, &subject);
    }
    let begin_ns = sampler::model::time::mono_ns();
    let mut announced = Vec::new();
    for tick in 0..2400u64 * 4 {
        let t = tick / 4;
        for kind in [PassKind::Fast, PassKind::Slow, PassKind::Host] {
            if kind != PassKind::Fast && !tick.is_multiple_of(4) {
                continue;
            }
            let offset_ns = if kind == PassKind::Fast { 0 } else { 30_000_000 };
            let rows = if kind == PassKind::Host { 1 } else { CGROUPS.len() as u32 };
            let head = PassHead { kind, mono_ns: begin_ns + tick * 250_000_000 + offset_ns, rows };
            writer.pass(head);
            if kind == PassKind::Host {
                let mut row = Row::new(HOST);
                row.put(FieldId::MemTotal.field(), 8192 * MIB);
                row.put(FieldId::MemAvailable.field(), 3000 * MIB - t * 240_000);
                writer.row(head, &row);
                live.row((head.mono_ns / 1000) as i64, &row);
                continue;
            }
            for (n, (path, at)) in CGROUPS.iter().enumerate() {
                let anon = at(t) + (t * 7919 + n as u64 * 104_729) % 101 * 4096;
                let max = if *path == "/free" { UNLIMITED } else { 1024 * MIB };
                let mut row = Row::new(n as u32 + 1);
                let fields: &[(FieldId, u64)] = match kind {
                    PassKind::Fast => &[(FieldId::Current, anon + 30 * MIB), (FieldId::EventsOomKill, 0)],
                    _ => &[(FieldId::Anon, anon), (FieldId::File, 30 * MIB), (FieldId::Max, max)],
                };
                fields.iter().for_each(|(id, value)| row.put(id.field(), *value));
                writer.row(head, &row);
                live.row((head.mono_ns / 1000) as i64, &row);
            }
        }
        announced.extend(live.look().into_iter().map(|news| (news.path, news.leaks)));
    }
    writer.flush(true);
    let output =
        Command::new(env!("CARGO_BIN_EXE_sampler")).args(["analyze", "--json"]).arg(dir.path()).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (n, (path, _)) in CGROUPS.iter().enumerate() {
        let offline = document["cgroups"].as_array().unwrap().iter().find(|c| c["path"] == *path).unwrap();
        let live = serde_json::to_value(live.verdict(n as u32 + 1).unwrap()).unwrap();
        assert_eq!((&live["verdict"], &live["component"]), (&offline["verdict"], &offline["component"]), "{path}");
        if live["verdict"] == "leak" {
            let ratio = live["rate_bytes_per_s"].as_f64().unwrap() / offline["rate_bytes_per_s"].as_f64().unwrap();
            assert!((ratio - 1.0).abs() < 0.05, "{path}: {ratio}");
            let owner = if *path == "/free" { "" } else { path };
            assert_eq!((&live["limit_owner"], &offline["limit_owner"]), (&owner.into(), &owner.into()), "{path}");
            for key in ["limit_bytes", "time_to_limit_s"] {
                let ratio = live[key].as_f64().unwrap() / offline[key].as_f64().unwrap();
                assert!((ratio - 1.0).abs() < 0.05, "{path}: {key} {ratio}");
            }
            assert_eq!(live["alarm"], offline["alarm"], "{path}");
        }
    }
    assert!(
        announced.contains(&("/leak".into(), true))
            && announced.contains(&("/late".into(), true))
            && announced.contains(&("/free".into(), true)),
        "{announced:?}"
    );
    assert!(!announced.iter().any(|(path, _)| path == "/rest" || path == "/step"), "{announced:?}");
}
