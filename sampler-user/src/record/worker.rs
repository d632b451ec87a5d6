//! A sampling thread, as the control loop sees it.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::kernel::cgroupfs::plan::Plan;
use crate::record::fast::Command;
use crate::record::sampler::Target;

/// Commands that may wait for a sampling thread.
const COMMANDS: usize = 1024;
/// The threads touch little stack.
const STACK: usize = 256 << 10;

/// Starts a thread of the recorder.
pub fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.into()).stack_size(STACK).spawn(run)
}

/// The thread's ends of the queues between it and the control loop.
#[derive(Debug)]
pub struct Queues {
    /// What it is asked to do.
    pub commands: Consumer<Command>,
    /// The targets it has let go of: closing their files may take time.
    pub graveyard: Producer<Box<Target>>,
}

/// A sampling thread, as the control loop sees it.
#[derive(Debug)]
pub struct Worker {
    thread: Option<JoinHandle<()>>,
    commands: Producer<Command>,
    graveyard: Consumer<Box<Target>>,
    /// The files it reads of each cgroup; `None` if it reads none.
    pub plan: Option<Plan>,
}

impl Worker {
    /// Starts the thread that `run` makes of its ends of the queues.
    pub fn start<F: FnOnce() + Send + 'static>(
        name: &str,
        plan: Option<Plan>,
        run: impl FnOnce(Queues) -> F,
    ) -> io::Result<Worker> {
        let (commands, inbox) = RingBuffer::new(COMMANDS);
        let (grave, graveyard) = RingBuffer::new(COMMANDS);
        let thread = spawn(name, run(Queues { commands: inbox, graveyard: grave }))?;
        Ok(Worker { thread: Some(thread), commands, graveyard, plan })
    }

    /// Queues a command; waits while the queue is full.
    pub fn send(&mut self, mut command: Command) {
        while let Err(PushError::Full(back)) = self.commands.push(command) {
            command = back;
            self.wake();
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Wakes the thread to look at its commands.
    pub fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Closes the files of targets that the thread has let go of.
    pub fn close_removed(&mut self) {
        while self.graveyard.pop().is_ok() {}
    }

    /// Waits for the thread, which was asked to stop.
    pub fn join(&mut self) {
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
