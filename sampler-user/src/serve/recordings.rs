//! The recordings of a folder: itself, or those in it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::model::units::printable;
use crate::serve::follower;
use crate::serve::opened::Opened;
use crate::store::scan::Recording;
use crate::store::{Error, is_recording};

/// Recordings that are looked at at the same time.
const OPEN: usize = 2;
/// Recordings of a folder that are listed.
const MOST: usize = 1000;

/// A recording that can be chosen.
#[derive(Debug, Serialize)]
pub struct Choice {
    /// What it is asked for by: empty for the folder itself.
    pub id: String,
    /// How it is called.
    pub name: String,
    /// Whether it is being recorded.
    pub is_recording: bool,
}

/// The recordings of a folder.
pub struct Recordings {
    dir: PathBuf,
    open: Mutex<VecDeque<(String, Arc<Opened>)>>,
}

impl Recordings {
    /// Of a folder, which has to hold one.
    pub fn of(dir: &Path) -> Result<Recordings, Error> {
        let dir = fs::canonicalize(dir).map_err(crate::store::at("open", dir))?;
        let recordings = Recordings { dir, open: Mutex::default() };
        if recordings.list().is_empty() {
            return Err(Error::NoRecording { path: recordings.dir });
        }
        Ok(recordings)
    }

    /// All of them, as they are now: the folder itself first.
    pub fn list(&self) -> Vec<Choice> {
        let mut list = Vec::new();
        if holds_recording(&self.dir) {
            list.push(self.choice(String::new()));
        }
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| holds_recording(&self.dir.join(name))).take(MOST).collect();
        names.sort();
        list.extend(names.into_iter().map(|name| self.choice(name)));
        list
    }

    fn choice(&self, id: String) -> Choice {
        let dir = self.dir.join(&id);
        let name = dir.file_name().map_or_else(|| "/".into(), |name| printable(&name.to_string_lossy()));
        Choice { is_recording: is_recording(&dir), name, id }
    }

    /// The folder of one that is listed; the first, if none is named. No path is made of what was asked for.
    pub fn folder(&self, id: Option<&str>) -> Option<PathBuf> {
        let mut list = self.list().into_iter();
        let found = list.find(|choice| id.is_none_or(|id| choice.id == id))?;
        Some(if found.id.is_empty() { self.dir.clone() } else { self.dir.join(found.id) })
    }

    /// One that is looked at, from now on.
    pub fn open(&self, id: Option<&str>) -> Option<Arc<Opened>> {
        let folder = self.folder(id)?;
        let key = folder.display().to_string();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().position(|(known, _)| *known == key).and_then(|at| open.remove(at));
        let (_, opened) = known.unwrap_or_else(|| (key.clone(), follower::open(folder)));
        open.push_front((key, opened.clone()));
        open.truncate(OPEN);
        Some(opened)
    }
}

fn holds_recording(dir: &Path) -> bool {
    let is_there = ["journal", "samples"].iter().any(|part| dir.join(part).is_dir());
    is_there && (is_recording(dir) || Recording::open(dir).is_ok())
}
