//! The recorder: two sampling threads, a relay thread, and this control loop for all that may wait.
//!
//! ```text
//!  fast thread ──ring──┐
//!  slow thread ──ring──┼─▶ relay thread ─▶ Sink (the journal)
//!  control loop ─queue─┘     (control: inotify, memory.events, pressure, kmsg, clock, budget, stop)
//! ```

pub mod deaths;
pub mod fast;
pub mod history;
pub mod naming;
pub mod notices;
pub mod protect;
pub mod relay;
pub mod sampler;
pub mod schedule;
pub mod slow;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use self::deaths::Deaths;
use self::fast::{Command, Fast, Outlet, Shared};
use self::naming::{Naming, Sources};
use self::notices::{Notice, Notices};
use self::relay::Message;
use self::sampler::{Sampler, Target, Vitals};
use self::schedule::{Budget, Watch};
use self::slow::{Parts, Slow};
use crate::kernel::cgroupfs::handle::Handle;
use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::plan::Plan;
use crate::kernel::cgroupfs::tree::{Change, Selection, Tree};
use crate::kernel::oom::bucket::TokenBucket;
use crate::kernel::oom::log::{Log, count};
use crate::kernel::oom::merge::{Expected, Merge, Witness};
use crate::kernel::probe;
use crate::kernel::probe::Probe;
use crate::kernel::probe::events::Told;
use crate::model::event::{Event, What};
use crate::model::fields::FieldId;
use crate::model::recording::Subject;
use crate::model::sample::{PassKind, SubjectRef};
use crate::model::sink::Sink;
use crate::model::time::{Anchor, mono_ns, process_cpu_ns};

/// What to record, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hierarchies.
    pub layout: Layout,
    /// The cgroups.
    pub selection: Selection,
    /// Interval of the fast files.
    pub interval: Duration,
    /// Interval of the slow files; where it is not longer than the fast one, one pass reads all.
    pub slow_interval: Duration,
    /// Interval for cgroups near their limit, growing fast or under pressure.
    pub burst: Option<Duration>,
    /// Most CPU the agent may use, as a part of one CPU.
    pub max_cpu: Option<f64>,
    /// Fields to record; empty is all.
    pub fields: Vec<FieldId>,
    /// Whether the processes of growing cgroups are recorded.
    pub processes: bool,
    /// Whether the agent protects itself (see [`protect`]).
    pub protect: bool,
    /// Whether the kernel probe is used.
    pub probe: UseProbe,
    /// Where the names of containers are asked for.
    pub names: Sources,
}

/// Whether the kernel probe is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseProbe {
    /// As far as the kernel lets it; the files stand in for the rest, and one line says so.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// Without its walk and its sight of OOM kills there is no recording.
    Require,
}

/// Why recording could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kernel object could not be made.
    #[error("{operation}")]
    Kernel {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel probe was required and is not there.
    #[error("the kernel probe is required, and is refused; record without --probe require, or see `sampler doctor`")]
    Probe {
        /// Why.
        #[from]
        source: probe::Error,
    },
}

fn kernel(operation: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Kernel { operation, source }
}

/// Words of the fast ring: 2 MiB, some 15 s of 100 cgroups at 10 Hz while the disk stalls.
const FAST_RING: usize = 256 << 10;
/// Words of the slow ring: 512 KiB, as long for the slow files.
const SLOW_RING: usize = 64 << 10;
/// Commands that may wait for a sampling thread.
const COMMANDS: usize = 1024;
/// The threads touch little stack.
const STACK: usize = 256 << 10;
/// The tree is compared with the kernel's this often, in case a notice was lost, in control ticks of a second.
const RESCAN_EVERY: u64 = 60;
/// Removed cgroups whose paths are kept.
const GONE: usize = 256;
/// The budget looks at this many control ticks of a second.
const BUDGET_EVERY: u64 = 5;
/// The wall clock was set when it moved by more than this against the monotonic clock within a second, nanoseconds.
const CLOCK_STEP_NS: i64 = 100_000_000;
/// So many kills are recorded as each witness saw them, and then so many a second.
const WITNESSES: (f64, f64) = (100.0, 20.0);
/// The host's counts.
const VMSTAT: &str = "/proc/vmstat";
/// After so many kills the memory that they took is given back.
const STORM: u64 = 50;
/// How long the end waits for the kernel's report of a kill that just happened.
const LAST_WORDS: Duration = Duration::from_millis(150);

