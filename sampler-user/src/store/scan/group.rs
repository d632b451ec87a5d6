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

use super::Query;
use super::pages::{self, Chunk, Form};
use crate::fields::{self, Field, Kind, Table, UNLIMITED};
use crate::recording::{Column, ProcessKey, Rows, Series, Subject};
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

    /// A column of whole numbers without nulls, whose pages may be read directly.
    fn packed(&self, name: &str, chunk: &mut Chunk) -> Result<Option<Vec<i64>>, ParquetError> {
        let Some(at) = self.find(name) else { return Ok(None) };
        let form = self.form(at, |word| word);
        if form.physical == Physical::INT64 && !form.nullable {
            let mut pages = self.reader.get_column_page_reader(at)?;
            if chunk.read(&mut *pages, form, self.rows)? {
                return Ok(Some(chunk.values.iter().map(|word| *word as i64).collect()));
            }
        }
        self.integers(name)
    }

    fn labels(&self, name: &str) -> Result<Option<Runs<String>>, ParquetError> {
        let Some(at) = self.find(name) else { return Ok(None) };
        let form = self.form(at, |word| word);
        if form.physical == Physical::BYTE_ARRAY && !form.nullable {
            let mut pages = self.reader.get_column_page_reader(at)?;
            if let Some(texts) = pages::texts(&mut *pages, self.rows)? {
                let mut runs = Runs { ends: Vec::new(), values: Vec::new() };
                for (text, count) in texts {
                    runs.add(text, count);
                }
                return Ok(Some(runs));
            }
        }
        let text = |bytes: ByteArray| String::from_utf8_lossy(bytes.data()).into_owned();
        Ok(self.texts(name)?.map(|texts| Runs::of(texts.into_iter().map(text))))
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
    fn of(values: impl Iterator<Item = T>) -> Runs<T> {
        let mut runs = Runs { ends: Vec::new(), values: Vec::new() };
        values.for_each(|value| runs.add(value, 1));
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
        let chunk = &mut self.chunk;
        let missing = || ParquetError::General("no column `time`".into());
        let times = group.packed(Lead::Time.name(), chunk)?.ok_or_else(missing)?;
        // Gaps become lags before anything is left out: each rests on the rows before it.
        let gaps = if self.last_lag.is_some() { group.integers(Lead::Gap.name())? } else { None };
        let lags: Option<Vec<u32>> = self.last_lag.as_mut().zip(gaps).map(|(last_lag, gaps)| {
            let add = |(time, gap): (&i64, i64)| {
                let lag = last_lag.entry(*time).or_insert(0);
                *lag = lag.wrapping_add(gap);
                *lag as u32
            };
            times.iter().zip(gaps).map(add).collect()
        });
        if !times.iter().any(|time| self.query.time.contains(time)) {
            return Ok(());
        }
        let mut runs = self.runs(&group, &times, lags.as_deref())?;
        if runs.is_empty() {
            return Ok(());
        }
        let chunk = &mut self.chunk;
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

    /// Runs of rows of one subject that is wanted, as series without columns.
    fn runs(
        &mut self,
        group: &Group<'_>,
        times: &[i64],
        lags: Option<&[u32]>,
    ) -> Result<Vec<(Range<usize>, Series)>, ParquetError> {
        let cgroups = if self.table == Table::Host { None } else { group.labels(Lead::Cgroup.name())? };
        let ids = group.packed(Lead::Id.name(), &mut self.chunk)?.map(|ids| Runs::of(ids.into_iter()));
        let process = match (
            group.integers(Lead::Pid.name())?,
            group.integers(Lead::Start.name())?,
            group.labels(Lead::Comm.name())?,
        ) {
            (Some(pids), Some(starts), Some(comms)) => Some((Runs::of(pids.into_iter().zip(starts)), comms)),
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
            if to > from && (self.wanted)(&subject) && times[from..to].iter().any(|time| self.query.time.contains(time))
            {
                let mut series = Series::new(Arc::new(subject), self.table);
                series.time_us = times[from..to].to_vec();
                series.lag_us = lags.map_or_else(|| vec![0; to - from], |lags| lags[from..to].to_vec());
                runs.push((from..to, series));
            }
            from = to;
        }
        Ok(runs)
    }
}

/// The rows of each run that have a value, and where their values are. Fields of one file have the same.
struct Presence {
    bits: Vec<u64>,
    runs: Vec<(Arc<[u32]>, Range<usize>)>,
}

impl Presence {
    fn of(bits: &[u64], runs: &[(Range<usize>, Series)]) -> Presence {
        let (mut row, mut value) = (0, 0);
        let each = runs.iter().map(|(range, _)| {
            value += ones(bits, row..range.start);
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
            row = range.end;
            (Arc::from(rows), from..value)
        });
        Presence { runs: each.collect(), bits: bits.to_vec() }
    }
}

/// The bits of the word at `at` that are in a range.
fn cut(word: u64, at: usize, range: &Range<usize>) -> u64 {
    let from = range.start.saturating_sub(at * 64);
    let to = (range.end - at * 64).min(64);
    let high = if to < 64 { word & ((1 << to) - 1) } else { word };
    if from < 64 { high & (u64::MAX << from) } else { 0 }
}

fn ones(bits: &[u64], range: Range<usize>) -> usize {
    if range.is_empty() {
        return 0;
    }
    let words = bits.iter().enumerate().take(range.end.div_ceil(64)).skip(range.start / 64);
    words.map(|(at, word)| cut(*word, at, &range).count_ones() as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::basic::{Compression, Encoding, ZstdLevel};
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use proptest::prelude::*;

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
        ) {
            let version = if second { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
            let reader = SerializedFileReader::new(write(&rows, delta, dictionary, version, page)).unwrap();
            let columns = columns(reader.metadata());
            let row_group = reader.get_row_group(0).unwrap();
            let group = Group::new(&*row_group, &columns);
            let mut chunk = Chunk::default();
            let there = |chunk: &Chunk| (0..rows.len()).map(|n| chunk.present[n / 64] >> (n % 64) & 1 == 1).collect::<Vec<_>>();

            let (values, present) = group.read::<Int64Type>(0).unwrap();
            group.field(0, fields::FieldId::Current.field(), &mut chunk).unwrap();
            prop_assert_eq!(&chunk.values, &values.iter().map(|v| *v as u64).collect::<Vec<_>>());
            prop_assert_eq!(there(&chunk), bits(present, rows.len()));

            let (values, present) = group.read::<DoubleType>(1).unwrap();
            group.field(1, fields::FieldId::Max.field(), &mut chunk).unwrap();
            let whole = |v: &f64| if v.is_infinite() { UNLIMITED } else { *v as u64 };
            prop_assert_eq!(&chunk.values, &values.iter().map(whole).collect::<Vec<_>>());
            prop_assert_eq!(there(&chunk), bits(present, rows.len()));

            prop_assert_eq!(group.packed("time", &mut chunk).unwrap(), group.integers("time").unwrap());
            let names = group.labels("cgroup").unwrap().unwrap();
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
                failed += usize::from(Chunk::default().page(&bytes, 500, how, form, 500).is_err());
            }
        }
        assert!(failed > page.buffer().len(), "{failed} of the damaged pages were refused");
    }
}
