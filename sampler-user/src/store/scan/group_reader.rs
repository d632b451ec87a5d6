//! The row groups of a file as series: the runs of rows of one subject, and their columns.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::RowGroupReader;

use crate::model::fields;
use crate::model::fields::Table;
use crate::model::recording::{Column, ProcessKey, Rows, Series, Subject};
use crate::store::scan::columns::Columns;
use crate::store::scan::decoded_column::DecodedColumn;
use crate::store::scan::group::Group;
use crate::store::scan::query::Query;
use crate::store::scan::row_filter::cut;
use crate::store::scan::runs::Runs;
use crate::store::schema::KeyColumn;

/// Reads the row groups of a file, one after the other.
pub struct GroupReader<'a> {
    columns: &'a Columns,
    table: Table,
    query: &'a Query<'a>,
    wanted: &'a dyn Fn(&Subject) -> bool,
    /// Lag of the row read last, by the time of its pass.
    last_lag: Option<HashMap<i64, i64>>,
    column: DecodedColumn,
    /// Columns of the group read last that could not be read.
    pub(super) damaged: Vec<(&'static str, ParquetError)>,
}

impl<'a> GroupReader<'a> {
    /// A reader of the groups of a file with these columns.
    pub fn new(
        columns: &'a Columns,
        table: Table,
        query: &'a Query<'a>,
        wanted: &'a dyn Fn(&Subject) -> bool,
    ) -> GroupReader<'a> {
        let last_lag = query.lags.then(HashMap::new);
        GroupReader { columns, table, query, wanted, last_lag, column: DecodedColumn::default(), damaged: Vec::new() }
    }

    /// Rows are missing: when within its pass a later row was read is not known any more, and is not made up.
    pub(super) fn forget_lags(&mut self) {
        self.last_lag = None;
    }

    /// Gives the series of a group to `each`. A field that cannot be read is absent in them.
    pub fn read(&mut self, reader: &dyn RowGroupReader, each: &mut dyn FnMut(Series)) -> Result<(), ParquetError> {
        let group = Group::new(reader, self.columns);
        let lags = self.lags(&group)?;
        let mut runs = self.runs(&group)?;
        if runs.is_empty() {
            return Ok(());
        }
        let column = &mut self.column;
        column.want(runs.iter().map(|(rows, _)| rows.clone()));
        group.times(column)?;
        let mut times = column.values.iter().map(|time| *time as i64);
        runs.retain_mut(|(rows, series)| {
            series.time_us.extend(times.by_ref().take(rows.len()));
            // In order, except in foreign files: only the rows of the requested time are read.
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
        column.want(runs.iter().map(|(rows, _)| rows.clone()));
        let mut known: Vec<Presence> = Vec::new();
        let query = self.query.fields;
        for field in fields::of(self.table).filter(|field| query.is_empty() || query.contains(&field.id)) {
            let Some(at) = group.find(field.column) else { continue };
            if let Err(error) = group.field(at, field, column) {
                self.damaged.push((field.column, error));
                continue;
            }
            if column.values.is_empty() {
                continue;
            }
            let presence = match known.iter().position(|known| known.bits == column.present) {
                Some(at) => &known[at],
                None => {
                    known.push(Presence::of(&column.present, &runs));
                    &known[known.len() - 1]
                }
            };
            if presence.runs.last().is_some_and(|(_, values)| values.end > column.values.len()) {
                let error = ParquetError::General("it has fewer values than its rows say".into());
                self.damaged.push((field.column, error));
                continue;
            }
            for ((_, series), (rows, values)) in runs.iter_mut().zip(&presence.runs) {
                let Some(values) = column.values.get(values.clone()) else { continue };
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
        let Some(gaps) = group.integers(KeyColumn::Gap.name())? else { return Ok(None) };
        self.column.want(std::iter::once(0..group.rows));
        group.times(&mut self.column)?;
        let add = |(time, gap): (&u64, i64)| {
            let lag = last_lag.entry(*time as i64).or_insert(0);
            *lag = lag.wrapping_add(gap);
            *lag as u32
        };
        Ok(Some(self.column.values.iter().zip(gaps).map(add).collect()))
    }

    /// Runs of rows of one subject that is wanted, as series without rows.
    fn runs(&self, group: &Group<'_>) -> Result<Vec<(Range<usize>, Series)>, ParquetError> {
        let cgroups = if self.table == Table::Host { None } else { group.names(KeyColumn::Cgroup)? };
        let ids = group.numbers(KeyColumn::Id)?;
        let pids = group.integers(KeyColumn::Pid.name())?;
        let process = match (pids, group.integers(KeyColumn::Start.name())?, group.names(KeyColumn::Comm)?) {
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