/// A sampling thread, as the control loop sees it.
struct Worker {
    thread: Option<JoinHandle<()>>,
    commands: Producer<Command>,
    graveyard: Consumer<Box<Target>>,
    plan: Option<Plan>,
}

impl Worker {
    fn send(&mut self, mut command: Command) {
        while let Err(rtrb::PushError::Full(back)) = self.commands.push(command) {
            command = back;
            self.wake();
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn bury(&mut self) {
        while self.graveyard.pop().is_ok() {}
    }

    fn join(&mut self) {
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Records until `stop` resolves to the reason. Returns the sink, flushed and synced. `stop` is polled first when the log, the
/// counters and the tree are watched: what it starts is recorded from its first moment.
pub async fn record(
    config: Config,
    sink: Box<dyn Sink>,
    stop: impl Future<Output = String>,
) -> Result<Box<dyn Sink>, Error> {
    let mut control = Control::begin(config, sink)?;
    let reason = control.run(stop).await;
    Ok(control.end(reason).await)
}

/// A cgroup that is recorded.
struct Known {
    subject: SubjectRef,
    id: u64,
}

/// The probe, if the kernel lets it, and what it lacks.
type Loaded = Result<(Option<Probe>, Vec<String>), Error>;
/// The probe on its way: loading takes a moment, and the recording does not wait for it.
type Loading = tokio::sync::oneshot::Receiver<Loaded>;

struct Control {
    config: Config,
    shared: Arc<Shared>,
    messages: Sender<Message>,
    numbers: Arc<AtomicU32>,
    fast: Worker,
    slow: Worker,
    relay: Option<JoinHandle<Box<dyn Sink>>>,
    tree: Tree,
    notices: Notices,
    naming: Naming,
    kmsg: Option<Log>,
    probe: Option<Probe>,
    loading: Option<Loading>,
    merge: Merge,
    /// How many kills each witness saw that are not recorded one by one.
    witnesses: BTreeMap<&'static str, (TokenBucket, u64)>,
    kills_since_trim: u64,
    deaths: Deaths,
    known: HashMap<String, Known>,
    /// cgroups that were removed last: news of them may still come.
    gone: VecDeque<(u64, String)>,
    /// Those that the probe saw made, and that are not known yet: id, when, path. A brief one never will be.
    made: VecDeque<(u64, u64, String)>,
    /// Brief ones that were told whole by the probe (`true`) or by inotify, which the other may tell as well.
    brief: VecDeque<(String, bool)>,
    vmstat: (u64, Option<u64>),
    _own: Option<protect::OwnCgroup>,
}

impl Control {
    fn begin(config: Config, sink: Box<dyn Sink>) -> Result<Control, Error> {
        let mut degraded = Vec::new();
        let mut own = None;
        if config.protect {
            degraded = protect::apply();
            match protect::OwnCgroup::enter(&config.layout) {
                Ok(cgroup) => own = cgroup,
                Err(why) => degraded.push(why),
            }
        } else {
            degraded.extend(protect::raise_descriptors());
        }

        let loading = load_probe(&config)?;
        let shared = Arc::new(Shared::default());
        let numbers = Arc::new(AtomicU32::new(1));
        let (messages, inbox) = channel();
        let (fast_ring, fast_rows) = RingBuffer::new(FAST_RING);
        let (slow_ring, slow_rows) = RingBuffer::new(SLOW_RING);
        let tree = Tree::watch(&config.layout.memory).map_err(kernel("watch the cgroup tree with inotify"))?;
        let notices = Notices::new(&config.layout).map_err(kernel("make an epoll instance for notices"))?;

        let one_pass = config.slow_interval <= config.interval;
        let plan = |kind| Plan::cgroups(kind, &config.layout, &config.fields);
        let fast_plan = plan(if one_pass { PassKind::Full } else { PassKind::Fast });
        let slow_plan = (!one_pass).then(|| plan(PassKind::Slow));

        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.into()).stack_size(STACK).spawn(run).map_err(kernel("start a thread"))
        };
        let (fast_commands, fast_inbox) = RingBuffer::new(COMMANDS);
        let (fast_grave, fast_graveyard) = RingBuffer::new(COMMANDS);
        let outlet = |ring| Outlet { ring, shared: shared.clone() };
        let fast_sampler = Sampler::new(fast_plan.clone());
        let fast = Fast::new(fast_sampler, outlet(fast_ring), fast_inbox, fast_grave, config.interval, config.burst);
        let (slow_commands, slow_inbox) = RingBuffer::new(COMMANDS);
        let (slow_grave, slow_graveyard) = RingBuffer::new(COMMANDS);
        let slow = Slow::new(
            slow_plan.clone().map(Sampler::new),
            Parts {
                outlet: outlet(slow_ring),
                commands: slow_inbox,
                graveyard: slow_grave,
                messages: messages.clone(),
                numbers: numbers.clone(),
                layout: config.layout.clone(),
                interval: config.slow_interval,
                with_processes: config.processes,
            },
        );
        let relay_shared = shared.clone();
        let relay = thread::Builder::new()
            .name("sampler-relay".into())
            .stack_size(STACK)
            .spawn(move || relay::run(sink, &inbox, vec![fast_rows, slow_rows], &relay_shared))
            .map_err(kernel("start a thread"))?;

        let mut control = Control {
            fast: Worker {
                thread: Some(spawn("sampler-fast", Box::new(move || fast.run()))?),
                commands: fast_commands,
                graveyard: fast_graveyard,
                plan: Some(fast_plan),
            },
            slow: Worker {
                thread: Some(spawn("sampler-slow", Box::new(move || slow.run()))?),
                commands: slow_commands,
                graveyard: slow_graveyard,
                plan: slow_plan,
            },
            relay: Some(relay),
            shared,
            naming: Naming::begin(&config.names, messages.clone()).map_err(kernel("start a thread"))?,
            messages,
            numbers,
            tree,
            notices,
            kmsg: None,
            probe: None,
            loading,
            merge: Merge::default(),
            witnesses: BTreeMap::new(),
            kills_since_trim: 0,
            deaths: Deaths::default(),
            known: HashMap::new(),
            gone: VecDeque::with_capacity(GONE),
            made: VecDeque::with_capacity(GONE),
            brief: VecDeque::with_capacity(GONE),
            vmstat: (mono_ns(), count(VMSTAT.as_ref(), "oom_kill")),
            config,
            _own: own,
        };
        control.event(Event::now(What::AgentStart {
            version: env!("CARGO_PKG_VERSION").into(),
            interval_us: control.config.interval.as_micros() as u64,
            slow_interval_us: control.config.slow_interval.as_micros() as u64,
        }));
        if !control.notices.add_host() {
            degraded.push("no pressure (PSI) on this kernel: stalls are known from reclaim and refaults only".into());
        }
        match Log::open() {
            Ok(kmsg) => {
                control.kmsg = Some(kmsg);
                control.expect_witnesses();
            }
            Err(error) => degraded.push(format!(
                "read /dev/kmsg: {error} (needs CAP_SYSLOG): OOM kills are counted, but the kernel's reports are not seen"
            )),
        }
        degraded.into_iter().for_each(|what| control.event(Event::now(What::Degraded { what })));
        let mut found = Vec::new();
        control.tree.rescan(&mut found);
        control.apply(found, false);
        Ok(control)
    }

    fn event(&self, event: Event) {
        let _ = self.messages.send(Message::Event(event));
    }

    async fn run(&mut self, stop: impl Future<Output = String>) -> String {
        tokio::pin!(stop);
        let watch = |fd: io::Result<OwnedFd>| {
            // SAFETY: an owned descriptor stays open and the same for as long as the `AsyncFd` owns it.
            fd.ok().and_then(|fd| unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.ok())
        };
        let tree = watch(self.tree.as_fd().try_clone_to_owned());
        let notices = watch(self.notices.as_fd().try_clone_to_owned());
        let kmsg = self.kmsg.as_ref().and_then(|kmsg| watch(kmsg.as_fd().try_clone_to_owned()));
        let mut probe = None;
        let mut loading = self.loading.take();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seconds = 0u64;
        let mut anchor = Anchor::now();
        let mut budget = self.config.max_cpu.map(Budget::new);
        let mut used = (mono_ns(), process_cpu_ns());
        loop {
            let deadline = self.notices.deadline().into_iter().chain(self.merge.deadline()).min();
            let wait = deadline.map_or(Duration::MAX, |at| Duration::from_nanos(at.saturating_sub(mono_ns())));
            tokio::select! {
                reason = &mut stop => return reason,
                () = ready(tree.as_ref()) => self.read_tree(),
                () = ready(notices.as_ref()) => self.read_notices(),
                () = ready(kmsg.as_ref()) => self.read_kmsg(),
                () = ready(probe.as_ref()) => self.read_probe(),
                loaded = arrived(&mut loading) => {
                    self.adopt(loaded);
                    probe = self.probe.as_ref().and_then(|probe| watch(probe.as_fd().try_clone_to_owned()));
                }
                () = tokio::time::sleep(wait), if deadline.is_some() => self.read_due(),
                _ = second.tick() => {
                    seconds += 1;
                    self.fast.bury();
                    self.slow.bury();
                    let now = Anchor::now();
                    let step = anchor.step_to(&now);
                    if step.abs() > CLOCK_STEP_NS {
                        self.event(Event::now(What::ClockStep { by_us: step / 1000 }));
                    }
                    anchor = now;
                    self.watch_vmstat();
                    self.watch_probe();
                    self.record_skipped_witnesses();
                    self.trim_after_storm();
                    if seconds.is_multiple_of(RESCAN_EVERY) {
                        let mut changes = Vec::new();
                        self.tree.rescan(&mut changes);
                        self.apply(changes, true);
                    }
                    if let Some(budget) = &mut budget && seconds.is_multiple_of(BUDGET_EVERY) {
                        let now = (mono_ns(), process_cpu_ns());
                        if let Some(factor) = budget.observe(now.1 - used.1, now.0 - used.0) {
                            self.shared.slowdown.store(factor, Ordering::Relaxed);
                            let interval = self.config.interval * factor;
                            self.event(Event::now(What::RateChanged {
                                interval_us: interval.as_micros() as u64,
                                reason: "CPU budget".into(),
                            }));
                        }
                        used = now;
                    }
                }
            }
        }
    }

    /// Takes the probe that is there at last.
    fn adopt(&mut self, loaded: Loaded) {
        let (probe, lacks) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => (None, vec![error.to_string()]),
        };
        lacks.into_iter().for_each(|what| self.event(Event::now(What::Degraded { what })));
        let Some(mut probe) = probe else { return };
        let jobs = probe.attached.iter().filter_map(|job| Some((job.job.into(), job.rung?.to_string()))).collect();
        self.event(Event::now(What::ProbeAttached { jobs }));
        self.known.values().for_each(|known| probe.sample(known.id));
        for (worker, walk) in [(&mut self.fast, "walk"), (&mut self.slow, "walk_slow")] {
            if worker.plan.is_some()
                && let Some(walker) = probe.take_walker(walk)
            {
                worker.send(Command::Walk(Box::new(walker)));
                worker.wake();
            }
        }
        self.probe = Some(probe);
        self.expect_witnesses();
    }

    fn read_tree(&mut self) {
        // What the probe tells of a cgroup needs its path, which is forgotten when it is removed.
        self.read_probe();
        let mut changes = Vec::new();
        let _ = self.tree.read_notices(&mut changes);
        self.apply(changes, true);
    }

    fn apply(&mut self, changes: Vec<Change>, tell: bool) {
        for change in changes {
            match change {
                // It was gone before it could be looked at.
                Change::Created { path, id: 0 } if self.told_whole(&path, false) => {}
                Change::Created { path, id } if self.config.selection.wants(&path) => self.add(path, id, tell),
                Change::Removed { path, id } => {
                    self.remove(&path);
                    if let Some(probe) = &mut self.probe {
                        probe.forget(id);
                    }
                    push(&mut self.gone, (id, path));
                }
                Change::Created { .. } => {}
            }
        }
        self.shared.cgroups.store(self.known.len() as u64, Ordering::Relaxed);
        self.fast.wake();
        self.slow.wake();
    }

    /// Whether the other of the two told this brief cgroup already. If not, remembers that this one does.
    fn told_whole(&mut self, path: &str, by_probe: bool) -> bool {
        let other = self.brief.iter().position(|(told, by)| told == path && *by != by_probe);
        if let Some(at) = other {
            self.brief.remove(at);
        } else {
            push(&mut self.brief, (path.to_owned(), by_probe));
        }
        other.is_some()
    }

    fn add(&mut self, path: String, id: u64, tell: bool) {
        self.made.retain(|(made, ..)| *made != id);
        let subject = self.numbers.fetch_add(1, Ordering::Relaxed);
        let cgroup: Arc<str> = path.as_str().into();
        let _ = self.messages.send(Message::Subject(subject, Subject { cgroup: path.clone(), id, process: None }));
        if tell {
            self.event(Event::of(&path, What::CgroupCreated));
        }
        let vitals = Arc::new(Vitals::default());
        for worker in [&mut self.fast, &mut self.slow] {
            let Some(plan) = &worker.plan else { continue };
            let target = Target {
                subject,
                cgroup: cgroup.clone(),
                id,
                handle: Handle::cgroup(plan, &self.config.layout, &path),
                vitals: vitals.clone(),
                watch: Watch::default(),
                gone: false,
            };
            worker.send(Command::Add(Box::new(target)));
        }
        self.notices.add(&self.config.layout, subject, &cgroup);
        self.naming.seen(&path);
        if let Some(probe) = &mut self.probe {
            probe.sample(id);
        }
        self.known.insert(path, Known { subject, id });
    }

    fn remove(&mut self, path: &str) {
        let Some(Known { subject, .. }) = self.known.remove(path) else { return };
        let mut last = Vec::new();
        self.notices.remove(subject, &mut last);
        self.take(last);
        self.fast.send(Command::Remove(subject));
        self.slow.send(Command::Remove(subject));
        self.merge.forget(path);
        self.event(Event::of(path, What::CgroupRemoved));
        let _ = self.messages.send(Message::Forget(subject));
    }

    fn read_notices(&mut self) {
        let mut notices = Vec::new();
        self.notices.read(&mut notices);
        self.take(notices);
    }

    fn read_due(&mut self) {
        let mut notices = Vec::new();
        self.notices.read_due(mono_ns(), &mut notices);
        self.take(notices);
        if self.merge.wants_vmstat() {
            self.watch_vmstat();
        }
        self.report_kills(mono_ns());
    }

    fn expect_witnesses(&mut self) {
        let probe = self.probe.as_ref().is_some_and(|probe| probe.has("oom_victim"));
        self.merge.expect(Expected { kmsg: self.kmsg.is_some(), probe });
    }

    /// Records what a witness saw of one kill. Of a storm the first are recorded, and the number of the rest.
    fn record_witness(&mut self, witness: &'static str, event: Event) {
        let (bucket, skipped) =
            self.witnesses.entry(witness).or_insert_with(|| (TokenBucket::new(WITNESSES.0, WITNESSES.1), 0));
        if bucket.take(mono_ns()) {
            let _ = self.messages.send(Message::Event(event));
        } else {
            *skipped += 1;
        }
    }

    fn record_skipped_witnesses(&mut self) {
        for (witness, (_, skipped)) in &mut self.witnesses {
            let kills = std::mem::take(skipped);
            if kills > 0 {
                let what = What::OomWitness { witness: (*witness).into(), kills, report: None, probe: None };
                let _ = self.messages.send(Message::Event(Event::now(what)));
            }
        }
    }

    fn take(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            match notice {
                Notice::Pressure { cgroup } => {
                    let what = What::Pressure {
                        of: "some".into(),
                        stall_us: notices::STALL_US,
                        window_us: notices::WINDOW_US,
                    };
                    self.event(Event { cgroup: cgroup.map(|c| c.to_string()), ..Event::now(what) });
                }
                Notice::Oom { cgroup, usage } => {
                    self.merge.witness(Witness::Notified { time_ns: mono_ns(), cgroup: cgroup.to_string(), usage });
                }
                Notice::Events { cgroup, since_ns, rose } => {
                    let by = |column: FieldId| {
                        rose.iter().find(|(name, _)| *name == column.field().column).map_or(0, |(_, by)| *by)
                    };
                    let kills = by(FieldId::LocalOomKill);
                    if kills > 0 {
                        self.event(Event::of(
                            &cgroup,
                            What::OomWitness { witness: "memory.events".into(), kills, report: None, probe: None },
                        ));
                    }
                    if kills > 0 || by(FieldId::LocalOom) > 0 {
                        self.merge.witness(Witness::Counter {
                            time_ns: mono_ns(),
                            since_ns,
                            cgroup: cgroup.to_string(),
                            kills,
                            ooms: by(FieldId::LocalOom),
                            group_kills: by(FieldId::LocalOomGroupKill),
                        });
                    }
                    let rose = rose.into_iter().map(|(name, by)| (name.to_owned(), by)).collect();
                    self.event(Event::of(&cgroup, What::MemoryEvents { rose }));
                }
            }
        }
    }

