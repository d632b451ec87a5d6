//! A sink before the journal: other threads add events, and an observer sees each of them.

use std::sync::mpsc::Receiver;

use crate::model::event::Event;
use crate::model::recording::Subject;
use crate::model::sample::{PassHead, Row, SubjectRef};
use crate::model::sink::Sink;

/// Passes everything on to a sink, adds events from other threads, and shows each event to an observer once it is recorded; each
/// flush is shown as `None`. Events from other threads are taken at each event and each flush, several times a second, so the clean
/// stop of the agent comes after all of them. It runs on the relay's thread and never waits; the observer puts the event into a queue.
pub struct EventTap<H> {
    sink: Box<dyn Sink>,
    injected: Receiver<Event>,
    observe: H,
}

impl<H: FnMut(Option<&Event>) + Send> EventTap<H> {
    /// A sink before another.
    pub fn new(sink: Box<dyn Sink>, injected: Receiver<Event>, observe: H) -> EventTap<H> {
        EventTap { sink, injected, observe }
    }

    fn take(&mut self, event: &Event) {
        self.sink.event(event);
        (self.observe)(Some(event));
    }

    fn take_injected(&mut self) {
        while let Ok(event) = self.injected.try_recv() {
            self.take(&event);
        }
    }
}

impl<H: FnMut(Option<&Event>) + Send> Sink for EventTap<H> {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.sink.subject(number, subject);
    }
    fn forget(&mut self, number: SubjectRef) {
        self.sink.forget(number);
    }
    fn pass(&mut self, head: PassHead) {
        self.sink.pass(head);
    }
    fn row(&mut self, head: PassHead, row: &Row) {
        self.sink.row(head, row);
    }
    fn event(&mut self, event: &Event) {
        self.take_injected();
        self.take(event);
    }
    fn flush(&mut self, sync: bool) {
        self.take_injected();
        self.sink.flush(sync);
        (self.observe)(None);
    }
}
