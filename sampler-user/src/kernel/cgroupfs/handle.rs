//! The kept descriptors of one cgroup. A `pread` on a kept descriptor costs a ninth of open, read and close.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pread, pwrite};
use rustix::process::{Resource, getrlimit};

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::plan::{Plan, PlannedFile};
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

/// The files of a plan, for one cgroup or for the host: descriptors that are kept, or names where no descriptor is left for them.
#[derive(Debug)]
pub struct Handle {
    fds: Vec<Option<OwnedFd>>,
    /// Opened for each reading instead; empty where descriptors are kept.
    names: Box<[Option<CString>]>,
    /// Whether a file may be longer than what the kernel gives at once.
    long: bool,
}

impl Handle {
    /// Opens those of a cgroup's files that exist. What does not exist on this kernel, or may not be read, stays absent.
    pub fn cgroup(plan: &Plan, layout: &Layout, cgroup: &str) -> Handle {
        let path = |file: &PlannedFile| Some(layout.folder(cgroup, file.source)?.join(file.name()));
        let open = |file: &PlannedFile| match (path(file), file.resets()) {
            (None, _) => Ok(None),
            (Some(path), true) => open_reset(&path),
            (Some(path), false) => open_read(&path),
        };
        match plan.files.iter().map(open).collect() {
            Ok(fds) => Handle { fds, names: Box::default(), long: false },
            Err(NoneLeft) => {
                // A peak is reset for one descriptor alone, so that nobody has it who opens the file anew.
                let name = |file: &PlannedFile| {
                    CString::new(path(file).filter(|_| !file.resets())?.into_os_string().into_vec()).ok()
                };
                Handle { fds: Vec::new(), names: plan.files.iter().map(name).collect(), long: false }
            }
        }
    }

    /// Whether its descriptors are kept. If not, each reading opens the files, which costs some five times as much.
    pub fn is_kept(&self) -> bool {
        self.names.is_empty()
    }

    /// Opens the host's files, those of the root cgroup among them.
    pub fn host(plan: &Plan, layout: &Layout) -> Handle {
        let path = |file: &str| match file.starts_with('/') {
            true => Some(Path::new(file).to_owned()),
            false => Some(layout.folder("/", file)?.join(file)),
        };
        let open = |file: &PlannedFile| open_read(&path(file.source)?).ok().flatten();
        Handle { fds: plan.files.iter().map(open).collect(), names: Box::default(), long: true }
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
        let has = |n: usize| match self.is_kept() {
            true => self.fds.get(n).is_some_and(Option::is_some),
            false => self.names.get(n).is_some_and(Option::is_some),
        };
        let covered = plan.files.iter().enumerate().filter(|(n, file)| file.covered && has(*n));
        covered.flat_map(|(_, file)| file.parser.slots()).fold(0, |mask, slot| mask | 1 << slot)
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
        for (name, file) in self.names.iter_mut().zip(&mut plan.files) {
            let Some(path) = name.as_deref().filter(|_| !(rest && file.covered)) else { continue };
            let read =
                open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).and_then(|fd| pread(&fd, &mut *buffer, 0));
            match read {
                Ok(length) => file.parser.parse(&buffer[..length], row),
                Err(Errno::NODEV) => return Outcome::Gone,
                // The file is not on this kernel, or the cgroup is gone: then they all are missing.
                Err(Errno::NOENT | Errno::OPNOTSUPP | Errno::INVAL | Errno::ACCESS | Errno::PERM) => *name = None,
                Err(_) => {}
            }
        }
        if !self.names.is_empty() && self.names.iter().all(Option::is_none) {
            return Outcome::Gone;
        }
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

/// Descriptors that no cgroup takes, so that the journal, a seal, the page of a kill and the metrics have theirs.
const RESERVED: u64 = 128;

/// Only the reserve is left of the descriptors.
struct NoneLeft;

fn open_read(path: &Path) -> Result<Option<OwnedFd>, NoneLeft> {
    open_below_reserve(path, OFlags::RDONLY)
}

/// Opens a file unless only the reserve is left: the kernel gives the lowest number that is free.
fn open_below_reserve(path: &Path, flags: OFlags) -> Result<Option<OwnedFd>, NoneLeft> {
    let fd = match open(path, flags | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::MFILE | Errno::NFILE) => return Err(NoneLeft),
        Err(_) => return Ok(None),
    };
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if fd.as_raw_fd() as u64 + RESERVED < limit { Ok(Some(fd)) } else { Err(NoneLeft) }
}

/// A private peak is had only where writing to the file is allowed; older kernels have it read-only, and what they print is
/// the peak since the cgroup exists, which is another field.
fn open_reset(path: &Path) -> Result<Option<OwnedFd>, NoneLeft> {
    let fd = open_below_reserve(path, OFlags::RDWR)?;
    Ok(fd.filter(|fd| pwrite(fd, b"r", 0).is_ok()))
}
