//! No alert comes of a recording of what is no leak, and one does of a leak.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sampler::analysis::live::Live;
use sampler::live::alert::rules::Rules;
use sampler::live::alert::{Alert, Watch};
use sampler::live::board::{Board, Depth};
use sampler::model::event::{Event, EventKind};
use sampler::model::fields::Table;
use sampler::model::recording::Subject;
use sampler::model::sample::Row;
use sampler::model::time::Anchor;
use sampler::store::scan::{Query, Recording};

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings")
}

/// A row of a cgroup (path and number), or of the host, and its time.
type At = (i64, Option<(String, u64)>, Row);

/// What `record` would have announced while this was recorded.
fn alerts(dir: &Path) -> Vec<Alert> {
    let mut recording = Recording::open(dir).unwrap();
    let mut rows: Vec<At> = Vec::new();
    for table in [Table::Samples, Table::Host] {
        recording.series(table, &Query::all(), |series| {
            for at in 0..series.len() {
                let mut row = Row::new(0);
                for (slot, column) in series.columns.iter().enumerate() {
                    if let Some(value) = column.as_ref().and_then(|column| column.get(at)) {
                        row.set(slot, value);
                    }
                }
                let subject = (table == Table::Samples).then(|| (series.subject.cgroup.clone(), series.subject.id));
                rows.push((series.time_us[at], subject, row));
            }
        });
    }
    assert_eq!(recording.problems, []);
    assert!(rows.len() > 100, "{}", dir.display());
    rows.sort_by_key(|(time, _, _)| *time);
    let events = recording.events(i64::MIN..i64::MAX);
    let mut events = events.iter().peekable();
    let depth = Depth { step_us: 10_000_000, points: 180 };
    let mut board = Board::new(depth, Anchor { mono_ns: 0, wall_ns: 0 }, ("h".into(), None));
    let mut watch = Watch::new(Rules::default());
    // As the recorder does it: its detectors read along, and what they say is an event.
    let mut live = Live::new(&[]);
    let mut numbers = BTreeMap::new();
    let (mut announced, mut next) = (Vec::new(), i64::MIN);
    for (time, subject, row) in &rows {
        while let Some(event) = events.next_if(|event| event.time_us <= *time) {
            board.hear(event.time_us, &event.event);
        }
        if let Some((path, id)) = subject {
            let fresh = numbers.len() as u32 + 1;
            let number = *numbers.entry((path, id)).or_insert(fresh);
            if number == fresh {
                live.subject(number, &Subject { cgroup: path.clone(), id: *id, process: None });
            }
            let mut own = row.clone();
            own.subject = number;
            live.row(*time, &own);
        }
        for news in live.look() {
            let what = EventKind::Leak {
                leaks: news.leaks,
                component: None,
                bytes_per_s: None,
                time_to_limit_s: None,
                probability: 0.0,
                evidence: Vec::new(),
            };
            board.hear(*time, &Event::of(&news.path, what));
        }
        board.feed(subject.as_ref().map(|(path, id)| (path.as_str(), *id)), *time, row);
        if *time >= next {
            next = time + 5_000_000;
            announced.extend(watch.look(&board, &board.lines(board.now_us)));
        }
    }
    events.for_each(|event| board.hear(event.time_us, &event.event));
    announced.extend(watch.look(&board, &board.lines(board.now_us)));
    announced
}

#[test]
fn no_alert_comes_of_what_is_no_leak() {
    let mut seen = 0;
    for dir in std::fs::read_dir(recordings().join("calm")).unwrap().flatten().map(|entry| entry.path()) {
        assert_eq!(alerts(&dir), [], "{}", dir.display());
        seen += 1;
    }
    assert!(seen >= 7, "{seen} recordings");
}

/// Real programs of half an hour: alerts of what is no leak, and leaks that nothing is said of; how many of both there are.
fn spoken(name: &str) -> (Vec<String>, Vec<String>, (usize, usize)) {
    let folder = recordings().join("..").join(name);
    let text = std::fs::read_to_string(folder.join("corpus.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let all = alerts(&folder);
    let announced = |truth: &&serde_json::Value| {
        let of_it = |alert: &&Alert| alert.raised && alert.cgroup == truth["cgroup"].as_str().unwrap();
        let line = |alert: &Alert| format!("{} {}", truth["name"].as_str().unwrap(), alert.kind);
        all.iter().filter(of_it).map(line).collect::<Vec<_>>()
    };
    let truths = document["traces"].as_array().unwrap();
    let (leaks, others): (Vec<_>, Vec<_>) = truths.iter().partition(|truth| truth["class"] == "leak");
    let silent = leaks.iter().filter(|truth| announced(truth).is_empty());
    let silent = silent.map(|truth| truth["name"].as_str().unwrap().to_owned()).collect();
    (others.iter().flat_map(announced).collect(), silent, (leaks.len(), others.len()))
}

#[test]
fn no_alert_comes_of_real_programs_that_do_not_leak() {
    let (wrong, silent, many) = spoken("corpus");
    assert_eq!(many, (36, 44));
    assert_eq!(wrong, [""; 0]);
    // And the rules still speak, of those leaks too whose limit is hours away.
    assert!(silent.len() <= 9, "of {} leaks nothing is said of {}: {silent:?}", many.0, silent.len());
}

/// Nothing of the rules was chosen on these.
#[test]
fn few_alerts_come_of_services_that_do_not_leak() {
    let (wrong, silent, many) = spoken("services");
    assert_eq!(many, (33, 37));
    // An idle JVM whose heap no collection has reached: known, it looks like a slow leak.
    assert_eq!(wrong, ["jvm-idle-2 growth"]);
    // Most of them have no limit, and did not double within 20 minutes; the kill of cc-leak-2 is an event, which the thin copy has not.
    assert!(silent.len() <= 13, "of {} leaks nothing is said of {}: {silent:?}", many.0, silent.len());
}

#[test]
fn a_kill_is_announced() {
    let announced = alerts(&recordings().join("demo"));
    assert!(announced.iter().any(|alert| alert.kind == "oom_kill" && alert.raised), "{announced:?}");
}
