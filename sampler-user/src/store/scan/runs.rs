//! A column whose values go on for many rows.

/// A column whose values go on for many rows.
pub(super) struct Runs<T> {
    /// The first row behind each run.
    pub(super) ends: Vec<usize>,
    values: Vec<T>,
}

impl<T: PartialEq> Runs<T> {
    /// Values with the rows each goes on for.
    pub(super) fn of(values: impl Iterator<Item = (T, usize)>) -> Runs<T> {
        let mut runs = Runs { ends: Vec::new(), values: Vec::new() };
        values.for_each(|(value, count)| runs.add(value, count));
        runs
    }

    fn add(&mut self, value: T, count: usize) {
        let end = self.ends.last().copied().unwrap_or(0) + count;
        match (self.ends.last_mut(), self.values.last()) {
            (Some(last), Some(known)) if *known == value => *last = end,
            _ => {
                self.ends.push(end);
                self.values.push(value);
            }
        }
    }

    /// The value of a row.
    pub(super) fn at(&self, row: usize) -> Option<&T> {
        self.values.get(self.ends.partition_point(|end| *end <= row))
    }
}
