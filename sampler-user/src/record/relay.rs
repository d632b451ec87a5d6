//! The relay thread: from the rings of the sampling threads and the messages of the others to the sink. A stalled disk stops
//! this thread and no other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rtrb::Consumer;

use crate::model::event::{Event, What};
use crate::model::recording::Subject;
use crate::model::sample::{Row, SubjectRef, take_pass};
use crate::model::sink::Sink;
use crate::model::time::mono_ns;
use crate::record::fast::Shared;
use crate::record::schedule::BURST_ROWS;

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
    shared: &Arc<Shared>,
) -> Box<dyn Sink> {
    let mut row = Row::new(0);
    let mut flushes = 0u32;
    let mut told = Losses { since_ns: mono_ns(), ..Losses::default() };
    let mut last_flush = mono_ns();
    loop {
        let waited = Duration::from_nanos(mono_ns().saturating_sub(last_flush));
        let first = messages.recv_timeout(FLUSH_EVERY.saturating_sub(waited));
        let mut end = matches!(first, Err(RecvTimeoutError::Disconnected));
        // The rings' fill before the messages: a row that is taken now has had its subject sent before it.
        let filled: Vec<usize> = rings.iter().map(Consumer::slots).collect();
        let mut urgent = end;
        let mut forget = Vec::new();
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
        told.tell(shared, &mut *sink);
        // After the rows: a subject's last rows may have come with the news of its end.
        forget.into_iter().for_each(|number| sink.forget(number));

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

/// Losses that were told already.
#[derive(Debug, Default)]
struct Losses {
    missed_ticks: u64,
    lost_passes: u64,
    bursts_spent: bool,
    since_ns: u64,
}

impl Losses {
    fn tell(&mut self, shared: &Shared, sink: &mut dyn Sink) {
        let now = mono_ns();
        let missed = shared.missed_ticks.load(Ordering::Relaxed);
        // Ticks are missed one by one on a busy machine: told once a second at most.
        if missed > self.missed_ticks && now.saturating_sub(self.since_ns) >= 1_000_000_000 {
            sink.event(&Event::now(What::MissedTicks { count: missed - self.missed_ticks }));
            self.missed_ticks = missed;
            self.since_ns = now;
        }
        let spent = shared.bursts_spent.load(Ordering::Acquire);
        if spent != self.bursts_spent {
            let reason = match spent {
                true => format!("the {BURST_ROWS} rows that bursts may add in an hour are spent"),
                false => "bursts may add rows again".into(),
            };
            sink.event(&Event::now(What::RateChanged { interval_us: shared.burst_us.load(Ordering::Relaxed), reason }));
            self.bursts_spent = spent;
        }
        let lost = shared.lost_passes.load(Ordering::Relaxed);
        if lost > self.lost_passes {
            sink.event(&Event::now(What::Gap {
                from_ns: self.since_ns,
                to_ns: now,
                lost_passes: lost - self.lost_passes,
                reason: "the journal did not keep up with the sampling".into(),
            }));
            self.lost_passes = lost;
        }
    }
}
