//! Where records go. Infallible on purpose: a failure to record must never harm the sampling, so it is the sink's own state,
//! and shows in the recording as a gap.

use crate::model::event::Event;
use crate::model::recording::Subject;
use crate::model::sample::{PassHead, Row, SubjectRef};

/// Takes what the recorder produces. Called from the relay thread only, never from the sampling threads.
pub trait Sink: Send {
    /// A subject gets its number, before its first row.
    fn subject(&mut self, number: SubjectRef, subject: &Subject);
    /// A subject is gone; its number is not used again.
    fn forget(&mut self, number: SubjectRef);
    /// A pass begins.
    fn pass(&mut self, head: PassHead);
    /// A row of the pass that began last.
    fn row(&mut self, head: PassHead, row: &Row);
    /// An event.
    fn event(&mut self, event: &Event);
    /// All that was given so far should reach the file now, and the disk if `sync`.
    fn flush(&mut self, sync: bool);
}
