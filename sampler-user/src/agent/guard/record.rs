//! What the guard did, as an event.

use crate::model::event::{Event, What};

/// An event without limits.
pub fn event(path: &str, action: &str, applied: bool, reason: String, error: Option<String>) -> Event {
    let action = action.to_owned();
    Event::of(path, What::Guard { action, applied, from: None, to: None, bytes: None, reason, error })
}
