//! The control loop: waits for the kernel, asks [`Control`] what to do, and does it.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::kernel::cgroupfs::handle::Handle;
use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::plan::Plan;
use crate::kernel::cgroupfs::tree::{Change, Tree};
use crate::kernel::oom::log::{Log, count};
use crate::kernel::oom::witness::Expected;
use crate::kernel::probe::Probe;
use crate::model::recording::Subject;
use crate::model::sample::{PassKind, SubjectRef};
use crate::model::shrink::shrink;
use crate::model::sink::Sink;
use crate::model::time::{Anchor, mono_ns, process_cpu_ns};
use crate::record::burst::BurstTrigger;
use crate::record::config::Config;
use crate::record::control::Control;
use crate::record::details::Details;
use crate::record::effect::Effect;
use crate::record::error::{Error, kernel};
use crate::record::fast::{Command, Fast, Outlet, ThreadState};
use crate::record::naming::Naming;
use crate::record::notices::Notices;
use crate::record::probe_loader::{Loaded, Loading};
use crate::record::protect;
use crate::record::relay::{self, Message};
use crate::record::sampler::{Sampler, SharedState, Target};
use crate::record::slow::{Parts, Slow};
use crate::record::wake::{Attached, ProbeCounts, Second, Start, Wake};
use crate::record::worker::{Worker, spawn};

/// Words of the fast ring: 2 MiB, some 15 s of 100 cgroups at 10 Hz while the disk stalls.
const FAST_RING: usize = 256 << 10;
/// Words of the slow ring: 512 KiB, as long for the slow files.
const SLOW_RING: usize = 64 << 10;
/// A ring whose pages are there already: otherwise a tick would wait for each page that it is the first to write, and the agent
/// would grow by the size of the rings, in minutes when it is calm and at once in a storm.
fn touched_ring(words: usize) -> (Producer<u64>, Consumer<u64>) {
    let (mut producer, mut consumer) = RingBuffer::new(words);
    if let Ok(all) = producer.write_chunk(words) {
        all.commit_all();
    }
    if let Ok(all) = consumer.read_chunk(words) {
        all.commit_all();
    }
    (producer, consumer)
}

/// The host's counts.
const VMSTAT: &str = "/proc/vmstat";
/// How long the end waits for the kernel's report of a kill that just happened.
const LAST_REPORTS: Duration = Duration::from_millis(150);

/// Records until `stop` resolves to the reason. Returns the sink, flushed and synced. `stop` is polled first when the log, the
/// counters and the tree are watched: what it starts is recorded from its first moment.
pub async fn record(
    config: Config,
    sink: Box<dyn Sink>,
    stop: impl Future<Output = String>,
) -> Result<Box<dyn Sink>, Error> {
    let mut recorder = Recorder::start(config, sink)?;
    let reason = recorder.run(stop).await;
    Ok(recorder.end(reason).await)
}

/// What the control loop does its IO with.
struct Recorder {
    control: Control,
    layout: Layout,
    protects: bool,
    shared: Arc<ThreadState>,
    messages: Sender<Message>,
    numbers: Arc<AtomicU32>,
    /// Numbers of the sampled cgroups, by path.
    subjects: HashMap<String, SubjectRef>,
    fast: Worker,
    slow: Worker,
    relay: JoinHandle<Box<dyn Sink>>,
    tree: Tree,
    notices: Notices,
    naming: Naming,
    details: Option<Details>,
    log: Option<Log>,
    probe: Option<Probe>,
    loading: Loading,
    _own: Option<protect::OwnCgroup>,
}

