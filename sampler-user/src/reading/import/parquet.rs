//! Parquet with named columns.

use std::borrow::Cow;
use std::fs::File;
use std::sync::Arc;

use parquet::file::reader::FileReader;
use parquet::record::Field as Cell;
use parquet::schema::types::Type;

use crate::reading::import::columns::{meaning, ours};
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::records::{Columns, Dialect};
use crate::reading::import::size::Prefix;
use crate::store::open_bounded;

/// Largest row group whose columns of ours are read, bytes: its rows are held decoded.
const MOST_BYTES: i64 = 512 << 20;
/// Rows that are looked at before anything is decided.
const SAMPLE: usize = 200;

/// Reads a file of Parquet. Columns that mean nothing to us are not read.
pub fn read(file: File, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let wrong = |error: parquet::errors::ParquetError| Stop::new(format!("it is no Parquet that can be read: {error}"));
    intake.notes.formats.insert("parquet");
    let reader = open_bounded(file).map_err(wrong)?;
    let schema = reader.metadata().file_metadata().schema();
    let is_ours =
        |name: &str| intake.options.mapped(name).and_then(ours).is_some() || meaning(name, Prefix::Binary).is_ok();
    let (kept, others): (Vec<Arc<Type>>, Vec<Arc<Type>>) =
        schema.get_fields().iter().cloned().partition(|column| column.is_primitive() && is_ours(column.name()));
    for column in others {
        let shown = crate::model::units::printable(column.name());
        intake.notes.leave_out(column.name(), format!("no field has this name (--map {shown}=FIELD)"));
    }
    for group in reader.metadata().row_groups() {
        let bytes: i64 = group
            .columns()
            .iter()
            .filter(|c| is_ours(c.column_path().string().as_str()))
            .map(|c| c.uncompressed_size())
            .sum();
        if bytes > MOST_BYTES {
            return Err(Stop::new(format!(
                "a row group has {bytes} bytes, more than {MOST_BYTES}: write it in smaller ones"
            )));
        }
    }
    let names: Vec<String> = kept.iter().map(|column| column.name().to_owned()).collect();
    let projection = Type::group_type_builder(schema.name()).with_fields(kept).build().map_err(wrong)?;
    let mut rows = reader.get_row_iter(Some(projection)).map_err(wrong)?.map(|row| {
        row.map(|row| row.get_column_iter().map(|(_, cell)| text(cell)).collect::<Vec<String>>()).map_err(wrong)
    });
    let sample: Vec<Vec<String>> = rows.by_ref().take(SAMPLE).collect::<Result<_, _>>()?;
    let columns = Columns::of(&names, &sample, Dialect::default(), false, intake)?;
    for row in sample.into_iter().map(Ok).chain(rows) {
        let row: Vec<Cow<'_, str>> = row?.into_iter().map(Cow::Owned).collect();
        columns.row(&row, None, intake)?;
    }
    Ok(())
}

/// A cell as text, which is what all other formats have.
fn text(cell: &Cell) -> String {
    let time = |micros: Option<i64>| {
        micros
            .and_then(|us| jiff::Timestamp::from_microsecond(us).ok())
            .map_or_else(String::new, |time| time.to_string())
    };
    match cell {
        Cell::Null => String::new(),
        Cell::Str(text) => text.clone(),
        Cell::Bytes(bytes) => crate::model::paths::from_bytes(bytes.data()),
        Cell::Byte(v) => v.to_string(),
        Cell::Short(v) => v.to_string(),
        Cell::Int(v) => v.to_string(),
        Cell::Long(v) => v.to_string(),
        Cell::UByte(v) => v.to_string(),
        Cell::UShort(v) => v.to_string(),
        Cell::UInt(v) => v.to_string(),
        Cell::ULong(v) => v.to_string(),
        Cell::Float(v) => v.to_string(),
        Cell::Double(v) => v.to_string(),
        Cell::Bool(v) => u8::from(*v).to_string(),
        Cell::TimestampMicros(v) => time(Some(*v)),
        Cell::TimestampMillis(v) => time(v.checked_mul(1000)),
        _ => String::new(),
    }
}
