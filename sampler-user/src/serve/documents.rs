//! Documents that another command prints with `--json`: a child of low priority makes them, and what it printed is kept for a while.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use rustix::process::{Pid, setpriority_process};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::agent::child::{last_words, output, start};
use crate::store::is_recording;

/// A child may take so long.
const PATIENCE: Duration = Duration::from_secs(180);
/// It gives way to everything else.
const NICE: i32 = 10;
/// Documents that are kept, bytes, and how large one may be.
const KEPT: usize = 12 << 20;
/// Requests that wait for a child; more are refused.
const WAITING: usize = 16;
/// A document of a recording that goes on is made anew after this time, or where making it took long after ten times that.
const FRESH: Duration = Duration::from_secs(10);
/// Exit codes of a command that printed its document: done, and done with damage that the document names.
const DONE: [i32; 2] = [0, 5];
/// Exit code of a command that found no recording.
const NO_RECORDING: i32 = 3;

struct Kept {
    command: Vec<OsString>,
    stamp: u64,
    made: Instant,
    took: Duration,
    text: Bytes,
}

/// Why there is no document.
#[derive(Debug)]
pub enum NoDocument {
    /// Too many wait for one.
    Busy,
    /// There is no recording.
    NoRecording(String),
    /// The command failed.
    Failed(String),
}

/// The documents, and who may make one.
pub struct Documents {
    compose: Vec<PathBuf>,
    kept: Mutex<VecDeque<Kept>>,
    /// One at a time.
    turn: Semaphore,
    room: Semaphore,
    /// Downloads, which are not kept.
    downloads: Semaphore,
}

impl Documents {
    /// None yet. Advice is given for these Compose files.
    pub fn new(compose: Vec<PathBuf>) -> Documents {
        let [turn, room, downloads] = [1, WAITING, 2].map(Semaphore::new);
        Documents { compose, kept: Mutex::default(), turn, room, downloads }
    }

    /// Who makes downloads.
    pub fn downloads(&self) -> &Semaphore {
        &self.downloads
    }

    /// The Compose files of advice, as arguments.
    pub fn compose(&self) -> impl Iterator<Item = OsString> {
        self.compose.iter().flat_map(|file| ["--compose".into(), file.clone().into_os_string()])
    }

    /// What a command prints of a recording.
    pub async fn get(&self, dir: &Path, command: Vec<OsString>) -> Result<Bytes, NoDocument> {
        let Ok(_room) = self.room.try_acquire() else { return Err(NoDocument::Busy) };
        let failed = |what: String| NoDocument::Failed(what);
        let _turn = self.turn.acquire().await.map_err(|error| failed(error.to_string()))?;
        let (stamp, goes_on) = (stamp(dir), is_recording(dir));
        if let Some(text) = self.find(&command, stamp, goes_on) {
            return Ok(text);
        }
        let begun = Instant::now();
        let child = begin(&command).map_err(|error| failed(format!("{error:#}")))?;
        let printed = output(child, PATIENCE).await.map_err(|error| failed(format!("{error:#}")))?;
        let code = printed.status.code().unwrap_or(-1);
        if !DONE.contains(&code) {
            let words = last_words(printed.status, &printed.stderr);
            return Err(if code == NO_RECORDING { NoDocument::NoRecording(words) } else { failed(words) });
        }
        let text = Bytes::from(printed.stdout);
        self.keep(Kept { command, stamp, made: Instant::now(), took: begun.elapsed(), text: text.clone() });
        Ok(text)
    }

    fn find(&self, command: &[OsString], stamp: u64, goes_on: bool) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().find(|kept| kept.command == command)?;
        let is_young = goes_on && known.made.elapsed() < FRESH.max(10 * known.took);
        (is_young || !goes_on && known.stamp == stamp).then(|| known.text.clone())
    }

    fn keep(&self, new: Kept) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.command != new.command);
        if new.text.len() <= KEPT / 2 {
            kept.push_front(new);
        }
        while kept.iter().map(|one| one.text.len()).sum::<usize>() > KEPT {
            kept.pop_back();
        }
    }
}

/// Starts a child that gives way to everything else.
pub fn begin(arguments: &[OsString]) -> anyhow::Result<Child> {
    let child = start(|command: &mut Command| {
        command.args(arguments);
    })?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let _ = setpriority_process(pid, NICE);
    Ok(child)
}

/// Changes when the files of a recording do.
fn stamp(dir: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut folders = vec![(dir.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Ok(meta) = entry.metadata() else { continue };
            (entry.file_name(), meta.is_dir()).hash(&mut hasher);
            if !meta.is_dir() {
                (meta.len(), meta.modified().ok()).hash(&mut hasher);
            } else if depth < 3 {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    hasher.finish()
}
