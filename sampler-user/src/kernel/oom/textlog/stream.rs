//! What is remembered of one machine: a log of several has the lines of their reports between each other.

use std::collections::VecDeque;

use crate::kernel::oom::kmsg::OomParser;
use crate::kernel::oom::textlog::log::When;

/// Headers whose time is remembered.
const MOST_HEADS: usize = 16;
/// Machines that are remembered at once.
pub(super) const MOST_STREAMS: usize = 16;
/// Lines of others after which a report is no reason to look at each line.
const MOST_IDLE: u64 = 4096;

/// The lines of one machine.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Name; `None` until a line has one.
    pub host: Option<String>,
    pub parser: OomParser,
    /// Of the last line.
    pub when: When,
    pub line: u64,
    pub boot_id: Option<String>,
    /// Whether anything of the boot came yet.
    pub begun: bool,
    /// The last kill that has a report of its own, by which the next of its group share it.
    pub head: Option<usize>,
    /// Lines with which reports began, and their times.
    heads: VecDeque<(u64, When)>,
}

impl Stream {
    /// Of a machine, whose lines are of this boot.
    pub fn of(host: &str, boot: u32) -> Stream {
        Stream { host: Some(host.to_owned()), when: When { boot, ..When::default() }, ..Stream::default() }
    }

    /// Whether its report makes each line of the log matter.
    pub fn is_busy(&self, line: u64) -> bool {
        self.parser.is_busy() && line.saturating_sub(self.line) < MOST_IDLE
    }

    /// Notes the time at which a report begins.
    pub fn begins(&mut self, line: u64) {
        if self.heads.len() >= MOST_HEADS {
            self.heads.pop_front();
        }
        self.heads.push_back((line, self.when));
    }

    /// When the report of a line began.
    pub fn begun_at(&self, line: u64) -> Option<When> {
        self.heads.iter().rev().find(|(head, _)| *head == line).map(|(_, when)| *when)
    }
}
