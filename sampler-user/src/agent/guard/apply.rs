//! What the guard does, and that it is recorded.

use std::collections::HashSet;
use std::sync::mpsc::Sender;

use tokio::sync::mpsc::UnboundedSender;

use crate::agent::guard::docker::{LimitChange, Order, Settling};
use crate::agent::guard::ledger::{Debt, Ledger};
use crate::agent::guard::record::event;
use crate::containers::runtimes::identify;
use crate::guard::{Action, ActionKind, Limits};
use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::limits::{Error, both, reclaim, set_high, set_max};
use crate::model::event::{Event, EventKind, Guarded};
use crate::model::fields::UNLIMITED;

/// Does what the policy says, where it is allowed to.
pub struct Applier {
    /// Where limits are.
    pub layout: Layout,
    /// Whether anything is written.
    pub apply: bool,
    /// Where events go.
    pub events: Sender<Event>,
    /// Who notifies Docker.
    pub docker: UnboundedSender<Order>,
    /// What is owed.
    pub ledger: Ledger,
    /// Containers that it is notifying Docker of.
    pub settling: Settling,
    /// cgroups whose runtime cannot be notified, which is recorded once.
    pub not_notified: HashSet<String>,
}

impl Applier {
    /// Records an event.
    pub fn record(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Does one thing, to the cgroup of an inode number. Whether it could be done; if not, the reason is recorded.
    pub fn act(&mut self, action: &Action, id: u64) -> bool {
        let Action { path, kind, reason } = action;
        match kind {
            ActionKind::Hold => self.record(event(path, "hold", false, reason.clone(), None)),
            ActionKind::Raise { from, to } => {
                // First written down: whatever comes between, the next guard sets it back.
                let owed = if self.apply { self.owe(path, id, *from, *to) } else { Ok(()) };
                let owed = owed.map_err(|error| {
                    format!(
                        "write {} before the limit is raised: {error}; free some of the disk",
                        self.ledger.file().display()
                    )
                });
                return self.limit("raise", action, (*from, *to), owed);
            }
            ActionKind::Restore { from, to } => return self.limit("restore", action, (*from, *to), Ok(())),
            ActionKind::Reclaim { bytes } => {
                let (layout, path, bytes, apply) = (self.layout.clone(), path.clone(), *bytes, self.apply);
                let (events, reason) = (self.events.clone(), reason.clone());
                // The kernel takes its time, in which others may come to their limits.
                tokio::task::spawn_blocking(move || {
                    let done = if apply { reclaim(&layout, &path, bytes) } else { Ok(()) };
                    let what = EventKind::Guard {
                        action: "reclaim".into(),
                        applied: apply && done.is_ok(),
                        from: None,
                        to: None,
                        bytes: Some(bytes),
                        reason,
                        error: done.err().map(|error| words(&error)),
                    };
                    let _ = events.send(Event::of(&path, what));
                });
            }
        }
        true
    }

    fn owe(&mut self, path: &str, id: u64, from: Limits, to: Limits) -> std::io::Result<()> {
        let who = identify(path).filter(|who| who.runtime == "docker" && who.is_container());
        self.ledger.owe(Debt {
            path: path.to_owned(),
            id,
            boot: self.ledger.boot().to_owned(),
            docker: who.and_then(|who| who.container),
            original: from,
            both: both(&self.layout, path),
            given: vec![to],
        })
    }

    fn limit(&mut self, name: &str, action: &Action, (from, to): (Limits, Limits), may: Result<(), String>) -> bool {
        let done = may.and_then(|()| match self.apply {
            true => self.write(&action.path, from, to).map_err(|error| words(&error)),
            false => Ok(()),
        });
        let what = EventKind::Guard {
            action: name.into(),
            applied: self.apply && done.is_ok(),
            from: Some(guarded(from)),
            to: Some(guarded(to)),
            bytes: None,
            reason: action.reason.clone(),
            error: done.as_ref().err().cloned(),
        };
        self.record(Event::of(&action.path, what));
        if self.apply && done.is_ok() && from.max != to.max {
            self.notify_runtime(&action.path, to.max);
        }
        done.is_ok()
    }

    fn write(&self, path: &str, from: Limits, to: Limits) -> Result<(), Error> {
        let max = || if from.max == to.max { Ok(()) } else { set_max(&self.layout, path, from.max, to.max) };
        let high = || if from.high == to.high { Ok(()) } else { set_high(&self.layout, path, to.high) };
        // At no moment throttled by a limit that would be above the one that kills.
        if to.max >= from.max { max().and_then(|()| high()) } else { high().and_then(|()| max()) }
    }

    fn notify_runtime(&mut self, path: &str, to: u64) {
        let Some(who) = identify(path) else { return };
        match who.container.as_ref() {
            Some(id) if who.runtime == "docker" && who.is_container() => {
                self.settling.begin(path);
                let _ = self.docker.send(Order::Change(LimitChange { path: path.to_owned(), id: id.clone(), to }));
            }
            _ if self.not_notified.insert(path.to_owned()) => {
                let why = format!("{} cannot be notified: it shows the old limit, and may set it again", who.runtime);
                self.record(event(path, "tell_runtime", false, "a limit was changed".into(), Some(why)));
            }
            _ => {}
        }
    }
}

fn guarded(limits: Limits) -> Guarded {
    let set = |limit: u64| (limit != UNLIMITED).then_some(limit);
    Guarded { high: set(limits.high), max: set(limits.max) }
}

/// An error with its causes.
fn words(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}
