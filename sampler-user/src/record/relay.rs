//! The relay thread: from the rings of the sampling threads and the messages of the others to the sink. A stalled disk stops
//! this thread and no other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rtrb::Consumer;

use crate::model::event::{Event, EventKind};
use crate::model::recording::Subject;
use crate::model::sample::{Row, SubjectRef, take_pass};
use crate::model::sink::Sink;
use crate::model::time::mono_ns;
use crate::record::allowance::BURST_ROWS;
use crate::record::fast::ThreadState;

/// What does not go through the rings.
#[derive(Debug)]
pub enum Message {
    /// A subject gets its number, before its first row.
    Subject(SubjectRef, Subject),
    /// A subject is gone.
    Forget(SubjectRef),
    /// An event.
    Event(Event),
    /// Write and sync all that came so far, then end.
    End,
}

/// How often rows are handed to the file.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// How often the file is handed to the disk, in flushes: twice a second, so that a killed machine loses less than one.
const SYNC_EVERY: u32 = 2;

/// Runs until [`Message::End`]; gives the sink back.
pub fn run(
    mut sink: Box<dyn Sink>,
    messages: &Receiver<Message>,
    mut rings: Vec<Consumer<u64>>,
    shared: &Arc<ThreadState>,
) -> Box<dyn Sink> {
    let mut row = Row::new(0);
    let mut flushes = 0u32;
    let mut reported = Reported { since_ns: mono_ns(), ..Reported::default() };
    let mut last_flush = mono_ns();
    let mut forget = Vec::new();
    loop {
        let waited = Duration::from_nanos(mono_ns().saturating_sub(last_flush));
        let first = messages.recv_timeout(FLUSH_EVERY.saturating_sub(waited));
        let mut end = matches!(first, Err(RecvTimeoutError::Disconnected));
        // The rings' fill before the messages: a row that is taken now has had its subject sent before it.
        let filled: Vec<usize> = rings.iter().map(Consumer::slots).collect();
        let mut urgent = end;
        // Those of the round before: a pass with the last row of a subject may come behind the news of its end, and it would be
        // known again for ever.
        let gone = std::mem::take(&mut forget);
        let mut events = Vec::new();
        for message in first.into_iter().chain(std::iter::from_fn(|| messages.try_recv().ok())) {
            match message {
                Message::Subject(number, subject) => sink.subject(number, &subject),
                Message::Forget(number) => forget.push(number),
                Message::Event(event) => {
                    urgent |= event.what.is_urgent();
                    events.push(event);
                }
                Message::End => (end, urgent) = (true, true),
            }
        }
        for (ring, filled) in rings.iter_mut().zip(filled) {
            if let Ok(chunk) = ring.read_chunk(filled) {
                let (a, b) = chunk.as_slices();
                let mut words = a.iter().chain(b).copied();
                let mut give = |head, row: Option<&Row>| match row {
                    None => sink.pass(head),
                    Some(row) => sink.row(head, row),
                };
                while take_pass(&mut words, &mut row, &mut give).is_some() {}
                chunk.commit_all();
            }
        }
        events.iter().for_each(|event| sink.event(event));
        reported.report(mono_ns(), shared, &mut *sink);
        gone.into_iter().for_each(|number| sink.forget(number));

        if urgent || mono_ns().saturating_sub(last_flush) >= FLUSH_EVERY.as_nanos() as u64 {
            flushes += 1;
            sink.flush(urgent || flushes.is_multiple_of(SYNC_EVERY));
            last_flush = mono_ns();
        }
        if end {
            return sink;
        }
    }
}

/// Missed ticks are reported this often at most, nanoseconds: on a busy machine they come one by one.
const REPORT_EVERY_NS: u64 = 1_000_000_000;

/// What was reported already of what the sampling threads could not do.
#[derive(Debug, Default)]
struct Reported {
    missed_ticks: u64,
    lost_passes: u64,
    bursts_spent: bool,
    since_ns: u64,
}

impl Reported {
    /// Records what is new.
    fn report(&mut self, now_ns: u64, shared: &ThreadState, sink: &mut dyn Sink) {
        let mut record = |what| sink.event(&Event { mono_ns: now_ns, cgroup: None, what });
        let missed = shared.missed_ticks.load(Ordering::Relaxed);
        if missed > self.missed_ticks && now_ns.saturating_sub(self.since_ns) >= REPORT_EVERY_NS {
            record(EventKind::MissedTicks { count: missed - self.missed_ticks });
            self.missed_ticks = missed;
            self.since_ns = now_ns;
        }
        let spent = shared.bursts_spent.load(Ordering::Acquire);
        if spent != self.bursts_spent {
            let reason = match spent {
                true => format!("the {BURST_ROWS} rows that bursts may add in an hour are spent"),
                false => "bursts may add rows again".into(),
            };
            record(EventKind::RateChanged { interval_us: shared.burst_us.load(Ordering::Relaxed), reason });
            self.bursts_spent = spent;
        }
        let lost = shared.lost_passes.load(Ordering::Relaxed);
        if lost > self.lost_passes {
            record(EventKind::Gap {
                from_ns: self.since_ns,
                to_ns: now_ns,
                lost_passes: lost - self.lost_passes,
                reason: "the journal did not keep up with the sampling".into(),
            });
            self.lost_passes = lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::PassHead;

    #[derive(Default)]
    struct Events(Vec<EventKind>);

    impl Sink for Events {
        fn subject(&mut self, _: SubjectRef, _: &Subject) {}
        fn forget(&mut self, _: SubjectRef) {}
        fn pass(&mut self, _: PassHead) {}
        fn row(&mut self, _: PassHead, _: &Row) {}
        fn event(&mut self, event: &Event) {
            self.0.push(event.what.clone());
        }
        fn flush(&mut self, _: bool) {}
    }

    #[test]
    fn spent_bursts_lost_passes_and_missed_ticks_are_each_reported_once() {
        let (shared, mut sink, mut reported) = (ThreadState::default(), Events::default(), Reported::default());
        shared.bursts_spent.store(true, Ordering::Relaxed);
        shared.burst_us.store(100_000, Ordering::Relaxed);
        reported.report(1, &shared, &mut sink);
        reported.report(2, &shared, &mut sink);
        let [EventKind::RateChanged { interval_us: 100_000, reason }] = &sink.0[..] else { panic!("{:?}", sink.0) };
        assert!(reason.contains("are spent"), "{reason}");
        shared.bursts_spent.store(false, Ordering::Relaxed);
        shared.burst_us.store(1000, Ordering::Relaxed);
        reported.report(3, &shared, &mut sink);
        let Some(EventKind::RateChanged { interval_us: 1000, .. }) = sink.0.last() else { panic!("{:?}", sink.0) };
        shared.missed_ticks.store(4, Ordering::Relaxed);
        reported.report(4, &shared, &mut sink);
        assert_eq!(sink.0.len(), 2, "missed ticks are reported once a second");
        reported.report(1_000_000_000, &shared, &mut sink);
        assert_eq!(sink.0[2], EventKind::MissedTicks { count: 4 });
        shared.lost_passes.store(2, Ordering::Relaxed);
        reported.report(2_000_000_000, &shared, &mut sink);
        reported.report(3_000_000_000, &shared, &mut sink);
        let Some(EventKind::Gap { from_ns: 1_000_000_000, to_ns: 2_000_000_000, lost_passes: 2, .. }) = sink.0.last()
        else {
            panic!("{:?}", sink.0)
        };
    }
}
