//! What goes into the journal comes out of the store, sealed or not, whole or damaged.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/journal.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use sampler::journal::reader::segments;
use sampler::model::event::{Event, EventKind};
use sampler::model::fields::{FieldId, Table, UNLIMITED};
use sampler::model::recording::{Series, Subject};
use sampler::model::sample::{PassHead, PassKind, Row};
use sampler::model::sink::Sink;
use sampler::store::retention::files;
use sampler::store::scan::{Query, Recording};
use sampler::store::seal::{seal, write_series};

/// Three cgroups, fast and slow passes, a limit that is not set, and a burst that is written after a later tick.
fn journal(dir: &Path) -> PathBuf {
    let mut writer = support::create(dir);
    for r in 1..=3 {
        writer.subject(r, &Subject { cgroup: format!("/c{}", 4 - r), id: u64::from(r) * 10, process: None });
    }
    let begin = sampler::model::time::mono_ns();
    let mut pass = |kind, ms: u64, fields: &[(FieldId, u64)]| {
        let head = PassHead { kind, mono_ns: begin + ms * 1_000_000, rows: 3 };
        writer.pass(head);
        for r in 1..=3 {
            let mut row = Row::new(r);
            row.lag_us = r * 7 + ms as u32 % 5;
            for (field, value) in fields {
                row.put(field.field(), if *value == UNLIMITED { UNLIMITED } else { value + u64::from(r) });
            }
            writer.row(head, &row);
        }
        writer.flush(false);
    };
    for tick in 0..50u64 {
        pass(PassKind::Fast, tick * 100, &[(FieldId::Current, tick << 20), (FieldId::PressureSome, tick)]);
        if tick % 10 == 0 {
            pass(
                PassKind::Slow,
                tick * 100 + 1,
                &[(FieldId::Anon, tick), (FieldId::Max, UNLIMITED), (FieldId::High, 5)],
            );
        }
    }
    pass(PassKind::Burst, 4850, &[(FieldId::Current, 1)]);
    writer.event(&Event::of("/c1", EventKind::CgroupCreated));
    writer.event(&Event::now(EventKind::AgentStop { reason: "test".into() }));
    let path = writer.segment().unwrap().to_owned();
    drop(writer);
    path
}

fn read(path: &Path, table: Table) -> (Vec<Series>, Vec<String>) {
    let mut recording = Recording::open(path).unwrap();
    let mut all = Vec::new();
    recording.series(table, &Query::all(), |series| all.push(series));
    (all, recording.problems.into_iter().map(|p| p.what).collect())
}

#[test]
fn sealing_changes_nothing_but_the_form() {
    let dir = tempfile::tempdir().unwrap();
    let segment = journal(dir.path());
    let (before, problems) = read(dir.path(), Table::Samples);
    assert!(problems.is_empty());
    assert_eq!(before.iter().map(|s| &*s.subject.cgroup).collect::<Vec<_>>(), ["/c1", "/c2", "/c3"], "sorted by path");
    assert_eq!(before[0].len(), 56);
    assert!(before[0].time_us.is_sorted(), "the burst is at its place");
    let max = before[0].column(FieldId::Max.field()).unwrap();
    assert!(max.values.iter().all(|v| *v == UNLIMITED) && max.rows.len() == 5, "read five times, absent otherwise");
    let events = Recording::open(dir.path()).unwrap().events(i64::MIN..i64::MAX);

    let sealed = seal(&segment, dir.path()).unwrap();
    assert_eq!((sealed.rows["samples"], sealed.rows["events"], sealed.rows["cgroups"]), (168, 2, 3));
    assert!(segments(&dir.path().join("journal")).unwrap().is_empty());
    let (after, problems) = read(dir.path(), Table::Samples);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(after, before);
    assert_eq!(Recording::open(dir.path()).unwrap().events(i64::MIN..i64::MAX), events);
}

