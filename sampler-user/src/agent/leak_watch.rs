//! The journal with somebody who reads along: what is recorded goes through the detectors, and a leak is reported while it happens.

use crate::analysis::live::{Live, News};
use crate::model::event::{Event, EventKind};
use crate::model::fields::{FieldId, Table};
use crate::model::recording::Subject;
use crate::model::sample::{PassHead, Row, SubjectRef};
use crate::model::sink::Sink;
use crate::model::word::word;

/// A sink that reads along. It runs on the relay's thread, which may wait; the sampling threads do not know of it.
pub struct LeakWatch {
    journal: Box<dyn Sink>,
    live: Live,
}

impl LeakWatch {
    /// `fields`: those that are recorded; none is all.
    pub fn new(journal: Box<dyn Sink>, fields: &[FieldId]) -> LeakWatch {
        LeakWatch { journal, live: Live::new(fields) }
    }

    fn report(&mut self, news: News) {
        let v = &news.verdict;
        let what = EventKind::Leak {
            leaks: news.leaks,
            component: v.component.as_ref().map(word),
            bytes_per_s: v.rate_bytes_per_s.filter(|_| news.leaks),
            time_to_limit_s: v.time_to_limit_s,
            probability: v.probability,
            evidence: v.evidence.clone(),
        };
        self.journal.event(&Event::of(&news.path, what));
    }
}

impl Sink for LeakWatch {
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
        if head.kind.table() != Table::Processes {
            self.live.row((head.mono_ns / 1000) as i64, row);
        }
        self.journal.row(head, row);
    }

    fn event(&mut self, event: &Event) {
        self.live.event(event);
        self.journal.event(event);
    }

    fn flush(&mut self, sync: bool) {
        for news in self.live.look() {
            self.report(news);
        }
        self.journal.flush(sync);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::fields::UNLIMITED;
    use crate::model::sample::{HOST, PassKind};

    /// Keeps the events.
    struct Collector(Arc<Mutex<Vec<Event>>>);

    impl Sink for Collector {
        fn subject(&mut self, _: SubjectRef, _: &Subject) {}
        fn forget(&mut self, _: SubjectRef) {}
        fn pass(&mut self, _: PassHead) {}
        fn row(&mut self, _: PassHead, _: &Row) {}
        fn event(&mut self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
        fn flush(&mut self, _: bool) {}
    }

    #[test]
    fn a_leak_without_a_limit_is_reported_with_the_time_until_the_machine_is_full() {
        let events = Arc::new(Mutex::new(Vec::new()));
        let mut watch = LeakWatch::new(Box::new(Collector(events.clone())), &[]);
        watch.subject(HOST, &Subject::host());
        watch.subject(1, &Subject { cgroup: "/a".into(), id: 1, process: None });
        for t in 0..1500u64 {
            let mut put = |kind, number, fields: &[(FieldId, u64)]| {
                let head = PassHead { kind, mono_ns: (t + 1) * 1_000_000_000, rows: 1 };
                let mut row = Row::new(number);
                fields.iter().for_each(|(id, value)| row.put(id.field(), *value));
                watch.pass(head);
                watch.row(head, &row);
            };
            let anon = (100 << 20) + t * 100_000 + t * 7919 % 101 * 4096;
            put(PassKind::Full, 1, &[(FieldId::Current, anon), (FieldId::Anon, anon), (FieldId::Max, UNLIMITED)]);
            put(PassKind::Host, HOST, &[(FieldId::MemAvailable, (1 << 30) - t * 100_000)]);
            watch.flush(false);
        }
        let events = events.lock().unwrap();
        let [Event { what: EventKind::Leak { leaks: true, time_to_limit_s: Some(left), .. }, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!((9_000.0..10_700.0).contains(left), "a GiB at a tenth of a megabyte a second: {left}");
    }
}