    fn read_kmsg(&mut self) {
        for report in self.kmsg.as_mut().map(Log::read).unwrap_or_default() {
            let cgroup = report.task_memcg.clone();
            let what = What::OomWitness {
                witness: "kmsg".into(),
                kills: 1,
                report: Some(Box::new(report.clone())),
                probe: None,
            };
            let event = Event { cgroup, ..Event::now(what) };
            let time_ns = event.mono_ns;
            self.record_witness("kmsg", event);
            self.merge.witness(Witness::Kmsg { time_ns, report: Box::new(report) });
        }
    }

    fn path_of(&self, id: u64) -> Option<String> {
        let gone = || self.gone.iter().rev().find(|(gone, _)| *gone == id).map(|(_, path)| path.clone());
        let made = || self.made.iter().rev().find(|(made, ..)| *made == id).map(|(.., path)| path.clone());
        self.tree.path_of(id).map(str::to_owned).or_else(gone).or_else(made)
    }

    fn read_probe(&mut self) {
        let mut all = Vec::new();
        if let Some(probe) = &mut self.probe {
            probe.read_events(|told| all.push(told));
        }
        for told in all {
            match told {
                Told::Kill { mut report, victim_cgroup, limit_cgroup } => {
                    report.victim_cgroup = self.path_of(victim_cgroup);
                    if let Some(request) = &mut report.request {
                        request.limit_cgroup = self.path_of(limit_cgroup);
                    }
                    let kills = u64::from(report.killed != Some(false));
                    let probe = Some(report.clone());
                    let what = What::OomWitness { witness: "probe".into(), kills, report: None, probe };
                    let event = Event { mono_ns: report.time_ns, cgroup: report.victim_cgroup.clone(), what };
                    self.record_witness("probe", event);
                    self.merge.witness(Witness::Probe { report });
                }
                // Most are found in the tree as well, where they are read from then on.
                Told::Made { time_ns, id, path } if self.config.selection.wants(&path) => {
                    if let Some(probe) = &mut self.probe {
                        probe.sample(id);
                    }
                    if self.known.get(&path).is_none_or(|known| known.id != id) {
                        push(&mut self.made, (id, time_ns, path));
                    }
                }
                Told::Removed { time_ns, id, path, last } if self.config.selection.wants(&path) => {
                    let brief = self.made.iter().position(|(made, ..)| *made == id);
                    let brief = brief.and_then(|at| self.made.remove(at));
                    let brief = brief.filter(|_| !self.known.contains_key(&path) && !self.told_whole(&path, true));
                    let of = |mono_ns, what| Event { mono_ns, cgroup: Some(path.clone()), what };
                    let mut events = Vec::new();
                    if let Some((_, made_ns, _)) = &brief {
                        events.push(of(*made_ns, What::CgroupCreated));
                    }
                    if let Some((peak, oom_kills)) = last {
                        events.push(of(time_ns, What::CgroupLast { peak, oom_kills }));
                    }
                    if brief.is_some() {
                        events.push(of(time_ns, What::CgroupRemoved));
                        push(&mut self.gone, (id, path.clone()));
                        if let Some(probe) = &mut self.probe {
                            probe.forget(id);
                        }
                    }
                    events.into_iter().for_each(|event| self.event(event));
                }
                Told::Made { .. } | Told::Removed { .. } => {}
                Told::Joined { time_ns, cgroup, pid, own_pid, comm } => {
                    if let Some(path) = self.path_of(cgroup).filter(|path| self.config.selection.wants(path)) {
                        let what = What::ProcessJoined { pid, own_pid, comm };
                        self.event(Event { mono_ns: time_ns, cgroup: Some(path), what });
                    }
                }
                Told::Exit { time_ns, cgroup, exit } => {
                    if let Some(what) = self.deaths.exit(time_ns, exit) {
                        self.event(Event { mono_ns: time_ns, cgroup: self.path_of(cgroup), what });
                    }
                }
                Told::Signal { pid, sender_cgroup, mut sent, .. } => {
                    sent.sender_cgroup = self.path_of(sender_cgroup);
                    self.deaths.signal(pid, sent);
                }
            }
        }
    }

