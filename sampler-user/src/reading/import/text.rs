//! Bytes to lines: UTF-16 and its mark, escape sequences of terminals, and a bound on the length of a line.

use std::io::{self, Read};

use crate::model::paths::from_bytes;
use crate::reading::import::intake::Stop;

/// Longest line that is read, bytes.
pub const LINE: usize = 1 << 20;
/// Bytes that are looked at to find out what a file is.
pub const HEAD: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    Utf8,
    Utf16 { big: bool },
}

/// UTF-8, or UTF-16 as Windows writes it, as UTF-8 without its mark.
pub struct Decoded<R> {
    inner: R,
    encoding: Encoding,
    /// Bytes that are ready, from `at` on.
    ready: Vec<u8>,
    at: usize,
    /// Bytes of a code unit or of a pair that are not whole yet.
    rest: Vec<u8>,
}

impl<R: Read> Decoded<R> {
    /// Looks at the mark.
    pub fn new(mut inner: R) -> io::Result<Decoded<R>> {
        let mut first = Vec::with_capacity(4);
        (&mut inner).take(4).read_to_end(&mut first)?;
        let (encoding, mark) = match first.as_slice() {
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            [0xff, 0xfe, ..] => (Encoding::Utf16 { big: false }, 2),
            [0xfe, 0xff, ..] => (Encoding::Utf16 { big: true }, 2),
            [a, 0, b, 0] if *a != 0 && *b != 0 => (Encoding::Utf16 { big: false }, 0),
            [0, a, 0, b] if *a != 0 && *b != 0 => (Encoding::Utf16 { big: true }, 0),
            _ => (Encoding::Utf8, 0),
        };
        first.drain(..mark);
        let mut decoded = Decoded { inner, encoding, ready: Vec::new(), at: 0, rest: Vec::new() };
        match encoding {
            Encoding::Utf8 => decoded.ready = first,
            Encoding::Utf16 { .. } => decoded.rest = first,
        }
        Ok(decoded)
    }

    fn fill(&mut self, big: bool) -> io::Result<usize> {
        let mut chunk = [0; 8192];
        let read = self.inner.read(&mut chunk)?;
        self.rest.extend_from_slice(&chunk[..read]);
        let mut units: Vec<u16> = self
            .rest
            .chunks_exact(2)
            .map(
                |pair| {
                    if big { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) }
                },
            )
            .collect();
        // The first half of a pair waits for the second.
        if read > 0 && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            units.pop();
        }
        self.rest.drain(..units.len() * 2);
        self.ready.clear();
        self.at = 0;
        let mut buffer = [0; 4];
        for unit in char::decode_utf16(units) {
            let c = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.ready.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        }
        Ok(read)
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.at < self.ready.len() {
                let n = out.len().min(self.ready.len() - self.at);
                out[..n].copy_from_slice(&self.ready[self.at..self.at + n]);
                self.at += n;
                return Ok(n);
            }
            match self.encoding {
                Encoding::Utf8 => return self.inner.read(out),
                Encoding::Utf16 { big } => {
                    if self.fill(big)? == 0 && self.ready.is_empty() {
                        return Ok(0);
                    }
                }
            }
        }
    }
}

/// Bytes whose lines end with a carriage return alone, with line ends instead.
pub fn with_newlines(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
    bytes
}

/// A reader that does so, where it is asked to.
pub struct Returns<R> {
    inner: R,
    asked: bool,
}

impl<R> Returns<R> {
    /// Of a file whose lines end so.
    pub fn new(inner: R, asked: bool) -> Returns<R> {
        Returns { inner, asked }
    }
}

impl<R: Read> Read for Returns<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        if self.asked {
            out[..read].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        }
        Ok(read)
    }
}

