//! What is known of a recording: its board, its overview, and what its cgroups are called.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::live::board::{Board, Depth, Document, FORMAT};
use crate::model::event::{Event, EventKind};
use crate::model::fields::Table;
use crate::model::problem::Problem;
use crate::model::recording::{Origin, Subject, TimedEvent};
use crate::model::sample::{HOST, PassHead, Row, SubjectRef};
use crate::model::sink::Sink;
use crate::model::time::{Anchor, format_us};
use crate::reading::names::Named;
use crate::reading::plots::overview::Overview;
use crate::ui::tui::state::State;

/// Six minutes at a point each two seconds: growth is of five.
const DEPTH: Depth = Depth { step_us: 1_900_000, points: 180 };
/// Points of the small charts that a browser begins with, two for each of the board.
const HISTORY: usize = 120;

/// What is known of a recording.
#[derive(Debug)]
pub struct Seen {
    /// The present.
    pub board: Board,
    /// The past.
    pub overview: Overview,
    /// Names.
    pub named: Named,
    /// What of the past could not be read.
    pub problems: Vec<Problem>,
    /// When the journal that is followed begins; before, the past was read from files.
    pub since_us: Option<i64>,
    /// The kernel of the machine.
    pub kernel: String,
    subjects: HashMap<SubjectRef, String>,
    anchor: Anchor,
    time_us: i64,
}

/// Whether it is recorded, and how much of its past was read.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Whether an agent records now.
    pub is_recording: bool,
    /// How much of the past was read, 0 to 1.
    pub read: f64,
    /// First and last time, microseconds since 1970.
    pub span_us: Option<(i64, i64)>,
    /// Why nothing new comes, where that is no end of the recorder.
    pub trouble: Option<String>,
}

impl Seen {
    /// Of a recording of which nothing was read.
    pub fn new() -> Seen {
        let anchor = Anchor { mono_ns: 0, wall_ns: 0 };
        Seen {
            board: Board::new(DEPTH, anchor, (String::new(), None)),
            overview: Overview::default(),
            named: Named::default(),
            problems: Vec::new(),
            since_us: None,
            kernel: String::new(),
            subjects: HashMap::new(),
            anchor,
            time_us: 0,
        }
    }

    /// Begins a segment of the journal.
    pub fn begin(&mut self, origin: &Origin) {
        self.board.begin(origin);
        self.subjects.clear();
        self.anchor = origin.anchor;
        self.kernel.clone_from(&origin.kernel);
        self.since_us.get_or_insert(origin.anchor.wall_us(origin.anchor.mono_ns));
    }

    /// The present, as `top --json` prints it, in one line.
    pub fn document(&self) -> Result<String, serde_json::Error> {
        let mut state = State::new(String::new());
        state.all = true;
        state.refresh(&self.board);
        serde_json::to_string(&Document {
            format: FORMAT,
            time: format_us(self.board.now_us.max(0)),
            machine: &state.machine,
            cgroups: state.shown.iter().map(|shown| &state.lines[shown.line]).collect(),
            problems: &[],
        })
    }

    /// The last points of each cgroup, KiB.
    pub fn history(&self) -> BTreeMap<&str, Vec<Option<u64>>> {
        let points = |history: &std::collections::VecDeque<crate::live::board::Point>| {
            let skipped = history.len().saturating_sub(HISTORY / 2);
            history.iter().skip(skipped).flat_map(|point| [point.current.map(|bytes| bytes / 1024); 2]).collect()
        };
        let there = self.board.cgroups.iter().filter(|(_, cgroup)| !cgroup.gone);
        there.map(|(path, cgroup)| (path.as_str(), points(&cgroup.history))).collect()
    }
}

impl Sink for Seen {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.board.subject(number, subject);
        if subject.process.is_none() {
            self.subjects.insert(number, subject.cgroup.clone());
        }
    }

    fn forget(&mut self, number: SubjectRef) {
        self.board.forget(number);
        self.subjects.remove(&number);
    }

    fn pass(&mut self, head: PassHead) {
        self.board.pass(head);
        self.time_us = self.anchor.wall_us(head.mono_ns);
    }

    fn row(&mut self, head: PassHead, row: &Row) {
        self.board.row(head, row);
        if row.subject == HOST {
            self.overview.row(None, self.time_us, row);
        } else if let Some(path) = self.subjects.get(&row.subject) {
            self.overview.row(Some(path), self.time_us, row);
        }
    }

    fn event(&mut self, event: &Event) {
        self.board.event(event);
        if matches!(event.what, EventKind::Named(_)) {
            let time_us = self.anchor.wall_us(event.mono_ns);
            self.named.learn(&[TimedEvent { time_us, event: event.clone() }]);
        }
    }

    fn flush(&mut self, _: bool) {}
}

/// The tables that an overview is made of.
pub const TABLES: [Table; 2] = [Table::Host, Table::Samples];
