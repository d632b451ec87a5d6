//! Frames and integers: what the writer and the reader agree on.

use serde::{Deserialize, Serialize};

use crate::model::recording::Subject;
use crate::model::sample::SubjectRef;

/// Version written into each segment's head. A reader refuses a newer one, and reads all older ones.
pub const VERSION: u32 = 1;
/// First bytes of each frame.
pub const MAGIC: [u8; 4] = *b"\xf5smp";
/// Bytes before a frame's payload: magic, kind, three zero bytes, length, CRC.
pub const HEAD: usize = 16;
/// No frame is larger; a length above it is damage.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// Name ending of a segment.
pub const SUFFIX: &str = "journal";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// JSON of [`crate::model::recording::Origin`]; first frame of a segment.
    Origin = 1,
    /// JSON of [`SubjectFrame`]; before the first row of that subject.
    Subject = 2,
    /// Passes, see [`crate::journal::encoder`].
    Block = 3,
    /// JSON of [`crate::model::event::Event`].
    Event = 4,
}

impl FrameKind {
    /// The kind of a number read from a file.
    pub fn from_number(number: u8) -> Option<FrameKind> {
        [FrameKind::Origin, FrameKind::Subject, FrameKind::Block, FrameKind::Event]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// Gives a subject the number its rows carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectFrame {
    /// Number within this run of the agent.
    pub r: SubjectRef,
    /// The subject.
    #[serde(flatten)]
    pub subject: Subject,
}

fn crc(kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&(payload.len() as u32).to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Appends a frame to a buffer.
pub fn frame(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc(kind as u8, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// The frame at the start of `bytes`: its kind number and payload. `None` when there is no whole frame.
pub fn parse_frame(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let head = bytes.get(..HEAD)?;
    if head[..4] != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(head[8..12].try_into().ok()?) as usize;
    if length > MAX_PAYLOAD {
        return None;
    }
    let payload = bytes.get(HEAD..HEAD + length)?;
    (crc(head[4], payload) == u32::from_le_bytes(head[12..16].try_into().ok()?)).then_some((head[4], payload))
}

/// Appends an unsigned integer, seven bits a byte, lowest first.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes an unsigned integer; `None` at the end or when it is longer than 64 bits.
#[inline(always)]
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    // Most are one byte.
    match bytes.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *bytes = rest;
            Some(u64::from(byte))
        }
        _ => take_long(bytes),
    }
}

#[inline(never)]
fn take_long(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0u64, 0u32);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Maps small differences of either sign to small numbers.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_any_changed_byte_is_noticed() {
        let mut bytes = Vec::new();
        frame(&mut bytes, FrameKind::Event, b"hello");
        assert_eq!(parse_frame(&bytes), Some((4, &b"hello"[..])));
        assert_eq!(parse_frame(&bytes[..bytes.len() - 1]), None, "torn");
        for at in (0..bytes.len()).filter(|at| !(5..8).contains(at)) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(parse_frame(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn integers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::MAX / 2, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(take_varint(&mut &out[..]), Some(value));
            assert_eq!(take_varint(&mut &out[..out.len() - 1]), None);
        }
        for value in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None);
    }
}
