//! An agent: the recorder, its journal, and the child that seals, put together.

pub mod alerts;
pub mod child;
pub mod console;
pub mod event_tap;
pub mod guard;
pub mod last_words;
pub mod leak_watch;
pub mod live_board;
pub mod live_tasks;
mod metrics_server;
pub mod oom_hook;
mod runtime;
mod tee;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::agent::console::Console;
use crate::agent::event_tap::EventTap;
use crate::agent::guard::runner::Runner;
use crate::agent::last_words::LastWords;
use crate::agent::leak_watch::LeakWatch;
use crate::agent::oom_hook::IncidentCollector;
use crate::journal::reader::segments;
use crate::journal::writer::{Owner, Rotation, Writer};
use crate::model::recording::Origin;
use crate::model::sink::Sink;
use crate::model::time::{Anchor, boot_id};
use crate::record::{Config, record};
use crate::store::JOURNAL;
use crate::store::retention::{Retention, enforce, make_room};
use crate::ui::terminal::say;

pub use self::runtime::runtime;

/// Longest time of sealing one segment.
const SEALING: Duration = Duration::from_secs(600);

/// What an agent is started with.
pub struct Agent {
    /// Folder of the recording.
    pub out: PathBuf,
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
}

impl Owner for Keeper {
    fn finished(&mut self, segment: PathBuf) {
        let _ = self.finished.send(segment);
    }

    fn make_room(&mut self) -> bool {
        make_room(&self.out)
    }
}

impl Agent {
    /// Records until `stop`, then seals what is left.
    pub async fn run(self, stop: impl Future<Output = String>) -> anyhow::Result<()> {
        let journal = self.out.join(JOURNAL);
        fs::create_dir_all(&journal)
            .with_context(|| format!("make the folder {}; choose another with --out", journal.display()))?;
        let _lock = lock(&self.out)?;
        let left = segments(&journal).with_context(|| format!("list {}", journal.display()))?;
        let (finished, inbox) = unbounded_channel();
        left.into_iter().for_each(|segment| {
            let _ = finished.send(segment);
        });
        let keeper = Keeper { out: self.out.clone(), finished };
        let writer = Writer::create(&journal, origin(&self.config), self.rotation, Box::new(keeper))
            .with_context(|| format!("create a journal segment in {}", journal.display()))?;
        let sealer = tokio::spawn(seal_all(self.out.clone(), inbox, self.retention));
        let live = self.live.begin(&origin(&self.config), self.guard.is_some()).await?;
        let journal: Box<dyn Sink> = match &live {
            Some(live) => Box::new(tee::Tee { journal: writer, board: live.board.clone() }),
            None => Box::new(writer),
        };
        let (due, incidents) = unbounded_channel();
        let (mut console, printer) = Console::begin(self.live.no_alerts, self.verbose);
        let (inject, injected) = mpsc::channel();
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
        let guard = self.guard.zip(live.as_ref()).map(|(guard, live)| guard.begin(live.board.clone(), inject));
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
        let hook = tokio::spawn(oom_hook::report(self.out.clone(), self.on_oom, incidents, ended));
        let sink = record(self.config, Box::new(sink), stop).await?;
        drop(ends);
        // The last segment goes to the sealer when the journal is dropped, which also ends the sealer's queue.
        drop(sink);
        sealer.await.context("wait for the sealer")?;
        hook.await.context("wait for the page of an OOM kill")?;
        // All is recorded: now the last lines may wait for the terminal.
        printer.join().map_err(|_| anyhow!("the thread of the console panicked"))
    }
}

/// One agent a folder: two would seal each other's segments.
fn lock(out: &Path) -> anyhow::Result<File> {
    let path = out.join("lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another sampler records into {}; stop it or choose another folder with --out", out.display());
    }
    Ok(file)
}

async fn seal_all(out: PathBuf, mut inbox: UnboundedReceiver<PathBuf>, retention: Retention) {
    while let Some(segment) = inbox.recv().await {
        // In a child of low priority, which the agent outlives whatever happens to it.
        let sealed = child::run(|child| child.arg("seal").arg(&segment).arg("--out").arg(&out), SEALING).await;
        if let Err(error) = sealed {
            // The rows stay in the journal, which every command reads: nothing is lost, and the next start tries again.
            say(&format!("sampler: seal {}: {error:#}", segment.display()));
        }
        enforce(&out, &retention, SystemTime::now());
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
