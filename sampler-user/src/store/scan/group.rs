//! A row group as series: the runs of rows of one subject, and their columns.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::RowGroupReader;

use crate::model::fields;
use crate::model::fields::{Field, Kind, Table, UNLIMITED};
use crate::model::recording::{Column, ProcessKey, Rows, Series, Subject};
use crate::store::scan::Query;
use crate::store::scan::pages::{self, Chunk, Entry, Form, cut};
use crate::store::schema::Lead;

/// Columns of a file by name.
pub type Columns = HashMap<String, usize>;

/// The columns of a file.
pub fn columns(metadata: &ParquetMetaData) -> Columns {
    let columns = metadata.file_metadata().schema_descr().columns();
    columns.iter().enumerate().map(|(at, column)| (column.path().string(), at)).collect()
}

/// Values of a column and, where it may be null, which rows have one.
type Values<T> = (Vec<T>, Option<Vec<i16>>);

/// The columns of one row group, by name.
pub struct Group<'a> {
    reader: &'a dyn RowGroupReader,
    columns: &'a Columns,
    rows: usize,
}

impl<'a> Group<'a> {
    /// A group of a file with these columns.
    pub fn new(reader: &'a dyn RowGroupReader, columns: &'a Columns) -> Group<'a> {
        let rows = usize::try_from(reader.metadata().num_rows()).unwrap_or(0);
        Group { reader, columns, rows }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.columns.get(name).copied()
    }

    fn form(&self, at: usize, value: fn(u64) -> u64) -> Form {
        let column = self.reader.metadata().column(at).column_descr();
        Form { physical: column.physical_type(), nullable: column.max_def_level() > 0, value }
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

    /// A column of whole numbers without nulls.
    pub fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, ParquetError> {
        let Some(at) = self.find(name) else { return Ok(None) };
        let all = |present: Option<Vec<i16>>| present.is_none_or(|p| p.iter().all(|level| *level > 0));
        let (values, present) = match self.form(at, |word| word).physical {
            Physical::INT32 => {
                let (values, present) = self.read::<Int32Type>(at)?;
                (values.into_iter().map(i64::from).collect(), present)
            }
            Physical::INT64 => self.read::<Int64Type>(at)?,
            _ => return Err(ParquetError::General(format!("column {name} is not of integers"))),
        };
        if all(present) { Ok(Some(values)) } else { Err(ParquetError::General(format!("column {name} has nulls"))) }
    }

    /// A column of texts without nulls.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<ByteArray>>, ParquetError> {
        let Some(at) = self.find(name) else { return Ok(None) };
        if self.form(at, |word| word).physical != Physical::BYTE_ARRAY {
            return Err(ParquetError::General(format!("column {name} is not text")));
        }
        let (values, _) = self.read::<ByteArrayType>(at)?;
        Ok((values.len() == self.rows).then_some(values))
    }

    /// Times of the rows that are wanted.
    fn times(&self, chunk: &mut Chunk) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("no column `time`".into());
        let at = self.find(Lead::Time.name()).ok_or_else(missing)?;
        let form = self.form(at, |word| word);
        if form.physical == Physical::INT64 && !form.nullable {
            let mut pages = self.reader.get_column_page_reader(at)?;
            if chunk.read(&mut *pages, form, self.rows)? {
                return Ok(());
            }
        }
        let times = self.integers(Lead::Time.name())?.ok_or_else(missing)?;
        chunk.take(None, times.into_iter().map(|time| time as u64), self.rows);
        Ok(())
    }

    /// A column of which each subject has one value.
    fn labels<T: Clone + PartialEq>(
        &self,
        lead: Lead,
        physical: Physical,
        entry: Entry<T>,
        otherwise: impl FnOnce() -> Result<Option<Vec<T>>, ParquetError>,
    ) -> Result<Option<Runs<T>>, ParquetError> {
        let Some(at) = self.find(lead.name()) else { return Ok(None) };
        let form = self.form(at, |word| word);
        if form.physical == physical && !form.nullable {
            let mut pages = self.reader.get_column_page_reader(at)?;
            if let Some(values) = pages::labels(&mut *pages, self.rows, entry)? {
                return Ok(Some(Runs::of(values.into_iter())));
            }
        }
        Ok(otherwise()?.map(|values| Runs::of(values.into_iter().map(|value| (value, 1)))))
    }

    fn names(&self, lead: Lead) -> Result<Option<Runs<String>>, ParquetError> {
        let text = |bytes: ByteArray| String::from_utf8_lossy(bytes.data()).into_owned();
        let all = || Ok(self.texts(lead.name())?.map(|texts| texts.into_iter().map(text).collect()));
        self.labels(lead, Physical::BYTE_ARRAY, pages::text, all)
    }

    fn numbers(&self, lead: Lead) -> Result<Option<Runs<i64>>, ParquetError> {
        self.labels(lead, Physical::INT64, pages::number, || self.integers(lead.name()))
    }

    /// A field's column.
    fn field(&self, at: usize, field: &Field, chunk: &mut Chunk) -> Result<(), ParquetError> {
        let value: fn(u64) -> u64 = match (self.form(at, |word| word).physical, field.kind) {
            (Physical::DOUBLE, Kind::Limit) => |word| match f64::from_bits(word) {
                v if v.is_infinite() => UNLIMITED,
                v => v.max(0.0) as u64,
            },
            (Physical::DOUBLE, _) => |word| f64::from_bits(word).max(0.0) as u64,
            _ => |word| (word as i64).max(0) as u64,
        };
        let form = self.form(at, value);
        if matches!(form.physical, Physical::INT64 | Physical::DOUBLE) {
            let mut pages = self.reader.get_column_page_reader(at)?;
            if chunk.read(&mut *pages, form, self.rows)? {
                return Ok(());
            }
        }
        match self.reader.get_column_reader(at)? {
            ColumnReader::DoubleColumnReader(_) => {
                let (values, present) = self.read::<DoubleType>(at)?;
                chunk.take(present.as_deref(), values.into_iter().map(|v| value(v.to_bits())), self.rows);
            }
            ColumnReader::Int64ColumnReader(_) => {
                let (values, present) = self.read::<Int64Type>(at)?;
                chunk.take(present.as_deref(), values.into_iter().map(|v| value(v as u64)), self.rows);
            }
            ColumnReader::Int32ColumnReader(_) => {
                let (values, present) = self.read::<Int32Type>(at)?;
                chunk.take(present.as_deref(), values.into_iter().map(|v| value(i64::from(v) as u64)), self.rows);
            }
            _ => return Err(ParquetError::General(format!("column {} is not of numbers", field.column))),
        }
        Ok(())
    }
}

