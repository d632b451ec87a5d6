//! Every cgroup below a root in one system call; the rows are in memory that the kernel and the agent share.
//!
//! Since kernel 6.17 a system call runs a program that goes over the cgroups without a lock ([`Walker::open`]). Older kernels, from 6.1 on,
//! have an iterator ([`Walker::attach`]): the agent reads its descriptor, and the kernel runs the program once a cgroup. It holds the
//! lock that making and removing a cgroup needs, so it is cut into parts of at most [`HOLD`]. Needs CAP_BPF and CAP_PERFMON.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use sampler_ebpf::{HAS_STATISTICS, ROWS, Walk, WalkRow};

use crate::kernel::probe::offsets::{Found, Item, line_up, page, place};
use crate::kernel::probe::sys;
use crate::model::fields::FieldId;
use crate::model::sample::{Mask, Row};

/// Longest time a part of a walk holds the lock of the cgroup tree.
pub const HOLD: Duration = Duration::from_micros(200);

/// Memory shared with a map of the probe.
#[derive(Debug)]
struct Shared {
    at: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; only its owner reads and writes it.
unsafe impl Send for Shared {}

impl Shared {
    fn map(fd: BorrowedFd<'_>, length: usize) -> io::Result<Shared> {
        let length = length.next_multiple_of(page() as usize);
        // SAFETY: a new mapping, at a place the kernel chooses.
        let at =
            unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)? };
        NonNull::new(at.cast()).map(|at| Shared { at, length }).ok_or_else(|| io::Error::other("mapped at nothing"))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, which nobody else has.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.length) };
    }
}

/// What a walk took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Rows.
    pub rows: u64,
    /// Parts.
    pub parts: u32,
    /// Longest time a part held the lock, nanoseconds; to the last row. 0 of a walk that needs none.
    pub held_ns: u64,
}

/// Longest holding of all walks of this process, nanoseconds.
pub static LONGEST_HOLD_NS: AtomicU64 = AtomicU64::new(0);

/// How the kernel is made to walk.
#[derive(Debug)]
enum Way {
    /// A link; each part is a new iterator of it.
    Iterator(OwnedFd),
    /// A program that is run.
    Program(OwnedFd),
}

/// Walks over the cgroups below a root.
#[derive(Debug)]
pub struct Walker {
    way: Way,
    walk: Shared,
    rows: Shared,
    items: Vec<Item>,
    absent: Vec<FieldId>,
    /// What is asked of the program: no more than the items need.
    asked: Walk,
    page: u64,
    /// Most parts of one walk: a tree that grows faster than it is read would never end.
    most_parts: u32,
}

/// One cgroup of a walk.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    row: &'a WalkRow,
}

impl Seen<'_> {
    /// kernfs id.
    #[inline]
    pub fn id(&self) -> u64 {
        self.row.id
    }

    /// When it was read, `CLOCK_MONOTONIC` nanoseconds.
    #[inline]
    pub fn time_ns(&self) -> u64 {
        self.row.time_ns
    }
}

