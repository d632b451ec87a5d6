//! The time of a plot and the parts that it is cut into.

use std::ops::Range;

use crate::reading::plots::bins::{Bins, Rises};

/// Bins of a plot; each is two points.
pub const BINS: usize = 600;
/// A field that is read once a second holds until the next reading, microseconds.
const HELD_US: f64 = 3_000_000.0;

/// The time of a plot and the parts that it is cut into.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Wall-clock microseconds.
    pub span: Range<i64>,
    /// Number of parts.
    pub count: usize,
}

impl Grid {
    /// Empty bins of a gauge.
    pub fn bins(&self) -> Bins {
        Bins::new(self.span.start, self.span.end, self.count)
    }

    /// Empty bins of a counter.
    pub fn rises(&self) -> Rises {
        Rises::new(self.span.start, self.span.end, self.count)
    }

    /// Distance of two points, microseconds.
    pub fn step_us(&self) -> f64 {
        (self.span.end - self.span.start) as f64 / (self.count * 2) as f64
    }

    /// For so many bins a value holds that is read once a second.
    pub fn held(&self) -> usize {
        (HELD_US / (2.0 * self.step_us())).ceil() as usize
    }
}
