//! Passes each changed limit on to Docker, one after the other, so that it shows the true limits.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedReceiver;

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

/// Notifies Docker until nobody sends orders any more.
pub async fn notify(
    api: Api,
    layout: Layout,
    mut inbox: UnboundedReceiver<LimitChange>,
    settling: Settling,
    events: Sender<Event>,
) {
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
        // Only the last word counts.
        if !orders.iter().any(|later: &LimitChange| later.path == order.path) {
            let done = api.update_memory(&order.id, order.to).await;
            let reason = format!("{}: docker update --memory {}", api.socket().display(), bytes(order.to));
            let _ = events.send(event(
                &order.path,
                "tell_runtime",
                done.is_ok(),
                reason,
                done.err().map(|e| e.to_string()),
            ));
            orders.extend(std::iter::from_fn(|| inbox.try_recv().ok()));
            if let Some(later) = orders.iter().rev().find(|later| later.path == order.path) {
                // What it wrote was old by then.
                let _ = set_max(&layout, &later.path, order.to, later.to);
            }
        }
        settling.end(&order.path);
    }
}
