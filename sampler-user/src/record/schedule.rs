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

/// What the slow pass read last of the page cache of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// What can be reclaimed: memory.stat inactive_file and active_file, bytes.
    pub bytes: u64,
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub at_ns: u64,
}

/// What one reading of a cgroup says about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signal {
    /// memory.current, bytes.
    pub current: u64,
    /// Limit, bytes; `UNLIMITED` without one.
    pub limit: u64,
    /// Its page cache, if that is read.
    pub cache: Option<Cache>,
    /// memory.pressure some total, microseconds.
    pub pressure_us: Option<u64>,
    /// memory.events max.
    pub limit_hits: Option<u64>,
    /// memory.events oom_kill.
    pub kills: Option<u64>,
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
/// The same of one that is full of page cache: it stalls with each page that it reclaims, on a busy machine for most of a moment.
const CACHE_PRESSURE: f64 = 0.70;
/// So it has to last for so long.
const CACHE_STALL_NS: u64 = 2_000_000_000;
/// Growth is measured over at least this long: memory.current moves in batches of 256 KiB a CPU.
const GROWTH_WINDOW_NS: u64 = 200_000_000;
/// Growth below this says nothing, for the same reason, bytes.
const GROWTH_FLOOR: u64 = 4 << 20;
/// A cgroup goes one step down only after this long without a reason.
const HOLD_NS: u64 = 2_000_000_000;
/// A burst ends after this long, even if its reason lasts.
const MOST_BURST_NS: u64 = 10_000_000_000;
/// The same reason makes a new burst only after none was there for so long.
const REST_NS: u64 = 5_000_000_000;
/// What the slow pass read counts for so long.
const FRESH_NS: u64 = 3_000_000_000;

/// Why a cgroup bursts. A burst that has ended by itself is followed by another one only for a reason further down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// It holds nearly all of its limit.
    Full,
    /// It reaches its limit in seconds.
    Growth,
    /// Its tasks wait for memory.
    Stall,
    /// It ran into its limit, and not by page cache alone.
    Hit,
    /// Something in it was killed.
    Kill,
}

/// Watches one cgroup: what of it cannot be reclaimed, how that grows, and whether it stalls.
///
/// Only the slow pass knows what is page cache. What came since then may be either, so it arms, and bursts only once a slow pass
/// has confirmed it: until then the ring in memory keeps it, also if the cgroup is gone before ([`Watch::end`]).
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    activity: Activity,
    reason_ns: u64,
    mark_ns: u64,
    /// When it did not stall for most of the time last.
    calm_ns: u64,
    mark: Signal,
    /// memory.current of the reading before, bytes.
    current: u64,
    kills: Option<u64>,
    /// Bytes per nanosecond over the last window.
    growth: f64,
    pressure: f64,
    /// What could not be reclaimed at the last slow pass, bytes, when that was, and how it grew since the one before.
    held: u64,
    held_ns: u64,
    held_growth: f64,
    /// Whether it would burst if all that came since the slow pass cannot be reclaimed.
    doubt: bool,
    /// Begin of the burst, and the gravest reason in it.
    burst_ns: u64,
    why: Option<Reason>,
    /// What the last burst had been for, if it ended although the reason lasted.
    spent: Option<Reason>,
    seen_ns: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Watch {
            activity: Activity::Calm,
            reason_ns: 0,
            mark_ns: 0,
            calm_ns: 0,
            mark: Signal::default(),
            current: 0,
            kills: None,
            growth: 0.0,
            pressure: 0.0,
            held: 0,
            held_ns: 0,
            held_growth: 0.0,
            doubt: false,
            burst_ns: 0,
            why: None,
            spent: None,
            seen_ns: 0,
        }
    }
}

