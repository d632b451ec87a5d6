//! Writes segments: one open file, a block a flush, a new segment by size, age, day or clock step.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::journal::encoder::Encoder;
use crate::journal::format::{FrameKind, SUFFIX, SubjectFrame, VERSION, frame};
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
    sequence: u32,
    loss: Option<Loss>,
    passes_in_buffer: u64,
    rotate_next: bool,
    clock: Clock,
}

/// Reads both clocks.
pub type Clock = fn() -> Anchor;

/// Writes and syncs what is left, and gives the last segment to the owner.
impl Drop for Writer {
    fn drop(&mut self) {
        self.flush(true);
        if let Some(segment) = self.segment.take() {
            self.owner.finished(segment.path);
        }
    }
}

struct Segment {
    path: PathBuf,
    file: File,
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
        fs::create_dir_all(dir)?;
        let mut writer = Writer {
            dir: dir.to_owned(),
            origin,
            rotation,
            owner,
            segment: None,
            encoder: Encoder::default(),
            buffer: Vec::with_capacity(64 << 10),
            subjects: BTreeMap::new(),
            names: BTreeMap::new(),
            sequence: 0,
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
        let path = self.dir.join(format!("{stamp}-{boot}-{:05}.{SUFFIX}", self.sequence));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path)?;
        self.sequence += 1;
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
        self.segment = Some(Segment {
            path,
            file,
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
            self.open_segment()?;
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment.file.write_all_at(&self.buffer, segment.offset)?;
        segment.offset += self.buffer.len() as u64;
        segment.synced = false;
        self.buffer.clear();
        self.passes_in_buffer = 0;
        Ok(())
    }

    /// The disk refused. Keeps a bounded backlog; drops and counts what is more.
    fn refused(&mut self, error: &io::Error) {
        let now = time::mono_ns();
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
                    self.owner.finished(old.path);
                }
            }
            // No new file can be made: go on in the old one.
            Err(_) => self.segment = old,
        }
    }
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

impl Sink for Writer {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.end_block();
        frame(&mut self.buffer, FrameKind::Subject, &json(&SubjectFrame { r: number, subject: subject.clone() }));
        self.subjects.insert(number, subject.clone());
    }

    fn forget(&mut self, number: SubjectRef) {
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
