//! When a growth reaches a limit.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::analysis::leak::facts::{Facts, Residual};
use crate::analysis::leak::linear::{mean, ols, quantile, sen};
use crate::analysis::leak::trend::Trend;

/// A pace, bytes a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The pace now.
    pub middle: f64,
    /// 90 % interval.
    pub ci90: (f64, f64),
    /// By half of how much it grows, bytes a second in a second; 0 of an even pace.
    pub gain: f64,
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
    // A last regime that is short is no pace of its own.
    if z.len() - facts.last_from < (z.len() / 8).max(crate::analysis::leak::trend::LEAST) { 0 } else { facts.last_from }
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

/// A level that falls by this part of its range now and then moves with the work.
const FALLS: f64 = 0.15;

/// Where the level goes up and down with the work, what grows is what that leaves unexplained.
fn what_work_leaves(facts: &Facts) -> Option<Residual> {
    facts.residual.filter(|_| facts.drawdown > FALLS && !facts.leaves_work())
}

/// A growth that ends at twice the pace it began with is no line.
const BENT: f64 = 0.3;

/// The curve `pace * t + gain * t * t` at the end of `z`, where it became ever faster and a parabola describes that far better than a line.
fn ever_faster(z: &[f64]) -> Option<(f64, f64)> {
    let n = z.len() as f64;
    let one = vec![1.0; z.len()];
    let time: Vec<f64> = (0..z.len()).map(|t| t as f64).collect();
    let square: Vec<f64> = time.iter().map(|t| t * t).collect();
    let (line, curve) = (ols(&[&one, &time], z)?, ols(&[&one, &time, &square], z)?);
    let (begin, gain) = (curve.coefficients[1], curve.coefficients[2]);
    let is_clear = curve.rss < 0.4 * line.rss && gain * n * n > BENT * line.coefficients[1] * n;
    // A bend between two lines fits a curve as well, but goes on at one pace.
    let quarter = |i: usize| sen(&z[i * z.len() / 4..(i + 1) * z.len() / 4]);
    let each = (1..3).all(|i| quarter(i + 1) > 1.08 * quarter(i));
    (is_clear && each && begin >= 0.0).then_some((begin + 2.0 * gain * n, gain))
}

/// The pace of the part from point `from` on.
pub fn rate(facts: &Facts, from: usize) -> Rate {
    if let Some(beside) = what_work_leaves(facts) {
        let middle = beside.growth / (0.9 * facts.span_s());
        let wide = 1.7 * beside.trend.se / (beside.stride * facts.block_s);
        return Rate { middle, ci90: (middle - wide, middle + wide), gain: 0.0 };
    }
    let z = &facts.floor.points[from..];
    let Trend { se, .. } =
        crate::analysis::leak::trend::trend(z, facts.noise.min(crate::analysis::leak::facts::QUANTUM));
    let faster = ever_faster(z);
    let (middle, gain) = faster.unwrap_or_else(|| (sen(z), 0.0));
    let quarters: Vec<f64> = (0..4)
        .map(|i| {
            let (from, to) = (i * z.len() / 4, (i + 1) * z.len() / 4);
            let before_end = z.len() as f64 - (from + to) as f64 / 2.0;
            sen(&z[from..to]) + 2.0 * gain * before_end
        })
        .collect();
    let spread = (quarters.iter().map(|q| (q - mean(&quarters)).powi(2)).sum::<f64>() / 3.0).sqrt();
    // What a line leaves of a curve is no noise.
    let se = if faster.is_some() { 0.0 } else { se };
    let total = se.hypot(spread / 2.0);
    let free = (z.len() as f64 / 16.0).max(3.0);
    let t = StudentsT::new(0.0, 1.0, free).map_or(2.0, |t| t.inverse_cdf(0.95));
    let per_s = 1.0 / (facts.floor.stride * facts.block_s);
    Rate {
        middle: middle * per_s,
        ci90: ((middle - t * total) * per_s, (middle + t * total) * per_s),
        gain: gain * per_s * per_s,
    }
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
    // The work will ask for as much again as it did lately.
    let asked = what_work_leaves(facts).map(|_| &facts.values[facts.values.len() / 2..]);
    let high = |part: f64| asked.map_or_else(|| now + quantile(&excess, part), |values| quantile(values, part));
    let to = |part: f64| (limit - high(part)).max(0.0);
    let after = |distance: f64, pace: f64, gain: f64| {
        if pace <= 0.0 {
            f64::INFINITY
        } else if gain > 0.0 {
            ((pace * pace + 4.0 * gain * distance).sqrt() - pace) / (2.0 * gain)
        } else {
            distance / pace
        }
    };
    // The interval of the pace alone is too narrow above; with a fiftieth more it covers nine tenths of the series of `eval` that
    // may be looked at.
    let late = 1.02 * after(to(0.9), rate.ci90.0, 0.7 * rate.gain);
    let early = after(to(1.0), rate.ci90.1, 1.3 * rate.gain);
    Some(Eta { middle: after(to(0.98), rate.middle, rate.gain), ci90: (early, late) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_faster_is_no_line() {
        let wiggle = |t: usize| ((t * 7919) % 13) as f64 / 13.0;
        let faster: Vec<f64> = (0..200).map(|t| 100.0 + 0.005 * (t * t) as f64 + wiggle(t)).collect();
        let (pace, gain) = ever_faster(&faster).unwrap();
        assert!((pace - 2.0).abs() < 0.1 && (gain - 0.005).abs() < 0.001, "{pace} {gain}");
        let line: Vec<f64> = (0..200).map(|t| 100.0 + t as f64 + wiggle(t)).collect();
        assert_eq!(ever_faster(&line), None);
        let bent: Vec<f64> = (0..200).map(|t| 100.0 + (t as f64 - 70.0).max(0.0) + wiggle(t)).collect();
        assert_eq!(ever_faster(&bent), None);
        let slower: Vec<f64> = (0..200).map(|t| 100.0 * (t as f64).sqrt() + wiggle(t)).collect();
        assert_eq!(ever_faster(&slower), None);
    }
}