/// A column whose values go on for many rows.
struct Runs<T> {
    ends: Vec<usize>,
    values: Vec<T>,
}

impl<T: PartialEq> Runs<T> {
    /// Values with the rows each goes on for.
    fn of(values: impl Iterator<Item = (T, usize)>) -> Runs<T> {
        let mut runs = Runs { ends: Vec::new(), values: Vec::new() };
        values.for_each(|(value, count)| runs.add(value, count));
        runs
    }

    fn add(&mut self, value: T, count: usize) {
        let end = self.ends.last().copied().unwrap_or(0) + count;
        match (self.ends.last_mut(), self.values.last()) {
            (Some(last), Some(known)) if *known == value => *last = end,
            _ => {
                self.ends.push(end);
                self.values.push(value);
            }
        }
    }

    fn at(&self, row: usize) -> Option<&T> {
        self.values.get(self.ends.partition_point(|end| *end <= row))
    }
}

/// Reads the row groups of a file, one after the other.
pub struct ReadGroups<'a> {
    columns: &'a Columns,
    table: Table,
    query: &'a Query<'a>,
    wanted: &'a dyn Fn(&Subject) -> bool,
    /// Lag of the row read last, by the time of its pass.
    last_lag: Option<HashMap<i64, i64>>,
    chunk: Chunk,
}

