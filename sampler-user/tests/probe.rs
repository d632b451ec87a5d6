//! The probe on the live kernel. Where the kernel refuses it, the tests say so loudly and end.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sampler::cgroupfs::handle::{BUFFER, Handle, Outcome};
use sampler::cgroupfs::layout::{Layout, Version};
use sampler::cgroupfs::plan::Plan;
use sampler::fields::{FieldId, Kind, UNLIMITED};
use sampler::probe::events::Told;
use sampler::probe::{Probe, Rung};
use sampler::sample::{PassKind, Row};

fn load() -> Option<(Layout, Probe)> {
    load_by(|_| true)
}

fn load_by(tries: impl Fn(Rung) -> bool) -> Option<(Layout, Probe)> {
    let layout = Layout::detect().map_err(|error| eprintln!("SKIPPED: {error}")).ok()?;
    match Probe::load_by(&layout, tries) {
        Ok(probe) => {
            for job in &probe.attached {
                eprintln!("{:<15} {:?} refused {:?}", job.job, job.rung, job.refused);
            }
            eprintln!("missing {:?}", probe.missing);
            Some((layout, probe))
        }
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// A cgroup of the test's own, with the processes it started in it; gone when dropped.
struct Cgroup {
    folder: PathBuf,
    path: String,
    children: Vec<Child>,
}

impl Cgroup {
    fn make(layout: &Layout, name: &str) -> Option<Cgroup> {
        let path = format!("/sampler-test-{}-{name}", std::process::id());
        let folder = layout.memory.join(&path[1..]);
        match fs::create_dir(&folder) {
            Ok(()) => Some(Cgroup { folder, path, children: Vec::new() }),
            Err(error) => {
                eprintln!("SKIPPED: mkdir {}: {error}", folder.display());
                None
            }
        }
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.folder).unwrap().ino()
    }

    /// Runs a line of shell inside.
    fn run(&mut self, line: &str) -> u32 {
        let line = format!("echo $$ > {}/cgroup.procs; {line}", self.folder.display());
        let child = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.children.push(child);
        self.children.last().unwrap().id()
    }

    fn limit(&self, layout: &Layout, bytes: u64) {
        let file = match layout.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        fs::write(self.folder.join(file), bytes.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let begun = Instant::now();
        while fs::remove_dir(&self.folder).is_err() && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Memory that a task has taken in advance on each CPU: usage moves by this much without a page of its own.
const STOCK: u64 = 64 * 4096;

#[test]
fn the_walk_without_a_lock_and_the_files_say_the_same() {
    walk_and_files("open", |rung| !matches!(rung, Rung::CgroupIterator(_)));
}

#[test]
fn the_iterator_and_the_files_say_the_same() {
    walk_and_files("iterator", |rung| !matches!(rung, Rung::OpenWalk(_)));
}

fn walk_and_files(name: &str, tries: impl Fn(Rung) -> bool) {
    let Some((layout, mut probe)) = load_by(tries) else { return };
    let Some(mut walker) = probe.take_walker("walk") else { return eprintln!("SKIPPED: no walk on this kernel") };
    let Some(mut busy) = Cgroup::make(&layout, &format!("busy-{name}")) else { return };
    let Some(idle) = Cgroup::make(&layout, &format!("idle-{name}")) else { return };
    busy.limit(&layout, 96 << 20);
    idle.limit(&layout, 8 << 20);
    // Grows and shrinks all the time.
    busy.run("while :; do head -c 20000000 /dev/zero | tail -c 10000000 > /dev/null; done");
    std::thread::sleep(Duration::from_millis(300));

    let fields: Vec<FieldId> = walker.fields().collect();
    assert!(fields.contains(&FieldId::Current) && fields.contains(&FieldId::Max), "{fields:?}");
    let mut plan = Plan::cgroups(PassKind::Full, &layout, &fields);
    let mut buffer = vec![0; BUFFER];
    let mut handles: Vec<(u64, Handle)> =
        [&busy, &idle].iter().map(|cgroup| (cgroup.id(), Handle::cgroup(&plan, &layout, &cgroup.path))).collect();
    let stock = STOCK * std::thread::available_parallelism().unwrap().get() as u64;
    let (mut compared, mut equal, mut moved) = (HashMap::<&str, u32>::new(), 0, Vec::new());
    let begun = Instant::now();
    let mut rounds = 0;
    // On a busy machine the load gets its turn late.
    while rounds < 300 || (moved.len() <= 10 && begun.elapsed() < Duration::from_secs(60)) {
        rounds += 1;
        for (id, handle) in &mut handles {
            let mut read = |row: &mut Row| assert_eq!(handle.read(&mut plan, &mut buffer, row), Outcome::Read);
            let (mut before, mut row, mut after) = (Row::new(1), Row::new(1), Row::new(1));
            read(&mut before);
            let taken = walker
                .take(|walker, seen| {
                    if seen.id() == *id {
                        walker.fill(seen, &mut row);
                    }
                })
                .unwrap();
            read(&mut after);
            assert!(taken.rows > 2 && taken.parts >= 1);
            for field in fields.iter().map(|id| id.field()) {
                let (Some(a), Some(b)) = (before.get(field), after.get(field)) else { continue };
                let value = row.get(field).unwrap_or_else(|| panic!("{} is in the files alone", field.name));
                *compared.entry(field.column).or_default() += 1;
                equal += u32::from(a == value || b == value);
                let slack = match field.kind {
                    // Exact: a counter lies between what was read before and after, a limit is what it is.
                    Kind::Counter | Kind::Limit => 0,
                    // A gauge may have moved there and back within the two readings, by more than the stock.
                    Kind::Gauge => stock + (24 << 20),
                };
                let fits = value >= a.min(b).saturating_sub(slack) && value <= a.max(b).saturating_add(slack);
                assert!(fits, "{}: files {a} and {b}, walk {value}", field.name);
                if field.id == FieldId::Current && a != b {
                    moved.push(value);
                }
                if field.id == FieldId::Max {
                    assert_ne!(value, UNLIMITED);
                }
            }
        }
    }
    let all: u32 = compared.values().sum();
    eprintln!("{compared:?}; {equal} of {all} equal to a reading next to them; {} readings on the move", moved.len());
    assert!(compared.len() >= 3 && moved.len() > 10, "the load was seen to move");
    assert!(f64::from(equal) > 0.8 * f64::from(all));
    moved.sort_unstable();
    moved.dedup();
    assert!(moved.len() > 5, "{moved:?}");
}

#[test]
fn a_kill_is_seen_with_its_victim() {
    let Some((layout, mut probe)) = load() else { return };
    if !probe.has("oom_victim") {
        return eprintln!("SKIPPED: no program sees victims here");
    }
    let Some(mut cgroup) = Cgroup::make(&layout, "kill") else { return };
    let (id, path) = (cgroup.id(), cgroup.path.clone());
    probe.sample(id);
    cgroup.limit(&layout, 24 << 20);
    let pid = cgroup.run("exec tail /dev/zero");
    let (mut kills, mut exits, mut made, mut joined) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let begun = Instant::now();
    while exits.is_empty() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
        probe.read_events(|told| match told {
            Told::Kill { report, victim_cgroup, limit_cgroup } if victim_cgroup == id || victim_cgroup == 0 => {
                kills.push((report, limit_cgroup));
            }
            Told::Exit { cgroup, exit, .. } if cgroup == id => exits.push(exit),
            Told::Made { path: p, id: i, .. } if p == path => made.push(i),
            Told::Joined { cgroup, pid, comm, .. } if cgroup == id => joined.push((pid as u32, comm)),
            _ => {}
        });
    }
    eprintln!("{kills:?} {exits:?}");
    assert_eq!(kills.len(), 1);
    let (report, limit) = &kills[0];
    assert_eq!((report.victim.pid as u32, report.victim.comm.as_str()), (pid, "tail"));
    assert_eq!(report.victim.uid, 0);
    if report.has_sizes {
        let anon = report.victim.anon_rss;
        assert!((10 << 20..=24 << 20).contains(&anon), "{anon}");
        assert!(report.victim.pgtables > 0 && report.victim.total_vm > anon);
    }
    if probe.has("oom_signal") {
        assert_eq!(report.killed, Some(true));
    }
    if probe.has("oom_request") {
        let request = report.request.as_ref().unwrap();
        assert_eq!((*limit, request.limit), (id, Some(24 << 20)));
    }
    if probe.has("process_exit") {
        assert_eq!((exits[0].signal, exits[0].code, exits[0].pid as u32), (Some(9), None, pid));
        assert!(exits[0].peak_rss > 10 << 20);
    }
    if probe.has("cgroup_made") {
        assert_eq!(made, [id]);
    }
    if probe.has("cgroup_joined") {
        assert_eq!(joined, [(pid, "sh".to_owned())], "the shell moved itself, before it became another program");
    }
    let mut stalls = Vec::new();
    probe.read_stalls(|cgroup, stall| {
        if cgroup == id {
            stalls.push(stall);
        }
    });
    if probe.has("stall_end") {
        assert_eq!(stalls.len(), 1, "reclaim was tried before the kill");
        assert!(stalls[0].count > 0 && stalls[0].time_ns > 0);
        assert_eq!(stalls[0].buckets.iter().sum::<u64>(), stalls[0].count);
    }
    assert_eq!(probe.lost(), 0);
}

#[test]
fn a_cgroup_of_a_moment_leaves_its_peak() {
    let Some((layout, mut probe)) = load() else { return };
    if !(probe.has("cgroup_made") && probe.has("cgroup_removed")) {
        return eprintln!("SKIPPED: cgroups are not seen to come and go here");
    }
    let Some(mut cgroup) = Cgroup::make(&layout, "brief") else { return };
    let (id, path) = (cgroup.id(), cgroup.path.clone());
    cgroup.run("head -c 4000000 /dev/zero | tail -c 3000000 > /dev/null");
    cgroup.children[0].wait().unwrap();
    drop(cgroup);
    let mut seen = Vec::new();
    probe.read_events(|told| match told {
        Told::Made { id, path, .. } => seen.push(("made", id, path, None)),
        Told::Removed { id, path, last, .. } => seen.push(("removed", id, path, last)),
        _ => {}
    });
    seen.retain(|(_, _, p, _)| *p == path);
    eprintln!("{seen:?}");
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].0, seen[0].1, seen[1].0, seen[1].1), ("made", id, "removed", id));
    assert!(seen[1].3.unwrap().0 > 1 << 20, "its peak");
}

