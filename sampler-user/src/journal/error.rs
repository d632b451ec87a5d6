//! Why a segment cannot be read at all.

use std::io;
use std::path::PathBuf;

use crate::journal::format::VERSION;

/// Why a segment cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read the journal segment {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The head is missing: the machine died before the first sync, or this is no journal.
    #[error("{path} has no readable head ({bytes} bytes); nothing in it can be placed in time")]
    NoHead {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A recorder has it open.
    #[error("{path} is being written by another sampler; it is sealed once that one has begun another")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error("{path} has format {found}, this version reads up to {VERSION}; use a newer sampler")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The torn tail cannot be cut.
    #[error("cut the torn tail of {path}")]
    Cut {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