impl Recorder {
    fn start(config: Config, sink: Box<dyn Sink>) -> Result<Recorder, Error> {
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

        let loading = Loading::start(&config)?;
        let shared = Arc::new(ThreadState::default());
        let numbers = Arc::new(AtomicU32::new(1));
        let (messages, inbox) = channel();
        let (fast_ring, fast_rows) = touched_ring(FAST_RING);
        let (slow_ring, slow_rows) = touched_ring(SLOW_RING);
        let tree = Tree::watch(&config.layout.memory).map_err(kernel("watch the cgroup tree with inotify"))?;
        let notices = Notices::new(&config.layout).map_err(kernel("make an epoll instance for notices"))?;

        let one_pass = config.slow_interval <= config.interval;
        let plan = |kind| Plan::cgroups(kind, &config.layout, &config.fields);
        let fast_plan = plan(if one_pass { PassKind::Full } else { PassKind::Fast });
        let slow_plan = (!one_pass).then(|| plan(PassKind::Slow));
        let outlet = |ring| Outlet { ring, shared: shared.clone() };
        let fast = Worker::start("sampler-fast", Some(fast_plan.clone()), |queues| {
            let sampler = Sampler::new(fast_plan);
            let ring = outlet(fast_ring);
            let fast = Fast::new(sampler, ring, queues.commands, queues.graveyard, config.interval, config.burst);
            move || fast.run()
        });
        let slow = Worker::start("sampler-slow", slow_plan.clone(), |queues| {
            let parts = Parts {
                outlet: outlet(slow_ring),
                commands: queues.commands,
                graveyard: queues.graveyard,
                messages: messages.clone(),
                numbers: numbers.clone(),
                layout: config.layout.clone(),
                interval: config.slow_interval,
                with_processes: config.processes,
            };
            let slow = Slow::new(slow_plan.map(Sampler::new), parts);
            move || slow.run()
        });
        let relay_shared = shared.clone();
        let relay = spawn("sampler-relay", move || relay::run(sink, &inbox, vec![fast_rows, slow_rows], &relay_shared));
        let mut recorder = Recorder {
            control: Control::new(&config),
            protects: config.protect,
            fast: fast.map_err(kernel("start a thread"))?,
            slow: slow.map_err(kernel("start a thread"))?,
            relay: relay.map_err(kernel("start a thread"))?,
            shared,
            details: config
                .details
                .as_ref()
                .map(|look| Details::begin(look, config.layout.clone(), messages.clone()))
                .transpose()
                .map_err(kernel("start a thread"))?,
            naming: Naming::begin(&config.names, messages.clone()).map_err(kernel("start a thread"))?,
            messages,
            numbers,
            subjects: HashMap::new(),
            tree,
            notices,
            log: None,
            probe: None,
            loading,
            layout: config.layout,
            _own: own,
        };
        if !recorder.notices.add_host() {
            degraded.push("no pressure (PSI) on this kernel: stalls are known from reclaim and refaults only".into());
        }
        match Log::open() {
            Ok(log) => recorder.log = Some(log),
            Err(error) => degraded.push(format!(
                "read /dev/kmsg: {error} (needs CAP_SYSLOG): OOM kills are counted, but the kernel's reports are not seen"
            )),
        }
        recorder.on(Wake::Start(Start {
            clock: Anchor::now(),
            cpu_ns: process_cpu_ns(),
            host_kills: host_kills(),
            expected: Expected { kmsg: recorder.log.is_some(), probe: false },
            degraded,
        }));
        let mut found = Vec::new();
        recorder.tree.rescan(&mut found);
        recorder.apply(found, |path, id| Wake::Found { path, id });
        Ok(recorder)
    }

