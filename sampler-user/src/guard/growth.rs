//! How something has grown since its limit was raised: evenly, as a leak does, or with rests, as work does.

/// A rest that is none, microseconds: allocators take memory by the piece.
const REST_US: i64 = 2_000_000;
/// A longest rest below this part of the time is even growth.
const PART: i64 = 4;

/// What is unreclaimable of a cgroup, since a moment.
#[derive(Debug, Default)]
pub struct Growth {
    begun: Option<i64>,
    high: u64,
    high_us: i64,
    rest_us: i64,
}

impl Growth {
    /// Begins anew.
    pub fn begin(&mut self, now_us: i64, bytes: u64) {
        *self = Growth { begun: Some(now_us), high: bytes, high_us: now_us, rest_us: 0 };
    }

    /// Takes a size. What stands at its limit has no choice: that is no rest.
    pub fn push(&mut self, now_us: i64, bytes: u64, is_at_limit: bool) {
        if is_at_limit {
            (self.high, self.high_us) = (self.high.max(bytes), now_us);
        } else if bytes > self.high {
            self.rest_us = self.rest_us.max(now_us - self.high_us);
            (self.high, self.high_us) = (bytes, now_us);
        }
    }

    /// Whether it has come to new heights all the time.
    pub fn is_even(&self, now_us: i64) -> bool {
        let Some(begun) = self.begun else { return true };
        self.rest_us.max(now_us - self.high_us) <= REST_US.max((now_us - begun) / PART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_even(seconds: i64, size: impl Fn(i64) -> u64) -> bool {
        let mut growth = Growth::default();
        growth.begin(0, size(0));
        (1..=seconds * 10).for_each(|n| growth.push(n * 100_000, size(n), false));
        growth.is_even(seconds * 1_000_000)
    }

    #[test]
    fn growth_is_even_unless_it_rests() {
        assert!(is_even(60, |n| n as u64));
        assert!(is_even(60, |n| n as u64 / 10), "a piece a second");
        assert!(
            is_even(120, |n| (n as u64 + 200 - n as u64 % 50) * 10 - n as u64 % 50),
            "it frees some each five seconds"
        );
        assert!(!is_even(60, |n| if n < 300 { n as u64 } else { 300 }), "it has come to rest");
        assert!(!is_even(60, |n| n as u64 / 300), "two bursts");
        assert!(!is_even(30, |_| 7));
    }
}
