//! Segments that were written, cut and damaged.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::journal::error::Error;
use crate::journal::format::{FrameKind, HEAD, parse_frame};
use crate::journal::index::{Count, Part};
use crate::journal::reader::Segment;
use crate::journal::source::WINDOW;
use crate::journal::writer::{NoOwner, Owner, Rotation, Trouble, Writer};
use crate::model::event::Event;
use crate::model::event::EventKind;
use crate::model::recording::Subject;
use crate::model::sample::PassKind;
use crate::model::sample::{PassHead, Row, SubjectRef};
use crate::model::sink::Sink;

/// A segment of `flushes` flushes with one row and one event each.
fn written(flushes: u64) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let origin = crate::model::recording::Origin::example(crate::model::time::Anchor::now());
    let mut writer = Writer::create(dir.path(), origin, Rotation::default(), Box::new(NoOwner)).unwrap();
    writer.subject(1, &Subject { cgroup: "/a".into(), id: 9, process: None });
    for i in 0..flushes {
        let head = PassHead { kind: PassKind::Fast, mono_ns: 1000 + i, rows: 1 };
        let mut row = Row::new(1);
        row.set(0, i * 7);
        writer.pass(head);
        writer.row(head, &row);
        writer.event(&Event { mono_ns: i, cgroup: None, what: EventKind::MissedTicks { count: i } });
        writer.flush(i % 2 == 0);
    }
    let path = writer.segment().unwrap().to_owned();
    drop(writer);
    fs::read(path).unwrap()
}

fn values(segment: &Segment) -> Vec<u64> {
    let mut values = Vec::new();
    segment.rows(|_, row| values.push(row.values[0]));
    values
}

#[test]
fn what_was_written_is_read() {
    let segment = Segment::parse(Path::new("x"), written(5)).unwrap();
    assert_eq!(values(&segment), [0, 7, 14, 21, 28]);
    assert_eq!(segment.events().count(), 5);
    assert_eq!(segment.subjects()[&1].cgroup, "/a");
    assert_eq!((segment.torn_bytes, segment.corrupt_bytes), (0, 0));
}

#[test]
fn a_torn_or_zero_filled_tail_is_cut_and_counted_at_every_length() {
    let whole = written(4);
    let origin = parse_frame(&whole).unwrap().1;
    let head = HEAD + origin.len();
    for end in head..whole.len() {
        let mut bytes = whole[..end].to_vec();
        bytes.resize(end + 100, 0);
        let segment = Segment::parse(Path::new("x"), bytes).unwrap();
        let values = values(&segment);
        assert!(values.iter().enumerate().all(|(i, v)| *v == i as u64 * 7), "a prefix, no more: {values:?}");
        assert!(segment.torn_bytes >= 100);
        assert_eq!(segment.corrupt_bytes, 0);
    }
}

/// A segment with rows of four subjects in all kinds, some later than others, written over several blocks.
fn busy(seed: u64) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let origin = crate::model::recording::Origin::example(crate::model::time::Anchor { mono_ns: 0, wall_ns: 0 });
    let mut writer = Writer::create(dir.path(), origin, Rotation::default(), Box::new(NoOwner)).unwrap();
    let mut dice = seed | 1;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    for n in 1..5 {
        writer.subject(n, &Subject { cgroup: format!("/{n}"), id: u64::from(n), process: None });
    }
    for tick in 0..200u64 {
        let kind = PassKind::from_number(roll(6) as u8).unwrap();
        // The ring before a burst is written after later ticks.
        let mono_ns = 1_000_000 + tick * 1000 - roll(20) * 700;
        let rows = roll(5) as u32;
        let head = PassHead { kind, mono_ns, rows };
        writer.pass(head);
        for n in 0..rows {
            let mut row = Row::new(n + roll(2) as u32);
            for slot in 0..roll(4) + 1 {
                row.set(slot as usize, tick * roll(3));
            }
            writer.row(head, &row);
        }
        if roll(12) == 0 {
            writer.flush(false);
        }
    }
    let path = writer.segment().unwrap().to_owned();
    drop(writer);
    fs::read(path).unwrap()
}

