//! The floor of a series: what is left after each collection, request or burst. A leak raises it, garbage does not.

use crate::analysis::leak::linear::{differences, mad, median, quantile};

/// The floor and what was seen on the way to it.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    /// The floor, at most 256 points.
    pub points: Vec<f64>,
    /// Blocks in a point.
    pub stride: f64,
    /// Deep drops.
    pub resets: usize,
    /// Blocks between drops; 0 without a sawtooth.
    pub period: f64,
}

/// Fewest drops of a sawtooth.
pub const TEETH: usize = 4;

/// The floor of blocks with these means and minima.
pub fn floor(means: &[f64], minima: &[f64], noise: f64) -> Floor {
    let n = means.len();
    let range = quantile(means, 0.98) - quantile(means, 0.02);
    let rough = mad(&differences(means)).max(noise);
    let deep = (0.25 * range).max(6.0 * rough);
    // A drop within two blocks; what follows it within two is the same.
    let mut drops: Vec<usize> = Vec::new();
    for t in 2..n {
        let fell = means[t - 2].max(means[t - 1]) - means[t];
        if fell > deep && drops.last().is_none_or(|last| t > last + 2) {
            drops.push(t);
        }
    }
    let gaps: Vec<f64> = drops.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let toothed = drops.len() >= TEETH;
    let period = if toothed { quantile(&gaps, 0.8) } else { 0.0 };
    let width = if toothed { ((1.25 * period).ceil() as usize).clamp(1, (n / 12).max(1)) } else { (n / 256).max(1) };
    let points: Vec<f64> = if toothed {
        // Overlapping windows keep enough points for a test.
        let step = (width / 4).max(n / 256).max(1);
        let ends = (0..n.saturating_sub(width - 1)).step_by(step);
        ends.map(|from| minima[from..from + width].iter().copied().fold(f64::INFINITY, f64::min)).collect()
    } else {
        minima.chunks(width).map(median).collect()
    };
    let stride = if toothed { (width / 4).max(n / 256).max(1) as f64 } else { width as f64 };
    Floor { points, stride, resets: drops.len(), period }
}

/// Replaces values that stand alone far from their neighbours by the median of these (Hampel, 15 blocks, 6 deviations).
pub fn calm(values: &[f64], noise: f64) -> Vec<f64> {
    let rough = mad(&differences(values)).max(noise);
    let near = |t: usize| &values[t.saturating_sub(7)..(t + 8).min(values.len())];
    values
        .iter()
        .enumerate()
        .map(|(t, &value)| {
            let middle = median(near(t));
            if (value - middle).abs() > 6.0 * mad(near(t)).max(rough) { middle } else { value }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(rise: f64) -> Vec<f64> {
        (0..600).map(|t| 100.0 + rise * f64::from(t) + f64::from(t % 40)).collect()
    }

    #[test]
    fn the_floor_of_a_sawtooth_is_flat_unless_it_rises() {
        let flat = floor(&saw(0.0), &saw(0.0), 0.01);
        assert!(flat.resets >= 14 && (flat.period - 40.0).abs() < 1.0, "{} {}", flat.resets, flat.period);
        assert!(flat.points.iter().all(|v| *v < 101.0));
        let rising = floor(&saw(0.1), &saw(0.1), 0.01);
        assert!(rising.points.last().unwrap() - rising.points[0] > 45.0);
    }

    #[test]
    fn a_spike_is_calmed_and_a_step_is_not() {
        let mut values = vec![10.0; 100];
        values[50] = 90.0;
        assert!(calm(&values, 0.1).iter().all(|v| *v == 10.0));
        let step: Vec<f64> = (0..100).map(|t| if t < 50 { 10.0 } else { 90.0 }).collect();
        assert_eq!(calm(&step, 0.1), step);
    }
}
