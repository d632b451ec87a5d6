//! Reads a recording: sealed files and the journal that is not sealed yet, as one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::reader::FileReader;

use crate::journal;
use crate::journal::format::SUFFIX;
use crate::journal::reader::{Segment, segments};
use crate::model::event::{Event, EventKind};
use crate::model::fields;
use crate::model::fields::{FieldId, Table};
use crate::model::problem::Problem;
use crate::model::recording::{Origin, Series, Subject, TimedEvent};
use crate::model::sample::Mask;
use crate::store::batch::{Choice, Room, batches};
use crate::store::error::{Error, at};
use crate::store::layout::{JOURNAL, partition_of, stem_of};
use crate::store::retention::files;
use crate::store::scan::query::Query;
use crate::store::scan::sealed_file::{guarded, open, origin_in, origin_of, read_events, read_wide};
use crate::store::schema::TableKind;

/// A recording on disk.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Sealed files, by table and stem.
    sealed: Vec<(TableKind, String, PathBuf)>,
    /// Segments that are not sealed.
    journal: Vec<PathBuf>,
    /// First and last time of the files that were opened.
    spans: HashMap<PathBuf, (i64, i64)>,
    /// Segments that were opened, as they were then: what is asked later is answered of the same.
    opened: HashMap<PathBuf, Arc<Segment>>,
    /// What could not be read; readers add to it.
    pub problems: Vec<Problem>,
}