type Plain = (PassHead, SubjectRef, u128, Vec<u64>);

fn plain(head: PassHead, row: &Row) -> Plain {
    (head, row.subject, row.mask, crate::model::sample::slots(row.mask).map(|slot| row.values[slot]).collect())
}

/// Compares what the index leads to with a search through all rows.
fn agrees(segment: &Segment, kind: PassKind, subject: SubjectRef, time: Range<u64>) {
    let (mut all, mut by_index) = (Vec::new(), Vec::new());
    let bad = segment.rows(|head, row| all.push(plain(head, row)));
    let wanted = |(head, of, _, _): &Plain| head.kind == kind && *of == subject && time.contains(&head.mono_ns);
    let index = segment.index();
    assert_eq!(index.bad_bytes, bad);
    let number = index.numbers.get(&subject).copied();
    let may_hold = |part: &Part, counts: &[Count]| {
        let is_there = counts.iter().any(|count| Some(count.number) == number);
        part.kind == kind && is_there && part.last_ns >= time.start && part.first_ns < time.end
    };
    segment.choose(&mut index.decoder(), may_hold, |head, row, of| {
        assert_eq!(index.numbers[&row.subject], of);
        by_index.push(plain(head, row));
    });
    by_index.retain(wanted);
    let counted: u32 = index.parts().flat_map(|(_, counts)| counts).map(|count| count.rows).sum();
    assert_eq!(counted as usize, all.len());
    all.retain(wanted);
    assert_eq!(by_index, all);
}

#[test]
fn the_host_or_a_moment_is_found_without_decoding_the_rest() {
    let segment = Segment::parse(Path::new("x"), busy(3)).unwrap();
    let mut all = 0;
    segment.rows(|_, _| all += 1);
    let decoded = |wants: &dyn Fn(&Part) -> bool| {
        let mut rows = 0;
        segment.choose(&mut segment.index().decoder(), |part, _| wants(part), |_, _, _| rows += 1);
        rows
    };
    assert_eq!(decoded(&|_| true), all);
    let mut host = 0;
    segment.rows(|head, _| host += u32::from(head.kind == PassKind::Host));
    assert!(host > 0 && decoded(&|part| part.kind == PassKind::Host) == host, "of {all} rows");
    assert!(decoded(&|part| part.first_ns < 1_020_000) * 2 < all);
}

#[test]
fn a_segment_that_grows_or_is_cut_meanwhile_is_read_as_it_was_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.journal");
    let whole = busy(7);
    let half = Segment::parse(Path::new("x"), whole.clone()).unwrap().blocks[3].start + 5;
    fs::write(&path, &whole[..half]).unwrap();
    let early = Segment::open(&path).unwrap();
    assert!(early.torn_bytes > 0);
    fs::write(&path, &whole).unwrap();
    let late = Segment::open(&path).unwrap();
    assert_eq!(late.torn_bytes, 0);
    let rows = |segment: &Segment| {
        let mut rows = Vec::new();
        segment.choose(&mut segment.index().decoder(), |_, _| true, |head, row, _| rows.push(plain(head, row)));
        rows
    };
    let (before, after) = (rows(&early), rows(&late));
    assert!(!before.is_empty() && before.len() < after.len());
    assert_eq!(before, after[..before.len()]);
    // The sealer of another process has removed it, or it was emptied: what is gone is counted.
    let gone = Segment::open(&path).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(half as u64).unwrap();
    assert_eq!(rows(&gone), before);
    let lost: usize = late.blocks[3..].iter().map(Range::len).sum();
    assert_eq!(gone.index().bad_bytes, lost as u64);
    assert_eq!(gone.rows(|_, _| ()), lost as u64);
}