/// Deeper than a watch on folders reaches in time, and gone before anybody looks: only the probe knows it.
#[test]
fn a_recording_knows_who_was_in_a_cgroup_of_a_moment() {
    let Some((layout, probe)) = load() else { return };
    if !["cgroup_made", "cgroup_removed", "cgroup_joined"].iter().all(|job| probe.has(job)) {
        return eprintln!("SKIPPED: cgroups are not seen to come and go here");
    }
    drop(probe);
    if Cgroup::make(&layout, "above").is_none() {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let sampler = env!("CARGO_BIN_EXE_sampler");
    let mut agent = Command::new(sampler)
        .args(["record", "--interval", "100ms", "--probe", "require", "--out"])
        .arg(out.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = std::io::BufRead::lines(std::io::BufReader::new(agent.stderr.take().unwrap()));
    assert!(said.map_while(Result::ok).any(|line| line.contains("probe is in place")));
    let above = Cgroup::make(&layout, "above").unwrap();
    let mut guest = Command::new("sleep").arg("60").spawn().unwrap();
    let moves = |to: &PathBuf| fs::write(to.join("cgroup.procs"), guest.id().to_string()).unwrap();
    for n in 0..5 {
        let between = above.folder.join(format!("between-{n}"));
        let brief = between.join(format!("brief-{n}"));
        fs::create_dir_all(&brief).unwrap();
        moves(&brief);
        moves(&layout.memory);
        fs::remove_dir(&brief).unwrap();
        fs::remove_dir(&between).unwrap();
    }
    guest.kill().unwrap();
    guest.wait().unwrap();
    drop(above);
    std::thread::sleep(Duration::from_millis(500));
    // SAFETY: sends a signal to a child that was not waited for.
    unsafe { libc::kill(agent.id() as i32, libc::SIGTERM) };
    assert!(agent.wait().unwrap().success());
    let mut export = Command::new(sampler);
    let export = export.args(["export", "--table", "events", "--format", "jsonl"]).arg(out.path()).output().unwrap();
    let events: Vec<serde_json::Value> =
        String::from_utf8_lossy(&export.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for n in 0..5 {
        let of: Vec<&str> = events
            .iter()
            .filter(|event| event["cgroup"].as_str().is_some_and(|path| path.ends_with(&format!("/brief-{n}"))))
            .map(|event| event["kind"].as_str().unwrap())
            .collect();
        for kind in ["cgroup_created", "process_joined", "cgroup_last", "cgroup_removed"] {
            assert_eq!(of.iter().filter(|k| **k == kind).count(), 1, "brief-{n}: {kind} of {of:?}");
        }
    }
}
