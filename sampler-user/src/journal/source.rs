//! The bytes of a segment, in a file or in memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::journal::format::{HEAD, MAGIC, MAX_PAYLOAD, parse_frame};

/// Where the bytes of a segment are.
#[derive(Debug)]
pub(super) enum Source {
    /// In a file, up to the length that it had when it was opened: it may grow, and it may lose its name.
    File(File, usize),
    /// In memory.
    Bytes(Vec<u8>),
}

impl Source {
    /// Number of bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Source::File(_, length) => *length,
            Source::Bytes(bytes) => bytes.len(),
        }
    }

    /// Reads into `out`; `false` when the file has them no more.
    pub(super) fn read(&self, range: Range<usize>, out: &mut Vec<u8>) -> bool {
        out.clear();
        match self {
            Source::File(file, _) => {
                out.resize(range.len(), 0);
                file.read_exact_at(out, range.start as u64).is_ok()
            }
            Source::Bytes(bytes) => bytes.get(range).map(|bytes| out.extend_from_slice(bytes)).is_some(),
        }
    }
}

/// Bytes of a file that are held at once while its frames are found.
pub(super) const WINDOW: usize = 1 << 20;

/// Goes over the bytes of a segment, from its begin to its end.
pub(super) struct Window<'a> {
    source: &'a Source,
    held: Vec<u8>,
    from: usize,
}

impl<'a> Window<'a> {
    /// At its begin.
    pub(super) fn new(source: &'a Source) -> Window<'a> {
        Window { source, held: Vec::new(), from: 0 }
    }

    /// The bytes from a place on, `least` of them at least where there are so many.
    pub(super) fn at(&mut self, at: usize, least: usize) -> io::Result<&[u8]> {
        let (file, length) = match self.source {
            Source::Bytes(bytes) => return Ok(bytes.get(at..).unwrap_or_default()),
            Source::File(file, length) => (file, *length),
        };
        let end = at.saturating_add(least).min(length);
        if at < self.from || end > self.from + self.held.len() {
            let wanted = length.saturating_sub(at).min(least.max(WINDOW));
            self.held.resize(wanted, 0);
            self.from = at;
            let mut filled = 0;
            while filled < wanted {
                match file.read_at(&mut self.held[filled..], (at + filled) as u64) {
                    // It was cut meanwhile.
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.held.truncate(filled);
        }
        Ok(self.held.get(at - self.from..).unwrap_or_default())
    }

    /// The whole frame at a place.
    pub(super) fn frame(&mut self, at: usize) -> io::Result<Option<(u8, &[u8])>> {
        let head = self.at(at, HEAD)?;
        let &[.., a, b, c, d] = head.get(..12).unwrap_or_default() else { return Ok(None) };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if head[..4] != MAGIC || length > MAX_PAYLOAD {
            return Ok(None);
        }
        self.at(at, HEAD + length).map(parse_frame)
    }

    /// Where the next frame may begin, from a place on.
    pub(super) fn magic(&mut self, mut at: usize) -> io::Result<Option<usize>> {
        loop {
            let bytes = self.at(at, MAGIC.len())?;
            if let Some(skip) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) {
                return Ok(Some(at + skip));
            }
            match (bytes.len() + 1).checked_sub(MAGIC.len()) {
                None | Some(0) => return Ok(None),
                Some(searched) => at += searched,
            }
        }
    }
}
