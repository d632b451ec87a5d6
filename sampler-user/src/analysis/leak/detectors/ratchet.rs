//! Each tide of the load leaves it higher.

use crate::analysis::leak::blocks::Block;
use crate::analysis::leak::detectors::evidence::{Class, Detector, Evidence, Finding};
use crate::analysis::leak::facts::{LEAST_BLOCKS, filled};
use crate::analysis::leak::linear::{deviation, mean, median, ols, quantile, sen};
use crate::analysis::leak::signal::Signal;
use crate::model::units::bytes;

pub const DETECTOR: Detector = Detector {
    name: "ratchet",
    about: "The work (CPU time) comes in even load cycles of the same height, six or more, and each leaves the memory higher \
        than the one before, at high and at low tide, by steps that do not become smaller. A heap that keeps what the load once \
        needed stays where the first tide brought it.",
    detect,
};

/// Fewest load cycles that say something: the first may be a warm-up, the last may not be over.
const LEAST_TIDES: usize = 6;
/// A tide takes a minute at least, and they come evenly: their lengths vary by a quarter at most (a coefficient of variation).
const LEAST_TIDE_S: f64 = 60.0;
const EVEN: f64 = 0.25;
/// Deviations that the steps have to stand above what they leave over: a few points on a slow walk look like a line as well.
const CLEAR: f64 = 8.0;

fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    let blocks = evidence.life.blocks.signal(Signal::Cpu as usize);
    if blocks.iter().filter(|block| block.n > 0).count() < LEAST_BLOCKS {
        return None;
    }
    let work = filled(blocks, |block: &Block| block.sum);
    let work = work.get(facts.cut..facts.cut + facts.n)?;
    let load_cycles = load_cycles(work);
    if !come_evenly(&load_cycles, facts.block_s) {
        return None;
    }
    let step = rising_step(work, &facts.values, &load_cycles)?;
    let rise = step * (load_cycles.len() - 1) as f64;
    if rise < (0.05 * facts.level.0).max(1024.0 * 1024.0) {
        return None;
    }
    Some(Finding::new(
        Class::Leak,
        [
            format!("each of {} load cycles left it {} higher", load_cycles.len(), bytes(step as u64)),
            "at the peaks and in the troughs alike, and the peaks did not become higher".into(),
        ],
    ))
}

/// Begins of the load cycles, each where the work rises through its middle.
fn load_cycles(work: &[f64]) -> Vec<usize> {
    let width = (work.len() / 40).max(1);
    let smooth: Vec<f64> =
        (0..work.len()).map(|t| median(&work[t.saturating_sub(width)..(t + width + 1).min(work.len())])).collect();
    let (low, high) = (quantile(&smooth, 0.1), quantile(&smooth, 0.9));
    // Work that hardly moves has no load cycles.
    if high < 1.5 * low.max(1e-9) {
        return Vec::new();
    }
    let mut is_high = smooth[0] > (low + high) / 2.0;
    let mut begins = if is_high { vec![0] } else { Vec::new() };
    for (t, &value) in smooth.iter().enumerate() {
        if !is_high && value > low + 0.6 * (high - low) {
            is_high = true;
            begins.push(t);
        } else if is_high && value < low + 0.4 * (high - low) {
            is_high = false;
        }
    }
    begins
}

fn come_evenly(begins: &[usize], block_s: f64) -> bool {
    // The first may have begun before.
    let lengths: Vec<f64> = begins.windows(2).skip(1).map(|pair| (pair[1] - pair[0]) as f64 * block_s).collect();
    let middle = mean(&lengths);
    middle >= LEAST_TIDE_S && deviation(&lengths) <= EVEN * middle
}

/// The step from tide to tide, bytes; `None` when they are no even steps upwards, or the work rises with them.
fn rising_step(work: &[f64], values: &[f64], begins: &[usize]) -> Option<f64> {
    if begins.len() < LEAST_TIDES {
        return None;
    }
    let spans: Vec<(usize, usize)> = begins.windows(2).skip(1).map(|pair| (pair[0], pair[1])).collect();
    let of = |series: &[f64], part: f64| -> Vec<f64> {
        spans.iter().map(|&(from, to)| quantile(&series[from..to], part)).collect()
    };
    let (highs, lows, work) = (of(values, 0.9), of(values, 0.1), of(work, 0.9));
    let n = spans.len();
    let (one, time) = (vec![1.0; n], (0..n).map(|i| i as f64).collect::<Vec<_>>());
    let fit = ols(&[&one, &time], &highs)?;
    let step = fit.coefficients[1];
    let error = (fit.rss / (n - 2) as f64 * fit.inverse[1]).sqrt();
    let steps: Vec<f64> = highs.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let half = steps.len() / 2;
    let even = steps.iter().all(|rise| *rise > 0.0) && mean(&steps[half..]) > 0.6 * mean(&steps[..half.max(1)]);
    let more_work = sen(&work) * (n - 1) as f64 > 0.1 * median(&work);
    (step > CLEAR * error && even && !more_work && sen(&lows) > 0.4 * step).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six load cycles of the work, and memory that keeps what a cycle needed and `more` of each.
    fn tidal(more: f64, work_grows: f64) -> (Vec<f64>, Vec<f64>) {
        let work: Vec<f64> = (0..840)
            .map(|t| {
                let at = f64::from(t) / 120.0;
                (1.0 - (at * std::f64::consts::TAU).cos()) * (1.0 + work_grows * at) + 0.2
            })
            .collect();
        let mut kept = 0f64;
        let mut lost = 0.0;
        let values = work.iter().map(|load| {
            lost += more * load / 120.0;
            kept = kept.max(load * 30e6 + lost);
            40e6 + kept
        });
        (values.collect(), work)
    }

    #[test]
    fn even_steps_under_periodic_load_are_found() {
        let said = |more, work_grows| {
            let (values, work) = tidal(more, work_grows);
            rising_step(&work, &values, &load_cycles(&work))
        };
        let step = said(8e6, 0.0).unwrap();
        assert!((7e6..12e6).contains(&step), "{step}");
        assert_eq!(said(0.0, 0.0), None, "what the load once needed is kept");
        assert_eq!(said(0.0, 0.3), None, "the load needs more each time");
        let (values, work) = tidal(8e6, 0.0);
        let begins = load_cycles(&work);
        assert!(begins.len() >= LEAST_TIDES, "{begins:?}");
        assert_eq!(rising_step(&work, &values, &begins[..5]), None, "too few load cycles");
        assert!(come_evenly(&begins, 2.0) && !come_evenly(&begins, 0.1), "a sawtooth has no load cycles");
        assert!(!come_evenly(&[0, 100, 150, 300, 340, 600], 2.0), "jobs that come by chance");
        let flattens: Vec<f64> = values.iter().map(|v| (v - 99.9e6).max(1e5).ln() * 1e7).collect();
        assert_eq!(rising_step(&work, &flattens, &begins), None, "steps that become smaller");
    }
}
