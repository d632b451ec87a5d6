//! A row of values at one instant, and a pass: the rows of one tick.
//!
//! A pass travels from the sampling threads to the journal as plain words in a ring, so that a tick allocates nothing and
//! waits for nobody:
//!
//! ```text
//! pass: [kind | rows << 32] [mono_ns] row*
//! row:  [subject | lag_us << 32] [mask low] [mask high] value*      one value per set bit, lowest slot first
//! ```

use crate::model::fields::{Field, Table};

/// Most fields a table may have.
pub const SLOTS: usize = 128;

/// Which slots of a row hold a value. An absent value is absent, never 0.
pub type Mask = u128;

/// Number of a subject (a cgroup, the host, a process) within one run of the agent.
pub type SubjectRef = u32;

/// The host's own subject.
pub const HOST: SubjectRef = 0;

/// What a pass read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PassKind {
    /// Fast files of all cgroups.
    Fast = 0,
    /// Slow files of all cgroups.
    Slow = 1,
    /// All files of all cgroups, when both rates are the same.
    Full = 2,
    /// Fast files of the cgroups that burst.
    Burst = 3,
    /// The host.
    Host = 4,
    /// Processes.
    Processes = 5,
}

impl PassKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [PassKind; 6] =
        [PassKind::Fast, PassKind::Slow, PassKind::Full, PassKind::Burst, PassKind::Host, PassKind::Processes];

    /// The kind of a number read from a file.
    pub fn from_number(number: u8) -> Option<PassKind> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Table its rows belong to.
    pub fn table(self) -> Table {
        match self {
            PassKind::Host => Table::Host,
            PassKind::Processes => Table::Processes,
            _ => Table::Samples,
        }
    }
}

/// One subject at one instant; lives in a buffer that is used again.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose values these are.
    pub subject: SubjectRef,
    /// How long after the start of its pass the row was read, microseconds.
    pub lag_us: u32,
    /// Slots that hold a value.
    pub mask: Mask,
    /// Values by slot; only those in `mask` mean anything.
    pub values: [u64; SLOTS],
}

impl Row {
    /// A row without values.
    pub const fn new(subject: SubjectRef) -> Row {
        Row { subject, lag_us: 0, mask: 0, values: [0; SLOTS] }
    }

    /// Sets a value.
    #[inline]
    pub fn set(&mut self, slot: usize, value: u64) {
        self.values[slot] = value;
        self.mask |= 1 << slot;
    }

    /// Sets the value of a field.
    pub fn put(&mut self, field: &Field, value: u64) {
        self.set(field.slot, value);
    }

    /// The value of a field, if it was read.
    #[inline]
    pub fn get(&self, field: &Field) -> Option<u64> {
        (self.mask >> field.slot & 1 == 1).then(|| self.values[field.slot])
    }
}

/// The slots of a mask, lowest first.
pub fn slots(mut mask: Mask) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let slot = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            slot
        })
    })
}

/// A pass under construction; its buffer is used again for the next one.
#[derive(Debug)]
pub struct PassBuilder {
    words: Vec<u64>,
}

impl PassBuilder {
    /// A builder that holds `words` words before it has to grow.
    pub fn with_capacity(words: usize) -> PassBuilder {
        PassBuilder { words: Vec::with_capacity(words) }
    }

    /// Makes room for a pass of `words` words.
    pub fn reserve(&mut self, words: usize) {
        self.words.clear();
        self.words.reserve(words);
    }

    /// Begins a pass at a monotonic time.
    pub fn begin(&mut self, kind: PassKind, mono_ns: u64) {
        self.words.clear();
        self.words.extend_from_slice(&[kind as u64, mono_ns]);
    }

    /// Adds a row; a row without values is not worth one.
    #[inline]
    pub fn push(&mut self, row: &Row) {
        if row.mask == 0 {
            return;
        }
        self.words.extend_from_slice(&[
            u64::from(row.subject) | u64::from(row.lag_us) << 32,
            row.mask as u64,
            (row.mask >> 64) as u64,
        ]);
        for slot in slots(row.mask) {
            self.words.push(row.values[slot]);
        }
        self.words[0] += 1 << 32;
    }

    /// The finished pass.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Number of rows so far.
    pub fn rows(&self) -> u32 {
        self.words.first().map_or(0, |word| (word >> 32) as u32)
    }
}

/// Head of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassHead {
    /// What it read.
    pub kind: PassKind,
    /// When it began, `CLOCK_MONOTONIC` nanoseconds.
    pub mono_ns: u64,
    /// Rows that follow.
    pub rows: u32,
}

/// Takes one pass from a stream of words, its rows one at a time in `row`. `each` is called once without a row when the pass
/// begins, then with each row. `None` at the end of the stream.
pub fn take_pass(
    words: &mut impl Iterator<Item = u64>,
    row: &mut Row,
    mut each: impl FnMut(PassHead, Option<&Row>),
) -> Option<()> {
    let first = words.next()?;
    let head =
        PassHead { kind: PassKind::from_number(first as u8)?, mono_ns: words.next()?, rows: (first >> 32) as u32 };
    each(head, None);
    for _ in 0..head.rows {
        let subject = words.next()?;
        row.subject = subject as u32;
        row.lag_us = (subject >> 32) as u32;
        row.mask = u128::from(words.next()?) | u128::from(words.next()?) << 64;
        for slot in slots(row.mask) {
            row.values[slot] = words.next()?;
        }
        each(head, Some(row));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_comes_back_from_its_words() {
        let mut row = Row::new(7);
        row.lag_us = 33;
        row.set(0, 5);
        row.set(127, u64::MAX);
        let mut pass = PassBuilder::with_capacity(16);
        pass.begin(PassKind::Burst, 99);
        pass.push(&row);
        pass.push(&Row::new(8));
        assert_eq!(pass.rows(), 1, "a row without values is left out");

        let (mut head, mut rows) = (None, Vec::new());
        let mut words = pass.words().iter().copied();
        take_pass(&mut words, &mut Row::new(0), |h, r| {
            head = Some(h);
            rows.extend(r.cloned());
        })
        .unwrap();
        assert_eq!(head, Some(PassHead { kind: PassKind::Burst, mono_ns: 99, rows: 1 }));
        assert_eq!((rows[0].subject, rows[0].lag_us, rows[0].mask), (7, 33, row.mask));
        assert_eq!((rows[0].values[0], rows[0].values[127]), (5, u64::MAX));
        assert!(words.next().is_none());
    }
}
