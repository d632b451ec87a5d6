//! Reads segments, whole or damaged. Never panics on any bytes: what is not understood is counted.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::journal::damage::{Damage, Kind};
use crate::journal::decoder::Decoder;
use crate::journal::error::Error;
use crate::journal::format::{FrameKind, HEAD, SUFFIX, SubjectFrame, VERSION};
use crate::journal::index::{Count, Index, Part};
use crate::journal::order::Place;
use crate::journal::source::{Source, Window};
use crate::model::event::Event;
use crate::model::problem::Problem;
use crate::model::recording::{Origin, Subject};
use crate::model::sample::{HOST, PassHead, Row, SubjectRef};

/// A segment: its small frames in memory, its rows where they are.
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
    /// Whether a recorder had it open.
    pub is_written: bool,
    source: Source,
    subjects: HashMap<SubjectRef, Arc<Subject>>,
    events: Vec<Event>,
    /// Where the payloads of its blocks are.
    pub(super) blocks: Vec<Range<usize>>,
    /// What belongs to no whole frame, the torn tail too.
    damages: Vec<Damage>,
    index: OnceLock<Index>,
}

impl Segment {
    /// Opens a segment as it is now: it may grow meanwhile, of which this one sees nothing. The last frame of one that is
    /// being written may be half there, which is no damage.
    pub fn open(path: &Path) -> Result<Segment, Error> {
        let read = |source| Error::Read { path: path.into(), source };
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let is_written = is_written(&file);
        let mut segment = Segment::of(path, Source::File(file, usize::try_from(length).unwrap_or(usize::MAX)))?;
        segment.is_written = is_written;
        if is_written {
            segment.torn_bytes = 0;
            segment.damages.retain(|damage| !damage.is_tail);
        }
        Ok(segment)
    }

