//! Does it rise? A test that holds whether the noise is white, slow or a random walk.
//!
//! Least squares and Mann and Kendall call nearly half of driftless random walks a trend, and memory often walks. Perron and
//! Yabu (J. Econometrics 151, 2009) test the slope by feasible generalised least squares with the autoregressive root
//! truncated to one, which is valid for both kinds of noise; the batch-means test guards it against moving averages. What is
//! known only in steps, or measured with noise of its own, hides the root of a walk from value to value: so the test is made
//! again on means of four, where that is small. A trend is what all see.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::analysis::leak::linear::{mean, ols};

/// A slope and how sure it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trend {
    /// Rise of a step.
    pub slope: f64,
    /// Standard error of the slope.
    pub se: f64,
    /// The smallest of the tests' statistics: below a standard normal without a trend.
    pub z: f64,
    /// The autoregressive root of the noise; 1 is a random walk.
    pub root: f64,
}

/// Fewest points of a test.
pub const LEAST: usize = 24;

/// Values in a mean of the second test, and fewest means of it.
const COARSE: usize = 4;
const LEAST_COARSE: usize = 32;

/// A root that is nearer to one than this, over the square root of the length, is one. The means of the second test are few, so
/// that their root is known less well.
const NEAR: f64 = 1.0;
const NEAR_COARSE: f64 = 1.5;

/// Tests `y`, whose values are known to no better than `noise` (a standard deviation). Fewer than [`LEAST`] points have no
/// trend.
pub fn trend(y: &[f64], noise: f64) -> Trend {
    if y.len() < LEAST {
        return Trend::default();
    }
    let Some(robust) = perron_yabu(y, noise) else { return Trend::default() };
    let mut others = vec![batch_means(y, noise)];
    if y.len() >= COARSE * LEAST_COARSE {
        let means: Vec<f64> = y.chunks_exact(COARSE).map(mean).collect();
        let coarse = generalised(&means, noise / (COARSE as f64).sqrt(), NEAR_COARSE);
        others.extend(coarse.map(|coarse| coarse.z));
    }
    let weaker = if robust.z > 0.0 { f64::min } else { f64::max };
    Trend { z: others.into_iter().fold(robust.z, weaker), ..robust }
}

/// Perron and Yabu's test alone. `None` for a series that no regression fits.
pub fn perron_yabu(y: &[f64], noise: f64) -> Option<Trend> {
    generalised(y, noise, NEAR)
}

fn generalised(y: &[f64], noise: f64, near: f64) -> Option<Trend> {
    let n = y.len();
    let one = vec![1.0; n];
    let time: Vec<f64> = (1..=n).map(|t| t as f64).collect();
    let line = ols(&[&one, &time], y)?;
    let u: Vec<f64> = (0..n).map(|t| y[t] - line.coefficients[0] - line.coefficients[1] * time[t]).collect();
    let scale = u.iter().map(|u| u * u).sum::<f64>() / n as f64;
    // A line without noise has no root to estimate.
    let (mut root, mut lags) = (0.0, 0);
    if scale > 1e-12 {
        let most = ((4.0 * (n as f64 / 100.0).powf(0.25)) as usize).min(8);
        let du: Vec<f64> = u.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let target = &u[most + 1..];
        let mut best = f64::INFINITY;
        for k in 0..=most {
            let mut columns: Vec<&[f64]> = vec![&u[most..n - 1]];
            columns.extend((1..=k).map(|i| &du[most - i..n - 1 - i]));
            let Some(fit) = ols(&columns, target) else { continue };
            let m = target.len() as f64;
            let bic = m * (fit.rss / m).max(1e-300).ln() + (k + 1) as f64 * m.ln();
            if bic < best {
                (best, root, lags) = (bic, fit.coefficients[0], k);
            }
        }
        // Corrects the downward bias of the root when a trend is taken out.
        root += (2.0 + 4.0 * root.min(1.0)) / n as f64;
        if root > 1.0 || (root - 1.0).abs() < near / (n as f64).sqrt() {
            root = 1.0;
        }
    }
    let quasi = |v: &[f64]| -> Vec<f64> {
        std::iter::once(v[0]).chain(v.windows(2).map(|pair| pair[1] - root * pair[0])).collect()
    };
    let (qy, q1, qt) = (quasi(y), quasi(&one), quasi(&time));
    let fit = ols(&[&q1, &qt], &qy)?;
    let v: Vec<f64> = (0..n).map(|t| qy[t] - fit.coefficients[0] * q1[t] - fit.coefficients[1] * qt[t]).collect();
    let h = long_run_variance(&v[1..], lags).max(noise * noise);
    let se = (h * fit.inverse[1]).sqrt().max(1e-300);
    let slope = fit.coefficients[1];
    Some(Trend { slope, se, z: slope / se, root })
}

