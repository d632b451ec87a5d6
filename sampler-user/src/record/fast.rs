//! The fast thread: fast files of all cgroups at every tick, of the active ones at the burst rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rtrb::{Consumer, Producer};

use crate::kernel::probe::walk::Walker;
use crate::model::fields::{Field, FieldId};
use crate::model::sample::{PassKind, Row, SubjectRef};
use crate::model::time::{mono_ns, thread_cpu_ns};
use crate::record::allowance::Allowance;
use crate::record::burst::{Activity, Signal};
use crate::record::history::History;
use crate::record::pace::Pace;
use crate::record::sampler::{Sampler, SharedState, Target};

/// What the control thread asks of a sampling thread.
#[derive(Debug)]
pub enum Command {
    /// Sample a cgroup from now on.
    Add(Box<Target>),
    /// A cgroup is gone.
    Remove(SubjectRef),
    /// The kernel probe is there: walk with it.
    Walk(Box<Walker>),
}

/// What a sampling thread and the others share, without a lock.
#[derive(Debug, Default)]
pub struct ThreadState {
    /// Set once: take a last pass and end.
    pub stop: AtomicBool,
    /// The interval is multiplied by this, for the budget. 0 counts as 1.
    pub slowdown: AtomicU32,
    /// CPU time of the fast thread, nanoseconds; of about a second ago.
    pub fast_cpu_ns: AtomicU64,
    /// CPU time of the slow thread, nanoseconds.
    pub slow_cpu_ns: AtomicU64,
    /// Ticks that came too late to be kept.
    pub missed_ticks: AtomicU64,
    /// Passes that found the ring full.
    pub lost_passes: AtomicU64,
    /// cgroups that are sampled.
    pub cgroups: AtomicU64,
    /// The kernel refused a walk of the probe; files are read since.
    pub walk_failed: AtomicBool,
    /// Bursts have taken their rows of this hour.
    pub bursts_spent: AtomicBool,
    /// The interval at which cgroups with a reason are recorded now, microseconds.
    pub burst_us: AtomicU64,
}

impl ThreadState {
    /// Factor of the interval.
    pub fn factor(&self) -> u64 {
        u64::from(self.slowdown.load(Ordering::Relaxed).max(1))
    }

    /// Takes turns until it is to stop: `turn` gets the time and returns when to come again, monotonic nanoseconds.
    pub fn turns(&self, mut turn: impl FnMut(u64) -> u64) {
        while !self.stop.load(Ordering::Relaxed) {
            let next = turn(mono_ns());
            let now = mono_ns();
            if next > now {
                thread::park_timeout(Duration::from_nanos(next - now));
            }
        }
    }
}

/// A way to the relay thread: passes go in, or are counted as lost.
#[derive(Debug)]
pub struct Outlet {
    /// The ring.
    pub ring: Producer<u64>,
    /// Where the losses are counted.
    pub shared: Arc<ThreadState>,
}

