//! Builds blocks. A block holds the passes of a fraction of a second, each row coded as its difference to the row before it.
//!
//! ```text
//! block: varint base_ns, pass*
//! pass:  u8 kind, varint ns since the pass before (zigzag), varint rows, row*
//! row:   varint subject (zigzag difference to the row before), varint lag_us (zigzag difference to the row before),
//!        u8 form
//!        form 0, first row of this subject and kind in the block, or another mask: u128 mask, varint (value + 1)*
//!        form 1, same mask as before: a bit for each value, set if it changed, then varint zigzag differences
//! ```
//! `value + 1` wraps, so an unlimited limit (all ones in memory) is 0 on disk.

use std::collections::HashMap;

use crate::journal::format::{put_varint, zigzag};
use crate::model::sample::{Mask, PassHead, PassKind, Row, SLOTS, SubjectRef, slots};
use crate::model::shrink::shrink;

#[derive(Debug)]
struct Last {
    mask: Mask,
    values: [u64; SLOTS],
}

/// Builds blocks. Keeps one row per subject and kind, which [`Encoder::forget`] gives back.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Rows of one subject and kind before the one at hand.
    state: HashMap<(SubjectRef, PassKind), Box<Last>>,
    /// Rows written in this block; others in `state` belong to earlier blocks.
    fresh: HashMap<(SubjectRef, PassKind), u64>,
    block: u64,
    out: Vec<u8>,
    last_ns: u64,
    last_subject: i64,
    last_lag: i64,
}

impl Encoder {
    /// Begins a pass.
    pub fn pass(&mut self, head: PassHead) {
        if self.out.is_empty() {
            put_varint(&mut self.out, head.mono_ns);
            self.last_ns = head.mono_ns;
        }
        self.out.push(head.kind as u8);
        put_varint(&mut self.out, zigzag(head.mono_ns.wrapping_sub(self.last_ns) as i64));
        put_varint(&mut self.out, u64::from(head.rows));
        self.last_ns = head.mono_ns;
        self.last_subject = 0;
        self.last_lag = 0;
    }

    /// Adds a row of the pass.
    pub fn row(&mut self, kind: PassKind, row: &Row) {
        let out = &mut self.out;
        put_varint(out, zigzag(i64::from(row.subject) - self.last_subject));
        put_varint(out, zigzag(i64::from(row.lag_us) - self.last_lag));
        self.last_subject = i64::from(row.subject);
        self.last_lag = i64::from(row.lag_us);

        let key = (row.subject, kind);
        let fresh = self.fresh.insert(key, self.block) != Some(self.block);
        let last = self.state.entry(key).or_insert_with(|| Box::new(Last { mask: 0, values: [0; SLOTS] }));
        if fresh || last.mask != row.mask {
            out.push(0);
            out.extend_from_slice(&row.mask.to_le_bytes());
            for slot in slots(row.mask) {
                put_varint(out, row.values[slot].wrapping_add(1));
            }
        } else {
            out.push(1);
            let bitmap = out.len();
            out.resize(bitmap + (row.mask.count_ones() as usize).div_ceil(8), 0);
            for (i, slot) in slots(row.mask).enumerate() {
                let difference = row.values[slot].wrapping_sub(last.values[slot]);
                if difference != 0 {
                    out[bitmap + i / 8] |= 1 << (i % 8);
                    put_varint(out, zigzag(difference as i64));
                }
            }
        }
        last.mask = row.mask;
        for slot in slots(row.mask) {
            last.values[slot] = row.values[slot];
        }
    }

    /// The block so far.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// Ends the block; the next one can be read without it.
    pub fn end(&mut self) {
        self.out.clear();
        self.block += 1;
    }

    /// Forgets a subject that is gone.
    pub fn forget(&mut self, subject: SubjectRef) {
        for kind in PassKind::ALL {
            self.state.remove(&(subject, kind));
            self.fresh.remove(&(subject, kind));
        }
        shrink(&mut self.state);
        shrink(&mut self.fresh);
    }
}
