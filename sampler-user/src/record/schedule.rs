//! When to sample: pure state machines, with the clock passed in.

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

/// How closely a cgroup is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Activity {
    /// At the base rate.
    Calm = 0,
    /// At the burst rate, kept in memory only.
    Armed = 1,
    /// At the burst rate, recorded.
    Burst = 2,
}

/// What one reading of a cgroup says about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signal {
    /// memory.current, bytes.
    pub current: u64,
    /// Limit, bytes; `UNLIMITED` without one.
    pub limit: u64,
    /// memory.pressure some total, microseconds.
    pub pressure_us: Option<u64>,
    /// memory.events max.
    pub limit_hits: Option<u64>,
}

/// Part of the limit from which a cgroup is armed.
const ARM_AT: f64 = 0.80;
/// Part of the limit from which a cgroup bursts.
const BURST_AT: f64 = 0.95;
/// A cgroup that would reach its limit within this time is armed, nanoseconds.
const ARM_WITHIN_NS: f64 = 30e9;
/// A cgroup that would reach its limit within this time bursts, nanoseconds.
const BURST_WITHIN_NS: f64 = 5e9;
/// Part of the time stalled from which a cgroup bursts (Meta's oomd acts at 10 %).
const BURST_PRESSURE: f64 = 0.05;
/// Growth is measured over at least this long: memory.current moves in batches of 256 KiB a CPU.
const GROWTH_WINDOW_NS: u64 = 200_000_000;
/// Growth below this says nothing, for the same reason, bytes.
const GROWTH_FLOOR: u64 = 4 << 20;
/// A cgroup goes one step down only after this long without a reason.
const HOLD_NS: u64 = 2_000_000_000;

/// Watches one cgroup.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    activity: Activity,
    reason_ns: u64,
    mark_ns: u64,
    mark: Signal,
    /// Bytes per nanosecond over the last window.
    growth: f64,
    pressure: f64,
}

impl Default for Watch {
    fn default() -> Self {
        Watch {
            activity: Activity::Calm,
            reason_ns: 0,
            mark_ns: 0,
            mark: Signal::default(),
            growth: 0.0,
            pressure: 0.0,
        }
    }
}

impl Watch {
    /// How closely the cgroup is watched now.
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// Takes a reading; returns how closely to watch from now on.
    pub fn observe(&mut self, now_ns: u64, signal: Signal) -> Activity {
        let elapsed = now_ns.saturating_sub(self.mark_ns);
        let first = self.mark_ns == 0;
        let mut hit = false;
        if first || elapsed >= GROWTH_WINDOW_NS {
            if !first {
                let rise = signal.current.saturating_sub(self.mark.current);
                self.growth = if rise >= GROWTH_FLOOR { rise as f64 / elapsed as f64 } else { 0.0 };
                let stalled = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?) as f64 * 1e3);
                self.pressure =
                    stalled(signal.pressure_us, self.mark.pressure_us).map_or(0.0, |ns| ns / elapsed as f64);
            }
            hit = !first && signal.limit_hits > self.mark.limit_hits;
            self.mark = signal;
            self.mark_ns = now_ns;
        }

        let wanted = self.wanted(&signal, hit);
        if wanted >= self.activity || now_ns.saturating_sub(self.reason_ns) >= HOLD_NS {
            self.activity = wanted;
            self.reason_ns = now_ns;
        }
        self.activity
    }

    fn wanted(&self, signal: &Signal, limit_hit: bool) -> Activity {
        let filled = signal.current as f64 / signal.limit.max(1) as f64;
        let left = signal.limit.saturating_sub(signal.current) as f64;
        let within = |ns: f64| self.growth > 0.0 && left / self.growth < ns;
        if limit_hit || filled >= BURST_AT || within(BURST_WITHIN_NS) || self.pressure >= BURST_PRESSURE {
            Activity::Burst
        } else if filled >= ARM_AT || within(ARM_WITHIN_NS) {
            Activity::Armed
        } else {
            Activity::Calm
        }
    }
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
        } else if self.factor > 1 && used < self.max * 0.4 {
            // Twice the rate costs at most twice as much: still below the budget.
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
    use crate::fields::UNLIMITED;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    const MIB: u64 = 1 << 20;

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

    fn signal(current: u64, limit: u64) -> Signal {
        Signal { current, limit, pressure_us: Some(0), limit_hits: Some(0) }
    }

    #[test]
    fn near_its_limit_a_cgroup_bursts_and_calms_down_step_by_step() {
        let mut watch = Watch::default();
        let limit = 100 * MIB;
        assert_eq!(watch.observe(SECOND, signal(10 * MIB, limit)), Activity::Calm);
        assert_eq!(watch.observe(SECOND + MS, signal(85 * MIB, limit)), Activity::Armed);
        assert_eq!(watch.observe(SECOND + 2 * MS, signal(96 * MIB, limit)), Activity::Burst);
        let mut now = SECOND + 3 * MS;
        while watch.observe(now, signal(10 * MIB, limit)) == Activity::Burst {
            now += 10 * MS;
        }
        assert!((now - SECOND).abs_diff(HOLD_NS) < 20 * MS, "held for two seconds: {now}");
    }

    #[test]
    fn fast_growth_bursts_long_before_the_limit_and_slow_growth_does_not() {
        for (mib_per_s, want) in [(1, Activity::Calm), (40, Activity::Armed), (300, Activity::Burst)] {
            let mut watch = Watch::default();
            let mut last = Activity::Calm;
            for tick in 0..10u64 {
                last = watch.observe(SECOND + tick * 100 * MS, signal(tick * mib_per_s * MIB / 10, 1024 * MIB));
            }
            assert_eq!(last, want, "{mib_per_s} MiB/s");
        }
    }

    #[test]
    fn pressure_and_limit_hits_burst_and_no_limit_does_not() {
        let mut watch = Watch::default();
        watch.observe(SECOND, signal(MIB, UNLIMITED));
        let stalled = Signal { pressure_us: Some(30_000), ..signal(MIB, UNLIMITED) };
        assert_eq!(watch.observe(SECOND + 300 * MS, stalled), Activity::Burst);
        let mut watch = Watch::default();
        watch.observe(SECOND, signal(MIB, 100 * MIB));
        let hit = Signal { limit_hits: Some(1), ..signal(MIB, 100 * MIB) };
        assert_eq!(watch.observe(SECOND + 300 * MS, hit), Activity::Burst);
        let mut watch = Watch::default();
        watch.observe(SECOND, signal(MIB, UNLIMITED));
        assert_eq!(watch.observe(SECOND + 300 * MS, signal(64 * MIB, UNLIMITED)), Activity::Calm);
    }

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