    /// What the probe counts, and whether it lost something.
    fn watch_probe(&mut self) {
        if self.shared.walk_failed.swap(false, Ordering::Relaxed) {
            let what = "the kernel refused a walk of the probe: cgroups are read from their files from now on".into();
            self.event(Event::now(What::Degraded { what }));
        }
        let Some(probe) = &mut self.probe else { return };
        let mut stalls = Vec::new();
        probe.read_stalls(|id, stall| stalls.push((id, stall)));
        let lost = probe.lost();
        let now = mono_ns();
        for (id, stall) in stalls {
            let Some(path) = self.path_of(id).filter(|path| self.config.selection.wants(path)) else { continue };
            let used = stall.buckets.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
            let what = What::Stalls {
                count: stall.count,
                time_us: stall.time_ns / 1000,
                longest_us: stall.longest_ns / 1000,
                pages: stall.pages,
                histogram: stall.buckets[..used].to_vec(),
            };
            self.event(Event::of(&path, what));
        }
        if let Some(count) = self.deaths.left_out() {
            self.event(Event::now(What::ExitsLeftOut { count }));
        }
        if lost > 0 {
            self.event(Event::now(What::Gap {
                from_ns: now.saturating_sub(1_000_000_000),
                to_ns: now,
                lost_passes: 0,
                reason: format!("the kernel probe lost {lost} events: they came faster than they were read"),
            }));
        }
    }

