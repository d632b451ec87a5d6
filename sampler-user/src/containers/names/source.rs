//! Where a runtime keeps its state, and a source of names in it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::model::identity::Identity;

/// State files that hold names.
pub struct Source {
    /// Name, as in `named_by`.
    pub name: &'static str,
    /// Runtimes whose containers it knows.
    pub runtimes: &'static [&'static str],
    /// Reads what it knows of a container.
    pub read: fn(&Roots, &str) -> Option<Identity>,
}

/// Where runtimes keep their state.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/`, or the copy of a machine's files.
    pub root: PathBuf,
    /// Data folders of Docker.
    pub docker: Vec<PathBuf>,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots::of("/".into())
    }
}

impl Roots {
    /// The usual places below a root.
    pub fn of(root: PathBuf) -> Roots {
        Roots { docker: vec![root.join("var/lib/docker")], root }
    }
}

/// No state file of one container is larger, bytes.
pub(super) const MOST: u64 = 4 << 20;

/// A JSON file, if it is there, of bounded size and can be understood.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
