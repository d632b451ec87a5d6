//! The slow thread: memory.stat, limits and work of all cgroups, the host, and the processes of cgroups that grow.
//!
//! A thread of its own, because one memory.stat reading can take milliseconds, and no tick may wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rtrb::{Consumer, Producer};

use crate::kernel::cgroupfs::handle::{HOST_BUFFER, Handle};
use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::plan::Plan;
use crate::kernel::processes;
use crate::model::event::{Event, EventKind};
use crate::model::fields::{FieldId, Kind, Table, UNLIMITED, of};
use crate::model::memory;
use crate::model::recording::{ProcessKey, Subject};
use crate::model::sample::{HOST, PassBuilder, PassKind, Row, SubjectRef};
use crate::model::time::{mono_ns, process_cpu_ns, thread_cpu_ns};
use crate::record::burst::Cache;
use crate::record::fast::{Command, Outlet, ThreadState};
use crate::record::pace::Pace;
use crate::record::relay::Message;
use crate::record::sampler::{Sampler, Target};

/// Processes of one cgroup that are recorded at a time.
const MOST_PROCESSES: usize = 5;
/// cgroups whose processes are read in one tick at most.
const MOST_ACTIVE: usize = 8;
/// Mappings are read this often at most: smaps of a large process takes milliseconds and its mmap lock.
const MAPS_EVERY_NS: u64 = 10_000_000_000;
/// Slow growth is looked for over this long.
const GROWTH_WINDOW_NS: u64 = 30_000_000_000;
/// A process keeps its number for this long after it was seen last: it may be among the largest again, nanoseconds.
const KEEP_PROCESS_NS: u64 = 10 * GROWTH_WINDOW_NS;
/// Growth in a window that is worth a look at the processes, bytes; the noise of memory.stat is 64 pages a CPU.
const GROWTH: u64 = 2 << 20;

/// What is remembered of a cgroup between slow ticks.
#[derive(Debug, Default)]
struct Memory {
    limits: Vec<(usize, u64)>,
    window_ns: u64,
    window_bytes: u64,
    maps_ns: u64,
    grows: bool,
}

/// The slow thread's state.
pub struct Slow {
    sampler: Option<Sampler>,
    host_plan: Plan,
    host: Handle,
    buffer: Box<[u8]>,
    row: Row,
    pass: PassBuilder,
    outlet: Outlet,
    commands: Consumer<Command>,
    graveyard: Producer<Box<Target>>,
    messages: Sender<Message>,
    shared: Arc<ThreadState>,
    pace: Pace,
    interval_ns: u64,
    layout: Layout,
    memory: HashMap<SubjectRef, Memory>,
    processes: HashMap<(SubjectRef, ProcessKey), (SubjectRef, u64)>,
    numbers: Arc<AtomicU32>,
    with_processes: bool,
}

/// What the slow thread is made of, besides its sampler.
pub struct Parts {
    /// Way to the relay.
    pub outlet: Outlet,
    /// From the control thread.
    pub commands: Consumer<Command>,
    /// To the control thread.
    pub graveyard: Producer<Box<Target>>,
    /// To the relay.
    pub messages: Sender<Message>,
    /// Source of subject numbers.
    pub numbers: Arc<AtomicU32>,
    /// The hierarchies.
    pub layout: Layout,
    /// Slow interval.
    pub interval: Duration,
    /// Whether processes of growing cgroups are recorded.
    pub with_processes: bool,
}

impl Slow {
    /// A slow thread. Without a sampler it reads the host and the processes only.
    pub fn new(sampler: Option<Sampler>, parts: Parts) -> Slow {
        let host_plan = Plan::host();
        let interval_ns = parts.interval.as_nanos() as u64;
        Slow {
            sampler,
            host: Handle::host(&host_plan, &parts.layout),
            host_plan,
            buffer: vec![0; HOST_BUFFER].into(),
            row: Row::new(HOST),
            pass: PassBuilder::with_capacity(1024),
            shared: parts.outlet.shared.clone(),
            outlet: parts.outlet,
            commands: parts.commands,
            graveyard: parts.graveyard,
            messages: parts.messages,
            pace: Pace::new(interval_ns, mono_ns()),
            interval_ns,
            layout: parts.layout,
            memory: HashMap::new(),
            processes: HashMap::new(),
            numbers: parts.numbers,
            with_processes: parts.with_processes,
        }
    }

    /// Runs until it is to stop; then takes one last pass.
    pub fn run(mut self) {
        let shared = self.shared.clone();
        shared.turns(|now| self.turn(now));
        self.obey();
        self.tick(mono_ns());
    }

    /// Does what is due; returns when to come again.
    pub fn turn(&mut self, now: u64) -> u64 {
        self.obey();
        self.pace.set_interval(self.interval_ns * self.shared.factor(), now);
        if self.pace.due(now).is_some() {
            self.tick(now);
        }
        self.pace.next_ns()
    }

    fn obey(&mut self) {
        while let Ok(command) = self.commands.pop() {
            let Some(sampler) = &mut self.sampler else { continue };
            match command {
                Command::Add(target) => {
                    self.memory.insert(target.subject, Memory::default());
                    sampler.add(target);
                    let words = sampler.most_words();
                    sampler.pass.reserve(words);
                }
                Command::Walk(walker) => sampler.walk_with(*walker),
                Command::Remove(subject) => {
                    self.memory.remove(&subject);
                    if let Some(target) = sampler.remove(subject) {
                        let _ = self.graveyard.push(target);
                    }
                    let messages = &self.messages;
                    self.processes.retain(|(cgroup, _), (number, _)| {
                        let keep = *cgroup != subject;
                        if !keep {
                            let _ = messages.send(Message::Forget(*number));
                        }
                        keep
                    });
                }
            }
        }
    }