impl Watch {
    /// How closely the cgroup is watched now.
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// The cgroup is gone. Returns whether what was kept of it in memory may be of its death.
    pub fn end(&mut self) -> bool {
        let counts = self.activity == Activity::Burst || (self.activity == Activity::Armed && self.doubt);
        (self.activity, self.doubt) = (Activity::Calm, false);
        counts
    }

    /// Takes a reading; returns how closely to watch from now on.
    pub fn observe(&mut self, now_ns: u64, signal: Signal) -> Activity {
        let elapsed = now_ns.saturating_sub(self.mark_ns);
        let first = self.mark_ns == 0;
        let mut hit = false;
        if first || elapsed >= GROWTH_WINDOW_NS {
            if !first {
                self.growth = pace(signal.current, self.mark.current, elapsed);
                let stalled = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?) as f64 * 1e3);
                self.pressure =
                    stalled(signal.pressure_us, self.mark.pressure_us).map_or(0.0, |ns| ns / elapsed as f64);
            }
            hit = !first && signal.limit_hits > self.mark.limit_hits;
            self.mark = signal;
            self.mark_ns = now_ns;
        }
        let killed = self.kills.is_some() && signal.kills > self.kills;
        self.kills = signal.kills;
        self.confirm(&signal);

        let reason = self.reason(now_ns, &signal, hit, killed);
        if reason.is_some() {
            self.seen_ns = now_ns;
        } else if now_ns.saturating_sub(self.seen_ns) >= REST_NS {
            self.spent = None;
        }
        let wanted = match reason {
            Some(_) if reason > self.spent => Activity::Burst,
            Some(_) => Activity::Armed,
            None if self.is_near(&signal) => Activity::Armed,
            None => Activity::Calm,
        };
        if wanted >= self.activity || now_ns.saturating_sub(self.reason_ns) >= HOLD_NS {
            if wanted == Activity::Burst && self.activity != Activity::Burst {
                (self.burst_ns, self.why) = (now_ns, reason);
            }
            self.activity = wanted;
            self.reason_ns = now_ns;
        }
        if self.activity == Activity::Burst {
            if reason > self.why {
                (self.burst_ns, self.why) = (now_ns, reason);
            }
            if now_ns.saturating_sub(self.burst_ns) >= MOST_BURST_NS {
                self.spent = self.why;
                self.activity = Activity::Armed;
                self.reason_ns = now_ns;
            }
        }
        self.activity
    }

    /// Takes what a new slow pass says.
    fn confirm(&mut self, signal: &Signal) {
        if let Some(cache) = signal.cache.filter(|cache| cache.at_ns != self.held_ns) {
            // The slow pass was between two readings: the smaller one claims no more than there was.
            let current = if self.current == 0 { signal.current } else { signal.current.min(self.current) };
            let held = current.saturating_sub(cache.bytes);
            let known = self.held_ns != 0 && cache.at_ns > self.held_ns;
            self.held_growth = if known { pace(held, self.held, cache.at_ns - self.held_ns) } else { 0.0 };
            (self.held, self.held_ns) = (held, cache.at_ns);
        }
        self.current = signal.current;
    }

    fn reason(&mut self, now_ns: u64, signal: &Signal, hit: bool, killed: bool) -> Option<Reason> {
        let most = most_held(signal);
        let fresh = signal.cache.is_some_and(|cache| now_ns.saturating_sub(cache.at_ns) < FRESH_NS);
        let (held, growth) = if fresh { (self.held.min(most), self.held_growth) } else { (most, self.growth) };
        let part = |bytes: u64| bytes as f64 / signal.limit.max(1) as f64;
        let within = |bytes: u64, growth: f64| reaches(signal.limit, bytes, growth, BURST_WITHIN_NS);
        self.doubt = part(most) >= BURST_AT || within(most, self.growth) || (hit && part(most) >= ARM_AT);
        let is_cached = part(signal.current) >= ARM_AT && part(held) < ARM_AT;
        if self.pressure < CACHE_PRESSURE {
            self.calm_ns = now_ns;
        }
        let thrashes = now_ns.saturating_sub(self.calm_ns) >= CACHE_STALL_NS;
        let stalls = if is_cached { thrashes } else { self.pressure >= BURST_PRESSURE };
        // Before the first slow pass neither the limit that was hit nor the cache is known.
        let is_read = signal.limit != crate::model::fields::UNLIMITED;
        if killed {
            Some(Reason::Kill)
        } else if hit && is_read && (signal.cache.is_none() || part(held) >= ARM_AT) {
            Some(Reason::Hit)
        } else if stalls {
            Some(Reason::Stall)
        } else if within(held, growth) {
            Some(Reason::Growth)
        } else if part(held) >= BURST_AT {
            Some(Reason::Full)
        } else {
            None
        }
    }

    fn is_near(&self, signal: &Signal) -> bool {
        let most = most_held(signal);
        most as f64 / signal.limit.max(1) as f64 >= ARM_AT
            || reaches(signal.limit, most, self.growth, ARM_WITHIN_NS)
            || reaches(signal.limit, most, self.held_growth, ARM_WITHIN_NS)
    }
}

