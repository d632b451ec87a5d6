//! Reads segments, whole or damaged. Never panics on any bytes: what is not understood is counted.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block;
use super::format::{FrameKind, HEAD, MAGIC, SUFFIX, SubjectFrame, VERSION, parse_frame};
use crate::event::Event;
use crate::recording::{Origin, Problem, Subject};
use crate::sample::{HOST, PassHead, Row, SubjectRef};

/// Why a segment cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read the journal segment {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The head is missing: the machine died before the first sync, or this is no journal.
    #[error("{path} has no readable head ({bytes} bytes); nothing in it can be placed in time")]
    NoHead {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Written by a newer version.
    #[error("{path} has format {found}, this version reads up to {VERSION}; use a newer sampler")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The torn tail cannot be cut.
    #[error("cut the torn tail of {path}")]
    Cut {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A segment in memory.
#[derive(Debug)]
pub struct Segment {
    /// The file.
    pub path: PathBuf,
    /// Where and how it was recorded.
    pub origin: Origin,
    /// Bytes behind the last whole frame.
    pub torn_bytes: u64,
    /// Bytes before the last whole frame that belong to none.
    pub corrupt_bytes: u64,
    /// Whole frames.
    pub frames: u64,
    bytes: Vec<u8>,
    index: Vec<(FrameKind, Range<usize>)>,
}

impl Segment {
    /// Reads a segment.
    pub fn open(path: &Path) -> Result<Segment, Error> {
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Segment::parse(path, bytes)
    }

    /// Reads a segment from bytes; `path` is for messages.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Segment, Error> {
        let (mut index, mut at, mut end, mut corrupt) = (Vec::new(), 0, 0, 0);
        let mut origin: Option<Origin> = None;
        while at < bytes.len() {
            let Some((kind, payload)) = parse_frame(&bytes[at..]) else {
                match find_magic(&bytes[at + 1..]) {
                    Some(skip) => at += 1 + skip,
                    None => break,
                }
                continue;
            };
            corrupt += (at - end) as u64;
            let range = at + HEAD..at + HEAD + payload.len();
            // Frames of a kind that this version does not know are stepped over.
            match FrameKind::from_number(kind) {
                Some(FrameKind::Origin) if origin.is_none() => origin = serde_json::from_slice(payload).ok(),
                Some(kind) => index.push((kind, range.clone())),
                None => {}
            }
            at = range.end;
            end = at;
        }
        let origin = origin.ok_or(Error::NoHead { path: path.into(), bytes: bytes.len() as u64 })?;
        if origin.format > VERSION {
            return Err(Error::TooNew { path: path.into(), found: origin.format });
        }
        let frames = index.len() as u64 + 1;
        let torn_bytes = (bytes.len() - end) as u64;
        Ok(Segment { path: path.into(), origin, torn_bytes, corrupt_bytes: corrupt, frames, bytes, index })
    }

    /// Cuts the torn tail off the file, so that it ends with a whole frame.
    pub fn cut_torn_tail(&self) -> Result<(), Error> {
        if self.torn_bytes == 0 {
            return Ok(());
        }
        let cut = || {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(self.bytes.len() as u64 - self.torn_bytes)?;
            file.sync_all()
        };
        cut().map_err(|source| Error::Cut { path: self.path.clone(), source })
    }

    /// The subjects by number.
    pub fn subjects(&self) -> HashMap<SubjectRef, Arc<Subject>> {
        let mut subjects = HashMap::from([(HOST, Arc::new(Subject::host()))]);
        for payload in self.payloads(FrameKind::Subject) {
            if let Ok(frame) = serde_json::from_slice::<SubjectFrame>(payload) {
                subjects.insert(frame.r, Arc::new(frame.subject));
            }
        }
        subjects
    }

    /// Gives every row to `each`. Returns bytes of blocks that were not understood.
    pub fn rows(&self, mut each: impl FnMut(PassHead, &Row)) -> u64 {
        self.blocks().map(|payload| block::decode(payload, &mut each) as u64).sum()
    }

    /// The blocks of rows, as they were written.
    pub fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        self.payloads(FrameKind::Block)
    }

    /// The events, in the order they were written. Those of a newer version are stepped over.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.payloads(FrameKind::Event).filter_map(|payload| serde_json::from_slice(payload).ok())
    }

    /// What was damaged, in words.
    pub fn problems(&self) -> Vec<Problem> {
        let source = || self.path.display().to_string();
        let mut problems = Vec::new();
        if self.torn_bytes > 0 {
            problems.push(Problem { source: source(), what: format!("torn tail of {} bytes", self.torn_bytes) });
        }
        if self.corrupt_bytes > 0 {
            problems.push(Problem { source: source(), what: format!("{} corrupt bytes skipped", self.corrupt_bytes) });
        }
        problems
    }

    fn payloads(&self, kind: FrameKind) -> impl Iterator<Item = &[u8]> {
        self.index.iter().filter(move |(k, _)| *k == kind).map(|(_, range)| &self.bytes[range.clone()])
    }
}

fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
}

/// The segments in a folder, oldest first; none when there is no such folder.
pub fn segments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::What;
    use crate::journal::writer::{Owner, Rotation, Writer};
    use crate::sample::PassKind;
    use crate::sink::Sink;
    use proptest::prelude::*;

    struct Nobody;
    impl Owner for Nobody {
        fn finished(&mut self, _: PathBuf) {}
        fn make_room(&mut self) -> bool {
            false
        }
    }

    /// A segment of `flushes` flushes with one row and one event each.
    fn written(flushes: u64) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let origin = crate::recording::Origin::example(crate::time::Anchor::now());
        let mut writer = Writer::create(dir.path(), origin, Rotation::default(), Box::new(Nobody)).unwrap();
        writer.subject(1, &Subject { cgroup: "/a".into(), id: 9, process: None });
        for i in 0..flushes {
            let head = PassHead { kind: PassKind::Fast, mono_ns: 1000 + i, rows: 1 };
            let mut row = Row::new(1);
            row.set(0, i * 7);
            writer.pass(head);
            writer.row(head, &row);
            writer.event(&Event { mono_ns: i, cgroup: None, what: What::MissedTicks { count: i } });
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
        let head = Segment::parse(Path::new("x"), whole.clone()).unwrap().index[0].1.start - HEAD;
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

    #[test]
    fn damage_in_the_middle_costs_its_frame_only() {
        let whole = written(6);
        let segment = Segment::parse(Path::new("x"), whole.clone()).unwrap();
        let blocks: Vec<_> = segment.index.iter().filter(|(kind, _)| *kind == FrameKind::Block).collect();
        let mut bytes = whole.clone();
        bytes[blocks[2].1.start] ^= 0xff;
        let damaged = Segment::parse(Path::new("x"), bytes).unwrap();
        assert_eq!(values(&damaged), [0, 7, 21, 28, 35]);
        assert_eq!(damaged.corrupt_bytes, (HEAD + blocks[2].1.len()) as u64);
        assert_eq!(damaged.events().count(), 6);
    }

    #[test]
    fn a_newer_format_and_a_foreign_file_are_refused_in_words() {
        let mut bytes = Vec::new();
        let text = serde_json::to_string(&Segment::parse(Path::new("x"), written(0)).unwrap().origin).unwrap();
        let newer = text.replace("\"format\":1", "\"format\":99");
        super::super::format::frame(&mut bytes, FrameKind::Origin, newer.as_bytes());
        assert!(matches!(Segment::parse(Path::new("x"), bytes), Err(Error::TooNew { found: 99, .. })));
        assert!(matches!(Segment::parse(Path::new("x"), b"PAR1 not a journal".to_vec()), Err(Error::NoHead { .. })));
    }

    proptest! {
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
            }
        }
    }
}