    fn watch_vmstat(&mut self) {
        let (since_ns, before) = self.vmstat;
        let now = (mono_ns(), count(VMSTAT.as_ref(), "oom_kill"));
        if let (Some(before), Some(kills)) = (before, now.1)
            && kills > before
        {
            let kills = kills - before;
            self.event(Event::now(What::OomWitness { witness: "vmstat".into(), kills, report: None, probe: None }));
            self.merge.witness(Witness::Vmstat { time_ns: now.0, since_ns, kills });
        }
        self.vmstat = now;
    }

    /// Gives back what a storm of kills took, once it is over.
    fn trim_after_storm(&mut self) {
        if self.kills_since_trim >= STORM && self.merge.deadline().is_none() {
            self.kills_since_trim = 0;
            protect::unlocked(self.config.protect, || ());
        }
    }

    fn report_kills(&mut self, now: u64) {
        let settled = self.merge.poll(now);
        self.kills_since_trim += settled.kills.len() as u64 + settled.more.iter().map(|more| more.count).sum::<u64>();
        for kill in settled.kills {
            let (mono_ns, cgroup) = (kill.time_ns, kill.victim_cgroup.clone());
            self.event(Event { mono_ns, cgroup, what: What::OomKill(Box::new(kill)) });
        }
        for more in settled.more {
            let (mono_ns, cgroup) = (more.last_ns, more.victim_cgroup.clone());
            self.event(Event { mono_ns, cgroup, what: What::MoreOomKills(Box::new(more)) });
        }
    }

