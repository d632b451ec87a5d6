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
use crate::model::event::Event;
use crate::model::fields;
use crate::model::fields::{FieldId, Table};
use crate::model::recording::{Origin, Problem, Series, Subject, TimedEvent};
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

impl Recording {
    /// Finds the files of a recording: its folder, one Parquet file or one segment.
    pub fn open(path: &Path) -> Result<Recording, Error> {
        let mut recording = Recording::default();
        let meta = fs::metadata(path).map_err(at("open", path))?;
        if meta.is_dir() {
            // The journal first: a segment that is sealed meanwhile is found twice, and never not at all.
            let journal = path.join(JOURNAL);
            recording.journal = segments(&journal).map_err(at("list", &journal))?;
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
        for (kind, stem, path) in self.sealed {
            let partition =
                path.parent().and_then(Path::parent).and_then(Path::file_name).and_then(|name| name.to_str());
            let host = match partition.and_then(|name| name.strip_prefix("host=")) {
                Some(host) => host.to_owned(),
                None => origin_of(&path).map_or_else(String::new, |origin| partition_of(&origin.host)),
            };
            hosts.entry(host).or_default().sealed.push((kind, stem, path));
        }
        for path in self.journal {
            // What cannot be read is reported when its rows are.
            let segment = open_segment(&mut self.opened, &path).ok();
            let host = segment.as_ref().map_or_else(String::new, |segment| partition_of(&segment.origin.host));
            let recording = hosts.entry(host).or_default();
            recording.opened.extend(segment.map(|segment| (path.clone(), segment)));
            recording.journal.push(path);
        }
        hosts
    }

    /// The name of the host, by the first part that can be read.
    pub fn host(&mut self) -> Option<String> {
        let sealed = self.sealed.iter().find_map(|(_, _, path)| origin_of(path));
        let opened = &mut self.opened;
        let mut journal =
            || self.journal.iter().find_map(|path| Some(open_segment(opened, path).ok()?.origin.host.clone()));
        sealed.map(|origin| origin.host).or_else(&mut journal)
    }

    /// Takes the files of another recording of the same host.
    pub fn join(&mut self, other: Recording) {
        self.sealed.extend(other.sealed);
        self.journal.extend(other.journal);
        self.spans.extend(other.spans);
        self.opened.extend(other.opened);
        let problems = other.problems.into_iter().filter(|problem| !self.problems.contains(problem));
        let problems: Vec<Problem> = problems.collect();
        self.problems.extend(problems);
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
    pub fn sealed_rows(&self, kind: TableKind) -> u64 {
        let of = self.sealed.iter().filter(|(f, _, _)| *f == kind);
        let rows = |path: &Path| {
            let mut rows = 0;
            let counted = guarded(path, || {
                rows = u64::try_from(open(path, None)?.metadata().file_metadata().num_rows()).unwrap_or(0);
                Ok(())
            });
            counted.map_or(0, |()| rows)
        };
        of.map(|(_, _, path)| rows(path)).sum()
    }

    /// Segments that are not sealed.
    pub fn journal(&self) -> &[PathBuf] {
        &self.journal
    }

    /// Those of them that can be read.
    pub fn segments(&mut self) -> Vec<Arc<Segment>> {
        let opened = &mut self.opened;
        self.journal.iter().filter_map(|path| open_segment(opened, path).ok()).collect()
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
        self.parts(TableKind::Wide(table), |part| match part {
            Part::Sealed(path) => match spans.get(path) {
                Some((first, last)) if *last < query.time.start || *first >= query.time.end => Ok(()),
                _ => {
                    let span = read_wide(path, table, query, &wanted, only, &mut each)?;
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
                let choice = Choice { table, wants: &wanted, time: query.time.clone(), slots, room: Room::Values };
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
        self.parts(TableKind::Events, |part| match part {
            Part::Sealed(path) => read_events(path, &mut events),
            Part::Journal(segment) => {
                let anchor = segment.origin.anchor;
                let timed = |event: &Event| TimedEvent { time_us: anchor.wall_us(event.mono_ns), event: event.clone() };
                events.extend(segment.events().map(timed));
                Ok(())
            }
        });
        events.retain(|event| time.contains(&event.time_us));
        events.sort_by_key(|event| event.time_us);
        events
    }

    /// Reads each part of a folder: its sealed files, then the segments that are not sealed.
    fn parts(&mut self, kind: TableKind, mut read: impl FnMut(Part<'_>) -> Result<(), Error>) {
        let mut done = HashSet::new();
        for (of, stem, path) in self.sealed.clone() {
            if of == kind {
                done.insert(stem);
                let result = guarded(&path, || read(Part::Sealed(&path)));
                self.note(&path, result);
            }
        }
        for path in self.journal.clone().into_iter().filter(|path| !done.contains(&stem_of(path))) {
            let result = match open_segment(&mut self.opened, &path) {
                Ok(segment) => read(Part::Journal(&segment)),
                Err(error) => match sealed_since(&path) {
                    // It went away once all of it was sealed.
                    Some(sealed) => sealed
                        .iter()
                        .filter(|(of, _)| *of == kind)
                        .try_for_each(|(_, path)| guarded(path, || read(Part::Sealed(path)))),
                    None => Err(error.into()),
                },
            };
            self.note(&path, result);
        }
    }

    /// Where and how each part was recorded, oldest first.
    pub fn origins(&mut self) -> Vec<Origin> {
        let mut origins: Vec<Origin> = Vec::new();
        let mut stems = HashSet::new();
        let mut sealed = self.sealed.clone();
        for path in self.journal.clone() {
            match open_segment(&mut self.opened, &path) {
                Ok(segment) => {
                    stems.insert(stem_of(&path));
                    self.problems.extend(segment.problems());
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

    fn note(&mut self, path: &Path, result: Result<(), Error>) {
        let Err(error) = result else { return };
        let what = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let problem = Problem { source: path.display().to_string(), what };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// What a folder is made of.
enum Part<'a> {
    Sealed(&'a Path),
    Journal(&'a Segment),
}

/// A segment, opened once.
fn open_segment(opened: &mut HashMap<PathBuf, Arc<Segment>>, path: &Path) -> Result<Arc<Segment>, journal::Error> {
    if let Some(segment) = opened.get(path) {
        return Ok(segment.clone());
    }
    let segment = Arc::new(Segment::open(path)?);
    opened.insert(path.to_owned(), segment.clone());
    Ok(segment)
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
