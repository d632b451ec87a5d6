//! `record --last-words`: the line that may outlive the machine, into a file in place of the kernel's log.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Records until a signal comes; what the file holds then, and how the recorder ended.
fn killed_by(signal: Signal) -> (String, ExitStatus) {
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    let mut agent = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(["record", "--no-names", "--no-protect", "--probe", "off", "--slow-interval", "200ms", "--out"])
        .arg(dir.path().join("out"))
        .arg(format!("--last-words={}", said.display()))
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    kill_process(Pid::from_child(&agent), signal).unwrap();
    let status = agent.wait().unwrap();
    (std::fs::read_to_string(said).unwrap(), status)
}

#[test]
fn a_signal_that_ends_the_recorder_leaves_a_line_with_the_figures() {
    if !Path::new("/sys/fs/cgroup").exists() || !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED a_signal_that_ends_the_recorder_leaves_a_line_with_the_figures: needs root and cgroups");
        return;
    }
    let (said, status) = killed_by(Signal::TERM);
    assert!(status.success());
    assert!(said.starts_with("sampler: the recorder ends by SIGTERM; ") && said.contains(" available"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let (said, status) = killed_by(Signal::SEGV);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(11), "it dies as it would have");
    assert!(said.starts_with("sampler: the recorder died; ") && said.contains(" available"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args([
            "record",
            "--for",
            "1s",
            "--no-names",
            "--no-protect",
            "--probe",
            "off",
            "--last-words=/dev/no-such-log",
            "--out",
        ])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(!out.status.success());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("open /dev/no-such-log for --last-words"), "{said}");
}