    async fn end(mut self, reason: String) -> Box<dyn Sink> {
        tokio::time::sleep(LAST_WORDS).await;
        self.read_tree();
        self.read_notices();
        let mut last = Vec::new();
        self.notices.read_all(&mut last);
        self.take(last);
        self.read_kmsg();
        self.read_probe();
        self.watch_probe();
        self.watch_vmstat();
        self.report_kills(u64::MAX);
        self.record_skipped_witnesses();
        self.naming.end();
        self.shared.stop.store(true, Ordering::Relaxed);
        self.fast.join();
        self.slow.join();
        self.event(Event::now(What::AgentStop { reason }));
        let _ = self.messages.send(Message::End);
        match self.relay.take().map(JoinHandle::join) {
            Some(Ok(sink)) => sink,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => unreachable!("the relay is joined once"),
        }
    }
}

/// Loads the probe, as far as it is wanted, beside the recording that begins; one that is required is waited for.
fn load_probe(config: &Config) -> Result<Option<Loading>, Error> {
    let (there, loading) = tokio::sync::oneshot::channel();
    let (wanted, layout, locks) = (config.probe, config.layout.clone(), config.protect);
    match wanted {
        UseProbe::Off => return Ok(None),
        UseProbe::Require => drop(there.send(Ok(loaded(wanted, &layout, locks)?))),
        UseProbe::Auto => {
            // The verifier's and the kernel's types take more stack than the other threads have.
            let load = move || drop(there.send(loaded(wanted, &layout, locks)));
            thread::Builder::new().name("sampler-probe".into()).spawn(load).map_err(kernel("start a thread"))?;
        }
    }
    Ok(Some(loading))
}

