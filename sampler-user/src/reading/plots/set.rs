//! What the plots of a page show.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::reading::plots::packed::Packed;

/// Plots over one time, all on the same points.
#[derive(Debug, Default, Serialize)]
pub struct Set {
    /// What it is of.
    pub name: String,
    /// First point, microseconds since 1970.
    pub from_us: i64,
    /// Distance of the points, microseconds.
    pub step_us: f64,
    /// Number of points.
    pub points: usize,
    /// The machine: KiB, or microseconds a second, or counts a second, by field.
    pub host: Columns,
    /// The cgroups: first those of the chart, then the largest.
    pub cgroups: Vec<Plot>,
    /// So many of them, from the first, are in the chart.
    pub charted: usize,
    /// All that are in none of those, as one.
    pub others: Option<Others>,
}

impl Set {
    /// Characters that it takes, about.
    pub fn length(&self) -> usize {
        let columns = self.cgroups.iter().map(|plot| &plot.columns).chain([&self.host]);
        columns.flat_map(|columns| columns.values()).map(|column| column.length() + 16).sum()
    }
}

/// Values by field.
pub type Columns = BTreeMap<&'static str, Packed>;

/// One cgroup in a [`Set`].
#[derive(Debug, Serialize)]
pub struct Plot {
    /// Its path.
    pub path: String,
    /// As people call it.
    pub name: String,
    /// Whether others of the chart are below it: it is not added to them.
    pub is_above: bool,
    /// Values.
    pub columns: Columns,
}

/// What is not in the chart.
#[derive(Debug, Serialize)]
pub struct Others {
    /// How many cgroups.
    pub count: usize,
    /// Their memory, KiB.
    pub current: Packed,
}

/// The least that the machine had left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Its memory, bytes.
    pub total: u64,
    /// The least that was available, bytes.
    pub least: u64,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// An event on the time axis.
#[derive(Debug, Serialize)]
pub struct Mark {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// The last of those that it stands for.
    pub until_us: i64,
    /// How many it stands for.
    pub count: u64,
    /// Its kind, as in every format.
    pub kind: &'static str,
    /// The cgroup it is about.
    pub cgroup: Option<String>,
    /// As people call that.
    pub name: String,
    /// In words.
    pub words: String,
    /// Whether it belongs to an incident.
    pub is_incident: bool,
}
