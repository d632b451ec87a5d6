//! The journal with somebody who reads along: what is recorded goes through the detectors, and a leak is told while it happens.

use sampler::analysis::live::{Live, News};
use sampler::event::{Event, What};
use sampler::fields::{FieldId, Table};
use sampler::recording::Subject;
use sampler::sample::{PassHead, Row, SubjectRef};
use sampler::sink::Sink;

/// A sink that reads along. It runs on the relay's thread, which may wait; the sampling threads do not know of it.
pub struct Watch {
    journal: Box<dyn Sink>,
    live: Live,
}

impl Watch {
    /// `fields`: those that are recorded; none is all.
    pub fn new(journal: Box<dyn Sink>, fields: &[FieldId]) -> Watch {
        Watch { journal, live: Live::new(fields) }
    }

    fn tell(&mut self, news: News) {
        let v = &news.verdict;
        let what = What::Leak {
            leaks: news.leaks,
            component: v.component.and_then(|part| Some(serde_json::to_value(part).ok()?.as_str()?.to_owned())),
            bytes_per_s: v.rate_bytes_per_s.filter(|_| news.leaks),
            time_to_limit_s: v.time_to_limit_s,
            probability: v.probability,
            evidence: v.evidence.clone(),
        };
        self.journal.event(&Event::of(&news.path, what));
    }
}

impl Sink for Watch {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.live.subject(number, subject);
        self.journal.subject(number, subject);
    }

    fn forget(&mut self, number: SubjectRef) {
        self.live.forget(number);
        self.journal.forget(number);
    }

    fn pass(&mut self, head: PassHead) {
        self.journal.pass(head);
    }

    fn row(&mut self, head: PassHead, row: &Row) {
        if head.kind.table() == Table::Samples {
            self.live.row((head.mono_ns / 1000) as i64, row);
        }
        self.journal.row(head, row);
    }

    fn event(&mut self, event: &Event) {
        self.journal.event(event);
    }

    fn flush(&mut self, sync: bool) {
        for news in self.live.look() {
            self.tell(news);
        }
        self.journal.flush(sync);
    }
}
