//! A recording as plain columns: what journals and Parquet files are read into, and all that analysis sees.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::event::Event;
use crate::model::fields;
use crate::model::fields::{Field, Table};
use crate::model::sample::{Mask, Row, slots};
use crate::model::time::Anchor;

/// Whose values a row holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// Path of the cgroup below the root of its hierarchy; empty for the host.
    pub cgroup: String,
    /// kernfs inode number of the cgroup: a path may be used again, this number is not.
    pub id: u64,
    /// The process, in the table of processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessKey>,
}

impl Subject {
    /// The host.
    pub fn host() -> Subject {
        Subject { cgroup: String::new(), id: 0, process: None }
    }
}

/// One life of a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Pid, in the pid namespace of the agent.
    pub pid: i32,
    /// Start time in clock ticks since boot: distinguishes processes that had the same pid.
    pub start: u64,
    /// Name; hostile.
    pub comm: String,
}

/// Where and how a segment was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Version of the file format.
    pub format: u32,
    /// Host name.
    pub host: String,
    /// Identity of the boot.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: String,
    /// WSL version or `WSL2`, when the host is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wsl: Option<String>,
    /// `v2`, `hybrid` (memory on v1), or `import`.
    pub hierarchy: String,
    /// Version of the agent.
    pub agent: String,
    /// CPUs of the host.
    pub cpus: u32,
    /// Page size, bytes.
    pub page_size: u64,
    /// Fast interval, microseconds.
    pub interval_us: u64,
    /// Slow interval, microseconds.
    pub slow_interval_us: u64,
    /// Both clocks at the start of the segment.
    pub anchor: Anchor,
}

/// Rows, rising. Fields of one file have a value in the same rows, so a reader lets their columns share them.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Of one column.
    Own(Vec<u32>),
    /// Of several.
    Shared(Arc<[u32]>),
}

impl Rows {
    /// Adds a row.
    pub fn push(&mut self, row: u32) {
        match self {
            Rows::Own(rows) => rows.push(row),
            Rows::Shared(rows) => *self = Rows::Own(rows.iter().copied().chain([row]).collect()),
        }
    }
}

impl Default for Rows {
    fn default() -> Self {
        Rows::Own(Vec::new())
    }
}

impl Deref for Rows {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Rows::Own(rows) => rows,
            Rows::Shared(rows) => rows,
        }
    }
}

impl PartialEq for Rows {
    fn eq(&self, other: &Rows) -> bool {
        **self == **other
    }
}

impl FromIterator<u32> for Rows {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> Self {
        Rows::Own(rows.into_iter().collect())
    }
}

/// One field through time: only the rows that have a value, because most fields are read at a tenth of the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Rows that have a value, rising.
    pub rows: Rows,
    /// Their values.
    pub values: Vec<u64>,
}

impl Column {
    /// The value at a row, if there is one.
    pub fn get(&self, row: usize) -> Option<u64> {
        let wanted = u32::try_from(row).ok()?;
        // A column that is read in every row needs no search.
        if self.rows.get(row) == Some(&wanted) {
            return self.values.get(row).copied();
        }
        let at = self.rows.binary_search(&wanted).ok()?;
        Some(self.values[at])
    }

    /// Values that are there, with their rows.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.rows.iter().map(|row| *row as usize).zip(self.values.iter().copied())
    }

    /// Adds a value; rows come in rising order.
    pub fn push(&mut self, row: usize, value: u64) {
        self.rows.push(row as u32);
        self.values.push(value);
    }
}

/// The rows of one subject in time order.
///
/// ```
/// use std::sync::Arc;
///
/// use sampler::model::fields::{FieldId, Table};
/// use sampler::model::recording::{Series, Subject};
/// use sampler::model::sample::Row;
///
/// let mut series = Series::new(Arc::new(Subject::host()), Table::Host);
/// for (second, available) in [(0, None), (1, Some(512 << 20))] {
///     let mut row = Row::new(0);
///     if let Some(bytes) = available {
///         row.put(FieldId::MemAvailable.field(), bytes);
///     }
///     series.push(second * 1_000_000, &row);
/// }
/// // What was not read is absent, not 0.
/// let column = series.column(FieldId::MemAvailable.field()).unwrap();
/// assert_eq!((column.get(0), column.get(1)), (None, Some(512 << 20)));
/// assert!(series.column(FieldId::MemTotal.field()).is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Whose.
    pub subject: Arc<Subject>,
    /// Table its rows belong to.
    pub table: Table,
    /// Time of the pass, wall-clock microseconds since the Unix epoch; never steps within one segment.
    pub time_us: Vec<i64>,
    /// How long after the start of its pass each row was read, microseconds.
    pub lag_us: Vec<u32>,
    /// Columns by slot; `None` where no row has a value.
    pub columns: Vec<Option<Column>>,
}

