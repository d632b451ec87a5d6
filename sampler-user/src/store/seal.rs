//! Sealing: a journal segment becomes Parquet files, atomically, and goes away.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use serde::Serialize;

use crate::containers::runtimes::identify;
use crate::journal::format::SUFFIX;
use crate::journal::reader::Segment;
use crate::model::event::{Event, EventKind};
use crate::model::fields;
use crate::model::fields::{Field, Kind, Table, UNLIMITED};
use crate::model::identity::{Identity, Names};
use crate::model::recording::{Origin, Series, Subject, TimedEvent};
use crate::model::sample::Mask;
use crate::model::time::date_of_us;
use crate::store::atomic_file::AtomicFile;
use crate::store::batch::{Choice, ROWS, Room, batches};
use crate::store::error::{Error, at};
use crate::store::layout::{partition_of, stem_of};
use crate::store::schema::{KeyColumn, TableKind, key_columns, properties, schema};

/// What sealing made of a segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sealed {
    /// The segment.
    pub stem: String,
    /// Rows by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Bytes by table.
    pub bytes: BTreeMap<&'static str, u64>,
    /// Whole frames of the segment.
    pub frames: u64,
    /// Bytes of the torn tail.
    pub torn_bytes: u64,
    /// Bytes skipped as corrupt.
    pub corrupt_bytes: u64,
}

/// Seals a segment into `dir` and deletes it. A segment without a readable head is set aside, never deleted.
pub fn seal(path: &Path, dir: &Path) -> Result<Sealed, Error> {
    let segment = match Segment::open(path) {
        Err(error @ crate::journal::Error::NoHead { .. }) => {
            let aside = path.with_extension(format!("{SUFFIX}.unreadable"));
            fs::rename(path, &aside).map_err(at("set aside the unreadable segment", path))?;
            return Err(error.into());
        }
        segment => segment?,
    };
    if segment.is_written {
        return Err(crate::journal::Error::InUse { path: path.to_owned() }.into());
    }
    segment.cut_torn_tail()?;
    let stem = stem_of(path);
    let mut sealed = Sealed {
        stem: stem.clone(),
        frames: segment.frames,
        torn_bytes: segment.torn_bytes,
        corrupt_bytes: segment.corrupt_bytes,
        ..Sealed::default()
    };
    let store = Store { dir, origin: &segment.origin, stem };
    for kind in TableKind::ALL {
        let written = match kind {
            TableKind::Wide(table) => {
                let time = i64::MIN..i64::MAX;
                let choice = Choice { table, wants: &|_| true, time, slots: Mask::MAX, bare: true, room: Room::Rows };
                store.wide(table, |each| batches(&segment, &choice, each))?
            }
            TableKind::Cgroups => store.cgroups(&segment)?,
            TableKind::Events => {
                let anchor = segment.origin.anchor;
                let events = segment.events().cloned().chain(recovered(&segment, &sealed.stem));
                let events: Vec<TimedEvent> =
                    events.map(|event| TimedEvent { time_us: anchor.wall_us(event.mono_ns), event }).collect();
                store.events(events)?
            }
        };
        if let Some((rows, bytes)) = written {
            sealed.rows.insert(kind.name(), rows);
            sealed.bytes.insert(kind.name(), bytes);
        }
    }
    fs::remove_file(path).map_err(at("remove the sealed segment", path))?;
    Ok(sealed)
}

/// The event that reports damage, at the time of the segment's last row.
fn recovered(segment: &Segment, stem: &str) -> Option<Event> {
    if segment.torn_bytes == 0 && segment.corrupt_bytes == 0 {
        return None;
    }
    let mut last = segment.origin.anchor.mono_ns;
    segment.rows(|head, _| last = last.max(head.mono_ns));
    let missing = segment.missing_ns();
    let what = EventKind::Recovered {
        segment: stem.to_owned(),
        frames: segment.frames,
        torn_bytes: segment.torn_bytes,
        corrupt_bytes: segment.corrupt_bytes,
        from_ns: missing.map(|(from, _)| from),
        to_ns: missing.map(|(_, to)| to),
    };
    Some(Event { mono_ns: last, cgroup: None, what })
}

