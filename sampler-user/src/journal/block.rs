//! A block: the passes of a fraction of a second, each row coded as its difference to the row before it.
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

use super::format::{put_varint, take_varint, unzigzag, zigzag};
use crate::fields;
use crate::sample::{Mask, PassHead, PassKind, Row, SLOTS, SubjectRef, slots};

#[derive(Debug)]
struct Last {
    mask: Mask,
    values: [u64; SLOTS],
}

/// Rows of one subject and kind before the one at hand.
type State = HashMap<(SubjectRef, PassKind), Box<Last>>;

/// Builds blocks. Keeps one row per subject and kind, which [`Encoder::forget`] gives back.
#[derive(Debug, Default)]
pub struct Encoder {
    state: State,
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
    }
}

/// Reads a block. Gives each row to `each`; returns how many bytes were not understood (0 for a good block). Never panics.
pub fn decode(block: &[u8], mut each: impl FnMut(PassHead, &Row)) -> usize {
    let mut rest = block;
    let mut state: State = HashMap::new();
    let Some(mut last_ns) = take_varint(&mut rest) else { return block.len() };
    while !rest.is_empty() {
        let before = rest;
        if decode_pass(&mut rest, &mut last_ns, &mut state, &mut each).is_none() {
            return before.len();
        }
    }
    0
}

fn decode_pass(
    rest: &mut &[u8],
    last_ns: &mut u64,
    state: &mut State,
    each: &mut impl FnMut(PassHead, &Row),
) -> Option<()> {
    let (&kind, tail) = rest.split_first()?;
    *rest = tail;
    let kind = PassKind::from_number(kind)?;
    let mono_ns = last_ns.wrapping_add(unzigzag(take_varint(rest)?) as u64);
    *last_ns = mono_ns;
    let head = PassHead { kind, mono_ns, rows: u32::try_from(take_varint(rest)?).ok()? };
    let known: Mask = match fields::count(kind.table()) {
        SLOTS => Mask::MAX,
        count => (1 << count) - 1,
    };
    let mut row = Row::new(0);
    let mut lag = 0i64;
    for _ in 0..head.rows {
        let subject = i64::from(row.subject).checked_add(unzigzag(take_varint(rest)?))?;
        row.subject = SubjectRef::try_from(subject).ok()?;
        lag = lag.checked_add(unzigzag(take_varint(rest)?))?;
        row.lag_us = u32::try_from(lag).ok()?;
        let (&form, tail) = rest.split_first()?;
        *rest = tail;
        match form {
            0 => {
                let (mask, tail) = rest.split_first_chunk::<16>()?;
                *rest = tail;
                row.mask = Mask::from_le_bytes(*mask);
                for slot in slots(row.mask) {
                    row.values[slot] = take_varint(rest)?.wrapping_sub(1);
                }
            }
            1 => {
                let last = state.get(&(row.subject, kind))?;
                row.mask = last.mask;
                let (bitmap, tail) = rest.split_at_checked((row.mask.count_ones() as usize).div_ceil(8))?;
                *rest = tail;
                for (i, slot) in slots(row.mask).enumerate() {
                    let changed = bitmap[i / 8] >> (i % 8) & 1 == 1;
                    let difference = if changed { unzigzag(take_varint(rest)?) as u64 } else { 0 };
                    row.values[slot] = last.values[slot].wrapping_add(difference);
                }
            }
            _ => return None,
        }
        let last = state.entry((row.subject, kind)).or_insert_with(|| Box::new(Last { mask: 0, values: [0; SLOTS] }));
        last.mask = row.mask;
        last.values = row.values;
        // Slots of a newer version that this one does not know are left out, the others stay.
        let all = row.mask;
        row.mask &= known;
        each(head, &row);
        row.mask = all;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Few subjects, kinds and masks, so that most rows are coded as differences.
    fn rows() -> impl Strategy<Value = Vec<(u8, u64, u32, u32, u64, u64)>> {
        let mask = prop::sample::select(vec![0x0f0fu64, 0x0f0f, 0x0303, 0x0001]);
        let value = prop_oneof![0u64..4, any::<u64>()];
        prop::collection::vec((0u8..6, any::<u64>(), 0u32..3, any::<u32>(), mask, value), 0..120)
    }

    type Plain = (PassHead, u32, u32, Mask, Vec<u64>);

    /// What a block holds, by a slow and obvious way.
    fn collect(block: &[u8]) -> (usize, Vec<Plain>) {
        let mut got = Vec::new();
        let bad = decode(block, |head, row| {
            let values = slots(row.mask).map(|slot| row.values[slot]).collect();
            got.push((head, row.subject, row.lag_us, row.mask, values));
        });
        (bad, got)
    }

    proptest! {
        /// Whatever is encoded comes back, block after block, whatever the order of subjects, kinds and masks.
        #[test]
        fn blocks_come_back(passes in rows(), cut in 0usize..60) {
            let mut encoder = Encoder::default();
            let mut want = Vec::new();
            let mut blocks = Vec::new();
            for (i, (kind, mono_ns, subject, lag_us, mask, value)) in passes.into_iter().enumerate() {
                let kind = PassKind::from_number(kind).unwrap();
                let count = fields::count(kind.table());
                let head = PassHead { kind, mono_ns, rows: 1 };
                let mut row = Row::new(subject);
                row.lag_us = lag_us;
                for slot in slots(Mask::from(mask & 0x0f0f) & ((1 << count) - 1)) {
                    // Some values change with each row, some seldom.
                    let kept = if slot % 2 == 0 { u64::MAX } else { 1 };
                    row.set(slot, value.rotate_left(slot as u32) & kept);
                }
                encoder.pass(head);
                encoder.row(kind, &row);
                want.push((head, subject, lag_us, row.mask, slots(row.mask).map(|s| row.values[s]).collect::<Vec<_>>()));
                if i % (cut + 1) == cut {
                    blocks.push(encoder.bytes().to_vec());
                    encoder.end();
                }
            }
            if !encoder.bytes().is_empty() {
                blocks.push(encoder.bytes().to_vec());
            }
            let mut got = Vec::new();
            for block in &blocks {
                let (bad, mut some) = collect(block);
                prop_assert_eq!(bad, 0);
                got.append(&mut some);
            }
            prop_assert_eq!(got, want);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            collect(&bytes);
        }
    }
}
