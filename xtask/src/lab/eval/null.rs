//! How often the trend test rejects when there is no trend.

use sampler::analysis::leak::detectors::NOTHING;
use sampler::analysis::leak::facts::QUANTUM;
use sampler::analysis::leak::floor::floor;
use sampler::analysis::leak::trend::trend;

use super::sim::Dice;

/// A series of so many values.
type Noise = fn(&mut Dice, usize) -> Vec<f64>;

/// What the noise is like: name and series.
const FAMILIES: [(&str, Noise); 7] = [
    ("white", |dice, n| dice.walk(n, 0.0)),
    ("AR 0.9", |dice, n| dice.walk(n, 0.9)),
    ("AR 0.99", |dice, n| dice.walk(n, 0.99)),
    ("AR 0.997", |dice, n| dice.walk(n, 0.997)),
    ("random walk", |dice, n| dice.walk(n, 1.0)),
    ("quantised random walk", |dice, n| dice.walk(n, 1.0).iter().map(|v| (v / 4.0).round()).collect()),
    ("GC, its floor", |dice, n| {
        // Teeth of random length and height over a floor with slow noise.
        let noise = dice.walk(n, 0.9);
        let (mut level, mut left) = (0.0, 0.0);
        let values: Vec<f64> = (0..n)
            .map(|t| {
                if left <= 0.0 {
                    (level, left) = (0.0, dice.between(8.0, 20.0));
                }
                level += dice.between(2.0, 4.0);
                left -= 1.0;
                level + noise[t]
            })
            .collect();
        floor(&values, &values, 0.1).points
    }),
];

/// Prints the part of series without a trend for which the test sees a rise, one-sided 5 %.
pub fn print(each: usize, seed: u64) {
    println!("rises seen where there is none, one-sided 5 %, {each} series each:");
    for n in [512, 1024] {
        for (i, (name, make)) in FAMILIES.iter().enumerate() {
            let rejected = (0..each)
                .filter(|k| {
                    let mut dice = Dice::new(seed * 7_919 + (i * 100_003 + k) as u64);
                    let y: Vec<f64> = make(&mut dice, n).iter().map(|v| v * QUANTUM).collect();
                    trend(&y, QUANTUM / 12f64.sqrt()).z > NOTHING
                })
                .count();
            println!("  n {n:<5} {name:<22} {:.1} %", 100.0 * rejected as f64 / each as f64);
        }
    }
}
