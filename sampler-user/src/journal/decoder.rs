//! Reads blocks, see [`encoder`](crate::journal::encoder) for what they hold.

use std::collections::HashMap;

use crate::journal::format::{take_varint, unzigzag};
use crate::model::fields;
use crate::model::sample::{Mask, PassHead, PassKind, Row, SLOTS, SubjectRef, slots};

/// Reads a block. Gives each row to `each`; returns how many bytes were not understood (0 for a good block). Never panics.
pub fn decode(block: &[u8], each: impl FnMut(PassHead, &Row)) -> usize {
    Decoder::default().read(block, each)
}

/// The last row of one subject and kind.
#[derive(Debug)]
struct Entry {
    kind: PassKind,
    /// Number of the subject, counted from 0 as subjects were met.
    number: u32,
    /// The block that listed which values are present.
    block: u64,
    /// Rows in that block.
    rows: u32,
    /// The entry whose row came next when this one was read last: passes name their subjects in the same order.
    next: usize,
    /// Slots that were written; those of a newer version have no place in the row's mask.
    slots: [u8; SLOTS],
    width: usize,
    row: Row,
}

/// Reads blocks one after the other. It keeps a row of each subject and kind, in which the next one changes what is different.
#[derive(Debug)]
pub struct Decoder {
    entries: Vec<Entry>,
    places: HashMap<(SubjectRef, PassKind), usize>,
    numbers: HashMap<SubjectRef, u32>,
    /// Entries with rows in this block, in the order of their first rows.
    touched: Vec<usize>,
    /// The entry that a pass of a kind began with.
    first: [usize; PassKind::ALL.len()],
    /// Slots of a kind that this version knows.
    known: [Mask; PassKind::ALL.len()],
    block: u64,
}

/// Entries that are kept from one block to the next; a cgroup that is gone leaves its own behind.
const MOST_KEPT: usize = 4096;

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::numbered(HashMap::new())
    }
}

impl Decoder {
    /// One that knows the numbers of subjects, counted from 0.
    pub(super) fn numbered(numbers: HashMap<SubjectRef, u32>) -> Decoder {
        let known = |kind: PassKind| match fields::count(kind.table()) {
            SLOTS => Mask::MAX,
            count => (1 << count) - 1,
        };
        Decoder {
            entries: Vec::new(),
            places: HashMap::new(),
            numbers,
            touched: Vec::new(),
            first: [usize::MAX; PassKind::ALL.len()],
            known: PassKind::ALL.map(known),
            block: 0,
        }
    }

    /// The numbers that subjects got.
    pub(super) fn into_numbers(self) -> HashMap<SubjectRef, u32> {
        self.numbers
    }

    /// Reads a block, see [`decode`].
    pub fn read(&mut self, block: &[u8], mut each: impl FnMut(PassHead, &Row)) -> usize {
        self.begin();
        if self.entries.is_empty() {
            // None is in use: a reader that follows a journal for weeks meets many subjects.
            self.numbers.clear();
        }
        let mut rest = block;
        let Some(last_ns) = take_varint(&mut rest) else { return block.len() };
        self.passes(rest, last_ns, &mut |head, row, _| each(head, row))
    }

    /// Begins a block, independent of earlier ones.
    pub(super) fn begin(&mut self) {
        self.block += 1;
        self.touched.clear();
        if self.entries.len() > MOST_KEPT {
            self.entries.clear();
            self.places.clear();
        }
    }

    /// Reads passes of the block that was begun; `last_ns`: time of the pass before them. Returns how many bytes were not
    /// understood.
    pub(super) fn passes(
        &mut self,
        passes: &[u8],
        mut last_ns: u64,
        each: &mut impl FnMut(PassHead, &Row, u32),
    ) -> usize {
        let mut rest = passes;
        while !rest.is_empty() {
            let before = rest.len();
            if self.pass(&mut rest, &mut last_ns, each).is_none() {
                return before;
            }
        }
        0
    }