/// What a folder is made of.
enum Part<'a> {
    Sealed(&'a Path),
    Journal(&'a Segment),
}

/// Ending of a segment that the sealer set aside because it has no readable head.
const UNREADABLE: &str = "unreadable";

impl Recording {
    /// Finds the files of a recording: its folder, one Parquet file or one segment.
    pub fn open(path: &Path) -> Result<Recording, Error> {
        let mut recording = Recording::default();
        let meta = fs::metadata(path).map_err(at("open", path))?;
        if meta.is_dir() {
            // The journal first: a segment that is sealed meanwhile is found twice, and never not at all.
            let journal = path.join(JOURNAL);
            recording.journal = segments(&journal).map_err(at("list", &journal))?;
            // By the time that rows have, as sealed files are.
            recording.journal.sort();
            let aside = fs::read_dir(&journal).into_iter().flatten().flatten().map(|entry| entry.path());
            for path in aside.filter(|path| path.extension().is_some_and(|ext| ext == UNREADABLE)) {
                let what = "the recorder could not read this segment when it sealed it, and has set it aside";
                recording.problems.push(Problem::new(path.display().to_string(), what));
            }
            for kind in TableKind::ALL {
                let found = files(&path.join(kind.name()));
                recording.sealed.extend(found.into_iter().map(|(stem, file)| (kind, stem, file)));
            }
        } else if path.extension().is_some_and(|ext| ext == SUFFIX) {
            recording.journal.push(path.to_owned());
        } else if path.extension().is_some_and(|ext| ext == "parquet") {
            let named = |kind: &TableKind| path.components().any(|part| part.as_os_str() == kind.name());
            let kind = TableKind::ALL.into_iter().find(named).unwrap_or(TableKind::Wide(Table::Samples));
            recording.sealed.push((kind, stem_of(path), path.to_owned()));
        }
        if recording.sealed.is_empty() && recording.journal.is_empty() {
            return Err(Error::NoRecording { path: path.to_owned() });
        }
        Ok(recording)
    }

    /// The recordings of the hosts in it: a folder may hold a fleet's.
    pub fn hosts(mut self) -> BTreeMap<String, Recording> {
        let mut hosts: BTreeMap<String, Recording> = BTreeMap::new();
        let mut problems = std::mem::take(&mut self.problems);
        for (kind, stem, path) in std::mem::take(&mut self.sealed) {
            let partition =
                path.parent().and_then(Path::parent).and_then(Path::file_name).and_then(|name| name.to_str());
            let host = match partition.and_then(|name| name.strip_prefix("host=")) {
                Some(host) => host.to_owned(),
                None => origin_of(&path).map_or_else(String::new, |origin| partition_of(&origin.host)),
            };
            hosts.entry(host).or_default().sealed.push((kind, stem, path));
        }
        for path in std::mem::take(&mut self.journal) {
            // What cannot be read is reported when its rows are.
            let segment = self.segment(&path).ok();
            let host = segment.as_ref().map_or_else(String::new, |segment| partition_of(&segment.origin.host));
            let recording = hosts.entry(host).or_default();
            recording.problems.append(&mut self.problems);
            recording.opened.extend(segment.map(|segment| (path.clone(), segment)));
            recording.journal.push(path);
        }
        if let Some(first) = hosts.values_mut().next() {
            first.problems.append(&mut problems);
        }
        hosts
    }

    /// A segment, opened once; what of it is damaged is a problem of whoever asks for it.
    fn segment(&mut self, path: &Path) -> Result<Arc<Segment>, journal::Error> {
        if let Some(segment) = self.opened.get(path) {
            return Ok(segment.clone());
        }
        let segment = Arc::new(Segment::open(path)?);
        segment.problems().into_iter().for_each(|problem| self.add(problem));
        self.opened.insert(path.to_owned(), segment.clone());
        Ok(segment)
    }

    /// The name of the host, by the first part that can be read.
    pub fn host(&mut self) -> Option<String> {
        let sealed = self.sealed.iter().find_map(|(_, _, path)| origin_of(path));
        let journal = self.journal.clone();
        let mut in_journal = || journal.iter().find_map(|path| Some(self.segment(path).ok()?.origin.host.clone()));
        sealed.map(|origin| origin.host).or_else(&mut in_journal)
    }

    /// Takes the files of another recording of the same host.
    pub fn join(&mut self, other: Recording) {
        self.sealed.extend(other.sealed);
        self.journal.extend(other.journal);
        self.spans.extend(other.spans);
        self.opened.extend(other.opened);
        other.problems.into_iter().for_each(|problem| self.add(problem));
        // By time, with which their names begin; what was given twice counts once.
        self.sealed.sort();
        self.sealed.dedup_by(|a, b| (a.0, &a.1) == (b.0, &b.1));
        self.journal.sort_by_key(|path| stem_of(path));
        self.journal.dedup_by_key(|path| stem_of(path));
    }

    /// Bytes and files of a folder's sealed part.
    pub fn sealed_size(&self, kind: TableKind) -> (u64, usize) {
        let of = self.sealed.iter().filter(|(f, _, _)| *f == kind);
        of.fold((0, 0), |(bytes, n), (_, _, path)| (bytes + fs::metadata(path).map_or(0, |m| m.len()), n + 1))
    }

    /// Rows of a folder's sealed files, by their footers.
    pub fn sealed_rows(&mut self, kind: TableKind) -> u64 {
        let mut rows = 0;
        for (_, _, path) in self.sealed.clone().into_iter().filter(|(of, _, _)| *of == kind) {
            let counted = guarded(&path, || {
                rows += u64::try_from(open(&path, None)?.metadata().file_metadata().num_rows()).unwrap_or(0);
                Ok(())
            });
            self.note(&path, counted);
        }
        rows
    }

    /// Segments that are not sealed.
    pub fn journal(&self) -> &[PathBuf] {
        &self.journal
    }

    /// Those of them that can be read.
    pub fn segments(&mut self) -> Vec<Arc<Segment>> {
        let journal = self.journal.clone();
        journal.iter().filter_map(|path| self.segment(path).ok()).collect()
    }

    /// Gives the rows of a table to `each`, a bounded number at a time: by file in time order, within a file by subject, each
    /// series in time order. A subject comes again with its later rows. Damaged files become problems.
    pub fn series(&mut self, table: Table, query: &Query<'_>, each: impl FnMut(Series)) {
        self.read(table, query, None, each);
    }

    /// The rows of one cgroup, in the order of time; row groups that cannot hold it are not looked at.
    pub fn series_of(
        &mut self,
        table: Table,
        cgroup: &str,
        time: Range<i64>,
        fields: &[FieldId],
        each: impl FnMut(Series),
    ) {
        let query = Query { cgroups: &|path| path == cgroup, time, fields, lags: false };
        self.read(table, &query, Some(cgroup), each);
    }

    fn read(&mut self, table: Table, query: &Query<'_>, only: Option<&str>, mut each: impl FnMut(Series)) {
        let wanted = |subject: &Subject| table == Table::Host || (query.cgroups)(&subject.cgroup);
        let mut spans = std::mem::take(&mut self.spans);
        self.parts(TableKind::Wide(table), |part, problems| match part {
            Part::Sealed(path) => match spans.get(path) {
                Some((first, last)) if *last < query.time.start || *first >= query.time.end => Ok(()),
                _ => {
                    let span = read_wide(path, table, query, (&wanted, only), &mut each, problems)?;
                    spans.extend(span.map(|span| (path.to_owned(), span)));
                    Ok(())
                }
            },
            Part::Journal(segment) => {
                let asked = fields::of(table).filter(|field| query.fields.contains(&field.id));
                let slots = match query.fields {
                    [] => Mask::MAX,
                    _ => asked.fold(0, |slots, field| slots | 1 << field.slot),
                };
                let choice = Choice {
                    table,
                    wants: &wanted,
                    time: query.time.clone(),
                    slots,
                    bare: query.lags,
                    room: Room::Values,
                };
                batches(segment, &choice, |batch| {
                    batch.into_iter().for_each(&mut each);
                    Ok(())
                })
            }
        });
        self.spans = spans;
    }

    /// The events, in the order of their time.
    pub fn events(&mut self, time: Range<i64>) -> Vec<TimedEvent> {
        let mut events = Vec::new();
        self.parts(TableKind::Events, |part, problems| match part {
            Part::Sealed(path) => read_events(path, &mut events, problems),
            Part::Journal(segment) => {
                let anchor = segment.origin.anchor;
                let timed = |event: &Event| TimedEvent { time_us: anchor.wall_us(event.mono_ns), event: event.clone() };
                events.extend(segment.events().map(timed));
                Ok(())
            }
        });
        events.retain(|event| time.contains(&event.time_us));
        events.sort_by_key(|event| event.time_us);
        events.iter().filter_map(lost_at_sealing).for_each(|problem| self.add(problem));
        events
    }

    /// Reads each part of a folder: its sealed files, then the segments that are not sealed.
    fn parts(&mut self, kind: TableKind, mut read: impl FnMut(Part<'_>, &mut Vec<Problem>) -> Result<(), Error>) {
        let (mut done, mut found) = (HashSet::new(), Vec::new());
        for (of, stem, path) in self.sealed.clone() {
            if of == kind {
                done.insert(stem);
                let result = guarded(&path, || read(Part::Sealed(&path), &mut found));
                self.note(&path, result);
            }
        }
        for path in self.journal.clone().into_iter().filter(|path| !done.contains(&stem_of(path))) {
            let result = match self.segment(&path) {
                Ok(segment) => read(Part::Journal(&segment), &mut found),
                Err(error) => match sealed_since(&path) {
                    // It went away once all of it was sealed.
                    Some(sealed) => sealed
                        .iter()
                        .filter(|(of, _)| *of == kind)
                        .try_for_each(|(_, path)| guarded(path, || read(Part::Sealed(path), &mut found))),
                    None => Err(error.into()),
                },
            };
            self.note(&path, result);
        }
        found.into_iter().for_each(|problem| self.add(problem));
    }

    /// Where and how each part was recorded, oldest first.
    pub fn origins(&mut self) -> Vec<Origin> {
        let mut origins: Vec<Origin> = Vec::new();
        let mut stems = HashSet::new();
        let mut sealed = self.sealed.clone();
        for path in self.journal.clone() {
            match self.segment(&path) {
                Ok(segment) => {
                    stems.insert(stem_of(&path));
                    origins.push(segment.origin.clone());
                }
                Err(error) => match sealed_since(&path) {
                    Some(since) => sealed.extend(since.into_iter().map(|(of, path)| (of, stem_of(&path), path))),
                    None => self.note(&path, Err(error.into())),
                },
            }
        }
        // The narrow tables come last, and their footers are the smallest.
        for (_, stem, path) in sealed.into_iter().rev() {
            if !stems.contains(&stem) {
                let result = guarded(&path, || {
                    origins.extend(origin_in(&open(&path, None)?));
                    stems.insert(stem);
                    Ok(())
                });
                self.note(&path, result);
            }
        }
        origins.sort_by_key(|origin| origin.anchor.wall_ns);
        origins
    }

    /// A file that cannot be read at all. What it held began as its name says, and ended before the next one began.
    fn note(&mut self, path: &Path, result: Result<(), Error>) {
        let Err(error) = result else { return };
        let what = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let stems =
            self.sealed.iter().map(|(_, stem, _)| stem.clone()).chain(self.journal.iter().map(|path| stem_of(path)));
        let from_us = begin_of(&stem_of(path));
        let to_us = from_us.and_then(|from| stems.filter_map(|stem| begin_of(&stem)).filter(|to| *to > from).min());
        self.add(Problem { from_us, to_us, ..Problem::new(path.display().to_string(), what) });
    }

    fn add(&mut self, problem: Problem) {
        Problem::add(&mut self.problems, problem);
    }
}

/// What a recorder could not read of a journal when it sealed it.
fn lost_at_sealing(event: &TimedEvent) -> Option<Problem> {
    let EventKind::Recovered { segment, corrupt_bytes, from_ns, to_ns, .. } = &event.event.what else { return None };
    if *corrupt_bytes == 0 {
        return None;
    }
    let wall = |mono_ns: u64| event.time_us + (mono_ns as i64 - event.event.mono_ns as i64) / 1000;
    let what = format!("{corrupt_bytes} corrupt bytes of the journal were skipped when it was sealed");
    Some(Problem { from_us: from_ns.map(wall), to_us: to_ns.map(wall), ..Problem::new(segment, what) })
}

/// When a segment was begun, by its name.
fn begin_of(stem: &str) -> Option<i64> {
    let stamp = stem.get(..19)?;
    let [year, month, day] = [stamp.get(..4)?, stamp.get(4..6)?, stamp.get(6..8)?];
    let [hour, minute, second, rest] = [stamp.get(9..11)?, stamp.get(11..13)?, stamp.get(13..15)?, stamp.get(15..)?];
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}.{rest}");
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond())
}

/// The files that a segment was sealed into since it was listed; `None` where it was not.
fn sealed_since(segment: &Path) -> Option<Vec<(TableKind, PathBuf)>> {
    let dir = segment.parent().filter(|parent| parent.ends_with(JOURNAL) && !segment.exists())?.parent()?;
    let stem = stem_of(segment);
    let of = |kind: TableKind| files(&dir.join(kind.name())).into_iter().map(move |(stem, file)| (kind, stem, file));
    let found = TableKind::ALL.into_iter().flat_map(of).filter(|(_, other, _)| *other == stem);
    let found: Vec<_> = found.map(|(kind, _, file)| (kind, file)).collect();
    (!found.is_empty()).then_some(found)
}