impl Outlet {
    /// Sends a pass; a full ring loses it, because a tick never waits.
    #[inline]
    pub fn send(&mut self, words: &[u64]) {
        // A pass without rows carries no information.
        if words.len() > 2 && self.ring.push_entire_slice(words).is_err() {
            self.shared.lost_passes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Words the history before a trigger may take: 1 MiB, some 10 s of four cgroups at 1 kHz.
const HISTORY_WORDS: usize = 128 << 10;
/// A thread's CPU clock is a real system call; once a second is enough.
const CPU_EVERY_NS: u64 = 1_000_000_000;

/// The fast thread's state.
#[derive(Debug)]
pub struct Fast {
    sampler: Sampler,
    outlet: Outlet,
    commands: Consumer<Command>,
    graveyard: Producer<Box<Target>>,
    shared: Arc<ThreadState>,
    base: Pace,
    burst: Option<Pace>,
    base_interval_ns: u64,
    history: History,
    allowance: Allowance,
    scratch: Vec<u64>,
    cpu_due_ns: u64,
    slots: SignalSlots,
}

#[derive(Debug)]
struct SignalSlots {
    current: &'static Field,
    pressure: &'static Field,
    hits: &'static Field,
    kills: &'static Field,
}

impl SignalSlots {
    #[inline]
    fn signal(&self, row: &Row, state: &SharedState) -> Option<Signal> {
        Some(Signal {
            current: row.get(self.current)?,
            limit: state.limit(),
            cache: state.cache(),
            pressure_us: row.get(self.pressure),
            limit_hits: row.get(self.hits),
            kills: row.get(self.kills),
        })
    }
}

impl Fast {
    /// A fast thread that samples every `interval`, and active cgroups every `burst`.
    pub fn new(
        sampler: Sampler,
        outlet: Outlet,
        commands: Consumer<Command>,
        graveyard: Producer<Box<Target>>,
        interval: Duration,
        burst: Option<Duration>,
    ) -> Fast {
        let now = mono_ns();
        let interval_ns = interval.as_nanos() as u64;
        let burst = burst.filter(|burst| *burst < interval).map(|burst| Pace::new(burst.as_nanos() as u64, now));
        Fast {
            sampler,
            shared: outlet.shared.clone(),
            outlet,
            commands,
            graveyard,
            base: Pace::new(interval_ns, now),
            history: History::new(if burst.is_some() { HISTORY_WORDS } else { 0 }),
            burst,
            allowance: Allowance::new(now),
            base_interval_ns: interval_ns,
            scratch: Vec::with_capacity(16 << 10),
            cpu_due_ns: 0,
            slots: SignalSlots {
                current: FieldId::Current.field(),
                pressure: FieldId::PressureSome.field(),
                hits: FieldId::EventsMax.field(),
                kills: FieldId::EventsOomKill.field(),
            },
        }
    }

    /// Runs until it is to stop; then takes one last pass.
    pub fn run(mut self) {
        // Wake within a microsecond of the tick, not the default 50.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let shared = self.shared.clone();
        shared.turns(|now| self.turn(now));
        self.obey();
        self.tick(mono_ns());
    }

    /// Does what is due; returns when to come again. Allocates nothing once the cgroups are known.
    pub fn turn(&mut self, now: u64) -> u64 {
        self.obey();
        self.base.set_interval(self.base_interval_ns * self.shared.factor(), now);
        if let Some(missed) = self.base.due(now) {
            if missed > 0 {
                self.shared.missed_ticks.fetch_add(missed, Ordering::Relaxed);
            }
            self.tick(now);
            if let Some(burst) = &mut self.burst {
                burst.due(now);
            }
            if now >= self.cpu_due_ns {
                self.shared.fast_cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
                self.cpu_due_ns = now + CPU_EVERY_NS;
                if self.allowance.is_spent() {
                    self.may_record(now, 0);
                }
            }
        } else if let Some(burst) = &mut self.burst
            && burst.due(now).is_some()
        {
            self.burst_tick(now);
        }
        if self.burst.is_some() && self.any_died() {
            self.send_history(now);
        }
        match &self.burst {
            Some(burst) if self.any_active() => self.base.next_ns().min(burst.next_ns()),
            _ => self.base.next_ns(),
        }
    }

    fn any_active(&self) -> bool {
        self.sampler.targets.iter().any(|target| target.trigger.activity() != Activity::Calm)
    }

    /// Whether one is gone of which the ring may hold the death.
    fn any_died(&mut self) -> bool {
        let mut died = false;
        for target in self.sampler.targets.iter_mut().filter(|target| target.gone) {
            died |= target.trigger.end();
        }
        died
    }

    fn obey(&mut self) {
        let mut died = false;
        while let Ok(command) = self.commands.pop() {
            match command {
                Command::Add(target) => {
                    self.sampler.add(target);
                    // Room for the largest pass, now and not in a tick.
                    let words = self.sampler.most_words();
                    self.sampler.pass.reserve(words);
                    self.scratch.clear();
                    self.scratch.reserve(words);
                }
                Command::Remove(subject) => {
                    if let Some(mut target) = self.sampler.remove(subject) {
                        died |= target.trigger.end();
                        // The control thread closes the descriptors.
                        let _ = self.graveyard.push(target);
                    }
                }
                Command::Walk(walker) => self.sampler.walk_with(*walker),
            }
        }
        if died {
            self.send_history(mono_ns());
        }
    }

    fn tick(&mut self, now: u64) {
        let slots = &self.slots;
        let kind = self.sampler.kind();
        self.sampler.take(
            kind,
            now,
            |_| true,
            |target, row| {
                if let Some(signal) = slots.signal(row, &target.state) {
                    target.state.set_activity(target.trigger.observe(now, signal));
                }
            },
        );
        self.outlet.send(self.sampler.pass.words());
        if self.sampler.walk_failed() {
            self.shared.walk_failed.store(true, Ordering::Relaxed);
        }
    }

    fn burst_tick(&mut self, now: u64) {
        let slots = &self.slots;
        let mut bursts = false;
        self.sampler.take(
            PassKind::Burst,
            now,
            |target| target.trigger.activity() != Activity::Calm,
            |target, row| {
                if let Some(signal) = slots.signal(row, &target.state) {
                    let activity = target.trigger.observe(now, signal);
                    target.state.set_activity(activity);
                    bursts |= activity == Activity::Burst;
                }
            },
        );
        if bursts && self.may_record(now, u64::from(self.sampler.pass.rows())) {
            self.send_history(now);
            self.outlet.send(self.sampler.pass.words());
        } else {
            self.history.push(self.sampler.pass.words());
        }
    }

    /// Records what the ring holds, as far as there are rows left for bursts.
    fn send_history(&mut self, now: u64) {
        while self.history.pop(&mut self.scratch) {
            let rows = self.scratch.first().map_or(0, |head| head >> 32);
            if self.may_record(now, rows) {
                self.outlet.send(&self.scratch);
            }
        }
    }

    /// Takes rows from what bursts may add to the recording; the relay reports when that is spent, and when it is back.
    fn may_record(&mut self, now: u64, rows: u64) -> bool {
        let before = self.allowance.is_spent();
        let may = self.allowance.take(now, rows);
        if self.allowance.is_spent() != before {
            let interval_ns = match &self.burst {
                Some(burst) if may => burst.interval_ns(),
                _ => self.base.interval_ns(),
            };
            self.shared.burst_us.store(interval_ns / 1000, Ordering::Relaxed);
            self.shared.bursts_spent.store(!may, Ordering::Release);
        }
        may
    }
}