/// What cannot be reclaimed if all that came since the slow pass is such, bytes.
fn most_held(signal: &Signal) -> u64 {
    signal.current.saturating_sub(signal.cache.map_or(0, |cache| cache.bytes))
}

/// Growth in bytes per nanosecond; 0 where it is too small to say anything.
fn pace(now: u64, then: u64, elapsed_ns: u64) -> f64 {
    let rise = now.saturating_sub(then);
    if rise >= GROWTH_FLOOR { rise as f64 / elapsed_ns.max(1) as f64 } else { 0.0 }
}

/// Whether a limit is reached within a time.
fn reaches(limit: u64, held: u64, growth: f64, within_ns: f64) -> bool {
    growth > 0.0 && limit.saturating_sub(held) as f64 / growth < within_ns
}

/// Rows that bursts of all cgroups may add to a recording in any hour: six minutes of one cgroup at 1 kHz.
pub const BURST_ROWS: u64 = 360_000;
/// One half may be taken at once, the other comes back over the hour: a row costs this much time.
const ROW_NS: u64 = 2 * HOUR_NS / BURST_ROWS;
const HOUR_NS: u64 = 3_600_000_000_000;
/// What was spent is of use again once a burst's worth of rows has come back.
const ENOUGH_NS: u64 = 10_000 * ROW_NS;

/// The rows that bursts may still add.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// In time that it takes to come back.
    left_ns: u64,
    at_ns: u64,
    is_spent: bool,
}

impl Allowance {
    /// All of it.
    pub fn new(now_ns: u64) -> Allowance {
        Allowance { left_ns: HOUR_NS, at_ns: now_ns, is_spent: false }
    }