fn long_run_variance(v: &[f64], lags: usize) -> f64 {
    let middle = mean(v);
    let v: Vec<f64> = v.iter().map(|v| v - middle).collect();
    let n = v.len();
    let plain = v.iter().map(|v| v * v).sum::<f64>() / n as f64;
    if lags == 0 || n < 4 * lags {
        return plain;
    }
    let columns: Vec<&[f64]> = (1..=lags).map(|i| &v[lags - i..n - i]).collect();
    match ols(&columns, &v[lags..]) {
        Some(fit) => {
            let gain = (1.0 - fit.coefficients.iter().sum::<f64>()).max(0.05);
            fit.rss / (n - lags) as f64 / (gain * gain)
        }
        None => plain,
    }
}

/// The slope of 16 (8 of a short series) averages, by Student's t, as a standard normal.
pub fn batch_means(y: &[f64], noise: f64) -> f64 {
    let batches = if y.len() < 64 { 8 } else { 16 };
    let means: Vec<f64> = (0..batches).map(|b| mean(&y[b * y.len() / batches..(b + 1) * y.len() / batches])).collect();
    let one = vec![1.0; batches];
    let time: Vec<f64> = (0..batches).map(|t| t as f64).collect();
    let Some(fit) = ols(&[&one, &time], &means) else { return 0.0 };
    let free = (batches - 2) as f64;
    let floor = noise * noise * batches as f64 / y.len() as f64;
    let t = fit.coefficients[1] / ((fit.rss / free).max(floor) * fit.inverse[1]).sqrt().max(1e-300);
    normal_of_t(t, free)
}

/// The standard normal value that is as rare as `t` with `free` degrees of freedom.
fn normal_of_t(t: f64, free: f64) -> f64 {
    let (Ok(student), Ok(normal)) = (StudentsT::new(0.0, 1.0, free), Normal::new(0.0, 1.0)) else { return 0.0 };
    // The small tail is exact, the large one is 1 to the last digit.
    let tail = student.cdf(-t.abs()).max(1e-300);
    -normal.inverse_cdf(tail) * t.signum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::leak::linear::sen;

    /// Driftless walks, known in steps of four of their own.
    fn walks(n: u64, length: usize) -> impl Iterator<Item = Vec<f64>> {
        (0..n).map(move |seed| {
            let mut state = seed;
            // Splitmix; the sum of twelve even numbers is nearly normal.
            let mut even = move || {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
            };
            let mut at = 0.0;
            let steps = (0..length).map(|_| {
                at += (0..12).map(|_| even()).sum::<f64>() - 6.0;
                (at / 4.0).round()
            });
            steps.collect()
        })
    }

    #[test]
    fn a_walk_that_is_known_in_steps_is_no_trend() {
        let rises = |z: &dyn Fn(&[f64]) -> f64| walks(300, 512).filter(|y| z(y) > 1.645).count();
        let (finest, all) = (rises(&|y| perron_yabu(y, 0.3).unwrap().z), rises(&|y| trend(y, 0.3).z));
        assert!(all <= 24, "one-sided 5 %, and 8 % at most: {all} of 300, and {finest} where values are not averaged");
        assert!(finest > 24, "the steps hide the root: {finest} of 300");
    }

    /// Series with the values that an independent implementation in Python found for them.
    #[test]
    fn the_statistics_agree_with_another_implementation() {
        let text = include_str!("../../../../data/analysis/trend-vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let vectors = vectors.as_array().unwrap();
        assert!(vectors.len() >= 8);
        for vector in vectors {
            let y: Vec<f64> = vector["y"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let want = |key: &str| vector[key].as_f64().unwrap();
            let got = perron_yabu(&y, 0.0).unwrap();
            let near = |what: &str, got: f64, want: f64, to: f64| {
                assert!((got - want).abs() <= to * (1.0 + want.abs()), "{} {what}: {got}, want {want}", vector["name"]);
            };
            near("slope", got.slope, want("py_slope"), 1e-3);
            near("root", got.root, want("py_alpha"), 1e-3);
            near("se", got.se, want("py_se"), 1e-2);
            near("batch", batch_means(&y, 0.0), want("batch_z"), 1e-2);
            near("sen", sen(&y), want("sen"), 1e-9);
        }
    }
}