    /// Reads a segment from bytes; `path` is for messages.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Segment, Error> {
        Segment::of(path, Source::Bytes(bytes))
    }

    fn of(path: &Path, source: Source) -> Result<Segment, Error> {
        let length = source.length();
        let mut window = Window::new(&source);
        let (mut at, mut end, mut corrupt_bytes, mut frames) = (0, 0, 0, 0);
        let mut origin: Option<Origin> = None;
        let (mut subjects, mut events, mut blocks) = (HashMap::new(), Vec::new(), Vec::new());
        let mut damages: Vec<Damage> = Vec::new();
        subjects.insert(HOST, Arc::new(Subject::host()));
        let read = |source| Error::Read { path: path.into(), source };
        while at < length {
            let Some((kind, payload)) = window.frame(at).map_err(read)? else {
                match window.magic(at + 1).map_err(read)? {
                    Some(next) => at = next,
                    None => break,
                }
                continue;
            };
            let payload_end = at + HEAD + payload.len();
            if at > end {
                corrupt_bytes += (at - end) as u64;
                Damage::add(&mut damages, end..at, blocks.len());
            }
            end = payload_end;
            // Frames of a kind that this version does not know are stepped over.
            let kind = FrameKind::from_number(kind);
            match kind {
                Some(FrameKind::Origin) if origin.is_none() => origin = serde_json::from_slice(payload).ok(),
                Some(FrameKind::Subject) => {
                    if let Ok(frame) = serde_json::from_slice::<SubjectFrame>(payload) {
                        subjects.insert(frame.r, Arc::new(frame.subject));
                    }
                }
                Some(FrameKind::Block) => blocks.push(at + HEAD..end),
                // Those of a newer version are stepped over.
                Some(FrameKind::Event) => events.extend(serde_json::from_slice::<Event>(payload).ok()),
                Some(FrameKind::Origin) | None => {}
            }
            frames += u64::from(kind.is_some());
            at = end;
        }
        let origin = origin.ok_or(Error::NoHead { path: path.into(), bytes: length as u64 })?;
        if origin.format > VERSION {
            return Err(Error::TooNew { path: path.into(), found: origin.format });
        }
        let torn_bytes = (length - end) as u64;
        if torn_bytes > 0 {
            damages.push(Damage { is_tail: true, ..Damage::new(end..length, blocks.len()) });
        }
        Ok(Segment {
            path: path.into(),
            origin,
            torn_bytes,
            corrupt_bytes,
            frames,
            is_written: false,
            source,
            subjects,
            events,
            blocks,
            damages,
            index: OnceLock::new(),
        })
    }

    /// Cuts the torn tail off the file, so that it ends with a whole frame.
    pub fn cut_torn_tail(&self) -> Result<(), Error> {
        if self.torn_bytes == 0 {
            return Ok(());
        }
        let cut = || {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(self.source.length() as u64 - self.torn_bytes)?;
            file.sync_all()
        };
        cut().map_err(|source| Error::Cut { path: self.path.clone(), source })
    }

    /// The subjects by number.
    pub fn subjects(&self) -> &HashMap<SubjectRef, Arc<Subject>> {
        &self.subjects
    }

    /// Gives every row to `each`. Returns bytes of blocks that were not understood.
    pub fn rows(&self, mut each: impl FnMut(PassHead, &Row)) -> u64 {
        let (mut decoder, mut payload, mut bad) = (Decoder::default(), Vec::new(), 0);
        for bytes in &self.blocks {
            bad += match self.source.read(bytes.clone(), &mut payload) {
                true => decoder.read(&payload, &mut each),
                false => bytes.len(),
            };
        }
        bad as u64
    }

    /// What is where; found at the first call.
    pub fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::of(self.blocks.iter().cloned(), |bytes, out| self.source.read(bytes, out)))
    }

    /// Gives the rows of those parts that `wants` is true for, with the numbers of their subjects in the index. `decoder`: of the
    /// index.
    pub fn choose(
        &self,
        decoder: &mut Decoder,
        wants: impl Fn(&Part, &[Count]) -> bool,
        mut each: impl FnMut(PassHead, &Row, u32),
    ) {
        let index = self.index();
        let mut payload = Vec::new();
        for block in &index.blocks {
            let mut runs = index.runs(block, &wants).peekable();
            if runs.peek().is_none() || !self.source.read(block.bytes.clone(), &mut payload) {
                continue;
            }
            decoder.begin();
            for run in runs {
                decoder.passes(&payload[run.bytes.clone()], run.before_ns, &mut each);
            }
        }
    }

    /// The blocks of rows, as they were written.
    pub fn blocks(&self) -> impl Iterator<Item = Vec<u8>> {
        self.blocks.iter().filter_map(|bytes| {
            let mut payload = Vec::new();
            self.source.read(bytes.clone(), &mut payload).then_some(payload)
        })
    }

    /// The events, in the order they were written. Those of a newer version are left out.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// What could not be read, each with its place and the time in which something is missing.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.damages.iter().map(|damage| self.problem(damage)).collect();
        let is_indexed = self.index.get().filter(|index| index.bad_bytes > 0);
        problems.extend(is_indexed.map(|index| {
            let what =
                format!("{} bytes of blocks are written in a way that this version does not know", index.bad_bytes);
            Problem::new(self.path.display().to_string(), what)
        }));
        problems
    }

    fn problem(&self, damage: &Damage) -> Problem {
        let (bytes, from_ns, to_ns) = (damage.lost, self.seen_before(damage), self.seen_after(damage));
        let kind = self.kind_of(damage);
        let what = match (damage.is_tail, kind) {
            (true, _) => format!("torn tail of {bytes} bytes"),
            (false, Kind::Repeated) => format!("{bytes} corrupt bytes skipped, which are written twice"),
            (false, _) => format!("{bytes} corrupt bytes skipped"),
        };
        let place = format!("bytes {} to {} of {}", damage.bytes.start, damage.bytes.end, self.source.length());
        let wall = |mono_ns: u64| self.origin.anchor.wall_us(mono_ns);
        Problem {
            place: Some(place),
            rows: if kind == Kind::Rows { self.rows_like(damage) } else { None },
            from_us: Some(wall(from_ns)),
            to_us: to_ns.map(wall),
            ..Problem::new(self.path.display().to_string(), what)
        }
    }

    /// The time of what is missing in the middle, monotonic nanoseconds: from the first to the last damage.
    pub fn missing_ns(&self) -> Option<(u64, u64)> {
        let mut inner = self.damages.iter().filter(|damage| !damage.is_tail);
        let first = inner.next()?;
        let last = inner.next_back().unwrap_or(first);
        let from = self.seen_before(first);
        Some((from, self.seen_after(last).unwrap_or(from)))
    }

    /// First and last time of it, monotonic nanoseconds.
    pub fn span_ns(&self) -> (u64, u64) {
        let begin = self.origin.anchor.mono_ns;
        let last = self.blocks.len().checked_sub(1).and_then(|at| self.times_of(at));
        (begin, last.map_or(begin, |times| times.last_ns))
    }

    fn seen_before(&self, damage: &Damage) -> u64 {
        let before = damage.blocks_before.checked_sub(1).and_then(|at| self.times_of(at));
        before.map_or(self.origin.anchor.mono_ns, |times| times.last_ns)
    }

    fn seen_after(&self, damage: &Damage) -> Option<u64> {
        self.times_of(damage.blocks_before).map(|times| times.first_ns)
    }

    /// About how many rows are in damaged bytes, by the block before or after them.
    fn rows_like(&self, damage: &Damage) -> Option<u64> {
        let near = damage.blocks_before.checked_sub(1).into_iter().chain([damage.blocks_before]);
        let times = near.filter_map(|at| self.times_of(at)).find(|times| times.bytes > 0)?;
        let payload = damage.lost.saturating_sub(HEAD).max(1) as u64;
        Some((times.rows * payload).div_ceil(times.bytes))
    }

    fn times_of(&self, block: usize) -> Option<Times> {
        let bytes = self.blocks.get(block)?;
        let mut payload = Vec::new();
        if !self.source.read(bytes.clone(), &mut payload) {
            return None;
        }
        let mut times = Times { first_ns: u64::MAX, last_ns: 0, rows: 0, bytes: payload.len() as u64 };
        Decoder::default().read(&payload, |head, _| {
            times.first_ns = times.first_ns.min(head.mono_ns);
            times.last_ns = times.last_ns.max(head.mono_ns);
            times.rows += 1;
        });
        (times.rows > 0).then_some(times)
    }

    /// What the head of the first damaged frame says, which may be damaged itself.
    fn kind_of(&self, damage: &Damage) -> Kind {
        let mut head = Vec::new();
        let end = damage.bytes.end.min(damage.bytes.start + HEAD);
        if self.source.read(damage.bytes.start..end, &mut head) { Kind::of(&head) } else { Kind::Unknown }
    }
}

/// The times and rows of a block.
struct Times {
    first_ns: u64,
    last_ns: u64,
    rows: u64,
    bytes: u64,
}

/// Whether a recorder has a segment open: it holds its lock.
fn is_written(file: &File) -> bool {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = flock(file, FlockOperation::Unlock);
            false
        }
        Err(error) => error == Errno::WOULDBLOCK,
    }
}

/// The segments in a folder, in the order in which they were written; none when there is no such folder.
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
    paths.sort_by_cached_key(|path| Place::of_file(path));
    Ok(paths)
}