impl Way {
    /// One part of a walk.
    fn walk(&self) -> io::Result<()> {
        match self {
            Way::Iterator(link) => {
                let iterator =
                    sys::descriptor(sys::ITER_CREATE, sys::IterCreate { link_fd: link.as_raw_fd() as u32, flags: 0 })?;
                loop {
                    // Nothing is written to it: the rows go to the shared memory.
                    match rustix::io::read(&iterator, &mut [0u8; 8]) {
                        Ok(0) => return Ok(()),
                        Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Way::Program(program) => {
                let mut run = sys::TestRun { prog_fd: program.as_raw_fd() as u32, ..sys::TestRun::default() };
                sys::bpf(sys::PROG_TEST_RUN, &mut run)?;
                match run.retval {
                    0 => Ok(()),
                    _ => Err(io::Error::other("the kernel does not find the first cgroup")),
                }
            }
        }
    }
}

impl Walker {
    /// Joins a loaded iterator to a root. The maps are those of the program.
    pub fn attach(
        program: BorrowedFd<'_>,
        maps: [BorrowedFd<'_>; 2],
        root: &Path,
        found: &Found,
    ) -> io::Result<Walker> {
        let root = open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let info = sys::CgroupWalk { order: sys::DESCENDANTS_PRE, cgroup_fd: root.as_raw_fd() as u32, cgroup_id: 0 };
        let link = sys::descriptor(
            sys::LINK_CREATE,
            sys::LinkCreate {
                prog_fd: program.as_raw_fd() as u32,
                target_fd: 0,
                attach_type: sys::TRACE_ITER,
                flags: 0,
                iter_info: std::ptr::from_ref(&info) as u64,
                iter_info_len: size_of::<sys::CgroupWalk>() as u32,
                reserved: [0; 9],
            },
        )?;
        Walker::new(Way::Iterator(link), maps, Walk { bound_ns: HOLD.as_nanos() as u64, ..Walk::NONE }, found)
    }

    /// Takes a loaded program that walks without a lock, and looks whether it comes by the root.
    pub fn open(program: OwnedFd, maps: [BorrowedFd<'_>; 2], root: &Path, found: &Found) -> io::Result<Walker> {
        let root = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(root)?);
        let mut walker = Walker::new(Way::Program(program), maps, Walk { root, ..Walk::NONE }, found)?;
        let mut first = None;
        walker.take(|_, seen| first = first.or(Some((seen.id(), seen.row.has))))?;
        match first {
            Some((id, has)) if id == root => {
                if has & HAS_STATISTICS == 0 {
                    walker.items.retain(|item| !item.is_statistic());
                    walker.ask();
                }
                Ok(walker)
            }
            _ => Err(io::Error::other("it does not begin with what is mounted there")),
        }
    }

    fn new(way: Way, [walk, rows]: [BorrowedFd<'_>; 2], asked: Walk, found: &Found) -> io::Result<Walker> {
        let (walk, rows) =
            (Shared::map(walk, size_of::<Walk>())?, Shared::map(rows, size_of::<WalkRow>() * ROWS as usize)?);
        let (items, absent) = (found.items.clone(), found.absent.clone());
        let mut walker = Walker { way, walk, rows, items, absent, asked, page: page(), most_parts: 1024 };
        walker.ask();
        Ok(walker)
    }

    /// Asks for the items. Those that find no room are left out.
    fn ask(&mut self) {
        match self.way {
            Way::Iterator(_) => self.asked.blocks = place(&mut self.items),
            Way::Program(_) => {
                let asks = line_up(&mut self.items);
                self.asked.asks[..asks.len()].copy_from_slice(&asks);
                self.asked.asked = asks.len() as u32;
                self.asked.statistics = self.items.iter().any(Item::is_statistic).into();
            }
        }
    }

    /// The fields a walk gives.
    pub fn fields(&self) -> impl Iterator<Item = FieldId> {
        self.items.iter().map(|item| item.field)
    }

    /// Whether it gives what memory.stat has.
    pub fn has_statistics(&self) -> bool {
        self.items.iter().any(Item::is_statistic)
    }

    /// Slots that need not be read from files: those a walk gives, and those this kernel has nowhere.
    pub fn covers(&self) -> Mask {
        let fields = self.fields().chain(self.absent.iter().copied());
        fields.fold(0, |mask, field| mask | 1 << field.field().slot)
    }

    /// Leaves out the slots that are not wanted.
    pub fn keep(&mut self, wants: impl Fn(usize) -> bool) {
        self.items.retain(|item| wants(item.slot));
        self.ask();
    }

    /// Number of values a cgroup has in [`Walker::values`].
    pub fn width(&self) -> usize {
        self.items.len()
    }

    /// Writes the values of a cgroup to `out`, and returns which of them are present.
    #[inline]
    pub fn values(&self, seen: Seen<'_>, out: &mut [u64]) -> u64 {
        let mut there = 0;
        for (n, (item, value)) in self.items.iter().zip(out).enumerate() {
            if seen.row.has >> item.bit & 1 == 1
                && let Some(found) = item.value(&seen.row.words, self.page)
            {
                *value = found;
                there |= 1 << n;
            }
        }
        there
    }

    /// Sets values of [`Walker::values`] into a row, as far as `only` has their slots.
    #[inline]
    pub fn put(&self, values: &[u64], there: u64, only: Mask, row: &mut Row) {
        for (n, (item, value)) in self.items.iter().zip(values).enumerate() {
            if there >> n & 1 == 1 && only >> item.slot & 1 == 1 {
                row.set(item.slot, *value);
            }
        }
    }

    /// Sets the fields of a cgroup into a row.
    #[inline]
    pub fn fill(&self, seen: Seen<'_>, row: &mut Row) {
        for item in &self.items {
            if seen.row.has >> item.bit & 1 == 1
                && let Some(value) = item.value(&seen.row.words, self.page)
            {
                row.set(item.slot, value);
            }
        }
    }

    /// Row `n` of the last part.
    #[inline]
    fn row(&self, n: usize) -> Option<Seen<'_>> {
        // SAFETY: the mapping holds `ROWS` rows, which the kernel writes only while the iterator is read, and that is under
        // `&mut self`.
        (n < ROWS as usize).then(|| Seen { row: unsafe { &*self.rows.at.as_ptr().cast::<WalkRow>().add(n) } })
    }

    /// Walks once, and shows each cgroup with the memory controller to `each`. Allocates nothing; waits only for the lock of
    /// the cgroup tree.
    pub fn take(&mut self, mut each: impl FnMut(&Walker, Seen<'_>)) -> io::Result<Taken> {
        let mut taken = Taken::default();
        let mut skip = 0;
        while taken.parts < self.most_parts {
            let walk = self.walk.at.as_ptr().cast::<Walk>();
            // SAFETY: the mapping holds a `Walk`; the kernel writes it only while it walks, below.
            unsafe { walk.write_volatile(Walk { skip, ..self.asked }) };
            self.way.walk()?;
            // SAFETY: as above.
            let done = unsafe { walk.read_volatile() };
            taken.parts += 1;
            taken.rows += done.rows;
            if let Way::Iterator(_) = self.way {
                taken.held_ns = taken.held_ns.max(done.last_ns.saturating_sub(done.first_ns));
            }
            for n in 0..done.rows as usize {
                if let Some(seen) = self.row(n)
                    && seen.row.has != 0
                {
                    each(self, seen);
                }
            }
            if done.stopped == 0 || done.visited <= skip {
                break;
            }
            skip = done.visited;
        }
        LONGEST_HOLD_NS.fetch_max(taken.held_ns, Ordering::Relaxed);
        Ok(taken)
    }
}