/// The first bytes of a file.
pub fn head(bytes: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    bytes.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Lines without their ends and without escape sequences.
pub struct Lines<R> {
    inner: R,
    buffer: Vec<u8>,
    from: usize,
    ended: bool,
    line: String,
    /// Number of the last line, from 1.
    pub number: u64,
}

impl<R: Read> Lines<R> {
    /// The lines of some text.
    pub fn new(inner: R) -> Lines<R> {
        Lines { inner, buffer: Vec::new(), from: 0, ended: false, line: String::new(), number: 0 }
    }

    /// The next line; `None` at the end. A line that is too long is refused.
    pub fn next_line(&mut self) -> Result<Option<&str>, Stop> {
        let mut searched = 0;
        let end = loop {
            let found = self.buffer[self.from + searched..].iter().position(|b| *b == b'\n');
            if let Some(at) = found {
                break self.from + searched + at;
            }
            searched = self.buffer.len() - self.from;
            if searched > LINE {
                let number = self.number + 1;
                return Err(Stop::new(format!("line {number} is longer than 1 MiB: this is no table of text")));
            }
            if self.ended {
                if searched == 0 {
                    return Ok(None);
                }
                break self.buffer.len();
            }
            self.buffer.drain(..self.from);
            self.from = 0;
            let old = self.buffer.len();
            self.buffer.resize(old + HEAD, 0);
            let read = self.inner.read(&mut self.buffer[old..])?;
            self.buffer.truncate(old + read);
            self.ended = read == 0;
        };
        let bytes = &self.buffer[self.from..end];
        self.from = (end + 1).min(self.buffer.len());
        self.number += 1;
        clean(bytes, &mut self.line);
        Ok(Some(&self.line))
    }
}

/// A line as a person saw it: without escape sequences, and what a carriage return was written over is gone.
pub fn clean(bytes: &[u8], line: &mut String) {
    line.clear();
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if !bytes.iter().any(|b| matches!(b, 0x1b | b'\r' | 0x08 | 0)) {
        match std::str::from_utf8(bytes) {
            Ok(text) => line.push_str(text),
            Err(_) => line.push_str(&from_bytes(bytes)),
        }
        return;
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            0x1b => skip_escape(&mut rest),
            b'\r' if rest.peek().is_some() => kept.clear(),
            b'\r' | 0x08 | 0 => {}
            _ => kept.push(byte),
        }
    }
    line.push_str(&from_bytes(&kept));
}

/// Skips what follows an escape: `[` with parameters to a letter (CSI), `]` to its end (OSC), or one more byte.
fn skip_escape(rest: &mut std::iter::Peekable<impl Iterator<Item = u8>>) {
    match rest.next() {
        Some(b'[') => while rest.next().is_some_and(|b| !(0x40..=0x7e).contains(&b)) {},
        Some(b']') => {
            while let Some(byte) = rest.next() {
                if byte == 0x07 || byte == 0x1b && rest.next_if_eq(&b'\\').is_some() {
                    break;
                }
            }
        }
        Some(b'(' | b')') => drop(rest.next()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(Decoded::new(bytes).unwrap());
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push(line.to_owned());
        }
        all
    }

    #[test]
    fn marks_utf_16_and_line_ends_are_read_away() {
        assert_eq!(lines(b"\xef\xbb\xbfa,b\r\n1,2"), ["a,b", "1,2"]);
        for big in [false, true] {
            let units = "\u{feff}t,\u{1f600}\r\n1,2\r\n".encode_utf16();
            let bytes: Vec<u8> = units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect();
            assert_eq!(lines(&bytes), ["t,\u{1f600}", "1,2"], "big: {big}");
        }
        assert_eq!(lines(b"a\0b\0\n\0"), ["ab"], "UTF-16 without a mark");
        assert_eq!(lines(b"a\n\nb\n"), ["a", "", "b"]);
        assert_eq!(lines(b"/a\xff"), [from_bytes(b"/a\xff")], "bytes that are no UTF-8 are kept");
    }

    #[test]
    fn escape_sequences_are_no_text() {
        assert_eq!(lines(b"\x1b[2J\x1b[HNAME\x1b[K  \x1b]0;title\x07MEM\x1b(B\n"), ["NAME  MEM"]);
        assert_eq!(lines(b"10 %\r20 %\r30 %\r\n"), ["30 %"]);
        assert_eq!(lines(b"\x1b["), [""]);
    }

    #[test]
    fn a_line_that_never_ends_is_refused_before_it_is_read() {
        let endless = io::repeat(b'x').take(1 << 40);
        let mut lines = Lines::new(endless);
        let error = lines.next_line().unwrap_err().to_string();
        assert!(error.contains("line 1 is longer than 1 MiB"), "{error}");
        assert!(lines.buffer.capacity() < 8 * LINE);
    }
}
