//! Times between health checks that do not fall together.

use std::time::Duration;

/// The shortest of them, and how far they are apart, seconds: the ladder of 45, 50, 55, … that people use.
const LEAST_S: u64 = 45;
const STEP_S: u64 = 5;

/// One interval for each of `count` members that now run every `period_s` seconds: none more often than now, no two alike, so
/// that they meet once in their common multiple and not each time.
pub fn intervals(period_s: f64, count: usize) -> Vec<Duration> {
    let first = (period_s.clamp(0.0, 86_400.0).ceil() as u64).next_multiple_of(STEP_S).max(LEAST_S);
    (0..count as u64).map(|n| Duration::from_secs(first + n * STEP_S)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike_and_none_is_more_often_than_before() {
        let seconds = |period, count| intervals(period, count).iter().map(Duration::as_secs).collect::<Vec<_>>();
        assert_eq!(seconds(30.0, 5), [45, 50, 55, 60, 65]);
        assert_eq!(seconds(61.2, 2), [65, 70]);
        assert_eq!(seconds(f64::NAN, 1), [45]);
    }
}
