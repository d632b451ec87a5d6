//! An even period in times.

use crate::analysis::leak::linear::quantile;

/// Fewest rises that make a period: five of six intervals that fit by chance are one in a hundred series of random rises.
pub(super) const LEAST_RISES: usize = 6;

/// Part of the intervals, and of the rises of two cgroups, that have to fit.
pub(super) const FIT: f64 = 0.75;

/// The period of a series of moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    pub(super) period_s: f64,
    /// A moment on the beat, seconds.
    pub(super) at_s: f64,
    pub(super) bytes: f64,
}

impl Beat {
    pub(super) fn of(times: &[f64]) -> Option<Beat> {
        if times.len() < LEAST_RISES {
            return None;
        }
        let intervals: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        [0.5, 0.25].into_iter().find_map(|part| Beat::near(times, quantile(&intervals, part)))
    }

    /// With a period near `period`: rises may be missing, a few may be others.
    fn near(times: &[f64], period: f64) -> Option<Beat> {
        if period < 3.0 {
            return None;
        }
        let (mut period, mut at_s) = (period, times[0]);
        // The line through the moments by their numbers, twice: the first time with a period that is not exact yet.
        let mut fitting = 0;
        for _ in 0..2 {
            let (mut number, mut last) = (0.0, times[0]);
            let (mut points, mut missed) = (vec![(0.0, times[0])], 0);
            for &time in &times[1..] {
                let steps = ((time - last) / period).round();
                if steps >= 1.0 && ((time - last) - steps * period).abs() < (0.15 * period).min(0.1 * period + 2.0) {
                    number += steps;
                    points.push((number, time));
                    last = time;
                } else {
                    missed += 1;
                    // Lost the beat: begin again where it is.
                    if missed > 2 {
                        (last, missed) = (time, 0);
                        number += steps.max(1.0);
                    }
                }
            }
            fitting = points.len();
            let n = points.len() as f64;
            let (mk, mt) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
            let spread: f64 = points.iter().map(|p| (p.0 - mk).powi(2)).sum();
            if spread == 0.0 {
                return None;
            }
            period = points.iter().map(|p| (p.0 - mk) * (p.1 - mt)).sum::<f64>() / spread;
            at_s = mt - mk * period;
            // Most of the periods have a rise.
            if n < 0.5 * (number + 1.0) || period < 3.0 {
                return None;
            }
            let rest: f64 = points.iter().map(|p| (p.1 - at_s - p.0 * period).powi(2)).sum();
            if (rest / n).sqrt() > 0.1 * period {
                return None;
            }
        }
        (fitting as f64 >= FIT * times.len() as f64 && fitting >= LEAST_RISES).then_some(Beat {
            period_s: period,
            at_s,
            bytes: 0.0,
        })
    }
}