    /// Reads a pass. `each` gets its rows with the numbers of their subjects.
    pub(super) fn pass(
        &mut self,
        rest: &mut &[u8],
        last_ns: &mut u64,
        each: &mut impl FnMut(PassHead, &Row, u32),
    ) -> Option<()> {
        let (&kind, tail) = rest.split_first()?;
        *rest = tail;
        let kind = PassKind::from_number(kind)?;
        let mono_ns = last_ns.wrapping_add(unzigzag(take_varint(rest)?) as u64);
        *last_ns = mono_ns;
        let head = PassHead { kind, mono_ns, rows: u32::try_from(take_varint(rest)?).ok()? };
        let (mut subject, mut lag, mut before) = (0i64, 0i64, None);
        for _ in 0..head.rows {
            subject = subject.checked_add(unzigzag(take_varint(rest)?))?;
            lag = lag.checked_add(unzigzag(take_varint(rest)?))?;
            let (subject, lag_us) = (SubjectRef::try_from(subject).ok()?, u32::try_from(lag).ok()?);
            let (&form, tail) = rest.split_first()?;
            *rest = tail;
            let at = self.find(subject, kind, before);
            before = Some(at);
            let entry = &mut self.entries[at];
            entry.row.lag_us = lag_us;
            match form {
                0 => {
                    let (mask, tail) = rest.split_first_chunk::<16>()?;
                    *rest = tail;
                    let mask = Mask::from_le_bytes(*mask);
                    entry.width = 0;
                    for slot in slots(mask) {
                        entry.row.values[slot] = take_varint(rest)?.wrapping_sub(1);
                        entry.slots[entry.width] = slot as u8;
                        entry.width += 1;
                    }
                    // Slots of a newer version that this one does not know are left out, the others stay.
                    entry.row.mask = mask & self.known[kind as usize];
                    if entry.block != self.block {
                        (entry.block, entry.rows) = (self.block, 0);
                        self.touched.push(at);
                    }
                }
                1 if entry.block == self.block => {
                    let (changes, tail) = rest.split_at_checked(entry.width.div_ceil(8))?;
                    *rest = tail;
                    for (slots, &changed) in entry.slots[..entry.width].chunks(8).zip(changes) {
                        let mut changed = changed;
                        while changed != 0 {
                            // Bits behind the last value mean nothing.
                            let Some(&slot) = slots.get(changed.trailing_zeros() as usize) else { break };
                            let value = &mut entry.row.values[usize::from(slot)];
                            *value = value.wrapping_add(unzigzag(take_varint(rest)?) as u64);
                            changed &= changed - 1;
                        }
                    }
                }
                _ => return None,
            }
            entry.rows += 1;
            each(head, &entry.row, entry.number);
        }
        Some(())
    }

    /// The entry of a subject's row that comes after another one.
    fn find(&mut self, subject: SubjectRef, kind: PassKind, before: Option<usize>) -> usize {
        let guess = before.map_or(self.first[kind as usize], |before| self.entries[before].next);
        if self.entries.get(guess).is_some_and(|entry| entry.kind == kind && entry.row.subject == subject) {
            return guess;
        }
        let at = *self.places.entry((subject, kind)).or_insert(self.entries.len());
        if at == self.entries.len() {
            let numbers = self.numbers.len() as u32;
            self.entries.push(Entry {
                kind,
                number: *self.numbers.entry(subject).or_insert(numbers),
                block: 0,
                rows: 0,
                next: usize::MAX,
                slots: [0; SLOTS],
                width: 0,
                row: Row::new(subject),
            });
        }
        match before {
            Some(before) => self.entries[before].next = at,
            None => self.first[kind as usize] = at,
        }
        at
    }

