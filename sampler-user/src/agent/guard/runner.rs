//! The guard beside the recorder: a thread of its own, which looks, asks the policy and acts. It shares the board with the relay
//! and nothing with the sampling threads; what it did goes into the journal by `EventTap`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::agent::guard::apply::Applier;
use crate::agent::guard::docker::{Notifier, Settling};
use crate::agent::guard::ledger::Ledger;
use crate::agent::guard::observe::{Observer, Wanted, meminfo};
use crate::agent::guard::settle::Settler;
use crate::agent::live_board::LiveBoard;
use crate::agent::runtime::runtime;
use crate::containers::names::docker_api::Api;
use crate::guard::policy::Policy;
use crate::guard::{Action, ActionKind, Guard, Reading};
use crate::kernel::cgroupfs::layout::{Layout, Version};
use crate::model::event::{Event, EventKind};
use crate::model::time::mono_ns;
use crate::ui::terminal::say;

/// It looks this often: a container that grows by 100 MiB a second comes 10 MiB nearer to its limit meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the end waits for Docker.
const LAST_ORDERS: Duration = Duration::from_secs(15);
/// And for a reclaim that goes on.
const LAST_RECLAIM: Duration = Duration::from_secs(2);

/// What a guard is started with.
pub struct Runner {
    /// The hierarchies.
    pub layout: Layout,
    /// Which cgroups are guarded.
    pub wanted: Wanted,
    /// What it may do.
    pub policy: Policy,
    /// Whether raised limits stay at the end.
    pub keep: bool,
    /// Docker's socket, if it is not the usual one.
    pub docker_socket: Option<PathBuf>,
    /// All this in words.
    pub about: String,
}

/// A guard that runs.
pub struct Running {
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

impl Running {
    /// Has it set back what it changed, and waits for that.
    pub async fn end(self) {
        drop(self.stop);
        let _ = self.done.await;
    }
}

impl Runner {
    /// Starts the thread, which ends on request, or with whom it was started by. `out` is the folder of the recording, which has
    /// what an earlier guard owes.
    pub fn begin(self, out: &Path, board: LiveBoard, events: Sender<Event>) -> anyhow::Result<Running> {
        let ledger = Ledger::open(out).with_context(|| {
            format!(
                "read guard.json in {}, which has the limits that an earlier guard raised; set them back by hand, then remove it",
                out.display()
            )
        })?;
        let (stop, stopped) = oneshot::channel();
        let (ended, done) = oneshot::channel();
        let runtime = runtime()?;
        thread::Builder::new()
            .name("sampler-guard".into())
            .spawn(move || {
                runtime.block_on(self.run(&board, events, ledger, stopped));
                runtime.shutdown_timeout(LAST_RECLAIM);
                let _ = ended.send(());
            })
            .context("start the thread of the guard")?;
        Ok(Running { stop, done })
    }

    async fn run(self, board: &LiveBoard, events: Sender<Event>, ledger: Ledger, mut stopped: oneshot::Receiver<()>) {
        let settling = Settling::default();
        let (orders, inbox) = unbounded_channel();
        let (answers, answered) = unbounded_channel();
        let notifier = Notifier {
            api: Api::new(self.docker_socket.as_deref()),
            layout: self.layout.clone(),
            ledger: ledger.file().to_owned(),
            settling: settling.clone(),
            events: events.clone(),
            answers,
        };
        let notifier = tokio::spawn(notifier.run(inbox));
        let mut hands = Applier {
            layout: self.layout.clone(),
            apply: self.policy.apply,
            events,
            docker: orders,
            ledger,
            settling: settling.clone(),
            not_notified: HashSet::new(),
        };
        hands.record(Event::now(begin(self.policy.apply, self.about)));
        if self.layout.version == Version::V1 {
            let what = "memory is on cgroup v1: no cache is reclaimed early (memory.force_empty would take all of it, and \
                        memory.reclaim is of v2), and memory.high cannot be raised";
            hands.record(Event::now(EventKind::Degraded { what: what.into() }));
        }
        let mut guard = Guard::new(self.policy);
        let mut eyes = Observer::new(self.layout, self.wanted);
        let mut settler = Settler::new(answered);
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                _ = tick.tick() => {}
            }
            let readings = eyes.look(board, &guard, |path| settling.has(path));
            let available = meminfo("MemAvailable:").unwrap_or(0);
            let now_us = (mono_ns() / 1000) as i64;
            for action in guard.look(now_us, &readings, available) {
                let done = hands.act(&action, id(&readings, &action.path));
                if let (false, ActionKind::Raise { from, .. }) = (done, &action.kind) {
                    guard.failed(now_us, &action.path, *from);
                }
            }
            settler.look(&mut hands, &mut eyes, &mut guard, &readings);
        }
        let readings = eyes.look(board, &guard, |path| settling.has(path));
        for action in guard.leave(&readings) {
            if self.keep {
                hands.ledger.strike(&action.path);
            }
            let action = if self.keep { kept(action) } else { action };
            if action.kind == ActionKind::Hold {
                settler.stays(&action.path);
            }
            hands.act(&action, id(&readings, &action.path));
        }
        let ends = Instant::now() + LAST_ORDERS;
        while self.policy.apply && !settler.is_done(&hands) && Instant::now() < ends {
            settler.look(&mut hands, &mut eyes, &mut guard, &[]);
            tick.tick().await;
        }
        let left = hands.ledger.debts().len();
        if left > 0 {
            say(&format!(
                "sampler: limits that are not set back: {left}; {} has them, and the next `guard --apply` of this folder sets them back",
                hands.ledger.file().display()
            ));
        }
        drop(hands);
        if timeout(LAST_ORDERS, notifier).await.is_err() {
            say("sampler: Docker does not answer; `docker inspect` may show limits of the guard that stand no more");
        }
    }
}

/// The inode number of a cgroup that was read.
fn id(readings: &[Reading], path: &str) -> u64 {
    readings.iter().find(|reading| reading.path == path).map_or(0, |reading| reading.id)
}

fn begin(applied: bool, reason: String) -> EventKind {
    EventKind::Guard { action: "begin".into(), applied, from: None, to: None, bytes: None, reason, error: None }
}

fn kept(action: Action) -> Action {
    Action { kind: ActionKind::Hold, reason: "the guard ends, and its limit stays as it is (--keep)".into(), ..action }
}
