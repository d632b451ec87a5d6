//! Files to take away: what a child prints or writes, passed on in parts as it comes.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use crate::agent::child::{last_words, output};
use crate::serve::app::App;
use crate::serve::documents::{NoDocument, begin};

/// A child may take so long.
const PATIENCE: Duration = Duration::from_secs(900);
/// Bytes of a part.
const PART: usize = 64 << 10;
/// Parts that wait for the browser.
const AHEAD: usize = 4;

/// What a child prints, from its first part on.
pub async fn printed(app: Arc<App>, command: Vec<OsString>) -> Result<Receiver<io::Result<Bytes>>, NoDocument> {
    let failed = |error: anyhow::Error| NoDocument::Failed(format!("{error:#}"));
    let mut child = begin(&command).map_err(failed)?;
    let first = part(&mut child).await.map_err(|error| failed(error.into()))?;
    if first.is_empty() {
        let ended = output(child, PATIENCE).await.map_err(failed)?;
        if !ended.status.success() {
            return Err(NoDocument::Failed(last_words(ended.status, &ended.stderr)));
        }
        return Ok(channel(1).1);
    }
    // What it says besides has no reader: a pipe that is full would stop it.
    drop(child.stderr.take());
    let (sender, receiver) = channel(AHEAD);
    tokio::spawn(async move {
        let Ok(_turn) = app.documents.downloads().acquire().await else { return };
        let pass = async {
            let mut next = first;
            while !next.is_empty() && sender.send(Ok(next)).await.is_ok() {
                next = part(&mut child).await?;
            }
            let ended = if sender.is_closed() { return Ok(()) } else { child.wait().await? };
            // Damage is no failure: what could be read is all there.
            if ended.success() || ended.code() == Some(5) { Ok(()) } else { Err(io::Error::other("the export failed")) }
        };
        let ended = timeout(PATIENCE, pass).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = ended {
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(receiver)
}

async fn part(child: &mut Child) -> io::Result<Bytes> {
    let Some(printed) = &mut child.stdout else { return Ok(Bytes::new()) };
    let mut bytes = vec![0; PART];
    let read = printed.read(&mut bytes).await?;
    bytes.truncate(read);
    Ok(bytes.into())
}

/// A folder for what a child writes; gone with it.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one that nobody else may read.
    pub fn new() -> io::Result<Folder> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("sampler-serve-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // One that is there already is somebody else's.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The file with this extension that a child writes below a folder.
pub async fn written(
    app: Arc<App>,
    folder: Folder,
    command: Vec<OsString>,
    extension: &'static str,
) -> Result<Receiver<io::Result<Bytes>>, NoDocument> {
    let failed = |error: anyhow::Error| NoDocument::Failed(format!("{error:#}"));
    let _turn = app.documents.downloads().acquire().await.map_err(|error| failed(error.into()))?;
    let ended = output(begin(&command).map_err(failed)?, PATIENCE).await.map_err(failed)?;
    let Some(mut file) = find(folder.path(), extension).and_then(|path| fs::File::open(path).ok()) else {
        return Err(NoDocument::Failed(last_words(ended.status, &ended.stderr)));
    };
    let (sender, receiver): (Sender<io::Result<Bytes>>, _) = channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let _folder = folder;
        loop {
            let mut bytes = vec![0; PART];
            let read = file.read(&mut bytes).inspect(|read| bytes.truncate(*read)).map(|_| Bytes::from(bytes));
            let is_last = !matches!(&read, Ok(bytes) if !bytes.is_empty());
            let is_end = matches!(&read, Ok(bytes) if bytes.is_empty());
            if is_end || sender.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    Ok(receiver)
}

fn find(folder: &Path, extension: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                return Some(path);
            }
        }
    }
    None
}
