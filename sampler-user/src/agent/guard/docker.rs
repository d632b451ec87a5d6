//! Passes each changed limit on to Docker, one after the other, so that it shows the true limits.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::agent::guard::ledger::sync;
use crate::agent::guard::record::event;
use crate::containers::names::docker_api::Api;
use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::limits::set_max;
use crate::model::event::Event;
use crate::model::units::bytes;

/// A container has a new limit.
pub struct LimitChange {
    /// Its cgroup.
    pub path: String,
    /// Its id.
    pub id: String,
    /// Bytes.
    pub to: u64,
}

/// What Docker is to be asked or told.
pub enum Order {
    /// A container has a new limit.
    Change(LimitChange),
    /// Whether Docker still has a limit that the guard gave; then it gets the old one.
    Settle {
        /// The cgroup, of which the answer is.
        path: String,
        /// The container.
        id: String,
        /// Its old limit, bytes.
        original: u64,
        /// What it was given, bytes.
        given: Vec<u64>,
    },
}

impl Order {
    fn path(&self) -> &str {
        match self {
            Order::Change(LimitChange { path, .. }) | Order::Settle { path, .. } => path,
        }
    }
}

/// The answer to [`Order::Settle`].
#[derive(Debug)]
pub struct Answer {
    /// The cgroup.
    pub path: String,
    /// How many limits it was given when it was asked.
    pub given: usize,
    /// What became of it.
    pub settled: Settled,
}

/// What became of [`Order::Settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing that the guard gave is left there.
    Yes,
    /// It was set back just now, which is to be seen.
    Asked,
    /// Docker does not answer, or refuses.
    Unknown,
}

/// Containers with limits that Docker does not know yet. It writes each limit that it gets to the cgroup itself, so that for a
/// moment an older limit may stand there again.
#[derive(Clone, Default)]
pub struct Settling(Arc<Mutex<HashMap<String, usize>>>);

impl Settling {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Docker will be notified.
    pub fn begin(&self, path: &str) {
        *self.lock().entry(path.to_owned()).or_default() += 1;
    }

    /// Whether Docker is being notified.
    pub fn has(&self, path: &str) -> bool {
        self.lock().contains_key(path)
    }

    fn end(&self, path: &str) {
        let mut all = self.lock();
        if let Some(count) = all.get_mut(path) {
            *count -= 1;
            if *count == 0 {
                all.remove(path);
            }
        }
    }
}

/// Who notifies Docker.
pub struct Notifier {
    /// Docker.
    pub api: Api,
    /// Where limits are.
    pub layout: Layout,
    /// Where the guard has written down what it owes.
    pub ledger: PathBuf,
    /// Containers that Docker is notified of.
    pub settling: Settling,
    /// Where events go.
    pub events: Sender<Event>,
    /// Where it goes what became of a debt.
    pub answers: UnboundedSender<Answer>,
}

impl Notifier {
    /// Does what it is asked until nobody sends orders any more.
    pub async fn run(self, mut inbox: UnboundedReceiver<Order>) {
        let mut orders = VecDeque::new();
        loop {
            if orders.is_empty() {
                match inbox.recv().await {
                    Some(order) => orders.push_back(order),
                    None => return,
                }
            }
            orders.extend(std::iter::from_fn(|| inbox.try_recv().ok()));
            let Some(order) = orders.pop_front() else { continue };
            let later = |orders: &VecDeque<Order>| {
                orders.iter().rev().find_map(|later| match later {
                    Order::Change(change) if change.path == order.path() => Some(change.to),
                    _ => None,
                })
            };
            match &order {
                // Only the last word counts.
                Order::Change(change) if later(&orders).is_none() => {
                    self.keep().await;
                    self.update(&change.path, &change.id, change.to).await;
                    orders.extend(std::iter::from_fn(|| inbox.try_recv().ok()));
                    if let Some(later) = later(&orders) {
                        // What it wrote was old by then.
                        let _ = set_max(&self.layout, &change.path, change.to, later);
                    }
                }
                Order::Change(_) => {}
                Order::Settle { path, id, original, given } => {
                    let settled = match self.api.memory(id).await {
                        Ok(Some(now)) if now != *original && given.contains(&now) => {
                            match self.update(path, id, *original).await {
                                true => Settled::Asked,
                                false => Settled::Unknown,
                            }
                        }
                        Ok(_) => Settled::Yes,
                        Err(_) => Settled::Unknown,
                    };
                    let _ = self.answers.send(Answer { path: path.clone(), given: given.len(), settled });
                }
            }
            self.settling.end(order.path());
        }
    }

    /// Has the disk keep what is owed: of all limits those that Docker has outlive the machine.
    async fn keep(&self) {
        let file = self.ledger.clone();
        let _ = tokio::task::spawn_blocking(move || sync(&file)).await;
    }

    /// Whether Docker has taken a limit.
    async fn update(&self, path: &str, id: &str, to: u64) -> bool {
        let done = self.api.update_memory(id, to).await;
        let reason = format!("{}: docker update --memory {}", self.api.socket().display(), bytes(to));
        let is_done = done.is_ok();
        let _ = self.events.send(event(path, "tell_runtime", is_done, reason, done.err().map(|e| e.to_string())));
        is_done
    }
}