    fn tick(&mut self, now: u64) {
        if let Some(sampler) = &mut self.sampler {
            let (memory, messages) = (&mut self.memory, &self.messages);
            sampler.take(
                sampler.kind(),
                now,
                |_| true,
                |target, row| {
                    if let Some(memory) = memory.get_mut(&target.subject) {
                        memory.observe(now, target, row, messages);
                    }
                },
            );
            self.outlet.send(sampler.pass.words());
            if sampler.walk_failed() {
                self.shared.walk_failed.store(true, Ordering::Relaxed);
            }
        }
        if self.with_processes {
            self.read_processes(now);
        }
        self.read_host(now);
    }

    fn read_host(&mut self, now: u64) {
        self.row.mask = 0;
        self.row.subject = HOST;
        self.row.lag_us = (mono_ns().saturating_sub(now) / 1000) as u32;
        self.host.read(&mut self.host_plan, &mut self.buffer, &mut self.row);
        self.shared.slow_cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
        let shared = &self.shared;
        let load = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Relaxed);
        let own = [
            (FieldId::AgentCpu, Some(process_cpu_ns() / 1000)),
            (FieldId::AgentSamplingCpu, Some((load(&shared.fast_cpu_ns) + load(&shared.slow_cpu_ns)) / 1000)),
            (FieldId::AgentRss, own_rss(&mut self.buffer)),
            (FieldId::AgentMissedTicks, Some(load(&shared.missed_ticks))),
            (FieldId::AgentLostPasses, Some(load(&shared.lost_passes))),
            (FieldId::AgentCgroups, Some(load(&shared.cgroups))),
        ];
        for (id, value) in own {
            if let Some(value) = value {
                self.row.put(id.field(), value);
            }
        }
        self.pass.begin(PassKind::Host, now);
        self.pass.push(&self.row);
        self.outlet.send(self.pass.words());
    }

    /// Reads the largest processes of cgroups with a reason.
    fn read_processes(&mut self, now: u64) {
        let Some(sampler) = &self.sampler else { return };
        let mut budget = MOST_ACTIVE;
        let mut begun = false;
        for target in &sampler.targets {
            let Some(memory) = self.memory.get_mut(&target.subject) else { continue };
            if budget == 0 || target.gone || !(std::mem::take(&mut memory.grows) || target.state.is_active()) {
                continue;
            }
            budget -= 1;
            let with_maps = memory.maps_ns == 0 || now.saturating_sub(memory.maps_ns) >= MAPS_EVERY_NS;
            if with_maps {
                memory.maps_ns = now;
            }
            for (key, mut row) in processes::largest(&self.layout, &target.cgroup, MOST_PROCESSES, with_maps) {
                let entry = self.processes.entry((target.subject, key.clone())).or_insert_with(|| {
                    let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                    let subject = Subject { cgroup: target.cgroup.to_string(), id: 0, process: Some(key) };
                    let _ = self.messages.send(Message::Subject(number, subject));
                    (number, now)
                });
                entry.1 = now;
                row.subject = entry.0;
                row.lag_us = (mono_ns().saturating_sub(now) / 1000) as u32;
                if !begun {
                    self.pass.begin(PassKind::Processes, now);
                    begun = true;
                }
                self.pass.push(&row);
            }
        }
        if begun {
            self.outlet.send(self.pass.words());
        }
        let messages = &self.messages;
        self.processes.retain(|_, (number, seen)| {
            let keep = now.saturating_sub(*seen) < KEEP_PROCESS_NS;
            if !keep {
                let _ = messages.send(Message::Forget(*number));
            }
            keep
        });
    }
}

impl Memory {
    /// Reports changed limits, and notices slow growth.
    fn observe(&mut self, now: u64, target: &Target, row: &Row, messages: &Sender<Message>) {
        if let Some(bytes) = memory::page_cache(|id| row.get(id.field())) {
            let at_ns = now + u64::from(row.lag_us) * 1000;
            target.state.set_cache(Cache { bytes, at_ns });
        }
        if let Some(limit) = row.get(FieldId::Max.field()) {
            target.state.set_limit(limit);
        }
        if self.limits.is_empty() {
            let limits = of(Table::Samples).filter(|field| field.kind == Kind::Limit);
            self.limits = limits.filter_map(|field| Some((field.slot, row.get(field)?))).collect();
        }
        for (slot, last) in &mut self.limits {
            let value = row.values[*slot];
            if row.mask >> *slot & 1 == 1 && value != *last {
                let column = of(Table::Samples).find(|field| field.slot == *slot).map_or("", |field| field.column);
                let limit = |v: u64| (v != UNLIMITED).then_some(v);
                let what = EventKind::LimitChanged { limit: column.into(), from: limit(*last), to: limit(value) };
                let _ = messages.send(Message::Event(Event::of(&target.cgroup, what)));
                *last = value;
            }
        }
        let grown = [FieldId::Anon, FieldId::Shmem].iter().filter_map(|id| row.get(id.field())).sum::<u64>();
        if self.window_ns == 0 || now.saturating_sub(self.window_ns) >= GROWTH_WINDOW_NS {
            self.grows = self.window_ns != 0 && grown.saturating_sub(self.window_bytes) >= GROWTH;
            self.window_ns = now;
            self.window_bytes = grown;
        }
    }
}

/// Resident memory of this process, without allocating.
fn own_rss(buffer: &mut [u8]) -> Option<u64> {
    use rustix::fs::{Mode, OFlags, open};
    let fd = open("/proc/self/statm", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&fd, &mut *buffer).ok()?;
    let resident = buffer[..length].split(|&b| b == b' ').nth(1)?;
    crate::kernel::cgroupfs::number::number(resident).map(|pages| pages * rustix::param::page_size() as u64)
}
