//! The columns of a file by name.

use std::collections::HashMap;

use parquet::file::metadata::ParquetMetaData;

/// Columns of a file by name.
pub type Columns = HashMap<String, usize>;

/// The columns of a file.
pub fn columns(metadata: &ParquetMetaData) -> Columns {
    let columns = metadata.file_metadata().schema_descr().columns();
    columns.iter().enumerate().map(|(at, column)| (column.path().string(), at)).collect()
}
