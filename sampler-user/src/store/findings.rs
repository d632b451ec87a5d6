//! Findings as Parquet: `DIR/<table>/host=<host>/date=<day>/<first moment>.parquet`, each file whole or not there.
//!
//! The same findings of the same host and day have the same name and the same bytes, so that a job that is run again replaces what it
//! wrote before.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::TypePtr;

use crate::model::findings::{Column, Kind, Row, VERSION, Value};
use crate::model::problem::Problem;
use crate::model::time::{date_of_us, format_us};
use crate::store::atomic_file::AtomicFile;
use crate::store::error::Error;
use crate::store::layout::partition_of;
use crate::store::retention::files;
use crate::store::scan::columns::columns;
use crate::store::scan::sealed_file::{guarded, open, pair};
use crate::store::schema::{column, schema_of};

/// Key of the version of the tables.
const VERSION_KEY: &str = "sampler.findings_version";
/// Rows of a row group.
const ROWS: usize = 16 << 10;

/// Writes rows below a folder, a file a host and day; returns the files.
///
/// # Errors
/// A folder or a file that cannot be written.
pub fn write<R: Row>(dir: &Path, rows: &[R]) -> Result<Vec<PathBuf>, Error> {
    let mut parts: BTreeMap<(String, String), Vec<&R>> = BTreeMap::new();
    for row in rows {
        let (host, time_us) = row.place();
        parts.entry((partition_of(host), date_of_us(time_us))).or_default().push(row);
    }
    parts.into_iter().map(|((host, date), rows)| write_part(dir, &host, &date, &rows)).collect()
}

fn write_part<R: Row>(dir: &Path, host: &str, date: &str, rows: &[&R]) -> Result<PathBuf, Error> {
    let first = rows.iter().map(|row| row.place().1).min().unwrap_or_default();
    let stem: String = format_us(first).chars().filter(char::is_ascii_alphanumeric).collect();
    let home = dir.join(R::TABLE).join(format!("host={host}")).join(format!("date={date}"));
    let path = home.join(format!("{stem}.parquet"));
    let temporary = home.join(format!(".{stem}.{}.parquet.tmp", std::process::id()));
    let file = AtomicFile { home, path, temporary };
    let mut writer = file.create(schema::<R>(), properties())?;
    rows.chunks(ROWS).try_for_each(|rows| write_group(&mut writer, rows)).map_err(|source| file.bad(source))?;
    file.publish(writer)?;
    Ok(file.path.clone())
}

fn schema<R: Row>() -> TypePtr {
    let one = |of: &Column| -> TypePtr {
        let (physical, logical) = match of.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Int => (Physical::INT64, None),
            Kind::Float => (Physical::DOUBLE, None),
            Kind::Bool => (Physical::BOOLEAN, None),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        };
        column(of.name, physical, logical, if of.required { Repetition::REQUIRED } else { Repetition::OPTIONAL })
    };
    schema_of(R::TABLE, R::COLUMNS.iter().map(one).collect())
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(format!("sampler {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![KeyValue::new(VERSION_KEY.into(), VERSION.to_string())]))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build()
}

fn write_group<R: Row>(writer: &mut SerializedFileWriter<File>, rows: &[&R]) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    let mut at = 0;
    while let Some(mut writer) = group.next_column()? {
        let cells: Vec<Option<Value>> = rows.iter().map(|row| row.cell(at)).collect();
        put(&mut writer, &R::COLUMNS[at], &cells)?;
        writer.close()?;
        at += 1;
    }
    group.close().map(drop)
}

fn put(writer: &mut SerializedColumnWriter<'_>, of: &Column, cells: &[Option<Value>]) -> Result<(), ParquetError> {
    let present: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let present = (!of.required).then_some(&present[..]);
    let cells = cells.iter().flatten();
    match of.kind {
        Kind::Text => {
            let texts: Vec<ByteArray> =
                cells.map(|cell| if let Value::Text(text) = cell { text.as_str().into() } else { "".into() }).collect();
            writer.typed::<ByteArrayType>().write_batch(&texts, present, None)
        }
        Kind::Int | Kind::Time => {
            let numbers: Vec<i64> = cells.map(|cell| if let Value::Int(n) = cell { *n } else { 0 }).collect();
            writer.typed::<Int64Type>().write_batch(&numbers, present, None)
        }
        Kind::Float => {
            let numbers: Vec<f64> = cells.map(|cell| if let Value::Float(n) = cell { *n } else { 0.0 }).collect();
            writer.typed::<DoubleType>().write_batch(&numbers, present, None)
        }
        Kind::Bool => {
            let words: Vec<bool> = cells.map(|cell| matches!(cell, Value::Bool(true))).collect();
            writer.typed::<BoolType>().write_batch(&words, present, None)
        }
    }
    .map(drop)
}

/// The files of a table below a folder of findings, or the file itself, in the order of their paths.
pub fn files_of<R: Row>(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        let is_of = path.components().any(|part| part.as_os_str() == R::TABLE);
        return if is_of { vec![path.to_owned()] } else { Vec::new() };
    }
    files(&path.join(R::TABLE)).into_iter().map(|(_, file)| file).collect()
}