#[test]
fn a_sealer_that_died_before_its_end_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let segment = journal(dir.path());
    let kept = fs::read(&segment).unwrap();
    let (before, _) = read(dir.path(), Table::Samples);
    seal(&segment, dir.path()).unwrap();
    // Files are named, the segment is not yet deleted; and a draft of an earlier death lies about.
    fs::write(&segment, &kept).unwrap();
    let home = fs::read_dir(dir.path().join("samples")).unwrap().next().unwrap().unwrap().path();
    let day = fs::read_dir(&home).unwrap().next().unwrap().unwrap().path();
    fs::write(day.join(".old.parquet.tmp"), b"half").unwrap();
    assert_eq!(read(dir.path(), Table::Samples).0, before);
    // Only some tables were named.
    fs::remove_dir_all(dir.path().join("events")).unwrap();
    assert_eq!(Recording::open(dir.path()).unwrap().events(i64::MIN..i64::MAX).len(), 2);
    seal(&segment, dir.path()).unwrap();
    assert_eq!(read(dir.path(), Table::Samples).0, before);
}

#[test]
fn what_is_sealed_between_listing_and_reading_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let segment = journal(dir.path());
    let (before, _) = read(dir.path(), Table::Samples);
    let origins = Recording::open(dir.path()).unwrap().origins().len();
    let mut recording = Recording::open(dir.path()).unwrap();
    assert_eq!(recording.events(i64::MIN..i64::MAX).len(), 2);
    seal(&segment, dir.path()).unwrap();
    let mut after = Vec::new();
    recording.series(Table::Samples, &Query::all(), |series| after.push(series));
    assert_eq!(after, before);
    assert_eq!(recording.events(i64::MIN..i64::MAX).len(), 2);
    assert_eq!(recording.origins().len(), origins);
    // A table without rows has no file, and that is no problem.
    recording.series(Table::Processes, &Query::all(), |_| panic!("a process"));
    assert_eq!(recording.problems, []);
    // What is gone altogether is one.
    let mut recording = Recording::open(dir.path()).unwrap();
    fs::remove_dir_all(dir.path().join("samples")).unwrap();
    recording.series(Table::Samples, &Query::all(), |_| panic!("a row"));
    assert_eq!(recording.problems.len(), 1);
}

#[test]
fn a_query_leaves_out_what_is_not_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let segment = journal(dir.path());
    for sealed in [false, true] {
        if sealed {
            seal(&segment, dir.path()).unwrap();
        }
        let (all, _) = read(dir.path(), Table::Samples);
        let middle = all[1].time_us[20];
        let query =
            Query { cgroups: &|path| path == "/c2", time: middle..i64::MAX, fields: &[FieldId::Current], lags: true };
        let mut got = Vec::new();
        Recording::open(dir.path()).unwrap().series(Table::Samples, &query, |series| got.push(series));
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].len(), got[0].time_us[0]), (all[1].len() - 20, middle));
        assert_eq!(got[0].lag_us, all[1].lag_us[20..], "a lag rests on rows that were left out");
        assert!(got[0].column(FieldId::PressureSome.field()).is_none());
    }
}

#[test]
fn row_groups_of_other_cgroups_and_times_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    // Three row groups, a cgroup each.
    let rows = sampler::store::batch::ROWS;
    let series = |path: &str, from: i64| {
        let mut series = Series::new(Subject { cgroup: path.into(), id: 1, process: None }.into(), Table::Samples);
        for i in 0..rows {
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), i as u64 * 4096);
            series.push(from + i as i64, &row);
        }
        series
    };
    let all = vec![series("/a", 0), series("/b", 0), series("/c", 1 << 40)];
    let origin = support::origin();
    write_series(dir.path(), &origin, "one", Table::Samples, all.clone()).unwrap();
    let file = files(&dir.path().join("samples")).remove(0).1;
    // Whatever the first row group holds is unreadable.
    let mut bytes = fs::read(&file).unwrap();
    let third = bytes.len() / 3;
    bytes[100..third * 2 / 3].fill(0xff);
    fs::write(&file, &bytes).unwrap();
    let read = |cgroups: &dyn Fn(&str) -> bool, time: std::ops::Range<i64>| {
        let query = Query { cgroups, time, fields: &[FieldId::Current], lags: false };
        let (mut got, mut recording) = (Vec::new(), Recording::open(&file).unwrap());
        recording.series(Table::Samples, &query, |series| got.push(series));
        (got, recording.problems.len())
    };
    assert_eq!(read(&|_| true, i64::MIN..i64::MAX).1, 1, "the damage is met by who reads all");
    for got in [read(&|path| path == "/c", i64::MIN..i64::MAX), read(&|_| true, 1 << 40..i64::MAX)] {
        assert_eq!(got.1, 0, "the damage is not met");
        assert_eq!(got.0, all[2..], "all of what was asked for is read");
    }
}

