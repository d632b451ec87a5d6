//! A histogram that forgets: what was seen a day ago weighs half of what is seen now.
//!
//! Buckets grow by 5 %, so that a quantile is known to 5 %; half-life and growth are those of the Vertical Pod Autoscaler
//! (`recommender/model/aggregations_config.go`: memory half-life 24 h, bucket growth 1.05), whose first bucket of 10 MB is too
//! coarse for containers of a few MiB.

/// Time after which a value weighs half, microseconds.
pub const HALF_LIFE_US: i64 = 24 * 3600 * 1_000_000;
/// End of the first bucket, bytes.
const FIRST: f64 = 1024.0 * 1024.0;
/// Each bucket is this much wider than the one before.
const GROWTH: f64 = 1.05;
/// The last bucket begins above 50 TiB.
const BUCKETS: usize = 300;

/// Weights by size.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    weights: Vec<f64>,
    /// Time at which a value weighs one, microseconds.
    zero_us: Option<i64>,
}

impl Histogram {
    /// Adds a value in bytes that was seen at a time in microseconds.
    pub fn add(&mut self, time_us: i64, value: u64) {
        let zero = *self.zero_us.get_or_insert(time_us);
        let mut age = (time_us - zero) as f64 / HALF_LIFE_US as f64;
        if age > 64.0 {
            // Before the weights overflow, the old ones are made small instead.
            let by = (-age).exp2();
            self.weights.iter_mut().for_each(|weight| *weight *= by);
            (self.zero_us, age) = (Some(time_us), 0.0);
        }
        let at = bucket(value);
        if self.weights.len() <= at {
            self.weights.resize(at + 1, 0.0);
        }
        self.weights[at] += age.exp2();
    }

    /// The size that the part `part` of all weight does not exceed, bytes: the end of its bucket, at most 5 % too high.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let all: f64 = self.weights.iter().sum();
        if all <= 0.0 {
            return None;
        }
        let mut sum = 0.0;
        let at = self.weights.iter().position(|weight| {
            sum += weight;
            sum >= part.clamp(0.0, 1.0) * all * (1.0 - 1e-12) && *weight > 0.0
        });
        at.map(|at| end(at) as u64)
    }
}

fn bucket(value: u64) -> usize {
    let at = (value as f64 * (GROWTH - 1.0) / FIRST + 1.0).ln() / GROWTH.ln();
    (at.max(0.0) as usize).min(BUCKETS - 1)
}

/// Where a bucket ends, bytes.
fn end(bucket: usize) -> f64 {
    FIRST * (GROWTH.powi(bucket as i32 + 1) - 1.0) / (GROWTH - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_value_is_known_to_a_twentieth() {
        for value in [MIB / 2, 3 * MIB, 100 * MIB, 3 << 30, 40 << 40] {
            let mut one = Histogram::default();
            one.add(0, value);
            let upper = one.quantile(1.0).unwrap();
            assert!(upper >= value && (upper - value) as f64 <= 0.05 * value as f64 + FIRST, "{value}: {upper}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn an_old_spike_fades() {
        let minute = 60_000_000;
        let mut seen = Histogram::default();
        (0..60).for_each(|n| seen.add(n * minute, 900 * MIB));
        (0..600).for_each(|n| seen.add((60 + n) * minute, 100 * MIB));
        assert!(seen.quantile(0.95).unwrap() > 800 * MIB, "a tenth of half a day is there");
        (0..5 * 1440).for_each(|n| seen.add((660 + n) * minute, 100 * MIB));
        assert!(seen.quantile(0.99).unwrap() < 110 * MIB, "five days later it is not");
        // Ages of years do not overflow.
        seen.add(400 * HALF_LIFE_US, 50 * MIB);
        assert!(seen.quantile(0.99).unwrap() < 55 * MIB);
    }
}
