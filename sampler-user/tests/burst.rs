//! What `--burst` records of real cgroups, many at once.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/cgroups.rs"]
mod cgroups;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use self::cgroups::Cgroup;

/// A cgroup with a limit, in which a command runs.
fn running(name: &str, limit_mib: u64, line: &str) -> Cgroup {
    let mut cgroup = Cgroup::make("burst", name.as_bytes()).unwrap();
    cgroup.limit(limit_mib << 20);
    cgroup.start(&format!("exec {line}"));
    cgroup
}

/// Ends when it is dropped, also by a panic.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn rows(recording: &Path, cgroup: &str) -> u64 {
    let output = Command::new(env!("CARGO_BIN_EXE_sampler")).arg("info").arg(recording).arg("--json").output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = info["cgroups"].as_array().unwrap().iter().find(|c| c["path"] == cgroup);
    of.unwrap_or_else(|| panic!("{cgroup} is not there"))["rows"].as_u64().unwrap()
}

#[test]
fn a_healthy_container_full_of_page_cache_costs_no_more_rows_than_one_at_rest_while_a_leak_bursts() {
    let test = "a_healthy_container_full_of_page_cache_costs_no_more_rows_than_one_at_rest_while_a_leak_bursts";
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED {test}: needs root to make a cgroup");
    }
    if Cgroup::make("burst", b"probe").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let big = dir.path().join("big");
    fs::File::create(&big).unwrap().set_len(96 << 20).unwrap();
    let reads = format!("sh -c 'while :; do cat {} >/dev/null; sleep 0.1; done'", big.display());
    let reader = running("reader", 32, &reads);
    let rest: Vec<Cgroup> = (0..8).map(|n| running(&format!("rest{n}"), 64, "sleep 1000")).collect();
    // It is at its limit before anybody looks.
    sleep(Duration::from_secs(2));
    let done = AtomicBool::new(false);
    let out = dir.path().join("out");
    std::thread::scope(|scope| {
        let _until = Until(&done);
        // Others come and go meanwhile.
        scope.spawn(|| {
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                drop(running(&format!("churn{n}"), 64, "true"));
                sleep(Duration::from_millis(100));
            }
        });
        let mut recorder = Command::new(env!("CARGO_BIN_EXE_sampler"))
            .args(["record", "--interval", "100ms", "--burst", "1ms", "--no-protect", "--for", "12s"])
            .arg(format!("--cgroup=/sampler-test-{}-burst-*", std::process::id()))
            .arg("--out")
            .arg(&out)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_secs(3));
        // 100 MiB/s, as a kernel that counts in batches sees it.
        let leak = "perl -e 'while (1) { push @a, \"x\" x (2 << 20); select(undef, undef, undef, 0.02) }'";
        let leak = running("leak", 300, leak);
        assert!(recorder.wait().unwrap().success());
        let at_rest = rows(&out, &rest[0].path);
        let (reading, leaking) = (rows(&out, &reader.path), rows(&out, &leak.path));
        eprintln!("rows: {at_rest} at rest, {reading} at its limit by page cache, {leaking} leaking");
        assert!(at_rest > 60);
        assert!(reading as f64 <= 1.1 * at_rest as f64, "{reading} rows over {at_rest}");
        assert!(leaking > at_rest + 500, "{leaking} rows over {at_rest}");
    });
}
