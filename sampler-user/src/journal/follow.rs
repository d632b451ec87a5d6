//! Follows a journal while it is written: what came since the last look, whole frames only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::journal::decoder::Decoder;
use crate::journal::format::{FrameKind, HEAD, MAGIC, MAX_PAYLOAD, SubjectFrame, parse_frame};
use crate::journal::order::Place;
use crate::journal::reader::segments;
use crate::model::event::Event;
use crate::model::recording::Origin;
use crate::model::sink::Sink;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// A journal that is being written.
#[derive(Debug)]
pub struct Follow {
    dir: PathBuf,
    segment: Option<(PathBuf, File, u64)>,
    rest: Vec<u8>,
    decoder: Decoder,
}

impl Follow {
    /// Of the journal in a folder, from the beginning of its newest segment.
    pub fn new(dir: PathBuf) -> Follow {
        Follow { dir, segment: None, rest: Vec::new(), decoder: Decoder::default() }
    }

    /// Gives what came since the last call; `origin` is called when a segment begins. Returns whether anything came.
    pub fn read<S: Sink>(&mut self, sink: &mut S, mut origin: impl FnMut(&mut S, &Origin)) -> io::Result<bool> {
        let mut any = false;
        loop {
            if self.segment.is_some() {
                any |= self.read_segment(sink, &mut origin)?;
            }
            // Only once this one is read to its end: it may have been sealed and removed meanwhile, which an open file survives.
            let all = segments(&self.dir)?;
            // Not by the clock in their names, which may have been set back.
            let place = |path: &PathBuf| Place::of_file(path);
            let next = match &self.segment {
                None => all.iter().max_by_key(|path| place(path)),
                Some((path, _, _)) => {
                    let here = place(path);
                    all.iter().filter(|other| place(other) > here).min_by_key(|other| place(other))
                }
            };
            let Some(next) = next else { return Ok(any) };
            match File::open(next) {
                Ok(file) => self.segment = Some((next.clone(), file, 0)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(any),
                Err(error) => return Err(error),
            }
            self.rest.clear();
        }
    }

    fn read_segment<S: Sink>(&mut self, sink: &mut S, origin: &mut impl FnMut(&mut S, &Origin)) -> io::Result<bool> {
        let Some((_, file, offset)) = &mut self.segment else { return Ok(false) };
        let mut any = false;
        loop {
            let before = self.rest.len();
            self.rest.resize(before + CHUNK, 0);
            let read = file.read_at(&mut self.rest[before..], *offset)?;
            self.rest.truncate(before + read);
            if read == 0 {
                return Ok(any);
            }
            *offset += read as u64;
            any = true;
            let mut at = 0;
            while let Some((kind, range)) = next_frame(&self.rest, &mut at) {
                give(kind, &self.rest[range], &mut self.decoder, sink, origin);
            }
            self.rest.drain(..at);
        }
    }
}

/// The next whole frame from `at` on, which moves behind it; `None` when more bytes are needed.
fn next_frame(bytes: &[u8], at: &mut usize) -> Option<(u8, std::ops::Range<usize>)> {
    loop {
        let rest = &bytes[*at..];
        if rest.len() < HEAD {
            return None;
        }
        if rest[..4] == MAGIC {
            if let Some((kind, payload)) = parse_frame(rest) {
                let begin = *at + HEAD;
                *at = begin + payload.len();
                return Some((kind, begin..*at));
            }
            let length = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
            if length <= MAX_PAYLOAD && rest.len() < HEAD + length {
                return None;
            }
        }
        *at += 1;
    }
}

fn give<S: Sink>(
    kind: u8,
    payload: &[u8],
    decoder: &mut Decoder,
    sink: &mut S,
    origin: &mut impl FnMut(&mut S, &Origin),
) {
    match FrameKind::from_number(kind) {
        Some(FrameKind::Origin) => {
            if let Ok(found) = serde_json::from_slice(payload) {
                origin(sink, &found);
            }
        }
        Some(FrameKind::Subject) => {
            if let Ok(frame) = serde_json::from_slice::<SubjectFrame>(payload) {
                sink.subject(frame.r, &frame.subject);
            }
        }
        Some(FrameKind::Block) => {
            decoder.read(payload, |head, row| {
                sink.pass(head);
                sink.row(head, row);
            });
        }
        Some(FrameKind::Event) => {
            if let Ok(event) = serde_json::from_slice::<Event>(payload) {
                sink.event(&event);
            }
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::format::frame;
    use crate::model::event::EventKind;
    use crate::model::recording::Subject;
    use crate::model::sample::{PassHead, Row, SubjectRef};

    #[derive(Default)]
    struct Count(u64);
    impl Sink for Count {
        fn subject(&mut self, _: SubjectRef, _: &Subject) {}
        fn forget(&mut self, _: SubjectRef) {}
        fn pass(&mut self, _: PassHead) {}
        fn row(&mut self, _: PassHead, _: &Row) {}
        fn event(&mut self, _: &Event) {
            self.0 += 1;
        }
        fn flush(&mut self, _: bool) {}
    }

    fn event() -> Vec<u8> {
        let mut out = Vec::new();
        let event = Event { mono_ns: 1, cgroup: None, what: EventKind::CgroupCreated };
        frame(&mut out, FrameKind::Event, &serde_json::to_vec(&event).unwrap());
        out
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_end_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut follow, mut sink) = (Follow::new(dir.path().into()), Count::default());
        for (n, name) in ["13-b-00000002", "12-b-00000003", "14-b-00000004"].into_iter().enumerate() {
            std::fs::write(dir.path().join(format!("{name}.journal")), event()).unwrap();
            follow.read(&mut sink, |_, _| ()).unwrap();
            assert_eq!(sink.0, n as u64 + 1, "{name}");
        }
        let (mut late, mut sink) = (Follow::new(dir.path().into()), Count::default());
        std::fs::write(dir.path().join("11-b-00000005.journal"), [event(), event()].concat()).unwrap();
        late.read(&mut sink, |_, _| ()).unwrap();
        assert_eq!(sink.0, 2, "the newest segment is the one that was begun last");
    }

    #[test]
    fn a_frame_is_given_once_it_is_whole_and_the_next_segment_follows() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a.journal"), dir.path().join("b.journal"));
        let whole = event();
        std::fs::write(&first, &whole[..whole.len() - 3]).unwrap();
        let (mut follow, mut sink) = (Follow::new(dir.path().into()), Count::default());
        let mut read = |sink: &mut Count| follow.read(sink, |_, _| ()).unwrap();
        read(&mut sink);
        assert_eq!(sink.0, 0);
        let damaged = [&whole[..], &b"rubbish"[..], &whole[..]].concat();
        std::fs::write(&first, &damaged).unwrap();
        read(&mut sink);
        assert_eq!(sink.0, 2, "what is no frame is stepped over");
        std::fs::write(&second, &whole).unwrap();
        assert!(read(&mut sink));
        assert_eq!(sink.0, 3);
        assert!(!read(&mut sink));
    }
}
