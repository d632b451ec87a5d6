//! The steps by which a cgroup grew.

use crate::analysis::beat::Beat;
use crate::analysis::leak::linear::median;
use crate::model::fields::FieldId;
use crate::model::recording::Series;

/// A rise is at least this, bytes, and this part of what is held.
pub(super) const LEAST_BYTES: f64 = 1024.0 * 1024.0;

pub(super) const LEAST_PART: f64 = 0.01;

/// And this many times what changes in a step on average, so that a steady growth is not a series of rises.
pub(super) const OVER_USUAL: f64 = 5.0;

/// Steps in which it happens.
pub(super) const STEPS: usize = 3;

/// A step; a rise is known to no less. Microseconds.
pub(super) const STEP_US: i64 = 1_000_000;

/// Rises kept of a cgroup, the last ones.
pub(super) const MOST: usize = 1024;

/// A sudden rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rise {
    pub(super) time_us: i64,
    pub(super) bytes: f64,
}

/// Follows the size of one cgroup.
#[derive(Clone, Debug, Default)]
pub struct Rises {
    pub(super) rises: Vec<Rise>,
    /// First row, and highest in the minute after it.
    pub(super) begun_us: Option<i64>,
    pub(super) first_bytes: f64,
    /// The step at hand: its begin and its highest.
    step: Option<(i64, f64)>,
    /// The steps before it, the latest first.
    before: [f64; STEPS],
    steps: usize,
    /// Usual change of a step.
    usual: f64,
    /// Whether a rise goes on.
    rising: bool,
}

impl Rises {
    /// Takes rows, which follow those taken before.
    pub fn feed(&mut self, series: &Series) {
        let Some(current) = series.column(FieldId::Current.field()) else { return };
        let mut at = 0;
        while at < current.values.len() {
            let time_us = series.time_us[current.rows[at] as usize];
            let begun_us = *self.begun_us.get_or_insert(time_us);
            let (begin_us, mut highest) = *self.step.get_or_insert((time_us, 0.0));
            let end_us = begin_us + STEP_US;
            while let Some(row) = current.rows.get(at)
                && series.time_us[*row as usize] < end_us
            {
                highest = highest.max(current.values[at] as f64);
                at += 1;
            }
            if begin_us - begun_us < 60_000_000 {
                self.first_bytes = self.first_bytes.max(highest);
            }
            self.step = Some((begin_us, highest));
            if at < current.values.len() {
                let next_us = series.time_us[current.rows[at] as usize];
                self.close(begin_us, highest);
                if next_us - begin_us > 60 * STEP_US {
                    // A gap: what happened in it is not known.
                    (self.steps, self.rising) = (0, false);
                }
                // Steps stay on their grid while rows come often.
                let skipped = (next_us - begin_us).div_euclid(STEP_US).max(1);
                self.step = Some((begin_us + skipped * STEP_US, 0.0));
            }
        }
    }

    fn close(&mut self, time_us: i64, highest: f64) {
        if self.steps > 0 {
            let floor = self.before[..self.steps.min(STEPS)].iter().copied().fold(f64::INFINITY, f64::min);
            let bytes = highest - floor;
            let change = (highest - self.before[0]).abs();
            let rises = bytes > LEAST_BYTES.max(LEAST_PART * floor).max(OVER_USUAL * self.usual) && self.steps >= STEPS;
            if rises && !self.rising {
                if self.rises.len() == MOST {
                    self.rises.remove(0);
                }
                self.rises.push(Rise { time_us, bytes });
            } else if rises && let Some(last) = self.rises.last_mut() {
                last.bytes = last.bytes.max(bytes);
            }
            self.rising = rises;
            self.usual += 0.02 * (change - self.usual);
        }
        self.before.rotate_right(1);
        self.before[0] = highest;
        self.steps += 1;
    }

    pub(super) fn beat(&self) -> Option<Beat> {
        let times: Vec<f64> = self.rises.iter().map(|rise| rise.time_us as f64 / 1e6).collect();
        let bytes: Vec<f64> = self.rises.iter().map(|rise| rise.bytes).collect();
        let beat = Beat::of(&times)?;
        Some(Beat { bytes: median(&bytes), ..beat })
    }
}
