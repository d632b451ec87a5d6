//! What others do, each at its default.

use sampler::analysis::leak::linear::{mean, median, ols, quantile, sen};

type Rule = fn(&[f64], f64, f64) -> bool;

/// Name and rule: values, seconds a step, limit.
pub const TABLE: [(&str, Rule); 5] = [
    ("R2 > 0.8", r_squared),
    ("MK + Sen", mann_kendall),
    ("Precog's LBR", precog),
    ("Coroot", coroot),
    ("mem-agent", mem_agent),
];

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

fn kendall(y: &[f64]) -> f64 {
    let n = y.len() as f64;
    let s: f64 = (0..y.len())
        .map(|i| y[i + 1..].iter().map(|v| if *v == y[i] { 0.0 } else { (v - y[i]).signum() }).sum::<f64>())
        .sum();
    (s - s.signum()) / (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt()
}

/// Mann and Kendall at 1 %, growth by Theil and Sen.
fn mann_kendall(values: &[f64], _: f64, _: f64) -> bool {
    let y = thin(values);
    kendall(&y) > 2.326 && grows(&y, sen(&y))
}

/// Jindal et al. 2021 (arXiv 2101.09799), linear backward regression: windows that end now and grow backwards; the first whose
/// line explains 80 % and reaches the whole within the critical time is a leak. Their window of five minutes and critical time of
/// seven days are for days of data: both are the same parts of the span here (a hundredth, and seven times).
fn precog(values: &[f64], step_s: f64, limit: f64) -> bool {
    let y = thin(values);
    let n = y.len();
    let step_s = step_s * values.len() as f64 / n as f64;
    let critical_s = 7.0 * n as f64 * step_s;
    let whole = if limit.is_finite() { limit } else { 2.0 * quantile(&y, 1.0) };
    (1..=100).any(|window| {
        let seen = &y[n - (window * n / 100).clamp(8.min(n), n)..];
        let (slope, r2) = line(seen);
        // A hundredth of the span may be a wiggle: their least trend is of six hours, a twentieth of their week.
        seen.len() * 20 >= n
            && r2 >= 0.8
            && slope > 0.0
            && grows(seen, slope)
            && (whole - seen[seen.len() - 1]) / slope * step_s < critical_s
    })
}

/// mem-agent's rule: half an hour at most, after a warm-up of a quarter; Mann and Kendall at 1 %, and the second half at half of
/// the pace of the first.
fn mem_agent(values: &[f64], step_s: f64, _: f64) -> bool {
    let warm = ((900.0 / step_s) as usize).min(values.len() / 4);
    let after = &values[warm..];
    let window = ((1800.0 / step_s) as usize).clamp(1, after.len().max(1));
    let y = thin(&after[after.len().saturating_sub(window)..]);
    if y.len() < 16 {
        return false;
    }
    let (first, second) = y.split_at(y.len() / 2);
    let ceiling = 1.15 * quantile(&values[..warm.max(1)], 0.98);
    kendall(&y) > 2.326
        && grows(&y, sen(&y))
        && sen(second) >= 0.5 * sen(first)
        && median(&y[y.len() - y.len() / 8..]) > ceiling.min(quantile(&y, 0.9))
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
    // Without a limit 50 MiB an hour.
    let least = if limit.is_finite() { 0.05 * limit } else { 50.0 * 1048576.0 };
    slope > 0.0 && late >= 0.3 * slope && slope * 3600.0 / step_s > least
}
