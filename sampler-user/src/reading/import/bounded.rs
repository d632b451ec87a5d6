//! A stream of JSON whose texts are bounded before they are held.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::reading::import::text::LINE;

/// Refuses a string or number that is longer than a line may be, before it is held.
pub(super) struct Guard<R> {
    inner: R,
    length: usize,
    in_string: bool,
    escaped: bool,
}

impl<R> Guard<R> {
    pub(super) fn new(inner: R) -> Guard<R> {
        Guard { inner, length: 0, in_string: false, escaped: false }
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        for byte in &out[..read] {
            let ends = match byte {
                _ if self.escaped => {
                    self.escaped = false;
                    false
                }
                b'\\' if self.in_string => {
                    self.escaped = true;
                    false
                }
                b'"' => {
                    self.in_string = !self.in_string;
                    true
                }
                byte => !self.in_string && (byte.is_ascii_whitespace() || b",:[]{}".contains(byte)),
            };
            self.length = if ends { 0 } else { self.length + 1 };
            if self.length > LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a text in it is longer than 1 MiB"));
            }
        }
        Ok(read)
    }
}

/// Bytes that one document may have that is held whole.
const MOST_DOCUMENT: u64 = 16 << 20;

/// Bounds what is read until it is renewed.
#[derive(Clone)]
pub(super) struct Budget(Rc<Cell<u64>>);

impl Default for Budget {
    fn default() -> Self {
        Budget(Rc::new(Cell::new(MOST_DOCUMENT)))
    }
}

impl Budget {
    /// A reader that spends it.
    pub(super) fn of<R>(&self, inner: R) -> Bounded<R> {
        Bounded { inner, budget: self.clone() }
    }

    /// A document is read: the next one may be as long.
    pub(super) fn renew(&self) {
        self.0.set(MOST_DOCUMENT);
    }
}

/// A reader with a budget.
pub(super) struct Bounded<R> {
    inner: R,
    budget: Budget,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        match self.budget.0.get().checked_sub(read as u64) {
            Some(left) => self.budget.0.set(left),
            None => {
                let what = "a document of it is longer than 16 MiB: query a shorter time, and import all files at once";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(read)
    }
}