/// Gives the rows of a file to `each`. What cannot be read becomes a problem.
pub fn read<R: Row>(path: &Path, problems: &mut Vec<Problem>, mut each: impl FnMut(R)) {
    let result = guarded(path, || {
        let reader = open(path, None)?;
        let version = pair(&reader, VERSION_KEY).and_then(|version| version.parse::<u32>().ok());
        match version {
            Some(found) if found > VERSION => return Err(Error::TooNew { path: path.to_owned(), found }),
            Some(_) => {}
            None => return Err(Error::NoFindings { path: path.to_owned() }),
        }
        let known = columns(reader.metadata());
        let place: Vec<Option<usize>> = R::COLUMNS.iter().map(|of| known.get(of.name).copied()).collect();
        for at in 0..reader.num_row_groups() {
            let bad = |source| Error::Parquet { operation: "read", path: path.to_owned(), source };
            let group = reader.get_row_group(at).map_err(bad)?;
            let rows = group.metadata().num_rows() as usize;
            let read = |of: &Option<usize>| of.map(|of| cells(&*group, of, rows)).transpose();
            let mut columns = place.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(bad)?;
            for _ in 0..rows {
                // Each row takes one cell of each column, in order.
                let row = R::of(|column| columns.get_mut(column)?.as_mut()?.next()?);
                match row {
                    Ok(row) => each(row),
                    Err(column) => {
                        return Err(bad(ParquetError::General(format!("a row has no `{column}`"))));
                    }
                }
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        let why = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
        Problem::add(problems, Problem::new(path.display().to_string(), format!("{error}{why}")));
    }
}

/// The cells of a column of a row group.
fn cells(
    group: &dyn RowGroupReader,
    at: usize,
    rows: usize,
) -> Result<Box<dyn Iterator<Item = Option<Value>>>, ParquetError> {
    Ok(match group.get_column_reader(at)? {
        ColumnReader::ByteArrayColumnReader(reader) => {
            let text = |bytes: ByteArray| Value::Text(String::from_utf8_lossy(bytes.data()).into_owned());
            spread(reader, rows, text)?
        }
        ColumnReader::Int64ColumnReader(reader) => spread(reader, rows, Value::Int)?,
        ColumnReader::DoubleColumnReader(reader) => spread(reader, rows, Value::Float)?,
        ColumnReader::BoolColumnReader(reader) => spread(reader, rows, Value::Bool)?,
        _ => return Err(ParquetError::General("a column has a type that no version writes".into())),
    })
}

/// Values with their absences.
fn spread<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    of: impl Fn(T::T) -> Value + 'static,
) -> Result<Box<dyn Iterator<Item = Option<Value>>>, ParquetError>
where
    T::T: 'static,
{
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let (records, _, _) = reader.read_records(rows - read, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::General("it has fewer values than rows".into()));
        }
        read += records;
    }
    let is_required = levels.is_empty();
    let mut values = values.into_iter();
    let mut levels = levels.into_iter();
    let mut next = move || if is_required || levels.next()? > 0 { values.next().map(&of) } else { None };
    Ok(Box::new(std::iter::from_fn(move || Some(next())).take(rows)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::findings::LifeRow;
    use crate::model::findings::cell::Moment;

    fn row(host: &str, day: i64, n: u64) -> LifeRow {
        LifeRow {
            host: host.into(),
            cgroup: format!("/docker/{n}"),
            cgroup_id: n,
            first_seen: Moment(day * 86_400_000_000 + n as i64),
            version: n.is_multiple_of(2).then(|| format!("1.{n}")),
            rate: n.is_multiple_of(3).then_some(n as f64 / 7.0),
            alarm: n.is_multiple_of(5),
            ..LifeRow::default()
        }
    }

    fn read_all(dir: &Path) -> (Vec<LifeRow>, Vec<Problem>) {
        let (mut rows, mut problems) = (Vec::new(), Vec::new());
        for file in files_of::<LifeRow>(dir) {
            read(&file, &mut problems, |row| rows.push(row));
        }
        (rows, problems)
    }

    #[test]
    fn rows_come_back_as_they_were_a_file_a_host_and_day_and_again_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = Vec::new();
        // By moment, then by path: as files are listed.
        for (host, day) in [("a", 20_000), ("b/../c", 20_000), ("a", 20_001)] {
            rows.extend((0..17).map(|n| row(host, day, n)));
        }
        let files = write(dir.path(), &rows).unwrap();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|file| file.starts_with(dir.path().join("lives"))), "{files:?}");
        let (back, problems) = read_all(dir.path());
        assert_eq!((back, problems), (rows.clone(), Vec::new()));
        let before: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        assert_eq!(write(dir.path(), &rows).unwrap(), files);
        let after: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        assert_eq!(before, after);
        assert_eq!(std::fs::read_dir(files[0].parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_damaged_file_is_a_problem_and_costs_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<LifeRow> = ["a", "b"].iter().flat_map(|host| (0..9).map(|n| row(host, 20_000, n))).collect();
        let files = write(dir.path(), &rows).unwrap();
        let whole = std::fs::read(&files[0]).unwrap();
        for at in (0..whole.len()).step_by(97) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&files[0], &bytes).unwrap();
            let (back, problems) = read_all(dir.path());
            assert_eq!(back[back.len() - 9..], rows[9..], "byte {at}");
            assert!(problems.len() == 1 || back == rows, "byte {at}: {problems:?}");
        }
        std::fs::write(&files[0], "no Parquet").unwrap();
        assert_eq!(read_all(dir.path()).1.len(), 1);
    }
}
