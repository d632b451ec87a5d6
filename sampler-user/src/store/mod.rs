//! The store: sealed segments as plain Parquet, one folder a table, partitioned for an engine that reads many hosts.
//!
//! ```text
//! DIR/journal/<stem>.journal                              what is not sealed yet
//! DIR/<table>/host=<host>/date=<day>/<stem>.parquet       tables: samples, host, processes, cgroups, events
//! ```
//! A segment and the files made of it share their stem, so a reader knows which of the two to read, and neither a crash of the
//! sealer nor sealing twice loses or doubles a row.

pub mod batch;
mod prune;
pub mod retention;
pub mod scan;
pub mod schema;
pub mod seal;

use std::io;
use std::path::{Path, PathBuf};

/// Folder of the journal.
pub const JOURNAL: &str = "journal";

/// Why the store could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A Parquet file.
    #[error("{operation} {path}: the file is damaged; copy it again, or leave it out")]
    Parquet {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: parquet::errors::ParquetError,
    },
    /// Something else with the name of a Parquet file.
    #[error("read {path}: it does not begin as a Parquet file does; it is something else")]
    NotParquet {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file without its end.
    #[error(
        "read {path}: its end is missing, and the columns are listed there; it was cut off when it was copied or written: \
         copy it again"
    )]
    Cut {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file of somebody else.
    #[error(
        "read {path}: there is no column `{column}`, so sampler did not write it; make a recording of it with \
         `sampler import {path} --map THEIRS=OURS --out DIR`"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing.
        column: &'static str,
    },
    /// Written by a newer version.
    #[error(
        "read {path}: its tables have version {found}, this sampler knows up to {}; use a newer one",
        schema::VERSION
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A journal segment.
    #[error(transparent)]
    Journal(#[from] crate::journal::reader::Error),
    /// Nothing there.
    #[error(
        "{path} holds no recording; give the folder that `sampler record --out` wrote, a .parquet or a .journal file"
    )]
    NoRecording {
        /// Where it was looked for.
        path: PathBuf,
    },
}

/// Wraps an IO error with what was tried on what.
pub(crate) fn at<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { operation, path: path.to_owned(), source }
}
