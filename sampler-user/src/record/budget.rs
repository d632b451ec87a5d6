//! The CPU that the agent may use. Pure, with the clock passed in.

/// CPU time of this process at a time, both nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuReading {
    /// When it was read, `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// What was used until then.
    pub cpu_ns: u64,
}

/// Keeps the agent's CPU below a part of one CPU by slowing the rate, and speeds up again when there is room.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Part of one CPU, 0.01 is 1 %.
    max: f64,
    factor: u32,
    easy: u32,
}

/// The rate is slowed to this part at most.
const MOST_SLOWDOWN: u32 = 64;
/// Part of the budget below which there is room: twice the rate costs at most twice as much, which leaves a fifth to spare.
const ROOM: f64 = 0.4;
/// Windows with room before the rate goes up again.
const EASY_WINDOWS: u32 = 3;

impl Budget {
    /// A budget of a part of one CPU.
    pub fn new(max: f64) -> Budget {
        Budget { max, factor: 1, easy: 0 }
    }

    /// The interval is multiplied by this.
    pub fn factor(&self) -> u32 {
        self.factor
    }

    /// Takes the CPU used in a window; returns the new factor when it changed.
    pub fn observe(&mut self, used_ns: u64, window_ns: u64) -> Option<u32> {
        let used = used_ns as f64 / window_ns.max(1) as f64;
        let before = self.factor;
        if used > self.max {
            self.factor = (self.factor * 2).min(MOST_SLOWDOWN);
            self.easy = 0;
        } else if self.factor > 1 && used < self.max * ROOM {
            self.easy += 1;
            if self.easy >= EASY_WINDOWS {
                self.factor /= 2;
                self.easy = 0;
            }
        } else {
            self.easy = 0;
        }
        (self.factor != before).then_some(self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    #[test]
    fn the_budget_slows_at_once_and_speeds_up_with_patience() {
        let mut budget = Budget::new(0.01);
        assert_eq!(budget.observe(9 * MS, SECOND), None);
        assert_eq!(budget.observe(11 * MS, SECOND), Some(2));
        assert_eq!(budget.observe(11 * MS, SECOND), Some(4));
        assert_eq!(budget.observe(6 * MS, SECOND), None, "too close to the budget to speed up");
        assert_eq!([budget.observe(3 * MS, SECOND), budget.observe(3 * MS, SECOND)], [None, None]);
        assert_eq!(budget.observe(3 * MS, SECOND), Some(2));
    }
}
