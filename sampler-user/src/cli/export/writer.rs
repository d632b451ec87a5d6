//! What an output format has to do.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use sampler::model::fields::{Field, Table};
use sampler::model::recording::{Origin, Series, TimedEvent};

/// What is exported, and where to.
pub struct Target {
    /// The table; `None` for the events.
    pub table: Option<Table>,
    /// Its columns that were asked for; empty for the events.
    pub columns: Vec<&'static Field>,
    /// File or folder; standard output without one.
    pub out: Option<PathBuf>,
    /// Where and how it was recorded, if any part of it is readable.
    pub origin: Option<Origin>,
}

impl Target {
    /// Opens the file, or standard output.
    pub fn output(&self) -> anyhow::Result<Box<dyn Write>> {
        Ok(match &self.out {
            Some(path) => {
                Box::new(BufWriter::new(File::create(path).with_context(|| format!("create {}", path.display()))?))
            }
            None => Box::new(BufWriter::new(io::stdout().lock())),
        })
    }
}

/// Writes a table in one format.
pub trait TableWriter {
    /// Takes rows of one cgroup, process or machine; `title` is what people call it.
    fn series(&mut self, series: Series, title: Option<&str>) -> anyhow::Result<()>;
    /// Takes one event.
    fn event(&mut self, event: &TimedEvent) -> anyhow::Result<()>;
    /// Writes what is left.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

/// An output format.
pub struct Format {
    /// What `--format` calls it.
    pub name: &'static str,
    /// Begins to write.
    pub open: fn(Target) -> anyhow::Result<Box<dyn TableWriter>>,
}
