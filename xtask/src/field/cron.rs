//! A healthy stack with twenty cron jobs: whatever is reported of it is false.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use super::kernel::lock;
use super::reports::Reports;
use super::stack::{Stack, data};

/// Jobs that run in containers that stay, one after the other with a pause; half of their commands end with a code or by a signal,
/// as scripts do.
const STAYING: u64 = 15;
/// Jobs that are a container each time.
const PASSING: u64 = 5;
/// Containers that stand still.
const STEADY: u64 = 4;

/// Runs it for some minutes. How much was reported.
pub fn run(sampler: &Path, home: &Path, minutes: u64) -> anyhow::Result<usize> {
    let mut stack = Stack::begin(home)?;
    let out = home.join("recording");
    let seen = Arc::new(Mutex::default());
    let reports = Reports::begin(sampler, home, &out, &stack.docker.socket(), seen, &[])?;
    sleep(Duration::from_secs(2));
    stack.make_noise()?;
    let programs = format!("{}:/programs:ro", data().join("programs").display());
    let start = |more: &[&str], name: &str, script: &str| {
        let base = ["run", "-d", "--network", "none", "-m", "128m", "-v", "/usr:/usr:ro", "-v", &programs];
        stack.docker.read(&[&base, more, &["--name", name, "field", "sh", "-c", script]].concat()).map(drop)
    };
    for n in 0..STEADY {
        start(&[], &format!("steady-{n}"), "exec python3 /programs/memory.py hold 40 rest 100000")?;
    }
    for n in 0..STAYING {
        let (pause, mib) = (11 + 7 * n, 16 + 4 * n);
        let script = format!(
            "while :; do sleep {pause}; python3 /programs/memory.py hold {mib} rest 1; sh -c 'exit 1'; \
             timeout 2 sleep 9; timeout -s KILL 1 sleep 9; done"
        );
        start(&[], &format!("cron-{n}"), &script)?;
    }
    let begun = Instant::now();
    let (mut round, mut early) = (0, 0);
    while begun.elapsed() < Duration::from_secs(minutes * 60) {
        for n in (0..PASSING).filter(|n| round % (n + 2) == 0) {
            let script = format!("exec python3 /programs/memory.py hold {} rest 2", 20 + 9 * n);
            start(&["--rm"], &format!("job-{n}-{round}"), &script)?;
        }
        round += 1;
        sleep(Duration::from_secs(30));
        if round == 10 {
            early = reports.resident();
        }
    }
    let late = reports.resident();
    let alerts = lock(&reports.reported()).alerts.clone();
    drop(reports.end());
    // Its code says whether there is an incident, or none.
    let list = Command::new(sampler).args(["postmortem", "--list", "--json"]).arg(&out).output().context("list")?;
    let list: Value = serde_json::from_slice(&list.stdout).context("read the list")?;
    let incidents = list.as_array().map_or(0, Vec::len);
    println!("note {minutes} minutes of {} cron jobs and {STEADY} steady containers", STAYING + PASSING);
    println!("note resident memory after 5 minutes {} KiB, at the end {} KiB", early >> 10, late >> 10);
    println!("{incidents} incidents: {list}");
    println!("{} alerts: {alerts:?}", alerts.len());
    Ok(incidents + alerts.len())
}
