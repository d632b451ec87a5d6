//! A board that one thread fills and others look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::live::board::{Board, Depth};
use crate::model::event::{Event, EventKind};
use crate::model::recording::Subject;
use crate::model::sample::{PassHead, Row, SubjectRef};
use crate::model::sink::Sink;
use crate::model::time::Anchor;

/// A board that one thread fills and others look at.
#[derive(Clone)]
pub struct LiveBoard {
    board: Arc<Mutex<Board>>,
    /// Wakes who waits for a kill.
    pub(super) killed: Arc<Notify>,
}

impl LiveBoard {
    /// An empty one.
    pub fn new(depth: Depth, host: String, wsl: Option<String>) -> LiveBoard {
        let mut board = Board::new(depth, Anchor::now(), (host, wsl));
        board.page_size = rustix::param::page_size() as u64;
        LiveBoard { board: Arc::new(Mutex::new(board)), killed: Arc::default() }
    }

    /// The board. A thread that died while it held it has left it whole enough to be shown.
    pub fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for LiveBoard {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.lock().subject(number, subject);
    }
    fn forget(&mut self, number: SubjectRef) {
        self.lock().forget(number);
    }
    fn pass(&mut self, head: PassHead) {
        self.lock().pass(head);
    }
    fn row(&mut self, head: PassHead, row: &Row) {
        self.lock().row(head, row);
    }
    fn event(&mut self, event: &Event) {
        self.lock().event(event);
        if matches!(event.what, EventKind::OomKill(_) | EventKind::MoreOomKills(_)) {
            self.killed.notify_one();
        }
    }
    fn flush(&mut self, _: bool) {}
}
