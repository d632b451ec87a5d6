//! Rows and events for the journal and for the board.

use crate::agent::live_board::LiveBoard;
use crate::model::event::Event;
use crate::model::recording::Subject;
use crate::model::sample::{PassHead, Row, SubjectRef};
use crate::model::sink::Sink;

/// Gives everything to the journal and to the board.
pub struct Tee<S> {
    /// The journal.
    pub journal: S,
    /// The board.
    pub board: LiveBoard,
}

impl<S: Sink> Sink for Tee<S> {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.journal.subject(number, subject);
        self.board.subject(number, subject);
    }
    fn forget(&mut self, number: SubjectRef) {
        self.journal.forget(number);
        self.board.forget(number);
    }
    fn pass(&mut self, head: PassHead) {
        self.journal.pass(head);
        self.board.pass(head);
    }
    fn row(&mut self, head: PassHead, row: &Row) {
        self.journal.row(head, row);
        self.board.row(head, row);
    }
    fn event(&mut self, event: &Event) {
        self.journal.event(event);
        self.board.event(event);
    }
    fn flush(&mut self, sync: bool) {
        self.journal.flush(sync);
    }
}
