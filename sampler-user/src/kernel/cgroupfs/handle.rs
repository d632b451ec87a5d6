//! The kept descriptors of one cgroup. A `pread` on a kept descriptor costs a ninth of open, read and close.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pread, pwrite};
use rustix::process::{Resource, getrlimit};

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::plan::Plan;
use crate::model::sample::{Mask, Row};

/// Files of a cgroup are one page; memory.stat may take more of it with every release.
pub const BUFFER: usize = 16 << 10;
/// zoneinfo of the host has some 60 bytes for each CPU in each of its zones.
pub const HOST_BUFFER: usize = 64 << 10;

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All files were read; what could not be is absent.
    Read,
    /// The cgroup is gone.
    Gone,
}

/// Descriptors of the files of a plan, for one cgroup or for the host.
#[derive(Debug)]
pub struct Handle {
    fds: Vec<Option<OwnedFd>>,
    /// Whether a file may be longer than what the kernel gives at once.
    long: bool,
}

impl Handle {
    /// Opens those of a cgroup's files that exist. What does not exist on this kernel, or may not be read, stays absent.
    pub fn cgroup(plan: &Plan, layout: &Layout, cgroup: &str) -> Handle {
        let fds = plan.files.iter().map(|file| {
            let folder = layout.folder(cgroup, file.source)?;
            if file.resets() { open_reset(&folder.join(file.name())) } else { open_read(&folder.join(file.name())) }
        });
        Handle { fds: fds.collect(), long: false }
    }

    /// Opens the host's files, those of the root cgroup among them.
    pub fn host(plan: &Plan, layout: &Layout) -> Handle {
        let path = |file: &str| match file.starts_with('/') {
            true => Some(Path::new(file).to_owned()),
            false => Some(layout.folder("/", file)?.join(file)),
        };
        Handle { fds: plan.files.iter().map(|file| open_read(&path(file.source)?)).collect(), long: true }
    }

    /// The descriptors that are open, to poll them.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.fds.iter().flatten().map(|fd| fd.as_fd())
    }

    /// Number of files that are open.
    pub fn open_files(&self) -> usize {
        self.fds.iter().flatten().count()
    }

    /// Reads every file once and does nothing with it: the floor that benchmarks compare with.
    pub fn touch(&self, buffer: &mut [u8]) {
        for fd in self.fds.iter().flatten() {
            let _ = pread(fd, &mut *buffer, 0);
        }
    }

    /// Slots of the covered files that this cgroup has: where it has no file, the kernel keeps no such account.
    pub fn covered(&self, plan: &Plan) -> Mask {
        let open = self.fds.iter().zip(&plan.files).filter(|(fd, file)| fd.is_some() && file.covered);
        open.flat_map(|(_, file)| file.parser.slots()).fold(0, |mask, slot| mask | 1 << slot)
    }

    /// Reads every file once into the row. One system call a file, two where the file is reset or may be long.
    #[inline]
    pub fn read(&mut self, plan: &mut Plan, buffer: &mut [u8], row: &mut Row) -> Outcome {
        self.read_files(plan, buffer, row, false)
    }

    /// Reads the files that are not covered.
    #[inline]
    pub fn read_rest(&mut self, plan: &mut Plan, buffer: &mut [u8], row: &mut Row) -> Outcome {
        self.read_files(plan, buffer, row, true)
    }

    #[inline]
    fn read_files(&mut self, plan: &mut Plan, buffer: &mut [u8], row: &mut Row, rest: bool) -> Outcome {
        for (slot, file) in self.fds.iter_mut().zip(&mut plan.files) {
            let Some(fd) = slot else { continue };
            if rest && file.covered {
                continue;
            }
            let read = if self.long { pread_long(fd, buffer) } else { pread(&*fd, &mut *buffer, 0) };
            match read {
                Ok(length) => file.parser.parse(&buffer[..length], row),
                Err(Errno::NODEV) => return Outcome::Gone,
                // Not supported after all (PSI switched off), or refused: absent from now on.
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::ACCESS | Errno::PERM) => *slot = None,
                Err(_) => {}
            }
            if file.resets()
                && let Some(fd) = slot
            {
                let _ = pwrite(&*fd, b"r", 0);
            }
        }
        Outcome::Read
    }
}

/// Reads a file to its end: of one with many lines (vmstat, zoneinfo) the kernel gives a page at a time. What the buffer cannot hold is
/// an error, because a part of a table is not a smaller table.
fn pread_long(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut length = 0;
    loop {
        match pread(fd, &mut buffer[length..], length as u64)? {
            0 if length == buffer.len() => return Err(Errno::FBIG),
            0 => return Ok(length),
            more => length += more,
        }
    }
}

/// Descriptors that no cgroup takes, so that the journal, a seal and the page of a kill can always be written.
const RESERVED: u64 = 64;

fn open_read(path: &Path) -> Option<OwnedFd> {
    open_below_reserve(path, OFlags::RDONLY)
}

/// Opens a file unless only the reserve is left: the kernel gives the lowest number that is free.
fn open_below_reserve(path: &Path, flags: OFlags) -> Option<OwnedFd> {
    let fd = open(path, flags | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (fd.as_raw_fd() as u64 + RESERVED < limit).then_some(fd)
}

/// A private peak is had only where writing to the file is allowed; older kernels have it read-only, and what they print is
/// the peak since the cgroup exists, which is another field.
fn open_reset(path: &Path) -> Option<OwnedFd> {
    let fd = open_below_reserve(path, OFlags::RDWR)?;
    pwrite(&fd, b"r", 0).ok().map(|_| fd)
}
