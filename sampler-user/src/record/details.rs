//! What holds memory, by name: a thread that looks now and then, and records it when it has changed.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::details::files::FileReader;
use crate::kernel::details::mounts;
use crate::kernel::details::own_memory::OwnMemoryReader;
use crate::kernel::details::slab::SlabReader;
use crate::model::details::MemoryDetails;
use crate::model::event::{Event, EventKind};
use crate::model::own_memory::{Manager, OwnMemory};
use crate::model::time::thread_cpu_ns;
use crate::record::config::LookFor;
use crate::record::relay::Message;
use crate::record::worker::spawn;

/// Looks are this far apart at least.
const EVERY: Duration = Duration::from_secs(10);
/// And as much further as one costs: at most this part of a CPU.
const PART: u32 = 2000;
/// What a process is, is looked at once: for all of a machine as soon as that can be, in parts of so many budgets.
const NEW: u32 = 4;
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
    let mut own = OwnMemoryWatch::default();
    let (mut last, mut unrecorded) = (None::<MemoryDetails>, 0);
    loop {
        let begun = thread_cpu_ns();
        for (cgroup, news) in own.look(layout, budget * NEW) {
            if messages.send(Message::Event(Event::of(&cgroup, EventKind::OwnMemory(Box::new(news))))).is_err() {
                return;
            }
        }
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

/// What processes manage by themselves, as it was recorded last.
#[derive(Default)]
struct OwnMemoryWatch {
    reader: OwnMemoryReader,
    recorded: BTreeMap<(i32, Manager), (OwnMemory, u32)>,
}

impl OwnMemoryWatch {
    /// What has changed or has not been recorded for long.
    fn look(&mut self, layout: &Layout, budget: Duration) -> Vec<(String, OwnMemory)> {
        let mut now = self.reader.read(layout, budget);
        self.choose(&mut now);
        now
    }

    /// Keeps what is worth recording.
    fn choose(&mut self, now: &mut Vec<(String, OwnMemory)>) {
        let mut before = std::mem::take(&mut self.recorded);
        now.retain(|(_, own)| {
            let key = (own.pid, own.manager);
            let known = before.remove(&key).filter(|(known, looks)| *looks < REPEAT && !has_changed(known, own));
            let is_news = known.is_none();
            let (kept, looks) = known.unwrap_or_else(|| (own.clone(), 0));
            self.recorded.insert(key, (kept, looks + 1));
            is_news
        });
    }
}

/// Whether a collection took place, or a size changed so much that it is worth recording.
fn has_changed(before: &OwnMemory, now: &OwnMemory) -> bool {
    let differs = |before: Option<u64>, now: Option<u64>| match (before, now) {
        (Some(before), Some(now)) => now.abs_diff(before) > CHANGE.max(before / CHANGE_PART),
        (before, now) => before != now,
    };
    let of = |own: &OwnMemory, size: fn(&crate::model::own_memory::JavaHeap) -> u64| own.heap.as_ref().map(size);
    before.ceiling != now.ceiling
        || before.set_by != now.set_by
        || before.comm != now.comm
        || differs(before.resident, now.resident)
        || of(before, |heap| heap.old_collections) != of(now, |heap| heap.old_collections)
        || differs(of(before, |heap| heap.committed), of(now, |heap| heap.committed))
        || differs(of(before, |heap| heap.old_used), of(now, |heap| heap.old_used))
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
    fn a_heap_is_recorded_when_it_was_collected_when_it_changed_and_now_and_then() {
        use crate::model::own_memory::JavaHeap;
        let heap = |mib: u64, old_collections| {
            let heap = JavaHeap {
                committed: mib << 20,
                used: 0,
                old_used: 0,
                young_collections: 0,
                old_collections,
                metaspace: None,
            };
            OwnMemory {
                pid: 7,
                comm: "java".into(),
                manager: Manager::Jvm,
                ceiling: Some(1 << 30),
                set_by: None,
                uncollected: false,
                resident: Some(mib << 20),
                heap: Some(heap),
            }
        };
        let mut watch = OwnMemoryWatch::default();
        let mut news = |own: OwnMemory| {
            // Others beside it change nothing.
            let other = OwnMemory { pid: 8, heap: None, ..heap(50, 0) };
            let mut now = vec![("/a".to_owned(), own), ("/b".to_owned(), other)];
            watch.choose(&mut now);
            now.iter().any(|(path, _)| path == "/a")
        };
        assert!(news(heap(100, 0)), "new");
        assert!(!news(heap(103, 0)));
        assert!(news(heap(103, 1)), "collected");
        assert!(news(heap(120, 1)), "grown since it was recorded");
        let quiet = (0..REPEAT).filter(|_| news(heap(120, 1))).count();
        assert_eq!(quiet, 1);
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
