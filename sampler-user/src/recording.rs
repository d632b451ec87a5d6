//! A recording as plain columns: what journals and Parquet files are read into, and all that analysis sees.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::fields::{self, Field, Table};
use crate::sample::{Row, slots};
use crate::time::Anchor;

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
    /// Start time in clock ticks since boot: tells a used-again pid apart.
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

/// One field through time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Values, one per row; those not valid mean nothing.
    pub values: Vec<u64>,
    /// Whether the row has a value.
    pub valid: Vec<bool>,
}

impl Column {
    /// The value at a row, if there is one.
    #[inline]
    pub fn get(&self, row: usize) -> Option<u64> {
        (*self.valid.get(row)?).then(|| self.values[row])
    }

    /// Values that are there, with their rows.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.values.iter().zip(&self.valid).enumerate().filter(|(_, (_, valid))| **valid).map(|(row, (v, _))| (row, *v))
    }

    fn put(&mut self, row: usize, value: u64) {
        self.pad(row);
        self.values.push(value);
        self.valid.push(true);
    }

    fn pad(&mut self, rows: usize) {
        self.values.resize(rows, 0);
        self.valid.resize(rows, false);
    }
}

/// The rows of one subject in time order.
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
    /// Columns by slot; `None` where no row has a value. Shorter than the times until [`Series::finish`].
    pub columns: Vec<Option<Column>>,
}

impl Series {
    /// A series without rows.
    pub fn new(subject: Arc<Subject>, table: Table) -> Series {
        Series { subject, table, time_us: Vec::new(), lag_us: Vec::new(), columns: vec![None; fields::count(table)] }
    }

    /// Adds a row.
    pub fn push(&mut self, time_us: i64, row: &Row) {
        let at = self.time_us.len();
        self.time_us.push(time_us);
        self.lag_us.push(row.lag_us);
        for slot in slots(row.mask) {
            if let Some(column) = self.columns.get_mut(slot) {
                column.get_or_insert_default().put(at, row.values[slot]);
            }
        }
    }

    /// Makes all columns as long as the times.
    pub fn finish(&mut self) {
        let rows = self.len();
        self.columns.iter_mut().flatten().for_each(|column| column.pad(rows));
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

    /// Puts the rows in time order; needed after two passes of different rates were merged.
    pub fn sort(&mut self) {
        self.finish();
        if self.time_us.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&row| self.time_us[row]);
        self.time_us = order.iter().map(|&row| self.time_us[row]).collect();
        self.lag_us = order.iter().map(|&row| self.lag_us[row]).collect();
        for column in self.columns.iter_mut().flatten() {
            column.values = order.iter().map(|&row| column.values[row]).collect();
            column.valid = order.iter().map(|&row| column.valid[row]).collect();
        }
    }

    /// Appends the rows of a later series of the same subject.
    pub fn append(&mut self, other: &Series) {
        let at = self.len();
        self.time_us.extend_from_slice(&other.time_us);
        self.lag_us.extend_from_slice(&other.lag_us);
        for (column, more) in self.columns.iter_mut().zip(&other.columns) {
            if let Some(more) = more {
                let column = column.get_or_insert_default();
                column.pad(at);
                column.values.extend_from_slice(&more.values);
                column.valid.extend_from_slice(&more.valid);
            }
        }
        self.finish();
    }
}

/// Something a reader could not understand; it went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// File or source.
    pub source: String,
    /// What is wrong.
    pub what: String,
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
