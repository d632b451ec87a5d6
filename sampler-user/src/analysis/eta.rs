//! When a growth reaches a limit.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::facts::Facts;
use super::linear::{mean, quantile, sen};
use super::trend::Trend;

/// A pace, bytes a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The pace.
    pub middle: f64,
    /// 90 % interval.
    pub ci90: (f64, f64),
}

/// Seconds until a limit is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Eta {
    /// The middle.
    pub middle: f64,
    /// 90 % interval; infinity when it may not come to it.
    pub ci90: (f64, f64),
}

/// The part of the floor that grows now, and its first point: the last regimes whose pace is alike.
pub fn growing_part(facts: &Facts) -> usize {
    let z = &facts.floor.points;
    let mut from = facts.regimes.iter().rev().nth(1).copied().unwrap_or(0);
    let pace = sen(&z[from..]);
    let begins: Vec<usize> = std::iter::once(0).chain(facts.regimes.iter().copied()).collect();
    for pair in begins.windows(2).rev().skip(1) {
        let before = sen(&z[pair[0]..pair[1]]);
        if before < 0.4 * pace || before > 2.5 * pace {
            break;
        }
        from = pair[0];
    }
    // A last regime that is short is no pace of its own.
    if z.len() - from < (z.len() / 8).max(super::trend::LEAST) { 0 } else { from }
}

/// Where the growth began, a point of the floor: before the part that grows now, where the floor left its first tenth for the
/// last time, less the time that this tenth took.
pub fn onset(facts: &Facts, from: usize) -> usize {
    let z = &facts.floor.points;
    let tenth = 0.1 * facts.growth();
    let left = z.iter().rposition(|v| *v <= facts.level.0 + tenth).unwrap_or(0);
    let pace = sen(&z[left.min(z.len() - 2)..]);
    let before = if pace > 0.0 { (tenth / pace) as usize } else { 0 };
    from.min(left.saturating_sub(before))
}

/// The pace of the part from point `from` on.
pub fn rate(facts: &Facts, from: usize) -> Rate {
    let z = &facts.floor.points[from..];
    let Trend { se, .. } = super::trend::trend(z, facts.noise.min(super::facts::QUANTUM));
    let quarters: Vec<f64> = (0..4).map(|i| sen(&z[i * z.len() / 4..(i + 1) * z.len() / 4])).collect();
    let middle = sen(z);
    let spread = (quarters.iter().map(|q| (q - mean(&quarters)).powi(2)).sum::<f64>() / 3.0).sqrt();
    let total = se.hypot(spread / 2.0);
    let free = (z.len() as f64 / 16.0).max(3.0);
    let t = StudentsT::new(0.0, 1.0, free).map_or(2.0, |t| t.inverse_cdf(0.95));
    let per_s = 1.0 / (facts.floor.stride * facts.block_s);
    Rate { middle: middle * per_s, ci90: ((middle - t * total) * per_s, (middle + t * total) * per_s) }
}

/// Seconds until the peaks over the floor reach `limit`.
pub fn eta(facts: &Facts, rate: &Rate, limit: f64) -> Option<Eta> {
    if !limit.is_finite() || rate.middle <= 0.0 {
        return None;
    }
    let z = &facts.floor.points;
    // The level is that of the last tenth, whose middle is a twentieth before the end.
    let now = facts.level.1 + rate.middle * facts.span_s() / 20.0;
    let excess: Vec<f64> = facts.values[facts.values.len() * 3 / 4..]
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let at = (facts.values.len() * 3 / 4 + i) as f64 / facts.floor.stride;
            (value - z[(at as usize).min(z.len() - 1)]).max(0.0)
        })
        .collect();
    let to = |part: f64| (limit - now - quantile(&excess, part)).max(0.0);
    let after = |distance: f64, pace: f64| if pace <= 0.0 { f64::INFINITY } else { distance / pace };
    // The interval of the pace alone is too narrow above; with a fiftieth more it covers nine tenths of the series of `eval` that
    // may be looked at.
    let high = 1.02 * after(to(0.9), rate.ci90.0);
    Some(Eta { middle: after(to(0.98), rate.middle), ci90: (after(to(1.0), rate.ci90.1), high) })
}
