//! Reads a recording: sealed files and the journal that is not sealed yet, as one.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};

use super::batch::batches;
use super::prune;
use super::retention::files;
use super::schema::{Folder, Lead, ORIGIN};
use super::seal::stem_of;
use super::{Error, JOURNAL, at};
use crate::fields::{self, FieldId, Kind, Table, UNLIMITED};
use crate::journal::format::SUFFIX;
use crate::journal::reader::{Segment, segments};
use crate::recording::{Column, Origin, Problem, ProcessKey, Series, Subject, TimedEvent};

/// Which rows and columns of a table.
pub struct Query<'a> {
    /// Which cgroups, by path.
    pub cgroups: &'a dyn Fn(&str) -> bool,
    /// Times, wall-clock microseconds.
    pub time: Range<i64>,
    /// Fields; empty is all.
    pub fields: &'a [FieldId],
    /// Whether it matters when within its pass a row was read. Each such time rests on the rows before it, so without them
    /// the row groups of other cgroups are not read at all.
    pub lags: bool,
}

impl Query<'_> {
    /// Everything.
    pub fn all() -> Query<'static> {
        Query { cgroups: &|_| true, time: i64::MIN..i64::MAX, fields: &[], lags: true }
    }
}

/// A recording on disk.
#[derive(Debug)]
pub struct Recording {
    /// Sealed files, by table and stem.
    sealed: Vec<(Folder, String, PathBuf)>,
    /// Segments that are not sealed.
    journal: Vec<PathBuf>,
    /// What could not be read; readers add to it.
    pub problems: Vec<Problem>,
}

impl Recording {
    /// Finds the files of a recording: its folder, one Parquet file or one segment.
    pub fn open(path: &Path) -> Result<Recording, Error> {
        let mut recording = Recording { sealed: Vec::new(), journal: Vec::new(), problems: Vec::new() };
        let meta = fs::metadata(path).map_err(at("open", path))?;
        if meta.is_dir() {
            for folder in Folder::ALL {
                let found = files(&path.join(folder.name()));
                recording.sealed.extend(found.into_iter().map(|(stem, file)| (folder, stem, file)));
            }
            let journal = path.join(JOURNAL);
            recording.journal = segments(&journal).map_err(at("list", &journal))?;
        } else if path.extension().is_some_and(|ext| ext == SUFFIX) {
            recording.journal.push(path.to_owned());
        } else if path.extension().is_some_and(|ext| ext == "parquet") {
            let named = |folder: &Folder| path.components().any(|part| part.as_os_str() == folder.name());
            let folder = Folder::ALL.into_iter().find(named).unwrap_or(Folder::Wide(Table::Samples));
            recording.sealed.push((folder, stem_of(path), path.to_owned()));
        }
        if recording.sealed.is_empty() && recording.journal.is_empty() {
            return Err(Error::NoRecording { path: path.to_owned() });
        }
        Ok(recording)
    }

    /// Bytes and files of a folder's sealed part.
    pub fn sealed_size(&self, folder: Folder) -> (u64, usize) {
        let of = self.sealed.iter().filter(|(f, _, _)| *f == folder);
        of.fold((0, 0), |(bytes, n), (_, _, path)| (bytes + fs::metadata(path).map_or(0, |m| m.len()), n + 1))
    }

