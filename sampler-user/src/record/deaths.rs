//! Processes that end: who sent them the signals they had, and a bound on how many are recorded. Pure, with the clock passed in.

use std::collections::VecDeque;

use crate::kernel::probe::events::ProcessExit;
use crate::model::event::EventKind;
use crate::model::evidence::SentSignal;

/// Signals that are kept until their process ends.
const SIGNALS: usize = 512;
/// Signals of one process that are recorded with its end.
const OF_ONE: usize = 4;
/// A stop is asked for no longer than this before the end, nanoseconds.
const KEPT_NS: u64 = 600_000_000_000;
/// Ends a second that are recorded: of main processes, and of others.
const EACH_SECOND: [u32; 2] = [200, 50];

/// What is known of processes that are about to end.
#[derive(Debug, Default)]
pub struct Deaths {
    signals: VecDeque<(i32, SentSignal)>,
    second: u64,
    recorded: [u32; 2],
    left_out: u64,
}

impl Deaths {
    /// A process was sent a signal.
    pub fn signal(&mut self, pid: i32, sent: SentSignal) {
        if self.signals.len() == SIGNALS {
            self.signals.pop_front();
        }
        self.signals.push_back((pid, sent));
    }

    /// A process ended: its event, unless there are too many.
    pub fn exit(&mut self, time_ns: u64, exit: ProcessExit) -> Option<EventKind> {
        let began_ns = time_ns.saturating_sub(exit.lived_us.saturating_mul(1000));
        let since = began_ns.max(time_ns.saturating_sub(KEPT_NS));
        let mut signals = Vec::new();
        self.signals.retain(|(pid, sent)| {
            // A number that was used before is of another process.
            if *pid == exit.pid && sent.time_ns >= since {
                signals.push(sent.clone());
            }
            *pid != exit.pid
        });
        signals.drain(..signals.len().saturating_sub(OF_ONE));
        let second = time_ns / 1_000_000_000;
        if second != self.second {
            (self.second, self.recorded) = (second, [0, 0]);
        }
        let class = usize::from(!(exit.main || exit.last));
        if self.recorded[class] >= EACH_SECOND[class] {
            self.left_out += 1;
            return None;
        }
        self.recorded[class] += 1;
        Some(EventKind::ProcessExit {
            pid: exit.pid,
            own_pid: exit.own_pid,
            comm: exit.comm,
            uid: exit.uid,
            lived_us: exit.lived_us,
            peak_rss: exit.peak_rss,
            code: exit.code,
            signal: exit.signal,
            main: exit.main,
            last: exit.last,
            usage: exit.usage,
            limit: exit.limit,
            address_limit: exit.address_limit,
            signals,
        })
    }

    /// Ends that were not recorded since the call before.
    pub fn left_out(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.left_out)).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::SignalOrigin;

    const S: u64 = 1_000_000_000;

    fn sent(time_ns: u64, signal: u8, by: &str) -> SentSignal {
        SentSignal {
            time_ns,
            signal,
            code: 0,
            origin: SignalOrigin::Process,
            ignored: false,
            sender_pid: 1,
            sender_uid: 0,
            sender_comm: by.into(),
            sender_cgroup: None,
        }
    }

    fn exit(pid: i32, main: bool) -> ProcessExit {
        ProcessExit {
            pid,
            own_pid: 1,
            comm: "app".into(),
            uid: 0,
            lived_us: 20_000_000,
            peak_rss: 1,
            code: None,
            signal: Some(9),
            main,
            last: false,
            usage: None,
            limit: None,
            address_limit: None,
        }
    }

    fn senders(what: Option<EventKind>) -> Vec<(u8, String)> {
        match what {
            Some(EventKind::ProcessExit { signals, .. }) => {
                signals.into_iter().map(|sent| (sent.signal, sent.sender_comm)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_end_has_the_signals_of_its_own_process_and_of_no_one_before_it() {
        let mut deaths = Deaths::default();
        deaths.signal(7, sent(70 * S, 15, "of the one before"));
        deaths.signal(7, sent(90 * S, 15, "dockerd"));
        deaths.signal(8, sent(95 * S, 9, "other"));
        deaths.signal(7, sent(100 * S, 9, "runc"));
        let got = senders(deaths.exit(100 * S, exit(7, true)));
        assert_eq!(got, [(15, "dockerd".into()), (9, "runc".into())]);
        assert_eq!(senders(deaths.exit(101 * S, exit(7, true))), [], "each end takes its own");
        assert_eq!(senders(deaths.exit(101 * S, exit(8, true))), [(9, "other".into())]);
    }

    #[test]
    fn a_storm_of_ends_is_bounded_and_counted_and_hides_no_main_process() {
        let mut deaths = Deaths::default();
        let recorded = (0..1000).filter(|pid| deaths.exit(5 * S, exit(*pid, false)).is_some()).count();
        assert_eq!((recorded, deaths.left_out(), deaths.left_out()), (50, Some(950), None));
        assert!(deaths.exit(5 * S, exit(1, true)).is_some());
        assert!(deaths.exit(6 * S, exit(2, false)).is_some(), "a second later there is room again");
        for pid in 0..10_000 {
            deaths.signal(pid, sent(S, 15, "x"));
        }
        assert_eq!(deaths.signals.len(), SIGNALS);
    }
}
