//! Writes segments: one open file, a block a flush, a new segment by size, age, day or clock step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::journal::encoder::Encoder;
use crate::journal::format::{FrameKind, SUFFIX, SubjectFrame, VERSION, frame};
use crate::journal::order::{Place, stem};
use crate::journal::reader::segments;
use crate::model::event::{Event, EventKind};
use crate::model::recording::{Origin, Subject};
use crate::model::sample::{PassHead, Row, SubjectRef};
use crate::model::sink::Sink;
use crate::model::time;
use crate::model::time::Anchor;

/// When a segment is full.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes.
    pub size: u64,
    /// Age.
    pub age: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Rotation { size: 64 << 20, age: Duration::from_secs(15 * 60) }
    }
}

/// A frame is closed at this size even between flushes, well below what a reader accepts.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes kept while the disk refuses them; more are lost, and counted.
const BACKLOG_BYTES: usize = 4 << 20;

/// What the journal asks of its owner.
pub trait Owner: Send {
    /// A segment is complete.
    fn finished(&mut self, segment: PathBuf);
    /// The disk is full: free something. Returns whether anything was freed.
    fn make_room(&mut self) -> bool;
    /// The number of the first segment: above those of all that the recording had before.
    fn first_number(&self) -> u32 {
        0
    }
    /// Something goes wrong. Called on the thread that records: it must not wait.
    fn trouble(&mut self, _: Trouble<'_>) {}
}

/// What goes wrong while a journal is written.
#[derive(Debug)]
pub enum Trouble<'a> {
    /// A segment that was being written has lost its name, and its rows with it; another one was begun.
    Vanished(&'a Path),
    /// The disk takes nothing; rows are kept in memory for a while. Told once, until it takes something again.
    Refused(&'a Path, &'a io::Error),
    /// Passes that were kept are lost.
    Lost(u64),
}

/// Leaves segments where they are, and frees nothing.
#[derive(Debug)]
pub struct NoOwner;

impl Owner for NoOwner {
    fn finished(&mut self, _: PathBuf) {}

    fn make_room(&mut self) -> bool {
        false
    }
}

/// The journal of one run of the agent.
pub struct Writer {
    dir: PathBuf,
    origin: Origin,
    rotation: Rotation,
    owner: Box<dyn Owner>,
    segment: Option<Segment>,
    encoder: Encoder,
    buffer: Vec<u8>,
    subjects: BTreeMap<SubjectRef, Subject>,
    /// What cgroups that live are called, to be written again in each segment.
    names: BTreeMap<String, Event>,
    number: u32,
    loss: Option<Loss>,
    again: Again,
    passes_in_buffer: u64,
    rotate_next: bool,
    clock: Clock,
}

/// Reads both clocks.
pub type Clock = fn() -> Anchor;

/// Without it no row of a segment can be read, so each is written again with the flush after: one flipped bit never costs it,
/// and one damaged page of the file seldom.
#[derive(Default)]
struct Again {
    /// The head of the segment.
    origin: bool,
    /// Subjects that were written since the last flush, and those to be written again with the next one.
    new: BTreeSet<SubjectRef>,
    due: BTreeSet<SubjectRef>,
}

/// Writes and syncs what is left, and gives the last segment to the owner.
impl Drop for Writer {
    fn drop(&mut self) {
        self.flush(true);
        if !self.again.due.is_empty() {
            self.flush(true);
        }
        let left = self.passes_in_buffer + self.loss.as_ref().map_or(0, |loss| loss.passes);
        if left > 0 {
            self.owner.trouble(Trouble::Lost(left));
        }
        if let Some(segment) = self.segment.take() {
            drop(segment.file);
            self.owner.finished(segment.path);
        }
    }
}

struct Segment {
    path: PathBuf,
    /// Locked while it is written: no sealer takes it, and readers know that its last frame may be half there.
    file: File,
    locked: bool,
    passes: u64,
    offset: u64,
    begun_ns: u64,
    date: String,
    synced: bool,
}

struct Loss {
    from_ns: u64,
    passes: u64,
    reason: String,
}

impl Writer {
    /// Opens the first segment in `dir`, which is made if it is missing.
    pub fn create(dir: &Path, origin: Origin, rotation: Rotation, owner: Box<dyn Owner>) -> io::Result<Writer> {
        Writer::create_at(dir, origin, rotation, owner, Anchor::now)
    }