/// Writes series as a recording's file, without a journal: what `export` does. All series are of one table.
pub fn write_series(dir: &Path, origin: &Origin, stem: &str, table: Table, series: Vec<Series>) -> Result<u64, Error> {
    write_groups(dir, origin, stem, table, |each: &mut Each<'_, Error>| {
        let (mut group, mut rows) = (Vec::new(), 0);
        for one in series {
            rows += one.len();
            group.push(one);
            if rows >= ROWS {
                each(std::mem::take(&mut group))?;
                rows = 0;
            }
        }
        each(group)
    })
}

/// Writes events as a recording's file: what `import` does with names.
pub fn write_events(dir: &Path, origin: &Origin, stem: &str, events: Vec<TimedEvent>) -> Result<(), Error> {
    Store { dir, origin, stem: stem.to_owned() }.events(events).map(drop)
}

/// Takes the series of a row group.
pub type Each<'a, E> = dyn FnMut(Vec<Series>) -> Result<(), E> + 'a;

/// Writes series as a recording's file, a row group at a time, as `give` has them: what `import` does. A failure, of `give`
/// too, leaves no file.
pub fn write_groups<E: From<Error>>(
    dir: &Path,
    origin: &Origin,
    stem: &str,
    table: Table,
    give: impl FnOnce(&mut Each<'_, E>) -> Result<(), E>,
) -> Result<u64, E> {
    let store = Store { dir, origin, stem: stem.to_owned() };
    let written = store.wide(table, |each| give(&mut |group| each(group).map_err(E::from)));
    Ok(written?.map_or(0, |(rows, _)| rows))
}

type Written = Option<(u64, u64)>;

/// Lag of the row written last, by the time of its pass.
type LastLag = HashMap<i64, u32>;

struct Store<'a> {
    dir: &'a Path,
    origin: &'a Origin,
    stem: String,
}

