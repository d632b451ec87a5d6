//! Why the store could not be written or read.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::schema::VERSION;

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
    /// A Parquet file that cannot be written.
    #[error("write {path}; if its disk is full, free some of it or record elsewhere with --out")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file whose metadata are damaged.
    #[error(
        "read {path}: the list of its columns is damaged, and nothing in it can be read; copy it again, or leave it out"
    )]
    Footer {
        /// The file.
        path: PathBuf,
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
    /// A Parquet file that sampler did not write.
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
    #[error("read {path}: its tables have version {found}, this sampler knows up to {}; use a newer one", VERSION)]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A journal segment.
    #[error(transparent)]
    Journal(#[from] crate::journal::Error),
    /// No table of findings.
    #[error("read {path}: these are no findings; `sampler analyze DIR --findings OUT` writes them")]
    NoFindings {
        /// The file, or where they were looked for.
        path: PathBuf,
    },
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
pub fn at<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { operation, path: path.to_owned(), source }
}
