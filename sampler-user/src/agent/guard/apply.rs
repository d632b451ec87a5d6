//! What the guard does, and that it is recorded.

use std::collections::HashSet;
use std::sync::mpsc::Sender;

use tokio::sync::mpsc::UnboundedSender;

use crate::agent::guard::docker::{LimitChange, Settling};
use crate::agent::guard::record::event;
use crate::containers::runtimes::identify;
use crate::guard::{Action, ActionKind, Limits};
use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::limits::{Error, reclaim, set_high, set_max};
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
    pub docker: UnboundedSender<LimitChange>,
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

    /// Does one thing. What could not be done is recorded with its reason, and given back.
    pub fn act(&mut self, action: &Action) -> Result<(), Error> {
        let Action { path, kind, reason } = action;
        match kind {
            ActionKind::Hold => self.record(event(path, "hold", false, reason.clone(), None)),
            ActionKind::Raise { from, to } => self.limit("raise", action, *from, *to)?,
            ActionKind::Restore { from, to } => self.limit("restore", action, *from, *to)?,
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
        Ok(())
    }

    fn limit(&mut self, name: &str, action: &Action, from: Limits, to: Limits) -> Result<(), Error> {
        let done = if self.apply { self.write(&action.path, from, to) } else { Ok(()) };
        let what = EventKind::Guard {
            action: name.into(),
            applied: self.apply && done.is_ok(),
            from: Some(guarded(from)),
            to: Some(guarded(to)),
            bytes: None,
            reason: action.reason.clone(),
            error: done.as_ref().err().map(words),
        };
        self.record(Event::of(&action.path, what));
        if self.apply && done.is_ok() && from.max != to.max {
            self.notify_runtime(&action.path, to.max);
        }
        done
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
                let _ = self.docker.send(LimitChange { path: path.to_owned(), id: id.clone(), to });
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
