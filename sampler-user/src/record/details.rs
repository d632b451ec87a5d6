//! What holds memory, by name: a thread that looks now and then, and records it when it has changed.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::details::files::FileReader;
use crate::kernel::details::mounts;
use crate::kernel::details::slab::SlabReader;
use crate::model::details::MemoryDetails;
use crate::model::event::{Event, EventKind};
use crate::model::time::thread_cpu_ns;
use crate::record::config::LookFor;
use crate::record::relay::Message;
use crate::record::worker::spawn;

/// Looks are this far apart at least.
const EVERY: Duration = Duration::from_secs(10);
/// And as much further as one costs: at most this part of a CPU.
const PART: u32 = 2000;
/// How long the end of the recording waits for a look.
const END: Duration = Duration::from_millis(500);
/// A look that differs by less is recorded after so many looks only.
const REPEAT: u32 = 30;
/// A change that is worth recording at once, bytes, and as a part of what was there.
const CHANGE: u64 = 4 << 20;
const CHANGE_PART: u64 = 8;

/// The thread, as the control loop sees it. It ends when this is dropped.
pub struct Details {
    stop: Option<Sender<()>>,
    done: Receiver<()>,
}

impl Details {
    /// Starts the thread. The first look is taken at once.
    pub fn begin(look: &LookFor, layout: Layout, messages: Sender<Message>) -> io::Result<Details> {
        let (stop, stopped) = mpsc::channel();
        let (finished, done) = mpsc::channel();
        let (files, budget) = (FileReader::new(&look.walk, look.most), look.budget);
        spawn("sampler-details", move || {
            run(&layout, files, budget, &messages, &stopped);
            let _ = finished.send(());
        })?;
        Ok(Details { stop: Some(stop), done })
    }

    /// Ends the thread, but does not wait long: a file system may keep it.
    pub fn end(&mut self) {
        drop(self.stop.take());
        let _ = self.done.recv_timeout(END);
    }
}

fn run(layout: &Layout, mut files: FileReader, budget: Duration, messages: &Sender<Message>, stopped: &Receiver<()>) {
    let mut slab = SlabReader::default();
    let (mut last, mut unrecorded) = (None::<MemoryDetails>, 0);
    loop {
        let begun = thread_cpu_ns();
        let now =
            MemoryDetails { slab: slab.read(), mounts: mounts::read(layout), files: files.read(layout, budget).0 };
        unrecorded += 1;
        if last.as_ref().is_none_or(|last| unrecorded >= REPEAT || is_news(last, &now)) {
            if messages.send(Message::Event(Event::now(EventKind::MemoryDetails(Box::new(now.clone()))))).is_err() {
                return;
            }
            (last, unrecorded) = (Some(now), 0);
        }
        let cost = Duration::from_nanos(thread_cpu_ns().saturating_sub(begun));
        match stopped.recv_timeout(EVERY.max(cost * PART)) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return,
        }
    }
}

/// Whether something has become much larger or smaller, came or went.
fn is_news(before: &MemoryDetails, now: &MemoryDetails) -> bool {
    let list = |details: &MemoryDetails| -> Vec<(String, u64)> {
        let slab = details.slab.iter().map(|cache| (cache.name.clone(), cache.bytes));
        let mounts = details.mounts.iter().map(|mount| (format!("{:?} {}", mount.cgroup, mount.path), mount.bytes));
        let files = details.files.iter().map(|file| (format!("{:?} {}", file.cgroup, file.path), file.bytes));
        slab.chain(mounts).chain(files).collect()
    };
    let (before, now) = (list(before), list(now));
    let differs = |one: &[(String, u64)], other: &[(String, u64)]| {
        one.iter().any(|(name, bytes)| {
            let there = other.iter().find(|(known, _)| known == name).map_or(0, |(_, bytes)| *bytes);
            bytes.abs_diff(there) > CHANGE.max(bytes / CHANGE_PART)
        })
    };
    differs(&before, &now) || differs(&now, &before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::details::SlabCache;

    fn cache(name: &str, mib: u64) -> SlabCache {
        SlabCache { name: name.into(), bytes: mib << 20, reclaimable: None }
    }

    #[test]
    fn only_what_matters_is_news() {
        let of = |slab: &[SlabCache]| MemoryDetails { slab: slab.to_vec(), ..MemoryDetails::default() };
        let before = of(&[cache("dentry", 100), cache("inode", 3)]);
        assert!(!is_news(&before, &of(&[cache("dentry", 108), cache("inode", 5)])));
        assert!(is_news(&before, &of(&[cache("dentry", 120), cache("inode", 3)])));
        assert!(is_news(&before, &of(&[cache("inode", 3)])), "gone");
        assert!(!is_news(&before, &of(&[cache("dentry", 100)])), "too small to matter");
        assert!(is_news(&before, &of(&[cache("dentry", 100), cache("inode", 3), cache("new", 8)])));
    }
}
