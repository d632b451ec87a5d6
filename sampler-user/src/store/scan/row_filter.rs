//! Which values of a column are kept.

use std::ops::Range;

/// Lets the values through that are kept.
pub(super) struct RowFilter {
    /// Their numbers, in order.
    pub(super) kept: Vec<Range<usize>>,
    /// Values that were seen.
    pub(super) at: usize,
    /// The first range that does not end before.
    pub(super) next: usize,
}

impl RowFilter {
    /// One more than the number of the last.
    pub(super) fn end(&self) -> usize {
        self.kept.last().map_or(0, |kept| kept.end)
    }

    /// How many of the next `count` values are kept.
    pub(super) fn pass(&mut self, count: usize) -> usize {
        let seen = self.at..self.at + count;
        self.at = seen.end;
        let mut passed = 0;
        while let Some(kept) = self.kept.get(self.next).filter(|kept| kept.start < seen.end) {
            passed += kept.end.min(seen.end).saturating_sub(kept.start.max(seen.start));
            if kept.end > seen.end {
                break;
            }
            self.next += 1;
        }
        passed
    }

    /// Takes what is not kept out of the last `count` values.
    pub(super) fn sift(&mut self, values: &mut Vec<u64>, count: usize) {
        let (first, from, next) = (self.at, values.len() - count, self.next);
        let passed = self.pass(count);
        if passed == count {
            return;
        }
        let mut to = from;
        for kept in &self.kept[next..] {
            let (begin, end) = (kept.start.max(first), kept.end.min(first + count));
            if begin >= end {
                break;
            }
            values.copy_within(from + begin - first..from + end - first, to);
            to += end - begin;
        }
        values.truncate(to);
    }
}

/// Number of ones among some bits.
pub fn ones(bits: &[u64], range: Range<usize>) -> usize {
    if range.is_empty() {
        return 0;
    }
    let words = bits.iter().enumerate().take(range.end.div_ceil(64)).skip(range.start / 64);
    words.map(|(at, word)| cut(*word, at, &range).count_ones() as usize).sum()
}

/// The bits of the word at `at` that are in a range.
pub fn cut(word: u64, at: usize, range: &Range<usize>) -> u64 {
    let from = range.start.saturating_sub(at * 64);
    let to = (range.end - at * 64).min(64);
    let high = if to < 64 { word & ((1 << to) - 1) } else { word };
    if from < 64 { high & (u64::MAX << from) } else { 0 }
}
