//! How likely it is that something is chance, and what may be believed of many such questions at once.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Hypergeometric, Normal};

/// Probability that at least `k` of `n` happen, each with probability `p`.
///
/// ```
/// use sampler::analysis::chance::at_least;
///
/// // Four heads of five coins, or five.
/// assert!((at_least(4, 5, 0.5) - 6.0 / 32.0).abs() < 1e-12);
/// assert_eq!(at_least(0, 5, 0.5), 1.0);
/// ```
pub fn at_least(k: usize, n: usize, p: f64) -> f64 {
    let Some(below) = k.checked_sub(1) else { return 1.0 };
    Binomial::new(p, n as u64).map_or(1.0, |coins| coins.sf(below as u64))
}

/// Probability that of `drawn` from `all`, of which `marked` are marked, at least `k` are: Fisher's exact test, one-sided.
pub fn at_least_drawn(k: usize, drawn: usize, marked: usize, all: usize) -> f64 {
    let Some(below) = k.checked_sub(1) else { return 1.0 };
    Hypergeometric::new(all as u64, marked as u64, drawn as u64).map_or(1.0, |urn| urn.sf(below as u64))
}

/// Probability that a standard normal value is at least `z`.
pub fn above(z: f64) -> f64 {
    Normal::new(0.0, 1.0).map_or(1.0, |normal| normal.sf(z))
}

/// The part of what is believed that may be chance.
pub const DISCOVERY: f64 = 0.05;

/// The adjusted p-values of Benjamini and Hochberg (1995): of what is believed below a level, at most that part is chance, in the mean.
///
/// ```
/// use sampler::analysis::chance::false_discovery;
///
/// let q = false_discovery(&[0.01, 0.02, 0.03, 0.50]);
/// assert!(q[..3].iter().all(|q| (q - 0.04).abs() < 1e-12) && q[3] == 0.5);
/// ```
pub fn false_discovery(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 1.0_f64;
    for (rank, at) in order.into_iter().enumerate().rev() {
        least = least.min(p[at] * p.len() as f64 / (rank + 1) as f64);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tails_are_exact_far_out() {
        assert!((at_least(212, 220, 0.1) / 3.4e-199).log10().abs() < 2.0, "{}", at_least(212, 220, 0.1));
        assert!((at_least(2000, 2000, 0.5) - 0.5f64.powi(1000) * 0.5f64.powi(1000)).abs() < 1e-300);
        // All marked ones among the drawn: one of C(10, 3).
        assert!((at_least_drawn(3, 3, 3, 10) - 1.0 / 120.0).abs() < 1e-12);
        assert!((above(1.6448536) - 0.05).abs() < 1e-6);
    }

    #[test]
    fn without_anything_to_find_five_of_a_hundred_families_find_something() {
        let mut dice = 0x2545_f491_4f6c_dd1d_u64;
        let mut even = || {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            (dice >> 11) as f64 / (1u64 << 53) as f64
        };
        let found = (0..400).filter(|_| {
            let p: Vec<f64> = (0..500).map(|_| even()).collect();
            false_discovery(&p).iter().any(|q| *q <= 0.05)
        });
        let found = found.count();
        assert!((8..=36).contains(&found), "{found} of 400, 20 expected");
    }
}