impl Series {
    /// A series without rows.
    pub fn new(subject: Arc<Subject>, table: Table) -> Series {
        Series { subject, table, time_us: Vec::new(), lag_us: Vec::new(), columns: vec![None; fields::count(table)] }
    }

    /// Makes room for as many rows more.
    pub fn reserve(&mut self, rows: usize) {
        self.time_us.reserve_exact(rows);
        self.lag_us.reserve_exact(rows);
    }

    /// Adds a row.
    pub fn push(&mut self, time_us: i64, row: &Row) {
        self.push_slots(time_us, row, Mask::MAX);
    }

    /// Adds a row with those of its values that are in some slots.
    pub fn push_slots(&mut self, time_us: i64, row: &Row, wanted: Mask) {
        let at = self.time_us.len();
        self.time_us.push(time_us);
        self.lag_us.push(row.lag_us);
        for slot in slots(row.mask & wanted) {
            if let Some(column) = self.columns.get_mut(slot) {
                column.get_or_insert_default().push(at, row.values[slot]);
            }
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.time_us.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.time_us.is_empty()
    }

    /// The column of a field, if any row has a value.
    pub fn column(&self, field: &Field) -> Option<&Column> {
        self.columns.get(field.slot)?.as_ref()
    }

    /// Puts the rows in time order: the seconds before a burst are written after later ticks.
    pub fn sort(&mut self) {
        if !self.time_us.is_sorted() {
            let mut order: Vec<usize> = (0..self.len()).collect();
            order.sort_by_key(|&row| self.time_us[row]);
            self.select(&order);
        }
    }

    /// Keeps the rows from `from_us` up to but not including `to_us`.
    pub fn clip(&mut self, from_us: i64, to_us: i64) {
        if self.time_us.iter().any(|time| !(from_us..to_us).contains(time)) {
            let keep: Vec<usize> =
                (0..self.len()).filter(|&row| (from_us..to_us).contains(&self.time_us[row])).collect();
            self.select(&keep);
        }
    }

    /// Makes the rows those of `order`, in that order.
    fn select(&mut self, order: &[usize]) {
        let mut place = vec![u32::MAX; self.len()];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new as u32);
        self.time_us = order.iter().map(|&row| self.time_us[row]).collect();
        self.lag_us = order.iter().map(|&row| self.lag_us[row]).collect();
        for column in self.columns.iter_mut().flatten() {
            let mut moved: Vec<(u32, u64)> =
                column.iter().map(|(row, value)| (place[row], value)).filter(|(row, _)| *row != u32::MAX).collect();
            moved.sort_unstable();
            column.rows = moved.iter().map(|(row, _)| *row).collect();
            column.values = moved.into_iter().map(|(_, value)| value).collect();
        }
    }
}

/// An event with its wall-clock time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimedEvent {
    /// Wall-clock microseconds since the Unix epoch.
    pub time_us: i64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

#[cfg(test)]
impl Origin {
    /// Of some machine, for tests of what is made elsewhere.
    pub(crate) fn example(anchor: Anchor) -> Origin {
        Origin {
            format: 0,
            host: "h".into(),
            boot_id: "0123456789".into(),
            kernel: "6".into(),
            wsl: None,
            hierarchy: "v2".into(),
            agent: "0".into(),
            cpus: 1,
            page_size: 4096,
            interval_us: 1,
            slow_interval_us: 1,
            anchor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_out_of_order_are_sorted_with_their_values_and_absent_stays_absent() {
        let mut series = Series::new(Arc::new(Subject::host()), Table::Samples);
        for (time, values) in [(30, vec![(0, 3)]), (10, vec![(0, 1), (5, 9)]), (20, vec![(5, 7)])] {
            let mut row = Row::new(0);
            row.lag_us = time as u32;
            values.into_iter().for_each(|(slot, value)| row.set(slot, value));
            series.push(time, &row);
        }
        series.sort();
        assert_eq!((&*series.time_us, &*series.lag_us), (&[10, 20, 30][..], &[10, 20, 30][..]));
        let column = |slot: usize| series.columns[slot].as_ref().unwrap().iter().collect::<Vec<_>>();
        assert_eq!((column(0), column(5)), (vec![(0, 1), (2, 3)], vec![(0, 9), (1, 7)]));
        assert_eq!(series.columns[0].as_ref().unwrap().get(1), None);
        series.clip(15, 30);
        assert_eq!(series.time_us, [20]);
        assert_eq!(series.columns[5].as_ref().unwrap().get(0), Some(7));
        assert_eq!(series.columns[0].as_ref().unwrap().rows.len(), 0);
    }
}
