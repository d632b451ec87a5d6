//! The journal with somebody beside the recorder who tells it events.

use std::sync::mpsc::Receiver;

use sampler::event::Event;
use sampler::recording::Subject;
use sampler::sample::{PassHead, Row, SubjectRef};
use sampler::sink::Sink;

/// Takes what was told at each event and each flush, which come several times a second. It runs on the relay's thread and waits
/// for nothing; the goodbye of the agent comes after all that was told before it.
pub struct Telling {
    sink: Box<dyn Sink>,
    told: Receiver<Event>,
}

impl Telling {
    /// A sink before another.
    pub fn new(sink: Box<dyn Sink>, told: Receiver<Event>) -> Telling {
        Telling { sink, told }
    }

    fn tell(&mut self) {
        self.told.try_iter().for_each(|event| self.sink.event(&event));
    }
}

impl Sink for Telling {
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
        self.tell();
        self.sink.event(event);
    }
    fn flush(&mut self, sync: bool) {
        self.tell();
        self.sink.flush(sync);
    }
}