impl Store<'_> {
    fn folder(&self, kind: TableKind) -> PathBuf {
        let anchor = self.origin.anchor;
        let date = date_of_us(anchor.wall_us(anchor.mono_ns));
        let host = partition_of(&self.origin.host);
        self.dir.join(kind.name()).join(format!("host={host}")).join(format!("date={date}"))
    }

    fn file(&self, kind: TableKind) -> AtomicFile {
        let home = self.folder(kind);
        let path = home.join(format!("{}.parquet", self.stem));
        let temporary = home.join(format!(".{}.parquet.tmp", self.stem));
        AtomicFile { home, path, temporary }
    }

    /// A wide table, a row group a batch. No rows, no file.
    fn wide<E: From<Error>>(
        &self,
        table: Table,
        give: impl FnOnce(&mut Each<'_, Error>) -> Result<(), E>,
    ) -> Result<Written, E> {
        let kind = TableKind::Wide(table);
        let file = self.file(kind);
        let mut writer: Option<SerializedFileWriter<File>> = None;
        let mut rows = 0u64;
        let mut last_lag = LastLag::new();
        give(&mut |series| {
            if series.is_empty() {
                return Ok(());
            }
            let has = |field: &Field| series.iter().any(|s| s.column(field).is_some());
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(file.create(schema(kind), properties(kind, self.origin, has))?),
            };
            rows += series.iter().map(|s| s.len() as u64).sum::<u64>();
            let mut write = || {
                let mut group = writer.next_row_group()?;
                write_group(&mut group, table, &series, &mut last_lag)?;
                group.close().map(drop)
            };
            write().map_err(|source| file.bad(source))
        })?;
        Ok(writer.map(|writer| Ok::<_, Error>((rows, file.publish(writer)?))).transpose()?)
    }

    /// A narrow table of one row group, whose columns `fill` writes by number.
    fn narrow(
        &self,
        kind: TableKind,
        rows: usize,
        mut fill: impl FnMut(usize, &mut SerializedColumnWriter<'_>) -> parquet::errors::Result<()>,
    ) -> Result<Written, Error> {
        if rows == 0 {
            return Ok(None);
        }
        let file = self.file(kind);
        let mut writer = file.create(schema(kind), properties(kind, self.origin, |_| true))?;
        let mut write = || {
            let mut group = writer.next_row_group()?;
            let mut n = 0;
            while let Some(mut column) = group.next_column()? {
                fill(n, &mut column)?;
                column.close()?;
                n += 1;
            }
            group.close().map(drop)
        };
        write().map_err(|source| file.bad(source))?;
        Ok(Some((rows as u64, file.publish(writer)?)))
    }

    fn cgroups(&self, segment: &Segment) -> Result<Written, Error> {
        let subjects = segment.subjects();
        let mut seen: BTreeMap<(&str, u64), (u64, u64, i64)> = BTreeMap::new();
        segment.rows(|head, row| {
            if head.kind.table() == Table::Samples
                && let Some(subject) = subjects.get(&row.subject)
            {
                let entry = seen.entry((&subject.cgroup, subject.id)).or_insert((u64::MAX, 0, 0));
                *entry = (entry.0.min(head.mono_ns), entry.1.max(head.mono_ns), entry.2 + 1);
            }
        });
        let anchor = self.origin.anchor;
        let paths: Vec<ByteArray> = seen.keys().map(|(path, _)| ByteArray::from(*path)).collect();
        let ids: Vec<i64> = seen.keys().map(|(_, id)| *id as i64).collect();
        let first: Vec<i64> = seen.values().map(|(first, _, _)| anchor.wall_us(*first)).collect();
        let last: Vec<i64> = seen.values().map(|(_, last, _)| anchor.wall_us(*last)).collect();
        let counts: Vec<i64> = seen.values().map(|(_, _, count)| *count).collect();
        let mut names = Names::default();
        for event in segment.events() {
            if let (EventKind::Named(identity), Some(cgroup)) = (&event.what, &event.cgroup) {
                names.learn(cgroup, identity);
            }
        }
        let who: Vec<Option<Identity>> = seen.keys().map(|(path, _)| names.of(path, identify)).collect();
        let titles = optional(who.iter().map(|who| who.as_ref()?.title()));
        let whole = optional(who.iter().map(|who| serde_json::to_string(who.as_ref()?).ok()));
        self.narrow(TableKind::Cgroups, seen.len(), |n, column| match n {
            0 => put::<ByteArrayType>(column, &paths, None),
            1 => put::<Int64Type>(column, &ids, None),
            2 => put::<Int64Type>(column, &first, None),
            3 => put::<Int64Type>(column, &last, None),
            4 => put::<Int64Type>(column, &counts, None),
            5 => put::<ByteArrayType>(column, &titles.1, Some(&titles.0)),
            _ => put::<ByteArrayType>(column, &whole.1, Some(&whole.0)),
        })
    }

    fn events(&self, mut events: Vec<TimedEvent>) -> Result<Written, Error> {
        events.sort_by_key(|event| event.time_us);
        let times: Vec<i64> = events.iter().map(|e| e.time_us).collect();
        let mono: Vec<i64> = events.iter().map(|e| e.event.mono_ns as i64).collect();
        let kinds: Vec<ByteArray> = events.iter().map(|e| ByteArray::from(e.event.what.kind())).collect();
        let present: Vec<i16> = events.iter().map(|e| i16::from(e.event.cgroup.is_some())).collect();
        let cgroups: Vec<ByteArray> =
            events.iter().filter_map(|e| e.event.cgroup.as_deref()).map(ByteArray::from).collect();
        let details: Vec<ByteArray> =
            events.iter().map(|e| serde_json::to_vec(&e.event).unwrap_or_default().into()).collect();
        self.narrow(TableKind::Events, events.len(), |n, column| match n {
            0 => put::<Int64Type>(column, &times, None),
            1 => put::<Int64Type>(column, &mono, None),
            2 => put::<ByteArrayType>(column, &kinds, None),
            3 => put::<ByteArrayType>(column, &cgroups, Some(&present)),
            _ => put::<ByteArrayType>(column, &details, None),
        })
    }
}

/// Which rows have a text, and the texts.
fn optional(texts: impl Iterator<Item = Option<String>>) -> (Vec<i16>, Vec<ByteArray>) {
    let texts: Vec<Option<String>> = texts.collect();
    let present = texts.iter().map(|text| i16::from(text.is_some())).collect();
    (present, texts.into_iter().flatten().map(|text| text.into_bytes().into()).collect())
}