    /// Rows of a folder's sealed files, by their footers.
    pub fn sealed_rows(&self, folder: Folder) -> u64 {
        let of = self.sealed.iter().filter(|(f, _, _)| *f == folder);
        let rows = |path: &Path| {
            let mut rows = 0;
            let counted = guarded(path, || {
                rows = u64::try_from(open(path)?.metadata().file_metadata().num_rows()).unwrap_or(0);
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

    /// Gives the rows of a table to `each`, a bounded number at a time: by file in time order, within a file by subject, each
    /// series in time order. A subject comes again with its later rows. Damaged files become problems.
    pub fn series(&mut self, table: Table, query: &Query<'_>, mut each: impl FnMut(Series)) {
        let wanted = |subject: &Subject| table == Table::Host || (query.cgroups)(&subject.cgroup);
        let mut done = HashSet::new();
        for (folder, stem, path) in self.sealed.clone() {
            if folder == Folder::Wide(table) {
                done.insert(stem);
                let result = guarded(&path, || read_wide(&path, table, query, &wanted, &mut each));
                self.note(&path, result);
            }
        }
        for path in self.journal.clone() {
            if done.contains(&stem_of(&path)) {
                continue;
            }
            match Segment::open(&path) {
                Ok(segment) => {
                    let result: Result<(), Error> = batches(&segment, table, wanted, |batch| {
                        for mut series in batch {
                            if !query.fields.is_empty() {
                                for field in fields::of(table).filter(|field| !query.fields.contains(&field.id)) {
                                    series.columns[field.slot] = None;
                                }
                            }
                            series.clip(query.time.start, query.time.end);
                            if !series.is_empty() {
                                each(series);
                            }
                        }
                        Ok(())
                    });
                    self.note(&path, result);
                }
                Err(error) => self.note(&path, Err(error.into())),
            }
        }
    }

    /// The events, in the order of their time.
    pub fn events(&mut self, time: Range<i64>) -> Vec<TimedEvent> {
        let mut events = Vec::new();
        let mut done = HashSet::new();
        for (folder, stem, path) in self.sealed.clone() {
            if folder == Folder::Events {
                done.insert(stem);
                let result = guarded(&path, || read_events(&path, &mut events));
                self.note(&path, result);
            }
        }
        for path in self.journal.clone().into_iter().filter(|path| !done.contains(&stem_of(path))) {
            match Segment::open(&path) {
                Ok(segment) => {
                    let anchor = segment.origin.anchor;
                    events.extend(
                        segment.events().map(|event| TimedEvent { time_us: anchor.wall_us(event.mono_ns), event }),
                    );
                }
                Err(error) => self.note(&path, Err(error.into())),
            }
        }
        events.retain(|event| time.contains(&event.time_us));
        events.sort_by_key(|event| event.time_us);
        events
    }

    /// Where and how each part was recorded, oldest first.
    pub fn origins(&mut self) -> Vec<Origin> {
        let mut origins: Vec<Origin> = Vec::new();
        let mut stems = HashSet::new();
        for (_, stem, path) in self.sealed.clone() {
            if stems.insert(stem) {
                let result = guarded(&path, || {
                    let reader = open(&path)?;
                    let pairs = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
                    let json = pairs.into_iter().find(|pair| pair.key == ORIGIN).and_then(|pair| pair.value);
                    origins.extend(json.and_then(|json| serde_json::from_str(&json).ok()));
                    Ok(())
                });
                self.note(&path, result);
            }
        }
        for path in self.journal.clone().into_iter().filter(|path| !stems.contains(&stem_of(path))) {
            match Segment::open(&path) {
                Ok(segment) => {
                    self.problems.extend(segment.problems());
                    origins.push(segment.origin);
                }
                Err(error) => self.note(&path, Err(error.into())),
            }
        }
        origins.sort_by_key(|origin| origin.anchor.wall_ns);
        origins
    }

    fn note(&mut self, path: &Path, result: Result<(), Error>) {
        let Err(error) = result else { return };
        // Sealed and removed between listing and opening: its rows are in a file that a new look finds.
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

/// A damaged Parquet file may make the library panic: that is a damaged file, not the end of the program.
fn guarded(path: &Path, read: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let source = ParquetError::General("the file's metadata contradicts its content".into());
        Err(Error::Parquet { operation: "read", path: path.to_owned(), source })
    })
}

fn open(path: &Path) -> Result<SerializedFileReader<File>, Error> {
    let file = File::open(path).map_err(at("open", path))?;
    SerializedFileReader::new(file).map_err(|source| Error::Parquet {
        operation: "read",
        path: path.to_owned(),
        source,
    })
}

/// Values of a column and, where it may be null, which rows have one.
type Values<T> = (Vec<T>, Option<Vec<i16>>);

/// The columns of one row group, by name.
struct Group<'a> {
    reader: Box<dyn RowGroupReader + 'a>,
    rows: usize,
}

impl Group<'_> {
    fn find(&self, name: &str) -> Option<usize> {
        self.reader.metadata().columns().iter().position(|column| column.column_path().string() == name)
    }

    /// Values of a column and, where it may be null, which rows have one.
    fn read<T: DataType>(&self, at: usize) -> Result<Values<T::T>, ParquetError> {
        let reader = self.reader.get_column_reader(at)?;
        let nullable = self.reader.metadata().column(at).column_descr().max_def_level() > 0;
        let (mut values, mut present) = (Vec::new(), Vec::new());
        let mut typed = get_typed_column_reader::<T>(reader);
        let mut left = self.rows;
        while left > 0 {
            let (records, _, _) = typed.read_records(left, nullable.then_some(&mut present), None, &mut values)?;
            if records == 0 {
                return Err(ParquetError::EOF("a column is shorter than its row group".into()));
            }
            left -= records;
        }
        Ok((values, nullable.then_some(present)))
    }

    fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, ParquetError> {
        let Some(at) = self.find(name) else { return Ok(None) };
        let all = |present: Option<Vec<i16>>| present.is_none_or(|p| p.iter().all(|level| *level > 0));
        let (values, present) = match self.reader.get_column_reader(at)? {
            ColumnReader::Int32ColumnReader(_) => {
                let (values, present) = self.read::<Int32Type>(at)?;
                (values.into_iter().map(i64::from).collect(), present)
            }
            ColumnReader::Int64ColumnReader(_) => self.read::<Int64Type>(at)?,
            _ => return Err(ParquetError::General(format!("column {name} is not of integers"))),
        };
        if all(present) { Ok(Some(values)) } else { Err(ParquetError::General(format!("column {name} has nulls"))) }
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<ByteArray>>, ParquetError> {
        let Some(at) = self.find(name) else { return Ok(None) };
        let (values, _) = match self.reader.get_column_reader(at)? {
            ColumnReader::ByteArrayColumnReader(_) => self.read::<ByteArrayType>(at)?,
            _ => return Err(ParquetError::General(format!("column {name} is not text"))),
        };
        Ok((values.len() == self.rows).then_some(values))
    }
}

fn read_wide(
    path: &Path,
    table: Table,
    query: &Query<'_>,
    wanted: &dyn Fn(&Subject) -> bool,
    each: &mut dyn FnMut(Series),
) -> Result<(), Error> {
    let reader = open(path)?;
    let bad = |source| Error::Parquet { operation: "read", path: path.to_owned(), source };
    let mut last_lag = HashMap::new();
    for at in 0..reader.num_row_groups() {
        let group = reader.get_row_group(at).map_err(bad)?;
        if !prune::may_hold(&*group, table, query) {
            continue;
        }
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        read_group(&Group { reader: group, rows }, table, query, wanted, &mut last_lag, each).map_err(bad)?;
    }
    Ok(())
}

fn read_group(
    group: &Group<'_>,
    table: Table,
    query: &Query<'_>,
    wanted: &dyn Fn(&Subject) -> bool,
    last_lag: &mut HashMap<i64, i64>,
    each: &mut dyn FnMut(Series),
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("no column `time`".into());
    let times = group.integers(Lead::Time.name())?.ok_or_else(missing)?;
    // Gaps become lags before anything is left out: each rests on the rows before it.
    let gaps = if query.lags { group.integers(Lead::Gap.name())? } else { None };
    let lags: Option<Vec<u32>> = gaps.map(|gaps| {
        let add = |(time, gap): (&i64, i64)| {
            let lag = last_lag.entry(*time).or_insert(0);
            *lag = lag.wrapping_add(gap);
            *lag as u32
        };
        times.iter().zip(gaps).map(add).collect()
    });
    if !times.iter().any(|time| query.time.contains(time)) {
        return Ok(());
    }
    let cgroups = if table == Table::Host { None } else { group.texts(Lead::Cgroup.name())? };
    let ids = group.integers(Lead::Id.name())?;
    let process =
        match (group.integers(Lead::Pid.name())?, group.integers(Lead::Start.name())?, group.texts(Lead::Comm.name())?)
        {
            (Some(pids), Some(starts), Some(comms)) => Some((pids, starts, comms)),
            _ => None,
        };
    let same = |a: usize, b: usize| {
        cgroups.as_ref().is_none_or(|c| c[a] == c[b])
            && ids.as_ref().is_none_or(|ids| ids[a] == ids[b])
            && process.as_ref().is_none_or(|(p, s, c)| p[a] == p[b] && s[a] == s[b] && c[a] == c[b])
    };
    let text = |bytes: &ByteArray| String::from_utf8_lossy(bytes.data()).into_owned();

    // Runs of rows of one subject that is wanted.
    let mut runs: Vec<(Range<usize>, Series)> = Vec::new();
    let mut from = 0;
    for to in 1..=group.rows {
        if to < group.rows && same(from, to) {
            continue;
        }
        let subject = Subject {
            cgroup: cgroups.as_ref().map_or_else(String::new, |c| text(&c[from])),
            id: ids.as_ref().map_or(0, |ids| ids[from] as u64),
            process: process.as_ref().map(|(pids, starts, comms)| ProcessKey {
                pid: pids[from] as i32,
                start: starts[from] as u64,
                comm: text(&comms[from]),
            }),
        };
        if wanted(&subject) && times[from..to].iter().any(|time| query.time.contains(time)) {
            let mut series = Series::new(Arc::new(subject), table);
            series.time_us = times[from..to].to_vec();
            series.lag_us = lags.as_ref().map_or_else(|| vec![0; to - from], |l| l[from..to].to_vec());
            runs.push((from..to, series));
        }
        from = to;
    }
    if runs.is_empty() {
        return Ok(());
    }
    for field in fields::of(table).filter(|field| query.fields.is_empty() || query.fields.contains(&field.id)) {
        let Some(at) = group.find(field.column) else { continue };
        let limit = field.kind == Kind::Limit;
        let (values, present): (Vec<u64>, _) = match group.reader.get_column_reader(at)? {
            ColumnReader::DoubleColumnReader(_) => {
                let (values, present) = group.read::<DoubleType>(at)?;
                let whole = |v: f64| if v.is_infinite() && limit { UNLIMITED } else { v.max(0.0) as u64 };
                (values.into_iter().map(whole).collect(), present)
            }
            ColumnReader::Int64ColumnReader(_) => {
                let (values, present) = group.read::<Int64Type>(at)?;
                (values.into_iter().map(|v| v.max(0) as u64).collect(), present)
            }
            ColumnReader::Int32ColumnReader(_) => {
                let (values, present) = group.read::<Int32Type>(at)?;
                (values.into_iter().map(|v| v.max(0) as u64).collect(), present)
            }
            _ => return Err(ParquetError::General(format!("column {} is not of numbers", field.column))),
        };
        let mut values = values.into_iter();
        let mut row = 0;
        for (range, series) in &mut runs {
            let mut column = Column::default();
            while row < range.end {
                let here = present.as_ref().is_none_or(|p| p.get(row).is_some_and(|level| *level > 0));
                if here
                    && let Some(value) = values.next()
                    && row >= range.start
                {
                    column.push(row - range.start, value);
                }
                row += 1;
            }
            if !column.rows.is_empty() {
                series.columns[field.slot] = Some(column);
            }
        }
    }
    for (_, mut series) in runs {
        series.clip(query.time.start, query.time.end);
        each(series);
    }
    Ok(())
}

fn read_events(path: &Path, events: &mut Vec<TimedEvent>) -> Result<(), Error> {
    let reader = open(path)?;
    let bad = |source| Error::Parquet { operation: "read", path: path.to_owned(), source };
    for at in 0..reader.num_row_groups() {
        let inner = reader.get_row_group(at).map_err(bad)?;
        let rows = usize::try_from(inner.metadata().num_rows()).unwrap_or(0);
        let group = Group { reader: inner, rows };
        let (Some(times), Some(details)) = (group.integers("time").map_err(bad)?, group.texts("detail").map_err(bad)?)
        else {
            continue;
        };
        for (time_us, detail) in times.into_iter().zip(details) {
            // An event of a newer version is stepped over.
            events.extend(serde_json::from_slice(detail.data()).ok().map(|event| TimedEvent { time_us, event }));
        }
    }
    Ok(())
}
