//! The journal with somebody who hears of each event.

use sampler::event::Event;
use sampler::recording::Subject;
use sampler::sample::{PassHead, Row, SubjectRef};
use sampler::sink::Sink;

/// Passes on what it is given, and lets each event be heard after it is recorded. It runs on the relay's thread: who hears it
/// puts it into a queue and waits for nothing.
pub struct Listening<H> {
    sink: Box<dyn Sink>,
    hear: H,
}

impl<H: FnMut(&Event) + Send> Listening<H> {
    /// A sink before another.
    pub fn new(sink: Box<dyn Sink>, hear: H) -> Listening<H> {
        Listening { sink, hear }
    }
}

impl<H: FnMut(&Event) + Send> Sink for Listening<H> {
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
        self.sink.event(event);
        (self.hear)(event);
    }
    fn flush(&mut self, sync: bool) {
        self.sink.flush(sync);
    }
}
