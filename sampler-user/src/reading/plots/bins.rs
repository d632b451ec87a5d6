//! Fewer points for display, with the lowest and the highest of each part kept: a spike never disappears.

/// A value with its time.
type Seen = (i64, u64);

/// A gauge over time. Each bin becomes two points: its lowest and its highest value, in their order.
#[derive(Clone, Debug)]
pub struct Bins {
    from_us: i64,
    width_us: f64,
    /// Lowest and highest, each with its time.
    bins: Vec<Option<(Seen, Seen)>>,
}

impl Bins {
    /// Empty bins of a time.
    pub fn new(from_us: i64, to_us: i64, bins: usize) -> Bins {
        let width_us = ((to_us - from_us).max(1) as f64 / bins as f64).max(1.0);
        Bins { from_us, width_us, bins: vec![None; bins] }
    }

    /// Takes a value.
    pub fn push(&mut self, time_us: i64, value: u64) {
        if time_us < self.from_us {
            return;
        }
        let at = ((time_us - self.from_us) as f64 / self.width_us) as usize;
        let Some(bin) = self.bins.get_mut(at) else { return };
        let here = (time_us, value);
        let (low, high) = bin.get_or_insert((here, here));
        if value < low.1 {
            *low = here;
        }
        if value > high.1 {
            *high = here;
        }
    }

    /// Two points a bin; one that saw nothing has none, or holds the one before where a value is read less often (`held`).
    pub fn points(&self, held: usize) -> Vec<Option<u64>> {
        let mut out = Vec::with_capacity(self.bins.len() * 2);
        let (mut last, mut since) = (None, 0);
        for bin in &self.bins {
            match bin {
                Some((low, high)) => {
                    let (first, second) = if low.0 <= high.0 { (low.1, high.1) } else { (high.1, low.1) };
                    out.extend([Some(first), Some(second)]);
                    (last, since) = (Some(second), 0);
                }
                None => {
                    since += 1;
                    out.extend([last.filter(|_| since <= held); 2]);
                }
            }
        }
        out
    }
}

/// A counter over time: how much it rose in each bin. What it rose between two readings is spread evenly over that time.
#[derive(Clone, Debug)]
pub struct Rises {
    from_us: i64,
    width_us: f64,
    last: Option<Seen>,
    bins: Vec<Option<f64>>,
}

/// Readings further apart than this tell nothing of the time between, microseconds.
const APART_US: i64 = 10_000_000;

impl Rises {
    /// Empty bins of a time.
    pub fn new(from_us: i64, to_us: i64, bins: usize) -> Rises {
        let width_us = ((to_us - from_us).max(1) as f64 / bins as f64).max(1.0);
        Rises { from_us, width_us, last: None, bins: vec![None; bins] }
    }

    /// Takes a value of the counter; a fall is a reset.
    pub fn push(&mut self, time_us: i64, value: u64) {
        let Some((before_us, before)) = self.last.replace((time_us, value)) else { return };
        if time_us <= before_us || (time_us - before_us > APART_US && self.width_us < APART_US as f64) {
            return;
        }
        self.add(before_us, time_us, value.saturating_sub(before) as f64);
    }

    /// Takes how much the counter rose from one time to a later one.
    pub fn add(&mut self, from_us: i64, to_us: i64, rise: f64) {
        let place = |time: i64| (time - self.from_us) as f64 / self.width_us;
        let (from, to) = (place(from_us), place(to_us));
        let mut at = from.max(0.0);
        while at < to {
            let Some(bin) = self.bins.get_mut(at as usize) else { break };
            let end = (at.floor() + 1.0).min(to);
            *bin.get_or_insert(0.0) += rise * (end - at) / (to - from);
            at = end;
        }
    }

    /// Two points a bin, each the rise in a second.
    pub fn points(&self) -> Vec<Option<u64>> {
        let seconds = self.width_us / 1e6;
        let rate = |rise: &Option<f64>| rise.map(|rise| (rise / seconds).round() as u64);
        self.bins.iter().flat_map(|bin| [rate(bin); 2]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_of_one_sample_stays_at_its_place() {
        let mut bins = Bins::new(0, 1_000_000, 10);
        (0..1000).for_each(|i| bins.push(i * 1000, if i == 555 { 900 } else { 100 + (i as u64 % 3) }));
        let points = bins.points(0);
        assert_eq!(points.len(), 20);
        assert_eq!(points.iter().filter(|p| **p == Some(900)).count(), 1);
        assert_eq!((points[10], points[11]), (Some(100), Some(900)), "the sixth tenth, low first");
    }

    #[test]
    fn what_was_not_seen_is_no_point() {
        let mut bins = Bins::new(0, 100, 10);
        bins.push(5, 1);
        bins.push(95, 2);
        bins.push(-5, 9);
        bins.push(500, 9);
        assert_eq!(bins.points(0).iter().flatten().count(), 4);
        assert_eq!(bins.points(3).iter().flatten().count(), 10);
        let mut rises = Rises::new(0, 10_000_000, 20);
        // Read once a second, into bins of half of one; then nothing for long.
        for (time, value) in [(1_000_000, 10), (2_000_000, 15), (3_000_000, 3), (4_000_000, 4), (40_000_000, 90)] {
            rises.push(time, value);
        }
        let rates: Vec<Option<u64>> = rises.points().into_iter().step_by(2).collect();
        assert_eq!(rates[..9], [None, None, Some(5), Some(5), Some(0), Some(0), Some(1), Some(1), None]);
    }
}