    /// The same by another clock: rows that are made up have a time of their own.
    pub fn create_at(
        dir: &Path,
        origin: Origin,
        rotation: Rotation,
        owner: Box<dyn Owner>,
        clock: Clock,
    ) -> io::Result<Writer> {
        make_folder(dir)?;
        let before = segments(dir)?.iter().map(|path| Place::of_file(path).next()).max();
        let mut writer = Writer {
            dir: dir.to_owned(),
            origin,
            rotation,
            number: before.unwrap_or(0).max(owner.first_number()),
            again: Again::default(),
            owner,
            segment: None,
            encoder: Encoder::default(),
            buffer: Vec::with_capacity(64 << 10),
            subjects: BTreeMap::new(),
            names: BTreeMap::new(),
            loss: None,
            passes_in_buffer: 0,
            rotate_next: false,
            clock,
        };
        writer.open_segment()?;
        Ok(writer)
    }

    /// The segment that is written to.
    pub fn segment(&self) -> Option<&Path> {
        self.segment.as_ref().map(|segment| &*segment.path)
    }

    /// Passes lost so far and not yet recorded as a gap.
    pub fn lost_passes(&self) -> u64 {
        self.loss.as_ref().map_or(0, |loss| loss.passes)
    }

    fn open_segment(&mut self) -> io::Result<()> {
        self.origin.format = VERSION;
        self.origin.anchor = (self.clock)();
        let wall_us = self.origin.anchor.wall_us(self.origin.anchor.mono_ns);
        let boot = self.origin.boot_id.get(..8).unwrap_or("unknown");
        let stamp: String = time::format_us(wall_us).chars().filter(char::is_ascii_alphanumeric).collect();
        let path = self.dir.join(format!("{}.{SUFFIX}", stem(&stamp, boot, self.number)));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path)?;
        self.number = self.number.saturating_add(1);
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        let mut head = Vec::with_capacity(4096);
        frame(&mut head, FrameKind::Origin, &json(&self.origin));
        for (&r, subject) in &self.subjects {
            frame(&mut head, FrameKind::Subject, &json(&SubjectFrame { r, subject: subject.clone() }));
        }
        for name in self.names.values() {
            let again = Event { mono_ns: self.origin.anchor.mono_ns, ..name.clone() };
            frame(&mut head, FrameKind::Event, &json(&again));
        }
        let kept = file.write_all_at(&head, 0).and_then(|()| file.sync_data());
        // A full disk still takes names: a file without a head would be left at each try.
        kept.and_then(|()| File::open(&self.dir)?.sync_all()).inspect_err(|_| drop(fs::remove_file(&path)))?;
        // Again with the first flush, as far behind the head as a journal of one flush goes.
        self.again = Again { origin: true, new: BTreeSet::new(), due: self.subjects.keys().copied().collect() };
        self.segment = Some(Segment {
            path,
            file,
            locked,
            passes: 0,
            offset: head.len() as u64,
            begun_ns: self.origin.anchor.mono_ns,
            date: time::date_of_us(wall_us),
            synced: true,
        });
        Ok(())
    }

    fn end_block(&mut self) {
        if !self.encoder.bytes().is_empty() {
            frame(&mut self.buffer, FrameKind::Block, self.encoder.bytes());
            self.encoder.end();
        }
    }

