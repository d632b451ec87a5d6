//! The journal with company: somebody beside the recorder tells it events, and somebody hears of each.

use std::sync::mpsc::Receiver;

use crate::model::event::Event;
use crate::model::recording::Subject;
use crate::model::sample::{PassHead, Row, SubjectRef};
use crate::model::sink::Sink;

/// Passes on what it is given, and lets each event be heard after it is recorded, and each flush as `None`. What was told is taken at each event and each
/// flush, which come several times a second, so the goodbye of the agent comes after all that was told before it. It runs on the
/// relay's thread and waits for nothing; who hears puts the event into a queue.
pub struct Listening<H> {
    sink: Box<dyn Sink>,
    told: Receiver<Event>,
    hear: H,
}

impl<H: FnMut(Option<&Event>) + Send> Listening<H> {
    /// A sink before another.
    pub fn new(sink: Box<dyn Sink>, told: Receiver<Event>, hear: H) -> Listening<H> {
        Listening { sink, told, hear }
    }

    fn take(&mut self, event: &Event) {
        self.sink.event(event);
        (self.hear)(Some(event));
    }

    fn take_told(&mut self) {
        while let Ok(event) = self.told.try_recv() {
            self.take(&event);
        }
    }
}

impl<H: FnMut(Option<&Event>) + Send> Sink for Listening<H> {
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
        self.take_told();
        self.take(event);
    }
    fn flush(&mut self, sync: bool) {
        self.take_told();
        self.sink.flush(sync);
        (self.hear)(None);
    }
}
