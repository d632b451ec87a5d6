//! How much of a file is in the page cache.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Number of cachestat(2), which is the same on all architectures but alpha.
const CACHESTAT: libc::c_long = 451;
/// A file is mapped in pieces of this size, bytes: a reading needs a byte for each page of one.
const PIECE: u64 = 64 << 20;

#[repr(C)]
struct Range {
    from: u64,
    length: u64,
}

#[repr(C)]
#[derive(Default)]
struct Counts {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Bytes of an open file in the page cache, as cachestat(2) counts them (6.5). `None` without it, or without the right. Of a file of
/// overlayfs it counts nothing, because its pages are another file's.
pub fn cachestat(file: &File, page_size: u64) -> Option<u64> {
    let range = Range { from: 0, length: 0 };
    let mut counts = Counts::default();
    // SAFETY: both structures have the layout of the kernel's, and outlive the call.
    let done = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut counts, 0) };
    (done == 0).then(|| counts.cached.saturating_mul(page_size))
}

/// Bytes of an open file of a size in the page cache, by mincore(2). Reads nothing of the file. `None` without the right.
pub fn mincore(file: &File, size: u64, page_size: u64) -> Option<u64> {
    let mut pages = vec![0u8; (PIECE.min(size).div_ceil(page_size)) as usize];
    let (mut from, mut resident) = (0, 0u64);
    while from < size {
        let length = PIECE.min(size - from) as usize;
        // SAFETY: a new mapping at no address of ours; nothing in it is read.
        let at = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, from) }.ok()?;
        // SAFETY: the mapping is `length` long, and there is a byte for each of its pages.
        let done = unsafe { libc::mincore(at, length, pages.as_mut_ptr()) };
        // SAFETY: it is the mapping of above, which nobody else has.
        let _ = unsafe { munmap(at, length) };
        if done != 0 {
            return None;
        }
        let count = length.div_ceil(page_size as usize);
        resident += pages[..count].iter().filter(|page| **page & 1 == 1).count() as u64;
        from += length as u64;
    }
    Some(resident.saturating_mul(page_size))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_was_written_is_in_the_page_cache_and_both_ways_agree() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 3 << 20]).unwrap();
        file.set_len(200 << 20).unwrap();
        let page = rustix::param::page_size() as u64;
        assert_eq!(mincore(&file, 200 << 20, page), Some(3 << 20));
        if let Some(counted) = cachestat(&file, page) {
            assert_eq!(counted, 3 << 20);
        }
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert_eq!(mincore(&file, 200 << 20, page), Some(0), "nothing was read by looking");
        let mut byte = [0];
        file.read_exact(&mut byte).unwrap();
    }
}
