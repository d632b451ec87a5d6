//! What the guard did, as an event.

use crate::model::event::{Event, EventKind};

/// An event without limits.
pub fn event(path: &str, action: &str, applied: bool, reason: String, error: Option<String>) -> Event {
    let action = action.to_owned();
    Event::of(path, EventKind::Guard { action, applied, from: None, to: None, bytes: None, reason, error })
}