    async fn run(&mut self, stop: impl Future<Output = String>) -> String {
        tokio::pin!(stop);
        let watch = |fd: io::Result<OwnedFd>| {
            // SAFETY: an owned descriptor stays open and the same for as long as the `AsyncFd` owns it.
            fd.ok().and_then(|fd| unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.ok())
        };
        let tree = watch(self.tree.as_fd().try_clone_to_owned());
        let notices = watch(self.notices.as_fd().try_clone_to_owned());
        let log = self.log.as_ref().and_then(|log| watch(log.as_fd().try_clone_to_owned()));
        let mut probe = None;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let deadline = self.notices.deadline().into_iter().chain(self.control.deadline()).min();
            let wait = deadline.map_or(Duration::MAX, |at| Duration::from_nanos(at.saturating_sub(mono_ns())));
            tokio::select! {
                reason = &mut stop => return reason,
                () = ready(tree.as_ref()) => self.read_tree(),
                () = ready(notices.as_ref()) => self.read_notices(),
                () = ready(log.as_ref()) => self.read_log(),
                () = ready(probe.as_ref()) => self.read_probe(),
                loaded = self.loading.loaded() => {
                    self.adopt(loaded);
                    probe = self.probe.as_ref().and_then(|probe| watch(probe.as_fd().try_clone_to_owned()));
                }
                () = tokio::time::sleep(wait), if deadline.is_some() => self.read_due(),
                _ = second.tick() => self.read_second(),
            }
        }
    }

    /// Asks what to do, and does it.
    fn on(&mut self, wake: Wake) {
        for effect in self.control.on(mono_ns(), wake) {
            self.execute(effect);
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Record(event) => self.send(Message::Event(event)),
            Effect::Number { path, id } => {
                let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                self.send(Message::Subject(number, Subject { cgroup: path.clone(), id, process: None }));
                self.subjects.insert(path, number);
            }
            Effect::Sample { path, id } => self.sample(&path, id),
            Effect::Remove { path } => {
                if let Some(subject) = self.subjects.remove(&path) {
                    shrink(&mut self.subjects);
                    self.fast.send(Command::Remove(subject));
                    self.slow.send(Command::Remove(subject));
                    self.send(Message::Forget(subject));
                }
            }
            Effect::ProbeCgroup(id) => {
                if let Some(probe) = &mut self.probe {
                    probe.sample(id);
                }
            }
            Effect::ProbeForget(id) => {
                if let Some(probe) = &mut self.probe {
                    probe.forget(id);
                }
            }
            Effect::WalkWithProbe => self.walk_with_probe(),
            Effect::Rescan => {
                let mut changes = Vec::new();
                self.tree.rescan(&mut changes);
                self.apply(changes, |path, id| Wake::Created { path, id });
            }
            Effect::SlowDown(factor) => self.shared.slowdown.store(factor, Ordering::Relaxed),
            Effect::TrimMemory => protect::unlocked(self.protects, || ()),
        }
    }

    fn send(&self, message: Message) {
        // Fails only once the relay has ended, which is after the last message.
        let _ = self.messages.send(message);
    }

    fn sample(&mut self, path: &str, id: u64) {
        let Some(&subject) = self.subjects.get(path) else { return };
        let cgroup: Arc<str> = path.into();
        let state = Arc::new(SharedState::default());
        for worker in [&mut self.fast, &mut self.slow] {
            let Some(plan) = &worker.plan else { continue };
            let target = Target {
                subject,
                cgroup: cgroup.clone(),
                id,
                handle: Handle::cgroup(plan, &self.layout, path),
                state: state.clone(),
                trigger: BurstTrigger::default(),
                gone: false,
            };
            worker.send(Command::Add(Box::new(target)));
        }
        self.notices.add(&self.layout, subject, &cgroup);
        self.naming.seen(path);
    }

    fn walk_with_probe(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        for (worker, walk) in [(&mut self.fast, "walk"), (&mut self.slow, "walk_slow")] {
            if worker.plan.is_some()
                && let Some(walker) = probe.take_walker(walk)
            {
                worker.send(Command::Walk(Box::new(walker)));
                worker.wake();
            }
        }
    }

    fn adopt(&mut self, loaded: Loaded) {
        let Loaded { probe, lacks } = loaded;
        let attached = probe.as_ref().map(|probe| Attached {
            jobs: probe
                .attached
                .iter()
                .filter_map(|feature| Some((feature.name.into(), feature.method?.to_string())))
                .collect(),
            sees_victims: probe.has("oom_victim"),
        });
        self.probe = probe;
        self.on(Wake::ProbeLoaded { attached, lacks });
    }

    fn apply(&mut self, changes: Vec<Change>, appeared: impl Fn(String, u64) -> Wake) {
        for change in changes {
            match change {
                Change::Created { path, id } => self.on(appeared(path, id)),
                Change::Removed { path, id } => {
                    let mut last = Vec::new();
                    if let Some(subject) = self.subjects.get(&path) {
                        self.notices.remove(*subject, &mut last);
                    }
                    self.on(Wake::Removed { path, id, last });
                }
            }
        }
        self.shared.cgroups.store(self.control.sampled(), Ordering::Relaxed);
        self.fast.wake();
        self.slow.wake();
    }

    fn read_tree(&mut self) {
        // What the probe reports of a cgroup needs its path, which is forgotten when it is removed.
        self.read_probe();
        let mut changes = Vec::new();
        let _ = self.tree.read_notices(&mut changes);
        self.apply(changes, |path, id| Wake::Created { path, id });
    }

    fn read_notices(&mut self) {
        let mut notices = Vec::new();
        self.notices.read(&mut notices);
        self.on(Wake::Notices(notices));
    }

    fn read_log(&mut self) {
        let reports = self.log.as_mut().map(Log::read).unwrap_or_default();
        self.on(Wake::Log(reports));
    }

    fn read_probe(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        let mut events = Vec::new();
        probe.read_events(|event| events.push(event));
        self.on(Wake::Probe(events));
    }

    fn read_due(&mut self) {
        let mut notices = Vec::new();
        self.notices.read_due(mono_ns(), &mut notices);
        self.on(Wake::Notices(notices));
        if self.control.wants_host_kills() {
            self.on(Wake::HostKills(host_kills()));
        }
        self.on(Wake::Due);
    }

    fn read_second(&mut self) {
        self.fast.close_removed();
        self.slow.close_removed();
        let second = Second {
            clock: Anchor::now(),
            cpu_ns: process_cpu_ns(),
            host_kills: host_kills(),
            probe: self.probe_counts(),
        };
        self.on(Wake::Second(second));
    }

    fn probe_counts(&mut self) -> ProbeCounts {
        let walk_failed = self.shared.walk_failed.swap(false, Ordering::Relaxed);
        let mut stalls = Vec::new();
        let lost = self.probe.as_mut().map_or(0, |probe| {
            probe.read_stalls(|id, stall| stalls.push((id, stall)));
            probe.lost()
        });
        ProbeCounts { walk_failed, stalls, lost }
    }

    async fn end(mut self, reason: String) -> Box<dyn Sink> {
        tokio::time::sleep(LAST_REPORTS).await;
        self.read_tree();
        self.read_notices();
        let mut last = Vec::new();
        self.notices.read_all(&mut last);
        self.on(Wake::Notices(last));
        self.read_log();
        self.read_probe();
        let (probe, host_kills) = (self.probe_counts(), host_kills());
        self.on(Wake::Stop { probe, host_kills });
        self.naming.end();
        if let Some(details) = &mut self.details {
            details.end();
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        self.fast.join();
        self.slow.join();
        self.on(Wake::Stopped { reason });
        self.send(Message::End);
        self.relay.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn host_kills() -> Option<u64> {
    count(VMSTAT.as_ref(), "oom_kill")
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
