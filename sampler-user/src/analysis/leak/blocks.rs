//! Series of bounded length: values are kept as blocks of time, and when there are too many, neighbours are merged.

use crate::model::recording::Column;

/// What is known of one signal in one block of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Block {
    /// Number of values.
    pub n: u32,
    /// Sum of the values (of a counter: by how much it rose).
    pub sum: f64,
    /// Smallest.
    pub min: f64,
}

impl Block {
    fn push(&mut self, value: f64) {
        self.min = if self.n == 0 { value } else { self.min.min(value) };
        self.n += 1;
        self.sum += value;
    }

    fn merge(self, other: Block) -> Block {
        match (self.n, other.n) {
            (0, _) => other,
            (_, 0) => self,
            _ => Block { n: self.n + other.n, sum: self.sum + other.sum, min: self.min.min(other.min) },
        }
    }

    /// The mean; `None` of an empty block.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / f64::from(self.n))
    }
}

/// Blocks kept of a signal at most.
pub const MOST: usize = 1024;
/// Width of the first blocks, microseconds: memory.stat is up to two seconds old, so less says nothing more.
pub const FIRST_US: i64 = 1_000_000;

/// Some signals on one grid of time.
#[derive(Clone, Debug)]
pub struct Blocks<const N: usize> {
    /// Start of the first block, microseconds since 1970.
    pub begin_us: i64,
    /// Width of a block.
    pub width_us: i64,
    /// Blocks kept of a signal at most.
    most: usize,
    signals: [Vec<Block>; N],
}

impl<const N: usize> Default for Blocks<N> {
    fn default() -> Self {
        Blocks::of(MOST)
    }
}

impl<const N: usize> Blocks<N> {
    /// With at most this many blocks a signal; even.
    pub fn of(most: usize) -> Blocks<N> {
        Blocks { begin_us: i64::MIN, width_us: FIRST_US, most, signals: [const { Vec::new() }; N] }
    }

    /// Begins the grid, unless it has begun.
    pub fn begin(&mut self, time_us: i64) {
        if self.begin_us == i64::MIN {
            self.begin_us = time_us;
        }
    }

    /// The block of a time; all become wider when it lies behind the last one that may be kept. What comes before the begin
    /// counts to the first block.
    pub fn place(&mut self, time_us: i64) -> usize {
        self.begin(time_us);
        let age = time_us.saturating_sub(self.begin_us).max(0);
        while age / self.width_us >= self.most as i64 {
            self.coarsen();
        }
        (age / self.width_us) as usize
    }

    /// Adds a value of a signal to a block.
    pub fn add(&mut self, signal: usize, at: usize, value: f64) {
        self.block(signal, at).push(value);
    }

    /// Takes a value of a signal.
    pub fn push(&mut self, signal: usize, time_us: i64, value: f64) {
        let at = self.place(time_us);
        self.add(signal, at, value);
    }

    /// Takes the values of a column, whose rows have these times.
    pub fn extend(&mut self, signal: usize, times_us: &[i64], column: &Column) {
        let mut timed = column.rows.iter().map(|row| times_us[*row as usize]).zip(&column.values).peekable();
        while let Some(&(time_us, _)) = timed.peek() {
            let at = self.place(time_us);
            let end_us = self.begin_us.saturating_add((at as i64 + 1).saturating_mul(self.width_us));
            let block = self.block(signal, at);
            while let Some((_, value)) = timed.next_if(|(time_us, _)| *time_us < end_us) {
                block.push(*value as f64);
            }
        }
    }

    fn block(&mut self, signal: usize, at: usize) -> &mut Block {
        let blocks = &mut self.signals[signal];
        if blocks.len() <= at {
            blocks.resize(at + 1, Block::default());
        }
        &mut blocks[at]
    }

    fn coarsen(&mut self) {
        self.width_us *= 2;
        for blocks in &mut self.signals {
            // In place: the agent must not need twice the memory for it.
            let half = blocks.len().div_ceil(2);
            for at in 0..half {
                let second = blocks.get(2 * at + 1).copied().unwrap_or_default();
                blocks[at] = blocks[2 * at].merge(second);
            }
            blocks.truncate(half);
        }
    }

    /// Merges blocks until nearly all of the signal's are filled: a series of one value a minute has blocks of minutes.
    pub fn fit(&mut self, signal: usize) {
        let sparse = |blocks: &[Block]| {
            let filled = blocks.iter().filter(|b| b.n > 0).count();
            blocks.len() > 16
                && filled * 10 < blocks.len() * 8
                && blocks.chunks(2).filter(|p| p.iter().any(|b| b.n > 0)).count() * 10 > filled * 8
        };
        while sparse(&self.signals[signal]) {
            self.coarsen();
        }
    }

    /// The blocks of a signal; empty ones where nothing was seen.
    pub fn signal(&self, signal: usize) -> &[Block] {
        &self.signals[signal]
    }

    /// Means of the blocks of a signal that have one.
    pub fn means(&self, signal: usize) -> impl DoubleEndedIterator<Item = f64> + '_ {
        self.signals[signal].iter().filter_map(Block::mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_keeps_its_sums_and_extremes_in_bounded_blocks() {
        let mut blocks = Blocks::<1>::default();
        for i in 0..100_000i64 {
            blocks.push(0, i * 100_000, i as f64);
        }
        let all = blocks.signal(0);
        assert!(all.len() > MOST / 2 && all.len() <= MOST);
        let whole = all.iter().copied().fold(Block::default(), Block::merge);
        assert_eq!((whole.n, whole.sum, whole.min), (100_000, 4_999_950_000.0, 0.0));
        assert!(all.windows(2).all(|pair| pair[0].mean() < Some(pair[1].min)), "in order");
    }

    #[test]
    fn sparse_series_get_wider_blocks_and_gaps_stay() {
        let mut blocks = Blocks::<1>::default();
        (0..300i64).for_each(|i| blocks.push(0, i * 15_000_000, 1.0));
        blocks.fit(0);
        assert!(blocks.width_us >= 15_000_000);
        assert!(blocks.signal(0).iter().filter(|b| b.n == 0).count() * 5 < blocks.signal(0).len());
        let mut gap = Blocks::<1>::default();
        (0..900i64).filter(|i| !(300..500).contains(i)).for_each(|i| gap.push(0, i * 1_000_000, 1.0));
        gap.fit(0);
        assert_eq!(gap.width_us, FIRST_US, "a gap is not sparseness");
    }

    #[test]
    fn what_comes_before_the_begin_counts_to_the_first_block() {
        let mut blocks = Blocks::<1>::default();
        for second in [1000, 1001, 400] {
            blocks.push(0, second * 1_000_000, 1.0);
        }
        assert_eq!(blocks.signal(0).iter().map(|block| block.n).collect::<Vec<_>>(), [2, 1]);
    }
}
