//! Whether what is recorded reaches its files: said at once, and known at the end.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::agent::console::Speaker;
use crate::journal::writer::Trouble;

/// Whether what is recorded reaches its files.
#[derive(Clone)]
pub struct Health {
    lost: Arc<AtomicBool>,
    speaker: Speaker,
}

impl Health {
    /// Nothing is lost yet.
    pub fn new(speaker: Speaker) -> Health {
        Health { lost: Arc::default(), speaker }
    }

    /// Whether something that was recorded is lost.
    pub fn is_lost(&self) -> Arc<AtomicBool> {
        self.lost.clone()
    }

    /// A line for the person at the terminal, who may not be there: nobody waits.
    pub fn say(&self, line: String) {
        self.speaker.say(line);
    }

    /// Something that was recorded is lost.
    pub fn lose(&self, line: String) {
        self.lost.store(true, Ordering::Relaxed);
        self.say(line);
    }

    /// What the journal reports.
    pub fn take(&self, trouble: &Trouble<'_>) {
        match trouble {
            Trouble::Vanished(path) => self.lose(format!(
                "{} was removed or moved while it was written, and what it held is not in this recording any more; it goes on in a new segment",
                path.display()
            )),
            Trouble::Refused(path, error) => {
                let way = match error.kind() {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some of the disk",
                    ErrorKind::ReadOnlyFilesystem => "make it writable again",
                    _ => "mend it",
                };
                self.say(format!(
                    "write {}: {error}; rows are kept in memory for a while: {way}, or record elsewhere with --out",
                    path.display()
                ));
            }
            Trouble::Lost(passes) => self.lose(format!("{passes} readings of all cgroups could not be written and are lost")),
        }
    }
}
