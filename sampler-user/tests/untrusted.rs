//! Names, comms and paths in a recording may be anything: nothing of them reaches a terminal, a page or a cell unescaped.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/journal.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use sampler::model::event::{Event, EventKind};
use sampler::model::evidence::{Constraint, OomKill, OomReport, TaskRow, Trigger, Victim, WitnessKind};
use sampler::model::fields::FieldId;
use sampler::model::identity::Identity;
use sampler::model::recording::{ProcessKey, Subject};
use sampler::model::sample::{HOST, PassHead, PassKind, Row};
use sampler::model::sink::Sink;

const COMM: &str = "=cmd|'/c calc'!A1\u{1b}[2J</script><script>alert(1)</script>\u{202e}\n";
const PATH: &str = "/docker/<img src=x onerror=alert(2)>\u{1b}]0;owned\u{7}\"'&\u{10ffff}\u{10fffe}\r\n";

/// A leak of a process with such a name in a cgroup with such a name, until its kill.
fn recording(dir: &Path) {
    let mut writer = support::create(dir);
    writer.subject(1, &Subject { cgroup: PATH.into(), id: 7, process: None });
    let key = ProcessKey { pid: 9, start: 1, comm: COMM.into() };
    writer.subject(2, &Subject { cgroup: PATH.into(), id: 7, process: Some(key) });
    let begin = sampler::model::time::mono_ns();
    writer.event(&Event {
        mono_ns: begin,
        cgroup: None,
        what: EventKind::AgentStart { version: "0".into(), interval_us: 100_000, slow_interval_us: 1_000_000 },
    });
    for tick in 0..600u64 {
        let mono_ns = begin + tick * 100_000_000;
        let used = (10 << 20) + tick * (90 << 10);
        let mut pass = |kind, subject, values: &[(FieldId, u64)]| {
            let head = PassHead { kind, mono_ns, rows: 1 };
            let mut row = Row::new(subject);
            values.iter().for_each(|(field, value)| row.put(field.field(), *value));
            writer.pass(head);
            writer.row(head, &row);
        };
        pass(PassKind::Fast, 1, &[(FieldId::Current, used)]);
        if tick % 10 == 0 {
            pass(
                PassKind::Slow,
                1,
                &[(FieldId::Anon, used), (FieldId::File, 0), (FieldId::Shmem, 0), (FieldId::Max, 64 << 20)],
            );
            pass(PassKind::Host, HOST, &[(FieldId::MemTotal, 8 << 30), (FieldId::MemAvailable, 6 << 30)]);
            pass(PassKind::Processes, 2, &[(FieldId::ProcessAnon, used)]);
        }
    }
    let victim = Victim { pid: 9, comm: COMM.into(), anon_rss: 60 << 20, ..Victim::default() };
    let task =
        TaskRow { pid: 9, uid: 0, total_vm: 1, rss: 2, swap: 0, pgtables: 0, oom_score_adj: 0, comm: COMM.into() };
    let report = OomReport {
        constraint: Constraint::Memcg,
        oom_memcg: Some(PATH.into()),
        task_memcg: Some(PATH.into()),
        trigger: Some(Trigger { comm: COMM.into(), ..Trigger::default() }),
        victim: victim.clone(),
        tasks: vec![task],
        ..OomReport::default()
    };
    let kill = OomKill {
        time_ns: begin + 60_000_000_000,
        constraint: Constraint::Memcg,
        victim_cgroup: Some(PATH.into()),
        limit_cgroup: Some(PATH.into()),
        victim: Some(victim),
        witnesses: vec![WitnessKind::Kmsg],
        report: Some(Box::new(report)),
        probe: None,
        hit: None,
    };
    let identity = Identity { name: Some(COMM.into()), service: Some(COMM.into()), ..Identity::of("docker") };
    let named = EventKind::Named(Box::new(identity));
    writer.event(&Event { mono_ns: begin + 1_000_000_000, cgroup: Some(PATH.into()), what: named });
    let lacking = EventKind::Degraded { what: COMM.into() };
    writer.event(&Event { mono_ns: begin + 1_000_000_000, cgroup: None, what: lacking });
    let limit = EventKind::LimitChanged { limit: COMM.into(), from: None, to: Some(64 << 20) };
    writer.event(&Event { mono_ns: begin + 1_000_000_000, cgroup: Some(PATH.into()), what: limit });
    writer.event(&Event { mono_ns: kill.time_ns, cgroup: Some(PATH.into()), what: EventKind::OomKill(Box::new(kill)) });
    writer.event(&Event {
        mono_ns: begin + 61_000_000_000,
        cgroup: None,
        what: EventKind::AgentStop { reason: COMM.into() },
    });
    writer.flush(true);
}

fn sampler(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether a text could steer a terminal.
fn steers(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}' || (c as u32) >= 0x10_ff80)
}

#[test]
fn nothing_reaches_a_terminal_unescaped() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let dir = dir.path().to_str().unwrap();
    for args in [
        &["postmortem", dir][..],
        &["postmortem", dir, "--list"],
        &["postmortem", dir, "--json"],
        &["info", dir],
        &["info", dir, "--verbose", "--all"],
        &["analyze", dir],
        &["analyze", dir, "-v"],
        &["advise", dir, "--all"],
    ] {
        let text = sampler(args);
        assert!(
            !steers(&if args.contains(&"--json") {
                text.replace(['\u{202e}', '\u{10ffff}', '\u{10fffe}'], "")
            } else {
                text.clone()
            }),
            "{args:?}: {text}"
        );
    }
    let page = sampler(&["postmortem", dir]);
    assert!(page.contains("\\u{1b}[2J") && page.contains("leak"), "it is reported all the same: {page}");
}

#[test]
fn a_cell_is_no_formula() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let dir = dir.path().to_str().unwrap();
    for table in ["processes", "samples", "events"] {
        let text = sampler(&["export", dir, "--table", table]);
        assert!(!steers(&text), "{table}");
        for record in csv::Reader::from_reader(text.as_bytes()).records() {
            let record = record.unwrap();
            assert!(record.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{table}: {record:?}");
        }
        assert!(table != "processes" || text.contains("'=cmd|"), "{text}");
    }
}

#[test]
fn a_page_has_no_element_of_a_name() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let file = dir.path().join("page.html");
    for command in ["postmortem", "report"] {
        sampler(&[command, dir.path().to_str().unwrap(), "--html", file.to_str().unwrap()]);
        let page = std::fs::read_to_string(&file).unwrap();
        assert!(!page.contains("<img") && !page.contains("<script>alert") && page.matches("</script>").count() == 3);
        assert!(page.contains("default-src 'none'") && page.contains("onerror=alert(2)"), "the name is there, as text");
    }
}
