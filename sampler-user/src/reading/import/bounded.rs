//! A stream of JSON whose texts are bounded before they are held.

use std::io::{self, Read};

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
