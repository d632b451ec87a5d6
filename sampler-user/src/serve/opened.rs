//! A recording that is looked at: two threads read its past once and follow its present, until nobody looks any more.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use hyper::body::Bytes;
use tokio::sync::watch;

use crate::serve::seen::{Progress, Seen};
use crate::store::is_recording;

/// A recording that is looked at.
pub struct Opened {
    dir: PathBuf,
    seen: Mutex<Seen>,
    /// What browsers get once a second.
    frames: watch::Sender<Bytes>,
    /// Rows of the past that were read, and that there are.
    rows: (AtomicU64, AtomicU64),
    trouble: Mutex<Option<String>>,
    follower: OnceLock<Thread>,
}

impl Opened {
    /// A recording of which nothing was read.
    pub fn new(dir: PathBuf) -> Opened {
        Opened {
            dir,
            seen: Mutex::new(Seen::new()),
            frames: watch::Sender::new(Bytes::new()),
            rows: (AtomicU64::new(0), AtomicU64::new(u64::MAX)),
            trouble: Mutex::new(None),
            follower: OnceLock::new(),
        }
    }

    /// Takes the thread that follows it.
    pub fn followed_by(&self, thread: Thread) {
        let _ = self.follower.set(thread);
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is known of it.
    pub fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes of the present, once a second from now on.
    pub fn watch(&self) -> watch::Receiver<Bytes> {
        let receiver = self.frames.subscribe();
        if let Some(thread) = self.follower.get() {
            thread.unpark();
        }
        receiver
    }

    /// Whether anybody watches the present.
    pub fn is_watched(&self) -> bool {
        self.frames.receiver_count() > 0
    }

    /// Gives the present to those who watch it.
    pub fn show(&self, frame: Bytes) {
        self.frames.send_replace(frame);
    }

    /// Says why nothing new comes, or that it comes again.
    pub fn report(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Begins to count the rows of the past.
    pub fn expect(&self, rows: u64) {
        self.rows.1.store(rows, Ordering::Relaxed);
    }

    /// Counts rows of the past that were read.
    pub fn count(&self, rows: u64) {
        self.rows.0.fetch_add(rows, Ordering::Relaxed);
    }

    /// All of the past was read.
    pub fn finish(&self) {
        self.rows.1.store(0, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let (read, all) = (self.rows.0.load(Ordering::Relaxed), self.rows.1.load(Ordering::Relaxed));
        Progress {
            is_recording: is_recording(&self.dir),
            read: if all == 0 { 1.0 } else { (read as f64 / all as f64).min(0.99) },
            span_us: self.lock().overview.span_us(),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
