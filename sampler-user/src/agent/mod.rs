//! An agent: the recorder, its journal, and the child that seals, put together.

pub mod alerts;
pub mod child;
pub mod console;
mod dashboard;
pub mod event_tap;
mod folder;
pub mod guard;
mod health;
pub mod last_words;
pub mod leak_watch;
pub mod live_board;
pub mod live_tasks;
mod metrics_server;
pub mod oom_hook;
pub mod privileges;
mod runtime;
mod sealer;
mod tee;
pub mod user_command;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::fs::Mode;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::agent::console::Console;
use crate::agent::event_tap::EventTap;
use crate::agent::folder::{claim, has_lock, lock};
use crate::agent::guard::runner::Runner;
use crate::agent::health::Health;
use crate::agent::last_words::LastWords;
use crate::agent::leak_watch::LeakWatch;
use crate::agent::oom_hook::{Hook, IncidentCollector};
use crate::agent::sealer::Sealer;
use crate::journal::reader::segments;
use crate::journal::writer::{Owner, Rotation, Trouble, Writer};
use crate::model::recording::Origin;
use crate::model::sink::Sink;
use crate::model::time::{Anchor, boot_id};
use crate::record::{Config, record};
use crate::store::JOURNAL;
use crate::store::retention::{Retention, make_room, next_number};

pub use self::runtime::runtime;

/// How often the lock is looked for.
const LOCK_LOOK: Duration = Duration::from_millis(500);

/// What an agent is started with.
pub struct Agent {
    /// Folder of the recording.
    pub out: PathBuf,
    /// Whether root may write to it whoever else may.
    pub trust_out: bool,
    /// What to record.
    pub config: Config,
    /// When a segment is sealed.
    pub rotation: Rotation,
    /// What may stay.
    pub retention: Retention,
    /// Command to run after each OOM kill.
    pub on_oom: Option<String>,
    /// Alerts and metrics.
    pub live: live_tasks::LiveOptions,
    /// Print paths, and each thing that is missing, to the terminal.
    pub verbose: bool,
    /// Where the last words go, if they are wanted.
    pub last_words: Option<PathBuf>,
    /// The guard.
    pub guard: Option<Runner>,
}

/// Called by the journal, on its own thread.
struct Keeper {
    out: PathBuf,
    finished: UnboundedSender<PathBuf>,
    health: Health,
}

impl Owner for Keeper {
    fn finished(&mut self, segment: PathBuf) {
        let _ = self.finished.send(segment);
    }

    fn make_room(&mut self) -> bool {
        make_room(&self.out)
    }

    fn first_number(&self) -> u32 {
        next_number(&self.out)
    }

    fn trouble(&mut self, trouble: Trouble<'_>) {
        self.health.take(&trouble);
    }
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// All that was recorded is there.
    Whole,
    /// Some of it was removed, or could not be written.
    Lost,
}

/// What is written from now on is for the owner and the group alone. Returns what was allowed before, for a child that is no
/// part of the agent.
pub fn write_privately() -> Mode {
    rustix::process::umask(Mode::from_raw_mode(0o027))
}