fn loaded(wanted: UseProbe, layout: &Layout, locks: bool) -> Loaded {
    let probe = match protect::unlocked(locks, || Probe::load(layout)) {
        Ok(probe) => probe,
        Err(error) if wanted == UseProbe::Require => return Err(error.into()),
        Err(error) => {
            let what = format!("no kernel probe: {error}: cgroups and OOM kills are seen by files alone");
            return Ok((None, vec![what]));
        }
    };
    let refused: Vec<_> = probe.attached.iter().filter(|job| job.lacks()).collect();
    if refused.is_empty() {
        return Ok((Some(probe), Vec::new()));
    }
    let one = |job: &&probe::Attached| {
        let why: Vec<String> = job.refused.iter().map(|(rung, why)| format!("{rung}: {why}")).collect();
        format!("{} ({})", job.gives, why.join("; "))
    };
    let all = refused.iter().map(one).collect::<Vec<_>>().join(", ");
    let needed = ["walk", "oom_victim"].iter().any(|job| !probe.has(job));
    if needed && wanted == UseProbe::Require {
        return Err(probe::Error::Nothing { why: all }.into());
    }
    Ok((Some(probe), vec![format!("the kernel probe does without: {all}")]))
}

/// Remembers one of the last [`GONE`].
fn push<T>(last: &mut VecDeque<T>, one: T) {
    if last.len() == GONE {
        last.pop_front();
    }
    last.push_back(one);
}

/// Resolves once, when the probe is there; never when there is nothing to wait for.
async fn arrived(loading: &mut Option<Loading>) -> Loaded {
    let Some(receiver) = loading else { return std::future::pending().await };
    let loaded = receiver.await;
    *loading = None;
    // The thread that loads has panicked, and has said so.
    loaded.unwrap_or_else(|_| Ok((None, vec!["no kernel probe: loading it was broken off".into()])))
}

/// Resolves when the descriptor can be read; never without one.
async fn ready(fd: Option<&AsyncFd<OwnedFd>>) {
    match fd {
        Some(fd) => {
            if let Ok(mut guard) = fd.readable().await {
                guard.clear_ready();
            }
        }
        None => std::future::pending().await,
    }
}
