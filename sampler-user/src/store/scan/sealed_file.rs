//! A sealed file of a recording.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetStatisticsPolicy;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

use crate::model::fields::Table;
use crate::model::recording::{Origin, Series, Subject, TimedEvent};
use crate::store::error::{Error, at};
use crate::store::scan::columns::{Columns, columns};
use crate::store::scan::group::Group;
use crate::store::scan::group_reader::GroupReader;
use crate::store::scan::prune;
use crate::store::scan::query::Query;
use crate::store::schema::{KeyColumn, ORIGIN, VERSION, key_columns};

/// A damaged Parquet file may make the library panic: that is a damaged file, not the end of the program.
pub(super) fn guarded(path: &Path, read: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let source = ParquetError::General("the file's metadata contradicts its content".into());
        Err(Error::Parquet { operation: "read", path: path.to_owned(), source })
    })
}

/// Opens a file. Of its footer only what is needed is decoded: of a wide table the first and last time and cgroup.
pub(super) fn open(path: &Path, table: Option<Table>) -> Result<SerializedFileReader<File>, Error> {
    let file = File::open(path).map_err(at("open", path))?;
    let ends = ends(&file);
    let bounds = table.into_iter().flat_map(|table| key_columns(table).iter().enumerate());
    let bounds = bounds.filter(|(_, lead)| matches!(lead, KeyColumn::Time | KeyColumn::Cgroup)).map(|(at, _)| at);
    let bounds: Vec<usize> = bounds.collect();
    let options = ReadOptionsBuilder::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::skip_except(&bounds))
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .build();
    SerializedFileReader::new_with_options(file, options).map_err(|source| match ends {
        Ok((true, true)) => Error::Parquet { operation: "read", path: path.to_owned(), source },
        Ok((true, false)) => Error::Cut { path: path.to_owned() },
        Ok((false, _)) => Error::NotParquet { path: path.to_owned() },
        Err(source) => Error::Io { operation: "read", path: path.to_owned(), source },
    })
}

/// Whether a file begins and ends as Parquet does.
fn ends(file: &File) -> io::Result<(bool, bool)> {
    const MAGIC: &[u8] = b"PAR1";
    let length = file.metadata()?.len();
    if length < 4 {
        return Ok((false, false));
    }
    let (mut first, mut last) = ([0; 4], [0; 4]);
    file.read_exact_at(&mut first, 0)?;
    file.read_exact_at(&mut last, length - 4)?;
    Ok((first == MAGIC, last == MAGIC && length > 12))
}

/// Where and how a file was recorded.
pub(super) fn origin_in(reader: &SerializedFileReader<File>) -> Option<Origin> {
    serde_json::from_str(&pair(reader, ORIGIN)?).ok()
}

/// A text of a file's metadata.
fn pair(reader: &SerializedFileReader<File>, key: &str) -> Option<String> {
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
fn check(reader: &SerializedFileReader<File>, columns: &Columns, path: &Path, table: Table) -> Result<(), Error> {
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

/// Reads a file of a wide table; returns its first and last time, as far as the footer has them.
pub(super) fn read_wide(
    path: &Path,
    table: Table,
    query: &Query<'_>,
    wanted: &dyn Fn(&Subject) -> bool,
    only: Option<&str>,
    each: &mut dyn FnMut(Series),
) -> Result<Option<(i64, i64)>, Error> {
    let reader = open(path, Some(table))?;
    let bad = |source| Error::Parquet { operation: "read", path: path.to_owned(), source };
    let columns = columns(reader.metadata());
    check(&reader, &columns, path, table)?;
    let mut read = GroupReader::new(&columns, table, query, wanted);
    for at in 0..reader.num_row_groups() {
        let group = reader.get_row_group(at).map_err(bad)?;
        if !prune::may_hold(&*group, &columns, table, (query, only)) {
            continue;
        }
        read.read(&*group, each).map_err(bad)?;
    }
    let spans = reader.metadata().row_groups().iter().map(|group| prune::span(group, &columns));
    Ok(spans.reduce(|a, b| a.zip(b).map(|((a, z), (b, y))| (a.min(b), z.max(y)))).flatten())
}

/// Reads a file of events.
pub(super) fn read_events(path: &Path, events: &mut Vec<TimedEvent>) -> Result<(), Error> {
    let reader = open(path, None)?;
    let bad = |source| Error::Parquet { operation: "read", path: path.to_owned(), source };
    let columns = columns(reader.metadata());
    for at in 0..reader.num_row_groups() {
        let reader = reader.get_row_group(at).map_err(bad)?;
        let group = Group::new(&*reader, &columns);
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
