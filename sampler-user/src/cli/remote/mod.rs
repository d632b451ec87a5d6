//! Where recordings are: on this machine, or at an address of object storage. Of those a copy is made that ends with the command.

// Both have the same face.
#[cfg_attr(feature = "object-store", path = "copy.rs")]
#[cfg_attr(not(feature = "object-store"), path = "none.rs")]
mod copy;

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What an address begins with, before `://`; a path may begin with anything else.
const SCHEMES: [&str; 7] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "file"];
/// Every time.
pub const EVER: Range<i64> = i64::MIN..i64::MAX;

/// The folder of the copy.
static COPY: OnceLock<String> = OnceLock::new();

/// Recordings on this machine, as long as this lives.
pub struct Here {
    paths: Vec<PathBuf>,
    _copy: copy::Copy,
}

impl Here {
    /// Of what is given, or where `record` writes. Of `time`, wall-clock microseconds, no row is left out in a copy.
    pub fn of(given: &[PathBuf], time: &Range<i64>) -> anyhow::Result<Here> {
        let mut copy = copy::Copy::default();
        let path = |path: &PathBuf| match address(path) {
            Some(address) => copy.of(address, time),
            None => Ok(path.clone()),
        };
        let mut paths = given.iter().map(path).collect::<anyhow::Result<Vec<_>>>()?;
        if paths.is_empty() {
            paths.push(crate::cli::folders::data_folder());
        }
        Ok(Here { paths, _copy: copy })
    }

    /// All of them, at least one.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The only one.
    pub fn dir(&self) -> &Path {
        &self.paths[0]
    }
}

fn address(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    text.split_once("://").filter(|(scheme, _)| SCHEMES.contains(scheme)).map(|_| text)
}

/// Text for a person or a program, with addresses for the paths of the copy, which is gone when it is read.
pub fn told(text: &str) -> Cow<'_, str> {
    match COPY.get() {
        Some(copy) if text.contains(copy) => {
            let name = |text: String, scheme| text.replace(&format!("{copy}/{scheme}:/"), &format!("{scheme}://"));
            Cow::Owned(SCHEMES.into_iter().fold(text.to_owned(), name))
        }
        _ => Cow::Borrowed(text),
    }
}
