//! No alert comes of a recording of what is no leak, and one does of a leak.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::path::{Path, PathBuf};

use sampler::alert::rules::Rules;
use sampler::alert::{Alert, Watch};
use sampler::board::{Board, Depth};
use sampler::fields::Table;
use sampler::sample::Row;
use sampler::store::scan::{Query, Recording};
use sampler::time::Anchor;

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings")
}

/// A row of a cgroup (path and number), or of the host, and its time.
type At = (i64, Option<(String, u64)>, Row);

/// What `record` would have told while this was recorded.
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
    let (mut told, mut next) = (Vec::new(), i64::MIN);
    for (time, subject, row) in &rows {
        while let Some(event) = events.next_if(|event| event.time_us <= *time) {
            board.hear(event.time_us, &event.event);
        }
        board.feed(subject.as_ref().map(|(path, id)| (path.as_str(), *id)), *time, row);
        if *time >= next {
            next = time + 5_000_000;
            told.extend(watch.look(&board, &board.lines(board.now_us)));
        }
    }
    events.for_each(|event| board.hear(event.time_us, &event.event));
    told.extend(watch.look(&board, &board.lines(board.now_us)));
    told
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

#[test]
fn a_kill_is_told() {
    let told = alerts(&recordings().join("demo"));
    assert!(told.iter().any(|alert| alert.kind == "oom_kill" && alert.raised), "{told:?}");
}
