//! What is where in the blocks of a segment, found in one pass over them: whoever asks for a minute, for the host or for one
//! cgroup has only those blocks and passes decoded that may hold it. It is made by the reader, so the format needs no part for it.

use std::collections::HashMap;
use std::ops::Range;

use crate::journal::decoder::Decoder;
use crate::journal::format::take_varint;
use crate::model::sample::{Mask, PassKind, SubjectRef};

/// The passes of one kind in one block.
#[derive(Clone, Debug)]
pub struct Part {
    /// Their kind.
    pub kind: PassKind,
    /// Earliest pass, `CLOCK_MONOTONIC` nanoseconds.
    pub first_ns: u64,
    /// Latest pass.
    pub last_ns: u64,
    /// Slots that some of their rows have.
    pub slots: Mask,
    counts: Range<usize>,
}

/// Rows of a subject in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The subject's number in [`Index::numbers`].
    pub number: u32,
    /// Its rows.
    pub rows: u32,
}

/// Passes of one kind, one behind the other.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub kind: PassKind,
    /// Where in the block.
    pub bytes: Range<usize>,
    /// Time of the pass before, nanoseconds.
    pub before_ns: u64,
}

/// A block.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// Where its payload is.
    pub bytes: Range<usize>,
    parts: Range<usize>,
    runs: Range<usize>,
}

/// The index of a segment.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The subjects that have rows, counted from 0.
    pub numbers: HashMap<SubjectRef, u32>,
    /// Bytes of blocks that were not understood.
    pub bad_bytes: u64,
    pub(super) blocks: Vec<Block>,
    parts: Vec<Part>,
    runs: Vec<Run>,
    counts: Vec<Count>,
}

impl Index {
    /// The index of blocks that `read` gives the payload of, `None` where it cannot be read any more.
    pub(super) fn of(
        places: impl Iterator<Item = Range<usize>>,
        mut read: impl FnMut(Range<usize>, &mut Vec<u8>) -> bool,
    ) -> Index {
        let mut index = Index::default();
        let (mut decoder, mut payload) = (Decoder::default(), Vec::new());
        for bytes in places {
            if read(bytes.clone(), &mut payload) {
                index.add(&mut decoder, bytes, &payload);
            } else {
                index.bad_bytes += bytes.len() as u64;
            }
        }
        index.numbers = decoder.into_numbers();
        index
    }

    fn add(&mut self, decoder: &mut Decoder, bytes: Range<usize>, payload: &[u8]) {
        let (first_part, first_run) = (self.parts.len(), self.runs.len());
        let mut times: [Option<(u64, u64)>; PassKind::ALL.len()] = Default::default();
        let mut slots = [0; PassKind::ALL.len()];
        decoder.begin();
        let mut rest = payload;
        let Some(mut last_ns) = take_varint(&mut rest) else {
            self.bad_bytes += payload.len() as u64;
            return;
        };
        while !rest.is_empty() {
            let (at, before_ns) = (payload.len() - rest.len(), last_ns);
            let mut seen = None;
            let whole = decoder.pass(&mut rest, &mut last_ns, &mut |head, row, _| {
                seen = Some(head);
                slots[head.kind as usize] |= row.mask;
            });
            let whole = whole.is_some();
            // What is behind a pass that is not understood cannot be either; its first rows are.
            let end = payload.len() - if whole { rest.len() } else { 0 };
            if let Some(head) = seen {
                let (first, last) = times[head.kind as usize].get_or_insert((u64::MAX, 0));
                (*first, *last) = ((*first).min(head.mono_ns), (*last).max(head.mono_ns));
                match self.runs[first_run..].last_mut() {
                    Some(run) if run.kind == head.kind && run.bytes.end == at => run.bytes.end = end,
                    _ => self.runs.push(Run { kind: head.kind, bytes: at..end, before_ns }),
                }
            }
            if !whole {
                self.bad_bytes += (end - at) as u64;
                break;
            }
        }
        for kind in PassKind::ALL {
            let Some((first_ns, last_ns)) = times[kind as usize] else { continue };
            let from = self.counts.len();
            let of_kind = decoder.touched().filter(|(of, _, _)| *of == kind);
            self.counts.extend(of_kind.map(|(_, number, rows)| Count { number, rows }));
            self.parts.push(Part {
                kind,
                first_ns,
                last_ns,
                slots: slots[kind as usize],
                counts: from..self.counts.len(),
            });
        }
        self.blocks.push(Block { bytes, parts: first_part..self.parts.len(), runs: first_run..self.runs.len() });
    }

    /// All parts, with the rows of each subject in them.
    pub fn parts(&self) -> impl Iterator<Item = (&Part, &[Count])> {
        self.parts.iter().map(|part| (part, &self.counts[part.counts.clone()]))
    }

    /// The runs of a block that hold what `wants` is true for.
    pub(super) fn runs(&self, block: &Block, wants: &impl Fn(&Part, &[Count]) -> bool) -> impl Iterator<Item = &Run> {
        let mut kinds = [false; PassKind::ALL.len()];
        for part in &self.parts[block.parts.clone()] {
            kinds[part.kind as usize] = wants(part, &self.counts[part.counts.clone()]);
        }
        self.runs[block.runs.clone()].iter().filter(move |run| kinds[run.kind as usize])
    }

    /// A decoder that calls subjects by their numbers here.
    pub fn decoder(&self) -> Decoder {
        Decoder::numbered(self.numbers.clone())
    }
}