#[test]
fn damaged_files_are_problems_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    seal(&journal(dir.path()), dir.path()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = journal(dir.path());
    seal(&second, dir.path()).unwrap();
    let files = files(&dir.path().join("samples"));
    assert_eq!(files.len(), 2);
    let good = fs::read(&files[0].1).unwrap();
    std::panic::set_hook(Box::new(|_| {}));
    for at in (0..good.len()).step_by(good.len() / 97) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x5a;
        fs::write(&files[0].1, &bytes).unwrap();
        let (series, _) = read(dir.path(), Table::Samples);
        assert!(series.len() >= 3, "the second file is read whatever the first is");
        fs::write(&files[0].1, &good[..at]).unwrap();
        let (series, problems) = read(dir.path(), Table::Samples);
        assert_eq!((series.len(), problems.len()), (3, 1), "cut at {at}");
    }
    let _ = std::panic::take_hook();
}

#[test]
fn a_flipped_bit_of_a_sealed_file_is_never_a_wrong_value_and_costs_no_other_file() {
    let dir = tempfile::tempdir().unwrap();
    let (before, _) = {
        seal(&journal(dir.path()), dir.path()).unwrap();
        read(dir.path(), Table::Samples)
    };
    let whole = files(&dir.path().join("samples")).remove(0).1;
    let good = fs::read(&whole).unwrap();
    let rows = |all: &[Series]| all.iter().map(Series::len).sum::<usize>();
    let (mut columns, mut lost) = (0, 0);
    for (n, at) in (0..good.len()).step_by(7).enumerate() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (n % 8);
        fs::write(&whole, &bytes).unwrap();
        let mut recording = Recording::open(dir.path()).unwrap();
        let mut after = Vec::new();
        recording.series(Table::Samples, &Query::all(), |series| after.push(series));
        for (series, known) in after.iter().zip(&before) {
            assert_eq!((&series.subject, &series.time_us), (&known.subject, &known.time_us), "byte {at}");
            for (column, known) in series.columns.iter().zip(&known.columns) {
                assert!(column.is_none() || column == known, "byte {at}: a wrong value");
            }
        }
        if after != before {
            let [problem] = &recording.problems[..] else { panic!("byte {at}: {:?}", recording.problems) };
            assert!(problem.place.is_some() || problem.from_us.is_some(), "byte {at}: {problem}");
            if rows(&after) == rows(&before) {
                columns += 1;
                assert!(!problem.columns.is_empty() && problem.rows == Some(168), "byte {at}: {problem}");
            } else {
                lost += 1;
            }
        }
    }
    assert!(columns > 20 && lost > 20, "{columns} times a column was lost, {lost} times more");
}

#[test]
fn what_was_damaged_in_a_journal_is_not_forgotten_when_it_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let before = read(dir.path(), Table::Samples).1;
    assert_eq!(before.len(), 1, "whoever reads rows meets it: {before:?}");
    seal(&path, dir.path()).unwrap();
    let mut recording = Recording::open(dir.path()).unwrap();
    recording.events(i64::MIN..i64::MAX);
    let [problem] = &recording.problems[..] else { panic!("{:?}", recording.problems) };
    assert!(problem.what.contains("when it was sealed") && problem.seconds().is_some(), "{problem}");
}

#[test]
fn a_segment_that_is_being_written_is_not_sealed_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let writer = support::create(dir.path());
    let path = writer.segment().unwrap().to_owned();
    let error = seal(&path, dir.path()).unwrap_err().to_string();
    assert!(error.contains("is being written") && path.exists(), "{error}");
    drop(writer);
    seal(&path, dir.path()).unwrap();
}

#[test]
fn where_nothing_is_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let error = Recording::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("holds no recording"), "{error}");
    assert!(Recording::open(&dir.path().join("missing")).unwrap_err().to_string().contains("missing"));
}