impl<'a> ReadGroups<'a> {
    /// A reader of the groups of a file with these columns.
    pub fn new(
        columns: &'a Columns,
        table: Table,
        query: &'a Query<'a>,
        wanted: &'a dyn Fn(&Subject) -> bool,
    ) -> ReadGroups<'a> {
        let last_lag = query.lags.then(HashMap::new);
        ReadGroups { columns, table, query, wanted, last_lag, chunk: Chunk::default() }
    }

    /// Gives the series of a group to `each`.
    pub fn read(&mut self, reader: &dyn RowGroupReader, each: &mut dyn FnMut(Series)) -> Result<(), ParquetError> {
        let group = Group::new(reader, self.columns);
        let lags = self.lags(&group)?;
        let mut runs = self.runs(&group)?;
        if runs.is_empty() {
            return Ok(());
        }
        let chunk = &mut self.chunk;
        chunk.want(runs.iter().map(|(rows, _)| rows.clone()));
        group.times(chunk)?;
        let mut times = chunk.values.iter().map(|time| *time as i64);
        runs.retain_mut(|(rows, series)| {
            series.time_us.extend(times.by_ref().take(rows.len()));
            // In order but in a file of somebody else: only the rows of the time that is asked for are read.
            if series.time_us.is_sorted() {
                let count = |end: i64| series.time_us.partition_point(|time| *time < end);
                let (from, to) = (count(self.query.time.start), count(self.query.time.end));
                *rows = rows.start + from..rows.start + to;
                series.time_us.truncate(to);
                series.time_us.drain(..from);
            }
            series.lag_us = lags.as_ref().map_or_else(|| vec![0; rows.len()], |lags| lags[rows.clone()].to_vec());
            rows.start < rows.end
        });
        chunk.want(runs.iter().map(|(rows, _)| rows.clone()));
        let mut known: Vec<Presence> = Vec::new();
        let query = self.query.fields;
        for field in fields::of(self.table).filter(|field| query.is_empty() || query.contains(&field.id)) {
            let Some(at) = group.find(field.column) else { continue };
            group.field(at, field, chunk)?;
            if chunk.values.is_empty() {
                continue;
            }
            let presence = match known.iter().position(|known| known.bits == chunk.present) {
                Some(at) => &known[at],
                None => {
                    known.push(Presence::of(&chunk.present, &runs));
                    &known[known.len() - 1]
                }
            };
            for ((_, series), (rows, values)) in runs.iter_mut().zip(&presence.runs) {
                let Some(values) = chunk.values.get(values.clone()) else {
                    return Err(ParquetError::General("a column has fewer values than its rows say".into()));
                };
                if !values.is_empty() {
                    series.columns[field.slot] =
                        Some(Column { rows: Rows::Shared(rows.clone()), values: values.to_vec() });
                }
            }
        }
        for (_, mut series) in runs {
            series.clip(self.query.time.start, self.query.time.end);
            each(series);
        }
        Ok(())
    }

    /// When within its pass each row was read, if that is asked for: each rests on the rows before it, in the groups before too.
    fn lags(&mut self, group: &Group<'_>) -> Result<Option<Vec<u32>>, ParquetError> {
        let Some(last_lag) = &mut self.last_lag else { return Ok(None) };
        let Some(gaps) = group.integers(Lead::Gap.name())? else { return Ok(None) };
        self.chunk.want(std::iter::once(0..group.rows));
        group.times(&mut self.chunk)?;
        let add = |(time, gap): (&u64, i64)| {
            let lag = last_lag.entry(*time as i64).or_insert(0);
            *lag = lag.wrapping_add(gap);
            *lag as u32
        };
        Ok(Some(self.chunk.values.iter().zip(gaps).map(add).collect()))
    }

    /// Runs of rows of one subject that is wanted, as series without rows.
    fn runs(&self, group: &Group<'_>) -> Result<Vec<(Range<usize>, Series)>, ParquetError> {
        let cgroups = if self.table == Table::Host { None } else { group.names(Lead::Cgroup)? };
        let ids = group.numbers(Lead::Id)?;
        let pids = group.integers(Lead::Pid.name())?;
        let process = match (pids, group.integers(Lead::Start.name())?, group.names(Lead::Comm)?) {
            (Some(pids), Some(starts), Some(comms)) => {
                Some((Runs::of(pids.into_iter().zip(starts).map(|key| (key, 1))), comms))
            }
            _ => None,
        };
        let mut ends = vec![group.rows];
        ends.extend(cgroups.iter().flat_map(|runs| &runs.ends));
        ends.extend(ids.iter().flat_map(|runs| &runs.ends));
        ends.extend(process.iter().flat_map(|(keys, comms)| keys.ends.iter().chain(&comms.ends)));
        ends.sort_unstable();
        ends.dedup();
        let mut runs = Vec::new();
        let mut from = 0;
        for to in ends {
            let subject = Subject {
                cgroup: cgroups.as_ref().and_then(|runs| runs.at(from)).cloned().unwrap_or_default(),
                id: ids.as_ref().and_then(|runs| runs.at(from)).map_or(0, |id| *id as u64),
                process: process.as_ref().and_then(|(keys, comms)| {
                    let (pid, start) = keys.at(from)?;
                    Some(ProcessKey { pid: *pid as i32, start: *start as u64, comm: comms.at(from)?.clone() })
                }),
            };
            if to > from && (self.wanted)(&subject) {
                runs.push((from..to, Series::new(Arc::new(subject), self.table)));
            }
            from = to;
        }
        Ok(runs)
    }
}

