//! The shape of a growth: a line, or something that ends by itself.

use crate::analysis::leak::linear::{Fit, median, ols};

/// Sums of squared residuals of each shape, and what the best saturating one says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    /// By how much the information criterion prefers saturation (or a logarithm) to a line; positive for saturation.
    pub saturates: f64,
    /// By how much it prefers growth after saturation to saturation alone.
    pub goes_on: f64,
    /// Level at which it saturates.
    pub asymptote: f64,
    /// Time constant of the saturation, in points.
    pub tau: f64,
    /// Residuals of a line, of a + b (1 - exp(-t/tau)), of both, of a parabola, of a + b ln(1 + t/t0).
    pub rss: [f64; 5],
}

/// Compares the shapes on `y`.
pub fn shape(y: &[f64]) -> Shape {
    let n = y.len();
    let m = n as f64;
    let one = vec![1.0; n];
    let t: Vec<f64> = (0..n).map(|t| t as f64 / (m - 1.0)).collect();
    let square: Vec<f64> = t.iter().map(|t| t * t).collect();
    let (Some(line), Some(parabola)) = (ols(&[&one, &t], y), ols(&[&one, &t, &square], y)) else {
        return Shape::default();
    };
    let mut sat: Option<(f64, Fit)> = None;
    let mut both = f64::INFINITY;
    for step in 0..22 {
        let tau = 0.015 * (0.6f64 / 0.015).powf(f64::from(step) / 21.0);
        let rise: Vec<f64> = t.iter().map(|t| 1.0 - (-t / tau).exp()).collect();
        if let Some(fit) = ols(&[&one, &rise], y)
            && sat.as_ref().is_none_or(|(_, best)| fit.rss < best.rss)
        {
            sat = Some((tau, fit));
        }
        // Only a leak goes on upwards.
        if let Some(fit) = ols(&[&one, &rise, &t], y).filter(|fit| fit.coefficients[2] > 0.0) {
            both = both.min(fit.rss);
        }
    }
    let Some((tau, sat)) = sat else { return Shape::default() };
    let mut log = f64::INFINITY;
    for step in 0..12 {
        let t0 = 0.002 * 500f64.powf(f64::from(step) / 11.0);
        let rise: Vec<f64> = t.iter().map(|t| (1.0 + t / t0).ln()).collect();
        if let Some(fit) = ols(&[&one, &rise], y) {
            log = log.min(fit.rss);
        }
    }
    let both = both.min(sat.rss);
    // Points that follow each other say less than as many alone: their number is discounted by what the smoothed series
    // leaves over.
    let rest: Vec<f64> = (0..n).map(|i| y[i] - median(&y[i.saturating_sub(4)..(i + 5).min(n)])).collect();
    let energy = rest.iter().map(|v| v * v).sum::<f64>().max(1e-300);
    let rho = (rest.windows(2).map(|p| p[0] * p[1]).sum::<f64>() / energy).clamp(0.0, 0.95);
    let free = (m * (1.0 - rho) / (1.0 + rho)).max(8.0);
    let least = 1e-9 * y.iter().map(|v| (v - y[0]).powi(2)).sum::<f64>().max(1e-300);
    let bic = |rss: f64, k: f64| free * (rss.max(least) / m).ln() + k * free.ln();
    let ends = bic(sat.rss, 3.0).min(bic(log, 3.0));
    Shape {
        saturates: if sat.coefficients[1] > 0.0 { bic(line.rss, 2.0) - ends } else { f64::NEG_INFINITY },
        goes_on: ends - bic(both, 4.0).min(bic(parabola.rss, 3.0)),
        asymptote: sat.coefficients[0] + sat.coefficients[1],
        tau: tau * (m - 1.0),
        rss: [line.rss, sat.rss, both, parabola.rss, log],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_residuals_agree_with_another_implementation() {
        let text = include_str!("../../../../data/analysis/trend-vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        for vector in vectors.as_array().unwrap() {
            let y: Vec<f64> = vector["y"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let got = shape(&y);
            // The other one has other time constants in its grid.
            for (key, got, to) in [("lin", got.rss[0], 1e-6), ("quad", got.rss[3], 1e-6), ("sat", got.rss[1], 0.1)] {
                let want = vector[key].as_f64().unwrap();
                assert!((got - want).abs() <= to * want, "{} {key}: {got}, want {want}", vector["name"]);
            }
        }
    }

    #[test]
    fn a_cache_that_fills_is_no_leak() {
        let wiggle = |t: usize| ((t * 7919) % 13) as f64 / 13.0;
        let fills: Vec<f64> = (0..200).map(|t| 100.0 * (1.0 - (-(t as f64) / 50.0).exp()) + wiggle(t)).collect();
        let leaks: Vec<f64> = (0..200).map(|t| t as f64 + wiggle(t)).collect();
        let then: Vec<f64> =
            (0..200).map(|t| 60.0 * (1.0 - (-(t as f64) / 15.0).exp()) + 0.5 * t as f64 + wiggle(t)).collect();
        assert!(shape(&fills).saturates > 6.0 && shape(&fills).goes_on < 6.0);
        assert!((shape(&fills).asymptote - 100.0).abs() < 4.0);
        assert!(shape(&leaks).saturates < 6.0);
        assert!(shape(&then).goes_on > 6.0, "warm-up, then a leak");
    }
}
