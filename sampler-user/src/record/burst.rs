//! When to watch a cgroup closely. Pure, with the clock passed in.

use crate::model::fields::UNLIMITED;

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

/// One reading of a cgroup.
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
/// Growth below this is noise, for the same reason, bytes.
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
/// has confirmed it: until then the ring in memory keeps it, also if the cgroup is gone before ([`BurstTrigger::end`]).
#[derive(Clone, Copy, Debug)]
pub struct BurstTrigger {
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

impl Default for BurstTrigger {
    fn default() -> Self {
        BurstTrigger {
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

impl BurstTrigger {
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

    /// Takes the result of a new slow pass.
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
        let is_read = signal.limit != UNLIMITED;
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

/// Growth in bytes per nanosecond; 0 where it is within the noise.
fn pace(now: u64, then: u64, elapsed_ns: u64) -> f64 {
    let rise = now.saturating_sub(then);
    if rise >= GROWTH_FLOOR { rise as f64 / elapsed_ns.max(1) as f64 } else { 0.0 }
}

/// Whether a limit is reached within a time.
fn reaches(limit: u64, held: u64, growth: f64, within_ns: f64) -> bool {
    growth > 0.0 && limit.saturating_sub(held) as f64 / growth < within_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    const MIB: u64 = 1 << 20;

    fn signal(current: u64, limit: u64) -> Signal {
        Signal { current, limit, cache: None, pressure_us: Some(0), limit_hits: Some(0), kills: Some(0) }
    }

    #[test]
    fn near_its_limit_a_cgroup_bursts_and_calms_down_step_by_step() {
        let mut trigger = BurstTrigger::default();
        let limit = 100 * MIB;
        assert_eq!(trigger.observe(SECOND, signal(10 * MIB, limit)), Activity::Calm);
        assert_eq!(trigger.observe(SECOND + MS, signal(85 * MIB, limit)), Activity::Armed);
        assert_eq!(trigger.observe(SECOND + 2 * MS, signal(96 * MIB, limit)), Activity::Burst);
        let mut now = SECOND + 3 * MS;
        while trigger.observe(now, signal(10 * MIB, limit)) == Activity::Burst {
            now += 10 * MS;
        }
        assert!((now - SECOND).abs_diff(HOLD_NS) < 20 * MS, "held for two seconds: {now}");
    }

    #[test]
    fn fast_growth_bursts_long_before_the_limit_and_slow_growth_does_not() {
        for (mib_per_s, want) in [(1, Activity::Calm), (40, Activity::Armed), (300, Activity::Burst)] {
            let mut trigger = BurstTrigger::default();
            let mut last = Activity::Calm;
            for tick in 0..10u64 {
                last = trigger.observe(SECOND + tick * 100 * MS, signal(tick * mib_per_s * MIB / 10, 1024 * MIB));
            }
            assert_eq!(last, want, "{mib_per_s} MiB/s");
        }
    }

    #[test]
    fn pressure_and_limit_hits_burst_and_no_limit_does_not() {
        let mut trigger = BurstTrigger::default();
        trigger.observe(SECOND, signal(MIB, UNLIMITED));
        let stalled = Signal { pressure_us: Some(30_000), ..signal(MIB, UNLIMITED) };
        assert_eq!(trigger.observe(SECOND + 300 * MS, stalled), Activity::Burst);
        let mut trigger = BurstTrigger::default();
        trigger.observe(SECOND, signal(MIB, 100 * MIB));
        let hit = Signal { limit_hits: Some(1), ..signal(MIB, 100 * MIB) };
        assert_eq!(trigger.observe(SECOND + 300 * MS, hit), Activity::Burst);
        let mut trigger = BurstTrigger::default();
        trigger.observe(SECOND, signal(MIB, UNLIMITED));
        assert_eq!(trigger.observe(SECOND + 300 * MS, signal(64 * MIB, UNLIMITED)), Activity::Calm);
    }

    /// What the slow pass reads once a second of a cgroup that holds `held` beside its page cache.
    fn slowly(now: u64, last: &mut Option<Cache>, cache: u64) -> Option<Cache> {
        if last.is_none_or(|last| now - last.at_ns >= SECOND) {
            *last = Some(Cache { bytes: cache, at_ns: now });
        }
        *last
    }

    /// Reads as the fast thread does; `at` gives for each time what is held, what is page cache and how often the limit was hit. Returns the
    /// times spent at each activity, in milliseconds, and when the first burst began.
    fn live(
        trigger: &mut BurstTrigger,
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
            let activity = trigger.observe(now, read);
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
        let (spent, _) = live(&mut BurstTrigger::default(), SECOND, 600 * SECOND, limit, |now| {
            (100 * MIB, 412 * MIB - now % 3 * 4096, now / MS)
        });
        assert_eq!((spent[1], spent[2]), (0, 0), "calm throughout: {spent:?}");
        // It stalls a little with each page.
        let mut trigger = BurstTrigger::default();
        for tick in 1..600 {
            let now = tick * 100 * MS;
            let cache = Some(Cache { bytes: 412 * MIB, at_ns: now / SECOND * SECOND });
            let read = Signal { cache, pressure_us: Some(now / 1000 / 10), ..signal(limit, limit) };
            assert_eq!(trigger.observe(now, read), Activity::Calm, "at {tick}");
        }
        // One that thrashes does burst.
        let mut activity = Vec::new();
        for tick in 1..30 {
            let now = 60 * SECOND + tick * 100 * MS;
            let cache = Some(Cache { bytes: 412 * MIB, at_ns: now / SECOND * SECOND });
            let read = Signal { cache, pressure_us: Some(6_000_000 + tick * 95_000), ..signal(limit, limit) };
            activity.push(trigger.observe(now, read));
        }
        assert_eq!((activity[9], activity[28]), (Activity::Calm, Activity::Burst), "a second of it is none");
    }

    #[test]
    fn a_file_that_is_read_in_fast_is_watched_and_recorded_only_if_it_was_something_else() {
        let limit = 1024 * MIB;
        // 300 MiB/s of page cache up to the limit, and there for a minute.
        let mut trigger = BurstTrigger::default();
        let fills = |now: u64| (50 * MIB, ((now - SECOND) / MS * 300 * MIB / 1000).min(974 * MIB), 0);
        let (spent, begun) = live(&mut trigger, SECOND, 60 * SECOND, limit, fills);
        assert!(begun.is_none() && spent[1] > 1000 && spent[1] < 8000, "{spent:?}");
        assert!(!trigger.end());
        // The same of memory that cannot be reclaimed bursts before it is at the limit.
        let grows = |now: u64| (((now - SECOND) / MS * 300 * MIB / 1000).min(1024 * MIB), 0, 0);
        let (_, begun) = live(&mut BurstTrigger::default(), SECOND, 5 * SECOND, limit, grows);
        assert!(begun.is_some_and(|at| at < SECOND + 2500 * MS), "{begun:?}");
        // So fast that it is dead before the next slow pass: what is in memory is kept.
        let mut trigger = BurstTrigger::default();
        let (_, begun) =
            live(&mut trigger, SECOND, 2 * SECOND - 50 * MS, limit, |now| ((now - SECOND) / MS * MIB, 0, 0));
        assert!(begun.is_none() && trigger.end());
    }

    #[test]
    fn what_takes_the_place_of_page_cache_bursts_although_usage_stays_at_the_limit() {
        let limit = 512 * MIB;
        let leak = |now: u64| {
            let held = (50 * MIB + now / MS * 40 * MIB / 1000).min(limit);
            (held, limit - held, 0)
        };
        let (_, begun) = live(&mut BurstTrigger::default(), SECOND, 12 * SECOND, limit, leak);
        assert!(begun.is_some_and(|at| at < 10 * SECOND), "11.5 s is the end: {begun:?}");
    }

    #[test]
    fn a_burst_ends_by_itself_and_a_graver_reason_begins_another() {
        let (limit, minute) = (100 * MIB, 60 * SECOND);
        let mut trigger = BurstTrigger::default();
        // Ten minutes at 97 %, as a server that has all it wants.
        let (spent, _) = live(&mut trigger, SECOND, 10 * minute, limit, |_| (97 * MIB, 0, 0));
        assert!((9_900..10_200).contains(&spent[2]), "one burst: {spent:?}");
        // Then it runs into its limit.
        let (spent, begun) = live(&mut trigger, 10 * minute, 11 * minute, limit, |now| (100 * MIB, 0, now / SECOND));
        assert!(begun.is_some_and(|at| at < 10 * minute + SECOND) && spent[2] < 13_000, "{spent:?} {begun:?}");
        // And is killed.
        let kill = Signal { kills: Some(1), limit_hits: Some(660), ..signal(100 * MIB, limit) };
        assert_eq!(trigger.observe(11 * minute, kill), Activity::Burst);
        // Once it was at rest, the least reason is enough again.
        let (spent, _) = live(&mut trigger, 11 * minute + SECOND, 12 * minute, limit, |_| (10 * MIB, 0, 660));
        assert!(spent[0] > 50_000 / 2, "{spent:?}");
        let (_, begun) = live(&mut trigger, 12 * minute, 13 * minute, limit, |_| (97 * MIB, 0, 660));
        assert!(begun.is_some_and(|at| at < 12 * minute + 2 * SECOND), "{begun:?}");
    }

    #[test]
    fn each_life_of_a_restart_loop_bursts_before_its_kill() {
        let limit = 96 * MIB;
        let mut trigger = BurstTrigger::default();
        for life in 0..20 {
            let from = SECOND + life * 20 * SECOND;
            let grows = |now: u64| (((now - from) / MS * 96 * MIB / 20_000).min(limit), 0, 0);
            // The burst of the last one ends.
            live(&mut trigger, from, from + 3 * SECOND, limit, grows);
            let (_, begun) = live(&mut trigger, from + 3 * SECOND, from + 20 * SECOND, limit, grows);
            assert!(begun.is_some_and(|at| at > from + 14 * SECOND), "life {life}: {begun:?}");
        }
    }
}