    /// The subjects with rows in this block: kind, number and rows of each.
    pub(super) fn touched(&self) -> impl Iterator<Item = (PassKind, u32, u32)> {
        self.touched.iter().map(|&at| &self.entries[at]).map(|entry| (entry.kind, entry.number, entry.rows))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::encoder::Encoder;

    struct Last {
        mask: Mask,
        values: [u64; SLOTS],
    }

    /// Few subjects, kinds and masks, so that most rows are coded as differences.
    fn rows() -> impl Strategy<Value = Vec<(u8, u64, u32, u32, u64, u64)>> {
        let mask = prop::sample::select(vec![0x0f0fu64, 0x0f0f, 0x0303, 0x0001]);
        let value = prop_oneof![0u64..4, any::<u64>()];
        prop::collection::vec((0u8..6, any::<u64>(), 0u32..3, any::<u32>(), mask, value), 0..120)
    }

    /// The decoder as it was first written: each block for itself, each row whole.
    fn plainly(block: &[u8], mut each: impl FnMut(PassHead, &Row)) -> usize {
        let mut rest = block;
        let mut state: HashMap<(SubjectRef, PassKind), Box<Last>> = HashMap::new();
        let Some(mut last_ns) = take_varint(&mut rest) else { return block.len() };
        while !rest.is_empty() {
            let before = rest;
            if plain_pass(&mut rest, &mut last_ns, &mut state, &mut each).is_none() {
                return before.len();
            }
        }
        0
    }

    fn plain_pass(
        rest: &mut &[u8],
        last_ns: &mut u64,
        state: &mut HashMap<(SubjectRef, PassKind), Box<Last>>,
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
            let last =
                state.entry((row.subject, kind)).or_insert_with(|| Box::new(Last { mask: 0, values: [0; SLOTS] }));
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

    type Plain = (PassHead, u32, u32, Mask, Vec<u64>);

    fn plain(head: PassHead, row: &Row) -> Plain {
        let values = slots(row.mask).map(|slot| row.values[slot]).collect();
        (head, row.subject, row.lag_us, row.mask, values)
    }

    /// What a block holds.
    fn collect(block: &[u8]) -> (usize, Vec<Plain>) {
        let mut got = Vec::new();
        let bad = decode(block, |head, row| got.push(plain(head, row)));
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

        /// One decoder for many blocks, whole, cut and changed, gives what each block for itself gives.
        #[test]
        fn a_decoder_that_is_used_again_remembers_nothing(
            passes in rows(), cut in 1usize..20, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut encoder = Encoder::default();
            let mut blocks = Vec::new();
            for (i, (kind, mono_ns, subject, lag_us, mask, value)) in passes.into_iter().enumerate() {
                let kind = PassKind::from_number(kind).unwrap();
                let rows = 1 + subject;
                encoder.pass(PassHead { kind, mono_ns, rows });
                for subject in 0..rows {
                    let mut row = Row::new(subject * 3);
                    row.lag_us = lag_us;
                    // Some slots that no version knows.
                    slots(Mask::from(mask) | 1 << 120).for_each(|slot| row.set(slot, value >> slot.min(60)));
                    encoder.row(kind, &row);
                }
                if i % cut == 0 {
                    blocks.push(encoder.bytes().to_vec());
                    encoder.end();
                }
            }
            let whole = blocks.clone();
            for (at, value) in changes {
                let filled: Vec<usize> = (0..blocks.len()).filter(|&n| !blocks[n].is_empty()).collect();
                if filled.is_empty() {
                    break;
                }
                let n = filled[at.index(filled.len())];
                let place = at.index(blocks[n].len());
                if value % 4 == 0 { blocks[n].truncate(place) } else { blocks[n][place] ^= value }
            }
            let mut decoder = Decoder::default();
            for block in blocks.iter().chain(&whole) {
                let (mut want, mut got) = (Vec::new(), Vec::new());
                let bad = plainly(block, |head, row| want.push(plain(head, row)));
                prop_assert_eq!(decoder.read(block, |head, row| got.push(plain(head, row))), bad);
                prop_assert_eq!(got, want);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut want = Vec::new();
            let bad = plainly(&bytes, |head, row| want.push(plain(head, row)));
            assert_eq!(collect(&bytes), (bad, want));
        }
    }
}
