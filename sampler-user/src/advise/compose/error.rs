//! Why a Compose project cannot be read.

use std::io;
use std::path::{Path, PathBuf};

/// A larger file is refused, bytes.
pub(super) const MOST: usize = 4 << 20;

/// Why a project could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No YAML, or not within the bounds of the parser.
    #[error("this is no YAML that can be read: {0}")]
    Yaml(String),
    /// Too large.
    #[error("it is larger than {} MiB", MOST >> 20)]
    Large,
    /// Too many files.
    #[error("it is made of too many files")]
    Many,
    /// YAML without services.
    #[error("it has no `services:` mapping; is it a Compose file?")]
    NoServices,
    /// The format before version 2.
    #[error(
        "it is of the old format 1, which Compose no longer reads: its services ({}) stand at the root. Put `services:` above them and indent them, then try again",
        .0.iter().map(|name| crate::model::units::printable(name)).collect::<Vec<_>>().join(", ")
    )]
    FormatOne(Vec<String>),
    /// A file that is named and not there.
    #[error("read {}: Compose needs this file too", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: io::Error,
    },
    /// A service of two included files, or of an included file and the one that includes it.
    #[error("the service {} is in an included file too; Compose refuses the two", crate::model::units::printable(.0))]
    Conflict(String),
    /// Files or services that lead back to themselves.
    #[error("{} leads back to itself", crate::model::units::printable(.0))]
    Cycle(String),
    /// A service that extends one which is not there.
    #[error("{} extends {}, which is not there", crate::model::units::printable(.service), crate::model::units::printable(.of))]
    NoBase {
        /// The service.
        service: String,
        /// What it extends.
        of: String,
    },
    /// In a file.
    #[error("{}", .path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<Error>,
    },
}

impl Error {
    pub(super) fn of(self, path: &Path) -> Error {
        Error::In { path: path.to_owned(), source: Box::new(self) }
    }

    /// What is wrong, whatever the file.
    pub fn cause(&self) -> &Error {
        match self {
            Error::In { source, .. } => source.cause(),
            error => error,
        }
    }
}