    /// Writes the buffer at the segment's end. A short write leaves the end where it was, so the next one covers it.
    fn write_buffer(&mut self) -> io::Result<()> {
        if self.segment.is_none() {
            make_folder(&self.dir)?;
            self.open_segment()?;
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment.file.write_all_at(&self.buffer, segment.offset)?;
        segment.offset += self.buffer.len() as u64;
        segment.synced = false;
        segment.passes += self.passes_in_buffer;
        self.buffer.clear();
        self.passes_in_buffer = 0;
        Ok(())
    }

    /// Writes what a reader cannot do without once more.
    fn repeat(&mut self) {
        if self.segment.is_none() {
            return;
        }
        if std::mem::take(&mut self.again.origin) {
            frame(&mut self.buffer, FrameKind::Origin, &json(&self.origin));
        }
        for r in std::mem::take(&mut self.again.due) {
            self.repeat_subject(r);
        }
        self.again.due = std::mem::take(&mut self.again.new);
    }

    fn repeat_subject(&mut self, r: SubjectRef) {
        if let Some(subject) = self.subjects.get(&r) {
            frame(&mut self.buffer, FrameKind::Subject, &json(&SubjectFrame { r, subject: subject.clone() }));
        }
    }

    /// Whether the segment's name leads to another file, or nowhere.
    fn has_vanished(&mut self) -> bool {
        let Some(segment) = &mut self.segment else { return false };
        if !segment.locked {
            segment.locked = flock(&segment.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        }
        match (fs::symlink_metadata(&segment.path), segment.file.metadata()) {
            (Ok(named), Ok(open)) => (named.dev(), named.ino()) != (open.dev(), open.ino()),
            (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => false,
        }
    }

    /// Somebody removed the segment, or the folder with it, or mounted something over it: its rows are gone, and those to come
    /// go into another one.
    fn begin_anew(&mut self) {
        let Some(gone) = self.segment.take() else { return };
        let what = EventKind::Gap {
            from_ns: gone.begun_ns,
            to_ns: (self.clock)().mono_ns,
            lost_passes: gone.passes,
            reason: format!("journal: {} was removed while it was written", gone.path.display()),
        };
        frame(&mut self.buffer, FrameKind::Event, &json(&Event::now(what)));
        self.owner.trouble(Trouble::Vanished(&gone.path));
    }

    /// The disk refused. Keeps a bounded backlog; drops and counts what is more.
    fn refused(&mut self, error: &io::Error) {
        let now = time::mono_ns();
        if self.loss.is_none() {
            let path = self.segment.as_ref().map_or(&*self.dir, |segment| &*segment.path);
            self.owner.trouble(Trouble::Refused(path, error));
        }
        let loss =
            self.loss.get_or_insert_with(|| Loss { from_ns: now, passes: 0, reason: format!("journal: {error}") });
        if self.buffer.len() > BACKLOG_BYTES {
            loss.passes += self.passes_in_buffer;
            self.passes_in_buffer = 0;
            self.buffer.clear();
        }
    }

    fn record_loss(&mut self) {
        let Some(loss) = self.loss.take() else { return };
        if loss.passes > 0 {
            self.owner.trouble(Trouble::Lost(loss.passes));
            let what = EventKind::Gap {
                from_ns: loss.from_ns,
                to_ns: time::mono_ns(),
                lost_passes: loss.passes,
                reason: loss.reason,
            };
            frame(&mut self.buffer, FrameKind::Event, &json(&Event::now(what)));
        }
    }

    fn rotate_if_due(&mut self) {
        let Some(segment) = &self.segment else { return };
        let now = (self.clock)();
        let due = std::mem::take(&mut self.rotate_next)
            || segment.offset >= self.rotation.size
            || now.mono_ns.saturating_sub(segment.begun_ns) >= self.rotation.age.as_nanos() as u64
            || segment.date != time::date_of_us((now.wall_ns / 1000) as i64);
        if !due {
            return;
        }
        let old = self.segment.take();
        match self.open_segment() {
            Ok(()) => {
                if let Some(old) = old {
                    // The old file's bytes must be safe before the sealer may read and delete it.
                    let _ = old.file.sync_data();
                    // Its lock goes with it.
                    drop(old.file);
                    self.owner.finished(old.path);
                }
            }
            // No new file can be made: go on in the old one.
            Err(_) => self.segment = old,
        }
    }
}

/// Makes a folder for the owner and the group alone, whatever the umask.
fn make_folder(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

impl Sink for Writer {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.end_block();
        frame(&mut self.buffer, FrameKind::Subject, &json(&SubjectFrame { r: number, subject: subject.clone() }));
        self.subjects.insert(number, subject.clone());
        self.again.new.insert(number);
    }

    fn forget(&mut self, number: SubjectRef) {
        if self.again.new.remove(&number) | self.again.due.remove(&number) {
            self.end_block();
            self.repeat_subject(number);
        }
        if let Some(subject) = self.subjects.remove(&number)
            && subject.process.is_none()
        {
            self.names.remove(&subject.cgroup);
        }
        self.encoder.forget(number);
    }

    fn pass(&mut self, head: PassHead) {
        if self.encoder.bytes().len() > BLOCK_BYTES {
            self.end_block();
        }
        self.passes_in_buffer += 1;
        self.encoder.pass(head);
    }

    fn row(&mut self, head: PassHead, row: &Row) {
        self.encoder.row(head.kind, row);
    }

    fn event(&mut self, event: &Event) {
        self.end_block();
        frame(&mut self.buffer, FrameKind::Event, &json(event));
        if let (EventKind::Named(_), Some(cgroup)) = (&event.what, &event.cgroup)
            && self.subjects.values().any(|subject| subject.process.is_none() && subject.cgroup == *cgroup)
        {
            self.names.insert(cgroup.clone(), event.clone());
        }
        self.rotate_next |= matches!(event.what, EventKind::ClockStep { .. });
    }

    fn flush(&mut self, sync: bool) {
        self.end_block();
        if self.has_vanished() {
            self.begin_anew();
        }
        self.repeat();
        if !self.buffer.is_empty() {
            let mut result = self.write_buffer();
            if result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::StorageFull) && self.owner.make_room() {
                result = self.write_buffer();
            }
            match result {
                Ok(()) if self.loss.is_some() => {
                    self.record_loss();
                    let _ = self.write_buffer();
                }
                Ok(()) => {}
                Err(error) => self.refused(&error),
            }
        }
        if let (true, Some(segment)) = (sync, &mut self.segment)
            && !segment.synced
        {
            segment.synced = segment.file.sync_data().is_ok();
        }
        self.rotate_if_due();
    }
}