fn put<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &[T::T],
    present: Option<&[i16]>,
) -> parquet::errors::Result<()> {
    column.typed::<T>().write_batch(values, present, None).map(drop)
}

fn write_group(
    group: &mut SerializedRowGroupWriter<'_, File>,
    table: Table,
    series: &[Series],
    last_lag: &mut LastLag,
) -> parquet::errors::Result<()> {
    for lead in key_columns(table) {
        let Some(mut column) = group.next_column()? else { break };
        let column_ref = &mut column;
        let each_row = |value: &dyn Fn(&Subject) -> i64| -> Vec<i64> {
            series.iter().flat_map(|s| std::iter::repeat_n(value(&s.subject), s.len())).collect()
        };
        let each_text = |value: &dyn Fn(&Subject) -> String| -> Vec<ByteArray> {
            series
                .iter()
                .flat_map(|s| std::iter::repeat_n(ByteArray::from(value(&s.subject).into_bytes()), s.len()))
                .collect()
        };
        match lead {
            KeyColumn::Cgroup => put::<ByteArrayType>(column_ref, &each_text(&|s| s.cgroup.clone()), None)?,
            KeyColumn::Comm => {
                let comm = |s: &Subject| s.process.as_ref().map_or_else(String::new, |p| p.comm.clone());
                put::<ByteArrayType>(column_ref, &each_text(&comm), None)?;
            }
            KeyColumn::Id => put::<Int64Type>(column_ref, &each_row(&|s| s.id as i64), None)?,
            KeyColumn::Start => {
                let start = |s: &Subject| s.process.as_ref().map_or(0, |p| p.start as i64);
                put::<Int64Type>(column_ref, &each_row(&start), None)?;
            }
            KeyColumn::Pid => {
                let pid = |s: &Subject| s.process.as_ref().map_or(0, |p| i64::from(p.pid));
                let pids: Vec<i32> = each_row(&pid).into_iter().map(|pid| pid as i32).collect();
                put::<Int32Type>(column_ref, &pids, None)?;
            }
            KeyColumn::Time => {
                let times: Vec<i64> = series.iter().flat_map(|s| s.time_us.iter().copied()).collect();
                put::<Int64Type>(column_ref, &times, None)?;
            }
            KeyColumn::Gap => {
                let rows = series.iter().flat_map(|s| s.time_us.iter().zip(&s.lag_us));
                let gap = |(time, lag): (&i64, &u32)| {
                    let before = last_lag.get(time).copied().unwrap_or(0);
                    // Imported rows have no lag and a million times: only what differs is kept.
                    if *lag != before {
                        last_lag.insert(*time, *lag);
                    }
                    lag.wrapping_sub(before) as i32
                };
                let gaps: Vec<i32> = rows.map(gap).collect();
                put::<Int32Type>(column_ref, &gaps, None)?;
            }
        }
        column.close()?;
    }
    let rows: usize = series.iter().map(Series::len).sum();
    let mut present = Vec::with_capacity(rows);
    let mut values: Vec<u64> = Vec::with_capacity(rows);
    for field in fields::of(table) {
        let Some(mut column) = group.next_column()? else { break };
        present.clear();
        values.clear();
        for s in series {
            let base = present.len();
            present.resize(base + s.len(), 0i16);
            if let Some(c) = s.column(field) {
                c.rows.iter().for_each(|&row| present[base + row as usize] = 1);
                values.extend_from_slice(&c.values);
            }
        }
        if field.kind == Kind::Limit {
            let limit = |v: &u64| if *v == UNLIMITED { f64::INFINITY } else { *v as f64 };
            let values: Vec<f64> = values.iter().map(limit).collect();
            put::<DoubleType>(&mut column, &values, Some(&present))?;
        } else {
            let values: Vec<i64> = values.iter().map(|v| i64::try_from(*v).unwrap_or(i64::MAX)).collect();
            put::<Int64Type>(&mut column, &values, Some(&present))?;
        }
        column.close()?;
    }
    Ok(())
}
