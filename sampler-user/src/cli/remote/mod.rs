//! Where recordings are: on this machine, or at an address of object storage. Of those a copy is made that ends with the command.

// Both have the same face.
#[cfg_attr(feature = "object-store", path = "copy.rs")]
#[cfg_attr(not(feature = "object-store"), path = "none.rs")]
mod copy;
pub mod display;

use std::ops::Range;
use std::path::{Path, PathBuf};

/// Every time.
pub const EVER: Range<i64> = i64::MIN..i64::MAX;

/// Recordings on this machine, as long as this lives.
pub struct LocalRecordings {
    paths: Vec<PathBuf>,
    _copy: copy::Copy,
}

impl LocalRecordings {
    /// Of what is given, or where `record` writes. Of `time`, wall-clock microseconds, no row is left out in a copy.
    pub fn of(given: &[PathBuf], time: &Range<i64>) -> anyhow::Result<LocalRecordings> {
        let mut copy = copy::Copy::default();
        let path = |path: &PathBuf| match address(path) {
            Some(address) => copy.of(address, time),
            None => Ok(path.clone()),
        };
        let mut paths = given.iter().map(path).collect::<anyhow::Result<Vec<_>>>()?;
        if paths.is_empty() {
            paths.push(crate::cli::folders::data_folder());
        }
        Ok(LocalRecordings { paths, _copy: copy })
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
    text.split_once("://").filter(|(scheme, _)| display::SCHEMES.contains(scheme)).map(|_| text)
}
