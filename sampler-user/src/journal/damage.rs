//! Bytes of a segment that belong to no whole frame.

use std::ops::Range;

use crate::journal::format::{FrameKind, MAGIC};

/// Bytes that belong to no whole frame.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    /// Where they are.
    pub(super) bytes: Range<usize>,
    /// How many of these bytes are damaged: whole frames without rows may lie between them.
    pub(super) lost: usize,
    /// Blocks before them.
    pub(super) blocks_before: usize,
    /// Whether no whole frame follows.
    pub(super) is_tail: bool,
}

/// Places that are kept apart; what comes after is added to the last one.
const MOST: usize = 256;

impl Damage {
    pub(super) fn new(bytes: Range<usize>, blocks_before: usize) -> Damage {
        Damage { lost: bytes.len(), bytes, blocks_before, is_tail: false }
    }

    /// Adds one to those before it.
    pub(super) fn add(all: &mut Vec<Damage>, bytes: Range<usize>, blocks_before: usize) {
        let full = all.len() >= MOST;
        match all.last_mut() {
            Some(last) if last.blocks_before == blocks_before || full => {
                last.lost += bytes.len();
                last.bytes.end = bytes.end;
            }
            _ => all.push(Damage::new(bytes, blocks_before)),
        }
    }
}

/// What damaged bytes held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows.
    Rows,
    /// What is written twice: the origin or a subject.
    Repeated,
    /// An event.
    Event,
    /// It cannot be known.
    Unknown,
}

impl Kind {
    /// By the head of the first frame in them.
    pub(super) fn of(head: &[u8]) -> Kind {
        let kind = head.strip_prefix(&MAGIC).and_then(|rest| FrameKind::from_number(*rest.first()?));
        match kind {
            Some(FrameKind::Block) => Kind::Rows,
            Some(FrameKind::Origin | FrameKind::Subject) => Kind::Repeated,
            Some(FrameKind::Event) => Kind::Event,
            None => Kind::Unknown,
        }
    }
}
