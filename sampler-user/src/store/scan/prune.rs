//! Which row groups need not be read: those of other times, by the footer's minimum and maximum, and those of other cgroups,
//! by the dictionary of their paths.

use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::RowGroupReader;
use parquet::file::statistics::Statistics;

use crate::model::fields::Table;
use crate::store::scan::columns::Columns;
use crate::store::scan::query::Query;
use crate::store::schema::KeyColumn;

/// Whether a row group may have rows that are asked for, of `only` one cgroup if it is known; `true` where that cannot be decided.
/// `places`: the columns of its file.
pub(super) fn may_hold(
    group: &dyn RowGroupReader,
    places: &Columns,
    table: Table,
    (query, only): (&Query<'_>, Option<&str>),
) -> bool {
    if span(group.metadata(), places).is_some_and(|(first, last)| last < query.time.start || first >= query.time.end) {
        return false;
    }
    if query.lags || table == Table::Host {
        return true;
    }
    let Some(&at) = places.get(KeyColumn::Cgroup.name()) else { return true };
    if let (Some(path), Some(Statistics::ByteArray(paths))) = (only, group.metadata().column(at).statistics())
        && let (Some(first), Some(last)) = (paths.min_opt(), paths.max_opt())
        && (path.as_bytes() < first.data() || path.as_bytes() > last.data())
    {
        return false;
    }
    let paths = paths(group, at, group.metadata().column(at));
    paths.is_none_or(|paths| paths.iter().any(|path| (query.cgroups)(path)))
}

/// First and last time of a row group, if the footer has them.
pub(super) fn span(group: &RowGroupMetaData, places: &Columns) -> Option<(i64, i64)> {
    let Some(Statistics::Int64(times)) = group.column(*places.get(KeyColumn::Time.name())?).statistics() else {
        return None;
    };
    Some((*times.min_opt()?, *times.max_opt()?))
}

/// The paths of a row group, if its dictionary has them all.
fn paths(group: &dyn RowGroupReader, at: usize, column: &ColumnChunkMetaData) -> Option<Vec<String>> {
    // Of its data pages: of none when the dictionary grew too large and plain pages follow.
    let encodings = column.page_encoding_stats_mask()?;
    if ![Encoding::RLE_DICTIONARY, Encoding::PLAIN_DICTIONARY].into_iter().any(|encoding| encodings.is_only(encoding)) {
        return None;
    }
    let Page::DictionaryPage { buf, num_values, .. } =
        group.get_column_page_reader(at).ok()?.get_next_page().ok()??
    else {
        return None;
    };
    let mut left: &[u8] = &buf;
    let mut paths = Vec::new();
    for _ in 0..num_values {
        let (length, rest) = left.split_first_chunk::<4>()?;
        let (path, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        paths.push(String::from_utf8_lossy(path).into_owned());
        left = rest;
    }
    Some(paths)
}