#[test]
fn a_file_and_its_bytes_are_the_same_segment_whatever_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.journal");
    let whole = busy(11);
    // Longer than the window that is held, so that frames and damage lie across its border.
    let mut long = whole.clone();
    long.extend(std::iter::repeat_n(0xf5, WINDOW - whole.len() % 16 - 3));
    long.extend_from_slice(&whole);
    long.extend_from_slice(b"\xf5sm");
    for bytes in [whole.clone(), long.clone(), [&long[..], &whole[..], &whole[..whole.len() - 9]].concat()] {
        fs::write(&path, &bytes).unwrap();
        let (file, memory) = (Segment::open(&path).unwrap(), Segment::parse(&path, bytes).unwrap());
        let counts = |s: &Segment| (s.frames, s.torn_bytes, s.corrupt_bytes, s.blocks.clone(), s.events().count());
        assert_eq!(counts(&file), counts(&memory));
        let rows = |segment: &Segment| {
            let mut rows = Vec::new();
            segment.rows(|head, row| rows.push(plain(head, row)));
            rows
        };
        assert_eq!(rows(&file), rows(&memory));
    }
}

#[test]
fn damage_in_the_middle_costs_its_frame_only() {
    let whole = written(6);
    let segment = Segment::parse(Path::new("x"), whole.clone()).unwrap();
    let blocks = &segment.blocks;
    let mut bytes = whole.clone();
    bytes[blocks[2].start] ^= 0xff;
    let damaged = Segment::parse(Path::new("x"), bytes).unwrap();
    assert_eq!(values(&damaged), [0, 7, 21, 28, 35]);
    assert_eq!(damaged.corrupt_bytes, (HEAD + blocks[2].len()) as u64);
    assert_eq!(damaged.events().count(), 6);
}

#[test]
fn a_newer_format_and_a_foreign_file_are_refused_in_words() {
    let mut bytes = Vec::new();
    let text = serde_json::to_string(&Segment::parse(Path::new("x"), written(0)).unwrap().origin).unwrap();
    let newer = text.replace("\"format\":1", "\"format\":99");
    crate::journal::format::frame(&mut bytes, FrameKind::Origin, newer.as_bytes());
    assert!(matches!(Segment::parse(Path::new("x"), bytes), Err(Error::TooNew { found: 99, .. })));
    assert!(matches!(Segment::parse(Path::new("x"), b"PAR1 not a journal".to_vec()), Err(Error::NoHead { .. })));
}

proptest! {
    /// By kind, subject and time, the index leads to the same rows as a search through all of them, also in what is damaged.
    #[test]
    fn the_index_leads_to_every_row(
        seed in any::<u64>(), kind in 0u8..6, subject in 0u32..6, from in 0u64..250, length in 0u64..250,
        cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let whole = busy(seed);
        let kind = PassKind::from_number(kind).unwrap();
        let time = 1_000_000 + from * 1000 - 25_000..1_000_000 + (from + length) * 1000;
        agrees(&Segment::parse(Path::new("x"), whole.clone()).unwrap(), kind, subject, time.clone());
        let mut torn = whole[..cut.index(whole.len())].to_vec();
        for (at, flip) in &flips {
            if !torn.is_empty() {
                let at = at.index(torn.len());
                torn[at] ^= flip;
            }
        }
        if let Ok(segment) = Segment::parse(Path::new("x"), torn) {
            agrees(&segment, kind, subject, time.clone());
        }
        // Damage that the checksum does not show: the block was written so.
        let segment = Segment::parse(Path::new("x"), whole).unwrap();
        let mut bytes = Vec::new();
        crate::journal::format::frame(&mut bytes, FrameKind::Origin, &serde_json::to_vec(&segment.origin).unwrap());
        for mut block in segment.blocks() {
            for (at, flip) in &flips {
                let at = at.index(block.len());
                block[at] ^= flip;
            }
            crate::journal::format::frame(&mut bytes, FrameKind::Block, &block);
        }
        agrees(&Segment::parse(Path::new("x"), bytes).unwrap(), kind, subject, time);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..2000, flip in any::<u8>()) {
        let _ = Segment::parse(Path::new("x"), bytes.clone());
        let mut damaged = written(3);
        let at = at % damaged.len();
        damaged[at] ^= flip;
        damaged.splice(at..at, bytes);
        if let Ok(segment) = Segment::parse(Path::new("x"), damaged) {
            segment.rows(|_, _| ());
            segment.events().count();
            segment.subjects();
            segment.choose(&mut segment.index().decoder(), |_, _| true, |_, _, _| ());
        }
    }
}

