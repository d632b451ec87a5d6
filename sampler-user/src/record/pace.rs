//! A steady beat. Pure, with the clock passed in.

/// A steady beat on an absolute grid: a late tick does not shift the ones after it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    interval_ns: u64,
    next_ns: u64,
}

impl Pace {
    /// A beat that is due at once.
    pub fn new(interval_ns: u64, now_ns: u64) -> Pace {
        Pace { interval_ns: interval_ns.max(1), next_ns: now_ns }
    }

    /// When the next tick is due.
    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// The interval.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Changes the interval; the next tick is one interval after the last at the latest.
    pub fn set_interval(&mut self, interval_ns: u64, now_ns: u64) {
        if interval_ns != self.interval_ns {
            self.interval_ns = interval_ns.max(1);
            self.next_ns = self.next_ns.min(now_ns + self.interval_ns);
        }
    }

    /// If a tick is due: how many were missed before it. Sets the next.
    pub fn due(&mut self, now_ns: u64) -> Option<u64> {
        let late = now_ns.checked_sub(self.next_ns)?;
        let missed = late / self.interval_ns;
        self.next_ns += (missed + 1) * self.interval_ns;
        Some(missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_tick_is_counted_and_does_not_shift_the_grid() {
        let mut pace = Pace::new(100, 1000);
        assert_eq!(pace.due(999), None);
        assert_eq!(pace.due(1000), Some(0));
        assert_eq!(pace.next_ns(), 1100);
        assert_eq!(pace.due(1105), Some(0));
        assert_eq!(pace.next_ns(), 1200, "lateness is not carried on");
        assert_eq!(pace.due(1450), Some(2), "1200 and 1300 were missed, 1400 is taken late");
        assert_eq!(pace.next_ns(), 1500);
        pace.set_interval(10, 1460);
        assert_eq!(pace.next_ns(), 1470);
    }
}
