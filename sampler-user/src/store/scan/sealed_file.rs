//! A sealed file of a recording.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetStatisticsPolicy, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

use crate::model::fields::Table;
use crate::model::problem::Problem;
use crate::model::recording::{Origin, Series, Subject, TimedEvent};
use crate::store::digest;
use crate::store::error::{Error, at};
use crate::store::scan::columns::{Columns, columns};
use crate::store::scan::group::Group;
use crate::store::scan::group_reader::GroupReader;
use crate::store::scan::prune;
use crate::store::scan::query::Query;
use crate::store::schema::{KeyColumn, ORIGIN, TableKind, VERSION, key_columns};
use crate::store::verified_file::VerifiedFile;

/// A file whose bytes are compared with their checksums.
pub(in crate::store) type Reader = SerializedFileReader<VerifiedFile>;

/// A damaged Parquet file may make the library panic: that is a damaged file, not the end of the program.
pub(in crate::store) fn guarded(path: &Path, read: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(bad(path, contradiction())))
}

fn contradiction() -> ParquetError {
    ParquetError::General("its metadata contradict its content".into())
}

fn bad(path: &Path, source: ParquetError) -> Error {
    Error::Parquet { operation: "read", path: path.to_owned(), source }
}

/// Opens a file. Of its footer only what is needed is decoded: of a wide table the first and last time and cgroup, of events
/// their times.
pub(in crate::store) fn open(path: &Path, kind: Option<TableKind>) -> Result<Reader, Error> {
    let file = File::open(path).map_err(at("open", path))?;
    let length = file.metadata().map_err(at("read the size of", path))?.len();
    match ends(&file, length).map_err(at("read", path))? {
        (true, true) => {}
        (true, false) => return Err(Error::Cut { path: path.to_owned() }),
        (false, _) => return Err(Error::NotParquet { path: path.to_owned() }),
    }
    let damaged = || Error::Footer { path: path.to_owned() };
    if digest::is_footer_whole(&file, length).map_err(at("read", path))? != Some(true) {
        return Err(damaged());
    }
    let bounds: Vec<usize> = match kind {
        Some(TableKind::Wide(table)) => {
            let leads = key_columns(table).iter().enumerate();
            leads.filter(|(_, lead)| matches!(lead, KeyColumn::Time | KeyColumn::Cgroup)).map(|(at, _)| at).collect()
        }
        Some(TableKind::Events) => vec![0],
        _ => Vec::new(),
    };
    let options = ReadOptionsBuilder::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::skip_except(&bounds))
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .build();
    let (file, checksums) = VerifiedFile::new(file, length);
    let reader = SerializedFileReader::new_with_options(file, options).map_err(|source| bad(path, source))?;
    let digits = pair(&reader, digest::CHUNKS);
    checksums.take(reader.metadata(), digits.as_deref()).map_err(|source| bad(path, source))?;
    Ok(reader)
}

/// Whether a file begins and ends as Parquet does.
fn ends(file: &File, length: u64) -> io::Result<(bool, bool)> {
    const MAGIC: &[u8] = b"PAR1";
    if length < 4 {
        return Ok((false, false));
    }
    let (mut first, mut last) = ([0; 4], [0; 4]);
    file.read_exact_at(&mut first, 0)?;
    file.read_exact_at(&mut last, length - 4)?;
    Ok((first == MAGIC, last == MAGIC && length > 12))
}

/// Where and how a file was recorded.
pub(super) fn origin_in(reader: &Reader) -> Option<Origin> {
    serde_json::from_str(&pair(reader, ORIGIN)?).ok()
}

/// A text of a file's metadata.
pub(in crate::store) fn pair(reader: &Reader, key: &str) -> Option<String> {
    let pairs = reader.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone())
}

/// The same, of a file that may be damaged.
pub(super) fn origin_of(path: &Path) -> Option<Origin> {
    let mut origin = None;
    let read = guarded(path, || {
        origin = origin_in(&open(path, None)?);
        Ok(())
    });
    read.ok()?;
    origin
}