impl Agent {
    /// Records until `stop`, then seals what is left.
    pub async fn run(self, stop: impl Future<Output = String>) -> anyhow::Result<Recorded> {
        // What may be wrong with the command line first: no try leaves a segment.
        let live = self.live.begin(&origin(&self.config), self.guard.is_some()).await?;
        claim(&self.out, self.trust_out)?;
        let journal = self.out.join(JOURNAL);
        let lock = lock(&self.out)?;
        let left = segments(&journal).with_context(|| format!("list {}", journal.display()))?;
        let (finished, inbox) = unbounded_channel();
        left.into_iter().for_each(|segment| {
            let _ = finished.send(segment);
        });
        let (mut console, printer) = Console::begin(self.live.no_alerts, self.verbose);
        let health = Health::new(console.speaker());
        let is_lost = health.is_lost();
        let keeper = Keeper { out: self.out.clone(), finished, health: health.clone() };
        let writer =
            Writer::create(&journal, origin(&self.config), self.rotation, Box::new(keeper)).with_context(|| {
                format!("create a journal segment in {}; choose another folder with --out", journal.display())
            })?;
        let (inject, injected) = mpsc::channel();
        let sealer =
            Sealer { out: self.out.clone(), retention: self.retention, health: health.clone(), inject: inject.clone() };
        let sealer = tokio::spawn(sealer.run(inbox));
        let watched = tokio::spawn(hold(self.out.clone(), lock, health));
        let dashboard = self.live.serve.map(|address| tokio::spawn(dashboard::keep(self.out.clone(), address)));
        let journal: Box<dyn Sink> = match &live {
            Some(live) => Box::new(tee::Tee { journal: writer, board: live.board.clone() }),
            None => Box::new(writer),
        };
        let (due, incidents) = unbounded_channel();
        let mut collector = IncidentCollector::default();
        let sink = EventTap::new(journal, injected, move |event| {
            event.into_iter().for_each(|event| console.show(event));
            for new in collector.take(event) {
                let _ = due.send(new);
            }
        });
        let sink: Box<dyn Sink> = match &self.last_words {
            Some(path) => Box::new(LastWords::new(Box::new(sink), path)?),
            None => Box::new(sink),
        };
        let sink = LeakWatch::new(sink, &self.config.fields);
        let guard =
            self.guard.zip(live.as_ref()).map(|(guard, live)| guard.begin(&self.out, live.board.clone(), inject));
        let guard = guard.transpose()?;
        let stop = async {
            let reason = stop.await;
            // What it sets back is recorded too.
            if let Some(guard) = guard {
                guard.end().await;
            }
            reason
        };
        let (ends, ended) = watch::channel(());
        let hook = self.on_oom.map(|command| Hook { command, user: self.live.hook_user });
        let hook = tokio::spawn(oom_hook::report(self.out.clone(), hook, incidents, ended));
        let sink = record(self.config, Box::new(sink), stop).await?;
        drop(ends);
        dashboard.inspect(tokio::task::JoinHandle::abort);
        // The last segment goes to the sealer when the journal is dropped, which also ends the sealer's queue.
        drop(sink);
        sealer.await.context("wait for the sealer")?;
        hook.await.context("wait for the page of an OOM kill")?;
        watched.abort();
        let _ = watched.await;
        // All is recorded: now the last lines may wait for the terminal.
        printer.join().map_err(|_| anyhow!("the thread of the console panicked"))?;
        Ok(if is_lost.load(Ordering::Relaxed) { Recorded::Lost } else { Recorded::Whole })
    }
}

/// Holds the lock of the folder, and takes it again where somebody has removed it.
async fn hold(out: PathBuf, mut held: File, health: Health) {
    let mut is_said = false;
    loop {
        tokio::time::sleep(LOCK_LOOK).await;
        if has_lock(&out, &held) {
            continue;
        }
        match lock(&out) {
            Ok(new) => {
                health.say(format!("the lock of {} was removed; it is there again", out.display()));
                (held, is_said) = (new, false);
            }
            Err(error) if !is_said => {
                health.say(format!("the lock of {} was removed: {error:#}", out.display()));
                is_said = true;
            }
            Err(_) => {}
        }
    }
}

/// Where and how this machine records.
fn origin(config: &Config) -> Origin {
    let name = rustix::system::uname();
    let kernel = name.release().to_string_lossy().into_owned();
    Origin {
        format: 0,
        host: name.nodename().to_string_lossy().into_owned(),
        boot_id: boot_id(),
        kernel,
        wsl: crate::kernel::wsl::name(),
        hierarchy: config.layout.name().into(),
        agent: env!("CARGO_PKG_VERSION").into(),
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        page_size: rustix::param::page_size() as u64,
        interval_us: config.interval.as_micros() as u64,
        slow_interval_us: config.slow_interval.as_micros() as u64,
        anchor: Anchor::now(),
    }
}