/// The rows of each run that have a value, and where their values are among those that were read. Fields of one file have the
/// same.
struct Presence {
    bits: Vec<u64>,
    runs: Vec<(Arc<[u32]>, Range<usize>)>,
}

impl Presence {
    fn of(bits: &[u64], runs: &[(Range<usize>, Series)]) -> Presence {
        let mut value = 0;
        let each = runs.iter().map(|(range, _)| {
            let mut rows = Vec::with_capacity(range.len());
            for (at, &word) in bits.iter().enumerate().take(range.end.div_ceil(64)).skip(range.start / 64) {
                let mut word = cut(word, at, range);
                while word != 0 {
                    rows.push((at * 64 + word.trailing_zeros() as usize - range.start) as u32);
                    word &= word - 1;
                }
            }
            let from = value;
            value += rows.len();
            (Arc::from(rows), from..value)
        });
        Presence { runs: each.collect(), bits: bits.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use parquet::basic::{Compression, Encoding, ZstdLevel};
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use proptest::prelude::*;

    use super::*;

    /// A file of one nullable column of whole numbers, one of limits, one of numbers without nulls and one of names.
    fn write(
        rows: &[(Option<i64>, Option<f64>, i64, u8)],
        delta: bool,
        dictionary: bool,
        version: WriterVersion,
        page: usize,
    ) -> std::fs::File {
        let schema =
            "message m { optional int64 a; optional double max; required int64 time; required binary cgroup (UTF8); }";
        let mut builder = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_writer_version(version)
            .set_data_page_row_count_limit(page)
            .set_write_batch_size(7)
            .set_dictionary_enabled(dictionary);
        if delta {
            for name in ["a", "time"] {
                builder = builder.set_column_dictionary_enabled(name.into(), false);
                builder = builder.set_column_encoding(name.into(), Encoding::DELTA_BINARY_PACKED);
            }
        }
        let file = tempfile::tempfile().unwrap();
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(file.try_clone().unwrap(), schema, builder.build().into()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let level = |there: bool| i16::from(there);
        let (a, la): (Vec<i64>, Vec<i16>) =
            (rows.iter().filter_map(|r| r.0).collect(), rows.iter().map(|r| level(r.0.is_some())).collect());
        let (max, lm): (Vec<f64>, Vec<i16>) =
            (rows.iter().filter_map(|r| r.1).collect(), rows.iter().map(|r| level(r.1.is_some())).collect());
        let times: Vec<i64> = rows.iter().map(|r| r.2).collect();
        let names: Vec<ByteArray> = rows.iter().map(|r| ByteArray::from(&*format!("/c{}", r.3))).collect();
        let mut n = 0;
        while let Some(mut column) = group.next_column().unwrap() {
            match n {
                0 => drop(column.typed::<Int64Type>().write_batch(&a, Some(&la), None).unwrap()),
                1 => drop(column.typed::<DoubleType>().write_batch(&max, Some(&lm), None).unwrap()),
                2 => drop(column.typed::<Int64Type>().write_batch(&times, None, None).unwrap()),
                _ => drop(column.typed::<ByteArrayType>().write_batch(&names, None, None).unwrap()),
            }
            column.close().unwrap();
            n += 1;
        }
        group.close().unwrap();
        writer.close().unwrap();
        file
    }

    fn bits(present: Option<Vec<i16>>, rows: usize) -> Vec<bool> {
        present.map_or_else(|| vec![true; rows], |levels| levels.iter().map(|level| *level > 0).collect())
    }

    fn value() -> impl Strategy<Value = Option<i64>> {
        prop_oneof![Just(None), Just(Some(7)), (0i64..100_000).prop_map(Some), (0..i64::MAX).prop_map(Some)]
    }

    proptest! {
        #[test]
        fn pages_read_directly_are_as_the_library_reads_them(
            rows in prop::collection::vec((value(), prop_oneof![Just(None), Just(Some(f64::INFINITY)), Just(Some(5e8))], 0i64..1 << 50, 0u8..3), 1..700),
            delta in any::<bool>(),
            dictionary in any::<bool>(),
            second in any::<bool>(),
            page in prop_oneof![Just(usize::MAX), 1usize..300],
            whole in any::<bool>(),
            wanted in prop::collection::vec((0usize..20, 1usize..20), 0..6),
        ) {
            let version = if second { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
            let reader = SerializedFileReader::new(write(&rows, delta, dictionary, version, page)).unwrap();
            let columns = columns(reader.metadata());
            let row_group = reader.get_row_group(0).unwrap();
            let group = Group::new(&*row_group, &columns);
            let mut chunk = Chunk::default();
            // Some rows of each part, or all of them.
            let mut at = 0;
            let part = |(skip, take): &(usize, usize)| {
                let from = at + skip;
                at = from + take;
                rows.len() * from.min(100) / 100..rows.len() * at.min(100) / 100
            };
            let ranges: Vec<Range<usize>> =
                if whole { std::iter::once(0..rows.len()).collect() } else { wanted.iter().map(part).collect() };
            chunk.want(ranges.iter().cloned());
            let is_wanted = |row: usize| ranges.iter().any(|range| range.contains(&row));
            let there = |chunk: &Chunk| (0..rows.len()).map(|n| chunk.present[n / 64] >> (n % 64) & 1 == 1).collect::<Vec<_>>();

            // Of the rows that have a value, the wanted ones.
            let sieved = |values: Vec<u64>, there: &[bool]| -> Vec<u64> {
                let rows = there.iter().enumerate().filter(|(_, there)| **there).map(|(row, _)| row);
                rows.zip(values).filter(|(row, _)| is_wanted(*row)).map(|(_, value)| value).collect()
            };

            let (values, present) = group.read::<Int64Type>(0).unwrap();
            let present = bits(present, rows.len());
            group.field(0, fields::FieldId::Current.field(), &mut chunk).unwrap();
            prop_assert_eq!(&chunk.values, &sieved(values.iter().map(|v| *v as u64).collect(), &present));
            prop_assert_eq!(there(&chunk), present);

            let (values, present) = group.read::<DoubleType>(1).unwrap();
            let present = bits(present, rows.len());
            group.field(1, fields::FieldId::Max.field(), &mut chunk).unwrap();
            let limit = |v: &f64| if v.is_infinite() { UNLIMITED } else { *v as u64 };
            prop_assert_eq!(&chunk.values, &sieved(values.iter().map(limit).collect(), &present));
            prop_assert_eq!(there(&chunk), present);

            group.times(&mut chunk).unwrap();
            let times = group.integers("time").unwrap().unwrap();
            prop_assert_eq!(&chunk.values, &sieved(times.iter().map(|v| *v as u64).collect(), &vec![true; rows.len()]));
            let names = group.names(Lead::Cgroup).unwrap().unwrap();
            for (n, row) in rows.iter().enumerate() {
                prop_assert_eq!(names.at(n).unwrap(), &format!("/c{}", row.3));
            }
        }
    }

    #[test]
    fn a_cut_or_changed_page_is_an_error_and_no_panic() {
        let rows: Vec<_> = (0..500i64).map(|n| (Some(n * n * 977), Some(n as f64), n, 0)).collect();
        let reader =
            SerializedFileReader::new(write(&rows, true, true, WriterVersion::PARQUET_1_0, usize::MAX)).unwrap();
        let row_group = reader.get_row_group(0).unwrap();
        let mut source = row_group.get_column_page_reader(0).unwrap();
        let Some(page) = source.get_next_page().unwrap() else { panic!("a page") };
        let mut failed = 0;
        for cut in 0..page.buffer().len() {
            for flip in [None, Some(0x80), Some(0x7f), Some(1)] {
                let mut bytes = page.buffer().to_vec();
                match flip {
                    None => bytes.truncate(cut),
                    Some(bits) => bytes[cut] ^= bits,
                }
                let form = Form { physical: Physical::INT64, nullable: true, value: |word| word };
                let how = (Encoding::DELTA_BINARY_PACKED, true);
                let mut chunk = Chunk::default();
                chunk.want(std::iter::once(0..500));
                failed += usize::from(chunk.page(&bytes, 500, how, form, 500).is_err());
            }
        }
        assert!(failed > page.buffer().len(), "{failed} of the damaged pages were refused");
    }
}