/// Refuses a table that is not ours, with a way out.
fn check(reader: &Reader, columns: &Columns, path: &Path, table: Table) -> Result<(), Error> {
    let version = pair(reader, "sampler.schema_version").and_then(|version| version.parse::<u32>().ok());
    if let Some(found) = version.filter(|version| *version > VERSION) {
        return Err(Error::TooNew { path: path.to_owned(), found });
    }
    let needed: &[KeyColumn] =
        if table == Table::Host { &[KeyColumn::Time] } else { &[KeyColumn::Cgroup, KeyColumn::Time] };
    match needed.iter().find(|lead| !columns.contains_key(lead.name())) {
        Some(lead) => Err(Error::Foreign { path: path.to_owned(), column: lead.name() }),
        None => Ok(()),
    }
}

/// Which subjects are read.
type Wants<'a> = &'a dyn Fn(&Subject) -> bool;

/// Reads a file of a wide table; returns its first and last time, as far as the footer has them. A row group or a column of
/// one that cannot be read becomes a problem, and the others are read.
pub(super) fn read_wide(
    path: &Path,
    table: Table,
    query: &Query<'_>,
    (wanted, only): (Wants<'_>, Option<&str>),
    each: &mut dyn FnMut(Series),
    problems: &mut Vec<Problem>,
) -> Result<Option<(i64, i64)>, Error> {
    let reader = open(path, Some(TableKind::Wide(table)))?;
    let columns = columns(reader.metadata());
    check(&reader, &columns, path, table)?;
    let mut read = GroupReader::new(&columns, table, query, wanted);
    for at in 0..reader.num_row_groups() {
        let whole = group_of(&reader, at, |group| {
            if !prune::may_hold(group, &columns, table, (query, only)) {
                return Ok(());
            }
            read.read(group, each)
        });
        let lost = read.damaged.drain(..).map(|(column, error)| (Some(column), error));
        let lost: Vec<_> = lost.chain(whole.err().map(|error| (None, error))).collect();
        if lost.iter().any(|(column, _)| column.is_none()) {
            read.forget_lags();
        }
        problems.extend(lost.into_iter().map(|(column, error)| problem(path, &reader, &columns, at, (column, &error))));
    }
    let spans = reader.metadata().row_groups().iter().map(|group| prune::span(group, &columns));
    Ok(spans.reduce(|a, b| a.zip(b).map(|((a, z), (b, y))| (a.min(b), z.max(y)))).flatten())
}

/// Reads a row group, which may make the library panic.
fn group_of(
    reader: &Reader,
    at: usize,
    read: impl FnOnce(&dyn RowGroupReader) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let read = || read(&*reader.get_row_group(at)?);
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(contradiction()))
}

/// A row group, or a column of one, that cannot be read.
fn problem(
    path: &Path,
    reader: &Reader,
    columns: &Columns,
    at: usize,
    (column, error): (Option<&str>, &ParquetError),
) -> Problem {
    let group: &RowGroupMetaData = reader.metadata().row_group(at);
    let span = prune::span(group, columns);
    let error = error.to_string();
    let error = error.strip_prefix("Parquet error: ").unwrap_or(&error);
    let what = if column.is_some() { "a column cannot be read" } else { "rows cannot be read" };
    Problem {
        place: Some(format!("row group {} of {}", at + 1, reader.num_row_groups())),
        columns: column.into_iter().map(str::to_owned).collect(),
        rows: u64::try_from(group.num_rows()).ok(),
        from_us: span.map(|(first, _)| first),
        to_us: span.map(|(_, last)| last),
        ..Problem::new(path.display().to_string(), format!("{what}: {error}"))
    }
}

/// Reads a file of events.
pub(super) fn read_events(path: &Path, events: &mut Vec<TimedEvent>, problems: &mut Vec<Problem>) -> Result<(), Error> {
    let reader = open(path, Some(TableKind::Events))?;
    let columns = columns(reader.metadata());
    for at in 0..reader.num_row_groups() {
        let read = group_of(&reader, at, |group| {
            let group = Group::new(group, &columns);
            let (Some(times), Some(details)) = (group.integers("time")?, group.texts("detail")?) else {
                return Err(ParquetError::General("there is no column `time` or `detail`".into()));
            };
            for (time_us, detail) in times.into_iter().zip(details) {
                // An event of a newer version is stepped over.
                events.extend(serde_json::from_slice(detail.data()).ok().map(|event| TimedEvent { time_us, event }));
            }
            Ok(())
        });
        problems.extend(read.err().map(|error| problem(path, &reader, &columns, at, (None, &error))));
    }
    Ok(())
}