    /// Whether there is something left.
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Takes rows, or none where there are not so many.
    pub fn take(&mut self, now_ns: u64, rows: u64) -> bool {
        self.left_ns = HOUR_NS.min(self.left_ns + now_ns.saturating_sub(self.at_ns));
        self.at_ns = now_ns;
        let cost = rows.saturating_mul(ROW_NS);
        self.is_spent = if self.is_spent { self.left_ns < ENOUGH_NS.max(cost) } else { self.left_ns < cost };
        if !self.is_spent {
            self.left_ns -= cost;
        }
        !self.is_spent
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
    use crate::model::fields::UNLIMITED;

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
        Signal { current, limit, cache: None, pressure_us: Some(0), limit_hits: Some(0), kills: Some(0) }
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

    /// What the slow pass reads once a second of a cgroup that holds `held` beside its page cache.
    fn slowly(now: u64, last: &mut Option<Cache>, cache: u64) -> Option<Cache> {
        if last.is_none_or(|last| now - last.at_ns >= SECOND) {
            *last = Some(Cache { bytes: cache, at_ns: now });
        }
        *last
    }

    /// Reads as the fast thread does; `at` says of each time what is held, what is page cache and how often the limit was hit. Returns the
    /// times spent at each activity, in milliseconds, and when the first burst began.
    fn live(
        watch: &mut Watch,
        from: u64,
        to: u64,
        limit: u64,
        at: impl Fn(u64) -> (u64, u64, u64),
    ) -> ([u64; 3], Option<u64>) {
        let (mut spent, mut begun, mut last) = ([0; 3], None, None);
        let mut now = from;
        while now < to {
            let (held, cache, hits) = at(now);
            let cache_read = slowly(now, &mut last, cache);
            let read = Signal { cache: cache_read, limit_hits: Some(hits), ..signal(held + cache, limit) };
            let activity = watch.observe(now, read);
            let step = if activity == Activity::Calm { 100 * MS } else { MS };
            spent[activity as usize] += step / MS;
            if activity == Activity::Burst {
                begun = begun.or(Some(now));
            }
            now += step;
        }
        (spent, begun)
    }

    #[test]
    fn a_full_page_cache_that_is_reclaimed_for_ever_is_no_reason() {
        let limit = 512 * MIB;
        // At its limit with each read, of which 100 MiB cannot be reclaimed.
        let (spent, _) = live(&mut Watch::default(), SECOND, 600 * SECOND, limit, |now| {
            (100 * MIB, 412 * MIB - now % 3 * 4096, now / MS)
        });
        assert_eq!((spent[1], spent[2]), (0, 0), "calm throughout: {spent:?}");
        // It stalls a little with each page.
        let mut watch = Watch::default();
        for tick in 1..600 {
            let now = tick * 100 * MS;
            let cache = Some(Cache { bytes: 412 * MIB, at_ns: now / SECOND * SECOND });
            let read = Signal { cache, pressure_us: Some(now / 1000 / 10), ..signal(limit, limit) };
            assert_eq!(watch.observe(now, read), Activity::Calm, "at {tick}");
        }
        // One that thrashes does burst.
        let mut activity = Vec::new();
        for tick in 1..30 {
            let now = 60 * SECOND + tick * 100 * MS;
            let cache = Some(Cache { bytes: 412 * MIB, at_ns: now / SECOND * SECOND });
            let read = Signal { cache, pressure_us: Some(6_000_000 + tick * 95_000), ..signal(limit, limit) };
            activity.push(watch.observe(now, read));
        }
        assert_eq!((activity[9], activity[28]), (Activity::Calm, Activity::Burst), "a second of it is none");
    }

    #[test]
    fn a_file_that_is_read_in_fast_is_watched_and_recorded_only_if_it_was_something_else() {
        let limit = 1024 * MIB;
        // 300 MiB/s of page cache up to the limit, and there for a minute.
        let mut watch = Watch::default();
        let fills = |now: u64| (50 * MIB, ((now - SECOND) / MS * 300 * MIB / 1000).min(974 * MIB), 0);
        let (spent, begun) = live(&mut watch, SECOND, 60 * SECOND, limit, fills);
        assert!(begun.is_none() && spent[1] > 1000 && spent[1] < 8000, "{spent:?}");
        assert!(!watch.end());
        // The same of memory that cannot be reclaimed bursts before it is at the limit.
        let grows = |now: u64| (((now - SECOND) / MS * 300 * MIB / 1000).min(1024 * MIB), 0, 0);
        let (_, begun) = live(&mut Watch::default(), SECOND, 5 * SECOND, limit, grows);
        assert!(begun.is_some_and(|at| at < SECOND + 2500 * MS), "{begun:?}");
        // So fast that it is dead before the next slow pass: what is in memory is kept.
        let mut watch = Watch::default();
        let (_, begun) = live(&mut watch, SECOND, 2 * SECOND - 50 * MS, limit, |now| ((now - SECOND) / MS * MIB, 0, 0));
        assert!(begun.is_none() && watch.end());
    }

    #[test]
    fn what_takes_the_place_of_page_cache_bursts_although_usage_stays_at_the_limit() {
        let limit = 512 * MIB;
        let leak = |now: u64| {
            let held = (50 * MIB + now / MS * 40 * MIB / 1000).min(limit);
            (held, limit - held, 0)
        };
        let (_, begun) = live(&mut Watch::default(), SECOND, 12 * SECOND, limit, leak);
        assert!(begun.is_some_and(|at| at < 10 * SECOND), "11.5 s is the end: {begun:?}");
    }

    #[test]
    fn a_burst_ends_by_itself_and_a_graver_reason_begins_another() {
        let (limit, minute) = (100 * MIB, 60 * SECOND);
        let mut watch = Watch::default();
        // Ten minutes at 97 %, as a server that has all it wants.
        let (spent, _) = live(&mut watch, SECOND, 10 * minute, limit, |_| (97 * MIB, 0, 0));
        assert!((9_900..10_200).contains(&spent[2]), "one burst: {spent:?}");
        // Then it runs into its limit.
        let (spent, begun) = live(&mut watch, 10 * minute, 11 * minute, limit, |now| (100 * MIB, 0, now / SECOND));
        assert!(begun.is_some_and(|at| at < 10 * minute + SECOND) && spent[2] < 13_000, "{spent:?} {begun:?}");
        // And is killed.
        let kill = Signal { kills: Some(1), limit_hits: Some(660), ..signal(100 * MIB, limit) };
        assert_eq!(watch.observe(11 * minute, kill), Activity::Burst);
        // Once it was at rest, the least reason is enough again.
        let (spent, _) = live(&mut watch, 11 * minute + SECOND, 12 * minute, limit, |_| (10 * MIB, 0, 660));
        assert!(spent[0] > 50_000 / 2, "{spent:?}");
        let (_, begun) = live(&mut watch, 12 * minute, 13 * minute, limit, |_| (97 * MIB, 0, 660));
        assert!(begun.is_some_and(|at| at < 12 * minute + 2 * SECOND), "{begun:?}");
    }

    #[test]
    fn each_life_of_a_restart_loop_bursts_before_its_kill() {
        let limit = 96 * MIB;
        let mut watch = Watch::default();
        for life in 0..20 {
            let from = SECOND + life * 20 * SECOND;
            let grows = |now: u64| (((now - from) / MS * 96 * MIB / 20_000).min(limit), 0, 0);
            // The burst of the last one ends.
            live(&mut watch, from, from + 3 * SECOND, limit, grows);
            let (_, begun) = live(&mut watch, from + 3 * SECOND, from + 20 * SECOND, limit, grows);
            assert!(begun.is_some_and(|at| at > from + 14 * SECOND), "life {life}: {begun:?}");
        }
    }

    #[test]
    fn bursts_of_many_stay_within_the_rows_of_an_hour_and_come_back() {
        let mut allowance = Allowance::new(0);
        let (mut rows, mut changes, mut was) = (Vec::new(), 0, false);
        // Forty cgroups that burst for three hours on end.
        for ms in 0..3 * 3_600_000u64 {
            let taken = allowance.take(ms * MS, 40);
            if taken {
                rows.push(ms);
            }
            changes += u64::from(allowance.is_spent() != was);
            was = allowance.is_spent();
        }
        for (at, ms) in rows.iter().enumerate() {
            let hour = rows[at..].partition_point(|other| *other < ms + 3_600_000) as u64 * 40;
            assert!(hour <= BURST_ROWS, "{hour} rows in the hour from {ms} ms on");
        }
        let all = rows.len() as u64 * 40;
        assert!(all > BURST_ROWS && all <= 2 * BURST_ROWS, "{all}");
        assert!((20..200).contains(&changes), "it is said when it changes, not with each row: {changes}");
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
