//! What an output format has to do.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::PathBuf;

use anyhow::Context;
use sampler::model::fields::{Field, Table};
use sampler::model::recording::{Origin, Series, TimedEvent};

use crate::cli::whole_file::WholeFile;

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
    pub fn output(&self) -> anyhow::Result<Output> {
        Ok(match &self.out {
            Some(path) => Output::File(BufWriter::new(WholeFile::create(path)?)),
            None => Output::Standard(BufWriter::new(io::stdout().lock())),
        })
    }
}

/// Where an export goes.
pub enum Output {
    /// A file, which has its name once it is whole.
    File(BufWriter<WholeFile>),
    /// Standard output.
    Standard(BufWriter<StdoutLock<'static>>),
}

impl Output {
    /// Writes what is left, and gives a file its name.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Output::File(file) => file.into_inner().map_err(io::IntoInnerError::into_error)?.finish(),
            Output::Standard(mut out) => out.flush().context("write to standard output"),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::File(file) => file.write(bytes),
            Output::Standard(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::File(file) => file.flush(),
            Output::Standard(out) => out.flush(),
        }
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
