//! A recorder that a test starts, and that ends with the test, also with one that panics.
#![allow(clippy::unwrap_used, dead_code, reason = "a test panics, and not each uses all")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long one that is asked to stop may take before it is killed.
const LAST: Duration = Duration::from_secs(15);

/// `sampler record`.
pub struct Agent(Child);

impl Agent {
    pub fn start(command: &mut Command) -> Agent {
        Agent(command.spawn().unwrap())
    }

    /// One whose probe is in place; without one the test fails.
    pub fn with_probe(out: &std::path::Path) -> Agent {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sampler"));
        command.args(["record", "--interval", "100ms", "--probe", "require", "--out"]).arg(out);
        let mut agent = Agent::start(command.stderr(Stdio::piped()));
        let said = BufReader::new(agent.0.stderr.take().unwrap()).lines();
        assert!(said.map_while(Result::ok).any(|line| line.contains("probe is in place")));
        agent
    }

    /// Asks it to stop, and waits until it has sealed its recording.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Asked first: a command of its hooks ends with it then.
        let begun = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && begun.elapsed() < LAST {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