/// What a recorder that keeps running is told.
#[derive(Clone, Default)]
struct Heard(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl Owner for Heard {
    fn finished(&mut self, _: PathBuf) {}

    fn make_room(&mut self) -> bool {
        false
    }

    fn first_number(&self) -> u32 {
        7
    }

    fn trouble(&mut self, trouble: Trouble<'_>) {
        self.0.lock().unwrap().push(format!("{trouble:?}"));
    }
}

#[test]
fn any_flipped_bit_costs_no_more_than_its_frame_and_is_named_with_its_place() {
    let whole = written(6);
    let all = values(&Segment::parse(Path::new("x"), whole.clone()).unwrap());
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let segment = Segment::parse(Path::new("x"), bytes).unwrap_or_else(|error| panic!("byte {at}: {error}"));
        let left = values(&segment);
        assert!(left.len() + 1 >= all.len(), "byte {at}: {} of {} rows", left.len(), all.len());
        assert!(left.iter().all(|value| all.contains(value)), "byte {at}: a wrong value");
        assert_eq!(segment.subjects()[&1].cgroup, "/a", "byte {at}");
        if left != all {
            let problems = segment.problems();
            assert_eq!(problems.len(), 1, "byte {at}: {problems:?}");
            assert!(problems[0].place.is_some() && problems[0].from_us.is_some(), "byte {at}: {}", problems[0]);
        }
    }
}

#[test]
fn what_is_missing_is_between_the_blocks_around_it() {
    let whole = written(6);
    let segment = Segment::parse(Path::new("x"), whole.clone()).unwrap();
    let mut bytes = whole;
    bytes[segment.blocks[2].start] ^= 0xff;
    let damaged = Segment::parse(Path::new("x"), bytes).unwrap();
    let wall = |mono_ns: u64| Some(damaged.origin.anchor.wall_us(mono_ns));
    let problem = damaged.problems().remove(0);
    assert_eq!((problem.from_us, problem.to_us, problem.rows), (wall(1001), wall(1003), Some(1)), "{problem}");
    assert_eq!(damaged.missing_ns(), Some((1001, 1003)));
}

#[test]
fn a_segment_that_loses_its_name_is_begun_anew_and_its_rows_are_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let origin = crate::model::recording::Origin::example(crate::model::time::Anchor::now());
    let heard = Heard::default();
    let mut writer = Writer::create(&folder, origin, Rotation::default(), Box::new(heard.clone())).unwrap();
    writer.subject(1, &Subject { cgroup: "/a".into(), id: 9, process: None });
    let pass = |writer: &mut Writer, value: u64| {
        let head = PassHead { kind: PassKind::Fast, mono_ns: crate::model::time::mono_ns(), rows: 1 };
        let mut row = Row::new(1);
        row.set(0, value);
        writer.pass(head);
        writer.row(head, &row);
        writer.flush(false);
    };
    pass(&mut writer, 1);
    let first = writer.segment().unwrap().to_owned();
    assert!(first.to_str().unwrap().ends_with("-00000007.journal"), "the number that its owner gives: {first:?}");
    assert!(Segment::open(&first).unwrap().is_written, "a sealer leaves it alone");
    fs::remove_dir_all(&folder).unwrap();
    pass(&mut writer, 2);
    let second = writer.segment().unwrap().to_owned();
    assert_ne!(first, second);
    pass(&mut writer, 3);
    drop(writer);
    let segment = Segment::open(&second).unwrap();
    assert!(!segment.is_written);
    assert_eq!(values(&segment), [2, 3], "what came after it is there, the row that noticed it too");
    let gap = segment.events().find_map(|event| match &event.what {
        EventKind::Gap { lost_passes, reason, .. } => Some((*lost_passes, reason.clone())),
        _ => None,
    });
    assert!(gap.as_ref().is_some_and(|(passes, reason)| *passes == 1 && reason.contains("was removed")), "{gap:?}");
    let heard = heard.0.lock().unwrap();
    assert!(heard.len() == 1 && heard[0].starts_with("Vanished"), "{heard:?}");
}
