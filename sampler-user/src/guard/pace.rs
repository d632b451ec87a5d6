//! How fast something grows just now.

use std::collections::VecDeque;

/// Time that is looked back, microseconds.
const SPAN_US: i64 = 2_000_000;
/// Over less time there is no pace, microseconds.
const LEAST_US: i64 = 250_000;
/// Growth that has just begun is measured over this time, microseconds.
const LATE_US: i64 = 600_000;
/// Points that are kept.
const POINTS: usize = 64;

/// The last two seconds of a size.
#[derive(Debug, Default)]
pub struct Pace {
    points: VecDeque<(i64, u64)>,
}

impl Pace {
    /// Takes a size.
    pub fn push(&mut self, time_us: i64, bytes: u64) {
        // A time that was not looked at shows nothing of the pace.
        if self.points.back().is_some_and(|(last, _)| time_us - last > SPAN_US) {
            self.points.clear();
        }
        while self.points.len() >= POINTS || self.points.front().is_some_and(|(first, _)| time_us - first > SPAN_US) {
            self.points.pop_front();
        }
        self.points.push_back((time_us, bytes));
    }

    /// Bytes a second, the faster of the whole time and the last part of it; nothing where too little was seen.
    pub fn rate(&self) -> Option<f64> {
        let (end, size) = *self.points.back()?;
        let since = |(begin, before): (i64, u64)| {
            (end - begin >= LEAST_US).then(|| (size as f64 - before as f64) * 1e6 / (end - begin) as f64)
        };
        let whole = since(*self.points.front()?)?;
        let late = self.points.iter().rev().find(|(time, _)| end - time >= LATE_US).and_then(|point| since(*point));
        Some(late.map_or(whole, |late| late.max(whole)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(sizes: &[(i64, u64)]) -> Option<f64> {
        let mut pace = Pace::default();
        sizes.iter().for_each(|(ms, bytes)| pace.push(ms * 1000, *bytes));
        pace.rate()
    }

    #[test]
    fn the_pace_is_of_the_last_two_seconds_and_the_faster_part_counts() {
        assert_eq!(pace(&[]), None);
        assert_eq!(pace(&[(0, 0), (200, 100)]), None, "too short");
        assert_eq!(pace(&[(0, 0), (500, 100)]), Some(200.0));
        assert_eq!(pace(&[(0, 500), (1000, 0)]), Some(-500.0));
        assert_eq!(pace(&[(0, 0), (1000, 0), (1500, 0), (2000, 500)]), Some(500.0), "it has just begun");
        assert_eq!(pace(&[(0, 9000), (3000, 0), (3500, 500)]), Some(1000.0), "what was not looked at");
        assert_eq!(pace(&[(0, 9000), (1000, 9000), (2500, 9000), (3000, 9000)]), Some(0.0));
    }
}
