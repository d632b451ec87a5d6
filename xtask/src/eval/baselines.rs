//! What others do, each at its default.

use sampler::analysis::linear::{mean, ols, sen};

type Rule = fn(&[f64], f64, f64) -> bool;

/// Name and rule: values, seconds a step, limit.
pub const TABLE: [(&str, Rule); 3] = [("R2 > 0.8", r_squared), ("MK + Sen", mann_kendall), ("Coroot", coroot)];

fn thin(values: &[f64]) -> Vec<f64> {
    let size = values.len().div_ceil(512).max(1);
    values.chunks(size).map(mean).collect()
}

fn line(y: &[f64]) -> (f64, f64) {
    let one = vec![1.0; y.len()];
    let t: Vec<f64> = (0..y.len()).map(|t| t as f64).collect();
    let middle = mean(y);
    let all: f64 = y.iter().map(|v| (v - middle).powi(2)).sum();
    ols(&[&one, &t], y).map_or((0.0, 0.0), |fit| (fit.coefficients[1], 1.0 - fit.rss / all.max(1e-300)))
}

fn grows(y: &[f64], slope: f64) -> bool {
    slope * y.len() as f64 > 0.02 * mean(y)
}

/// A straight line that explains more than 80 %.
fn r_squared(values: &[f64], _: f64, _: f64) -> bool {
    let y = thin(values);
    let (slope, r2) = line(&y);
    r2 > 0.8 && grows(&y, slope)
}

/// Mann and Kendall at 1 %, growth by Theil and Sen.
fn mann_kendall(values: &[f64], _: f64, _: f64) -> bool {
    let y = thin(values);
    let n = y.len() as f64;
    let s: f64 = (0..y.len())
        .map(|i| y[i + 1..].iter().map(|v| if *v == y[i] { 0.0 } else { (v - y[i]).signum() }).sum::<f64>())
        .sum();
    let z = (s - 1.0) / (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    z > 2.326 && grows(&y, sen(&y))
}

/// Coroot's shape: the longest part without a drop of half, rising, its last quarter at 30 % of the pace or more, and 5 % of the
/// limit an hour.
fn coroot(values: &[f64], step_s: f64, limit: f64) -> bool {
    let y = thin(values);
    let step_s = step_s * values.len() as f64 / y.len() as f64;
    let mut parts = vec![vec![y[0]]];
    for pair in y.windows(2) {
        if pair[1] < 0.5 * pair[0] {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(pair[1]);
        }
    }
    let Some(longest) = parts.into_iter().max_by_key(Vec::len) else { return false };
    if longest.len() < 10 || longest.len() * 3 < y.len() {
        return false;
    }
    let (slope, _) = line(&longest);
    let (late, _) = line(&longest[longest.len() * 3 / 4..]);
    slope > 0.0 && late >= 0.3 * slope && slope * 3600.0 / step_s > 0.05 * limit
}
