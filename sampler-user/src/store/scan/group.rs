//! The columns of one row group, by name.

use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::RowGroupReader;

use crate::model::fields::{Field, Kind, UNLIMITED};
use crate::store::scan::columns::Columns;
use crate::store::scan::decoded_column::{ColumnEncoding, DecodedColumn};
use crate::store::scan::dictionary::{self, Entry};
use crate::store::scan::runs::Runs;
use crate::store::schema::KeyColumn;

/// Values of a column and, where it may be null, which rows have one.
type Values<T> = (Vec<T>, Option<Vec<i16>>);

/// The columns of one row group, by name.
pub struct Group<'a> {
    reader: &'a dyn RowGroupReader,
    columns: &'a Columns,
    pub(super) rows: usize,
}

impl<'a> Group<'a> {
    /// A group of a file with these columns.
    pub fn new(reader: &'a dyn RowGroupReader, columns: &'a Columns) -> Group<'a> {
        let rows = usize::try_from(reader.metadata().num_rows()).unwrap_or(0);
        Group { reader, columns, rows }
    }

    /// Place of a column.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.columns.get(name).copied()
    }

    fn encoding(&self, at: usize, value: fn(u64) -> u64) -> ColumnEncoding {
        let column = self.reader.metadata().column(at).column_descr();
        ColumnEncoding { physical: column.physical_type(), nullable: column.max_def_level() > 0, value }
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
        let (values, present) = match self.encoding(at, |word| word).physical {
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
        if self.encoding(at, |word| word).physical != Physical::BYTE_ARRAY {
            return Err(ParquetError::General(format!("column {name} is not text")));
        }
        let (values, _) = self.read::<ByteArrayType>(at)?;
        Ok((values.len() == self.rows).then_some(values))
    }

    /// Times of the rows that are wanted.
    pub(super) fn times(&self, column: &mut DecodedColumn) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("no column `time`".into());
        let at = self.find(KeyColumn::Time.name()).ok_or_else(missing)?;
        let encoding = self.encoding(at, |word| word);
        if encoding.physical == Physical::INT64 && !encoding.nullable {
            let mut pages = self.reader.get_column_page_reader(at)?;
            if column.read(&mut *pages, encoding, self.rows)? {
                return Ok(());
            }
        }
        let times = self.integers(KeyColumn::Time.name())?.ok_or_else(missing)?;
        column.take(None, times.into_iter().map(|time| time as u64), self.rows);
        Ok(())
    }

    /// A column of which each subject has one value.
    fn labels<T: Clone + PartialEq>(
        &self,
        lead: KeyColumn,
        physical: Physical,
        entry: Entry<T>,
        otherwise: impl FnOnce() -> Result<Option<Vec<T>>, ParquetError>,
    ) -> Result<Option<Runs<T>>, ParquetError> {
        let Some(at) = self.find(lead.name()) else { return Ok(None) };
        let encoding = self.encoding(at, |word| word);
        if encoding.physical == physical && !encoding.nullable {
            let mut pages = self.reader.get_column_page_reader(at)?;
            if let Some(values) = dictionary::labels(&mut *pages, self.rows, entry)? {
                return Ok(Some(Runs::of(values.into_iter())));
            }
        }
        Ok(otherwise()?.map(|values| Runs::of(values.into_iter().map(|value| (value, 1)))))
    }

    /// A column of texts of which each subject has one.
    pub(super) fn names(&self, lead: KeyColumn) -> Result<Option<Runs<String>>, ParquetError> {
        let text = |bytes: ByteArray| String::from_utf8_lossy(bytes.data()).into_owned();
        let all = || Ok(self.texts(lead.name())?.map(|texts| texts.into_iter().map(text).collect()));
        self.labels(lead, Physical::BYTE_ARRAY, dictionary::text, all)
    }

    /// A column of numbers of which each subject has one.
    pub(super) fn numbers(&self, lead: KeyColumn) -> Result<Option<Runs<i64>>, ParquetError> {
        self.labels(lead, Physical::INT64, dictionary::number, || self.integers(lead.name()))
    }

    /// A field's column.
    pub(super) fn field(&self, at: usize, field: &Field, column: &mut DecodedColumn) -> Result<(), ParquetError> {
        let value: fn(u64) -> u64 = match (self.encoding(at, |word| word).physical, field.kind) {
            (Physical::DOUBLE, Kind::Limit) => |word| match f64::from_bits(word) {
                v if v.is_infinite() => UNLIMITED,
                v => v.max(0.0) as u64,
            },
            (Physical::DOUBLE, _) => |word| f64::from_bits(word).max(0.0) as u64,
            _ => |word| (word as i64).max(0) as u64,
        };
        let encoding = self.encoding(at, value);
        if matches!(encoding.physical, Physical::INT64 | Physical::DOUBLE) {
            let mut pages = self.reader.get_column_page_reader(at)?;
            if column.read(&mut *pages, encoding, self.rows)? {
                return Ok(());
            }
        }
        match self.reader.get_column_reader(at)? {
            ColumnReader::DoubleColumnReader(_) => {
                let (values, present) = self.read::<DoubleType>(at)?;
                column.take(present.as_deref(), values.into_iter().map(|v| value(v.to_bits())), self.rows);
            }
            ColumnReader::Int64ColumnReader(_) => {
                let (values, present) = self.read::<Int64Type>(at)?;
                column.take(present.as_deref(), values.into_iter().map(|v| value(v as u64)), self.rows);
            }
            ColumnReader::Int32ColumnReader(_) => {
                let (values, present) = self.read::<Int32Type>(at)?;
                column.take(present.as_deref(), values.into_iter().map(|v| value(i64::from(v) as u64)), self.rows);
            }
            _ => return Err(ParquetError::General(format!("column {} is not of numbers", field.column))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;

    use parquet::basic::{Compression, Encoding, ZstdLevel};
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use proptest::prelude::*;

    use super::*;
    use crate::model::fields;
    use crate::store::scan::columns::columns;

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
            let mut column = DecodedColumn::default();
            // Some rows of each part, or all of them.
            let mut at = 0;
            let part = |(skip, take): &(usize, usize)| {
                let from = at + skip;
                at = from + take;
                rows.len() * from.min(100) / 100..rows.len() * at.min(100) / 100
            };
            let ranges: Vec<Range<usize>> =
                if whole { std::iter::once(0..rows.len()).collect() } else { wanted.iter().map(part).collect() };
            column.want(ranges.iter().cloned());
            let is_wanted = |row: usize| ranges.iter().any(|range| range.contains(&row));
            let there = |column: &DecodedColumn| (0..rows.len()).map(|n| column.present[n / 64] >> (n % 64) & 1 == 1).collect::<Vec<_>>();

            // Of the rows that have a value, the wanted ones.
            let sieved = |values: Vec<u64>, there: &[bool]| -> Vec<u64> {
                let rows = there.iter().enumerate().filter(|(_, there)| **there).map(|(row, _)| row);
                rows.zip(values).filter(|(row, _)| is_wanted(*row)).map(|(_, value)| value).collect()
            };

            let (values, present) = group.read::<Int64Type>(0).unwrap();
            let present = bits(present, rows.len());
            group.field(0, fields::FieldId::Current.field(), &mut column).unwrap();
            prop_assert_eq!(&column.values, &sieved(values.iter().map(|v| *v as u64).collect(), &present));
            prop_assert_eq!(there(&column), present);

            let (values, present) = group.read::<DoubleType>(1).unwrap();
            let present = bits(present, rows.len());
            group.field(1, fields::FieldId::Max.field(), &mut column).unwrap();
            let limit = |v: &f64| if v.is_infinite() { UNLIMITED } else { *v as u64 };
            prop_assert_eq!(&column.values, &sieved(values.iter().map(limit).collect(), &present));
            prop_assert_eq!(there(&column), present);

            group.times(&mut column).unwrap();
            let times = group.integers("time").unwrap().unwrap();
            prop_assert_eq!(&column.values, &sieved(times.iter().map(|v| *v as u64).collect(), &vec![true; rows.len()]));
            let names = group.names(KeyColumn::Cgroup).unwrap().unwrap();
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
                let encoding = ColumnEncoding { physical: Physical::INT64, nullable: true, value: |word| word };
                let how = (Encoding::DELTA_BINARY_PACKED, true);
                let mut column = DecodedColumn::default();
                column.want(std::iter::once(0..500));
                failed += usize::from(column.page(&bytes, 500, how, encoding, 500).is_err());
            }
        }
        assert!(failed > page.buffer().len(), "{failed} of the damaged pages were refused");
    }
}
