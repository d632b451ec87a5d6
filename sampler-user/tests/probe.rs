//! The probe on the live kernel. Where the kernel refuses it, the tests say so loudly and end.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/cgroups.rs"]
mod cgroups;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sampler::kernel::cgroupfs::handle::{BUFFER, Handle, Outcome};
use sampler::kernel::cgroupfs::layout::{Layout, Version};
use sampler::kernel::cgroupfs::plan::Plan;
use sampler::kernel::probe::events::ProbeEvent;
use sampler::kernel::probe::{AttachMethod, Probe};
use sampler::model::evidence::SignalOrigin;
use sampler::model::fields::{FieldId, Kind, UNLIMITED};
use sampler::model::sample::{PassKind, Row};

use self::agent::Agent;
use self::cgroups::Cgroup;

fn load() -> Option<(Layout, Probe)> {
    load_by(|_| true)
}

fn load_by(tries: impl Fn(AttachMethod) -> bool) -> Option<(Layout, Probe)> {
    let layout = Layout::detect().map_err(|error| eprintln!("SKIPPED: {error}")).ok()?;
    match Probe::load_by(&layout, tries) {
        Ok(probe) => {
            for feature in &probe.attached {
                eprintln!("{:<15} {:?} refused {:?}", feature.name, feature.method, feature.refused);
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

/// Memory that a task has taken in advance on each CPU: usage moves by this much without a page of its own.
const STOCK: u64 = 64 * 4096;

#[test]
fn the_walk_without_a_lock_and_the_files_say_the_same() {
    walk_and_files("open", |method| !matches!(method, AttachMethod::CgroupIterator(_)));
}

#[test]
fn the_iterator_and_the_files_say_the_same() {
    walk_and_files("iterator", |method| !matches!(method, AttachMethod::OpenWalk(_)));
}

fn walk_and_files(name: &str, tries: impl Fn(AttachMethod) -> bool) {
    let Some((layout, mut probe)) = load_by(tries) else { return };
    let Some(mut walker) = probe.take_walker("walk") else { return eprintln!("SKIPPED: no walk on this kernel") };
    let Some(mut busy) = Cgroup::make("probe", format!("busy-{name}").as_bytes()) else { return };
    let Some(idle) = Cgroup::make("probe", format!("idle-{name}").as_bytes()) else { return };
    busy.limit(96 << 20);
    idle.limit(8 << 20);
    // Grows and shrinks all the time.
    busy.start("while :; do head -c 20000000 /dev/zero | tail -c 10000000 > /dev/null; done");
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
    let Some((_, mut probe)) = load() else { return };
    if !probe.has("oom_victim") {
        return eprintln!("SKIPPED: no program sees victims here");
    }
    let Some(mut cgroup) = Cgroup::make("probe", b"kill") else { return };
    let (id, path) = (cgroup.id(), cgroup.path.clone());
    probe.sample(id);
    cgroup.limit(24 << 20);
    let pid = cgroup.start("exec tail /dev/zero");
    let (mut kills, mut exits, mut made, mut joined) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let begun = Instant::now();
    while exits.is_empty() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
        probe.read_events(|event| match event {
            ProbeEvent::Kill { report, victim_cgroup, limit_cgroup } if victim_cgroup == id || victim_cgroup == 0 => {
                kills.push((report, limit_cgroup));
            }
            ProbeEvent::Exit { cgroup, exit, .. } if cgroup == id => exits.push(exit),
            ProbeEvent::Made { path: p, id: i, .. } if p == path => made.push(i),
            ProbeEvent::Joined { cgroup, pid, comm, .. } if cgroup == id => joined.push((pid as u32, comm)),
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
    let Some((_, mut probe)) = load() else { return };
    if !(probe.has("cgroup_made") && probe.has("cgroup_removed")) {
        return eprintln!("SKIPPED: cgroups are not seen to come and go here");
    }
    let Some(mut cgroup) = Cgroup::make("probe", b"brief") else { return };
    let (id, path) = (cgroup.id(), cgroup.path.clone());
    cgroup.start("head -c 4000000 /dev/zero | tail -c 3000000 > /dev/null");
    cgroup.children[0].wait().unwrap();
    drop(cgroup);
    let mut seen = Vec::new();
    probe.read_events(|event| match event {
        ProbeEvent::Made { id, path, .. } => seen.push(("made", id, path, None)),
        ProbeEvent::Removed { id, path, last, .. } => seen.push(("removed", id, path, last)),
        _ => {}
    });
    seen.retain(|(_, _, p, _)| *p == path);
    eprintln!("{seen:?}");
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].0, seen[0].1, seen[1].0, seen[1].1), ("made", id, "removed", id));
    assert!(seen[1].3.unwrap().0 > 1 << 20, "its peak");
}

/// Runs a line of shell outside, by a shell of another name: what the kernel calls a program is the name of its file.
fn outside(folder: &std::path::Path, comm: &str, line: &str) -> u32 {
    let program = folder.join(comm);
    if !program.exists() {
        fs::copy(fs::canonicalize("/bin/sh").unwrap(), &program).unwrap();
    }
    let mut child = Command::new(program).args(["-c", line]).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    assert!(child.wait().unwrap().success(), "{line}");
    pid
}

/// A folder of the v2 hierarchy, which alone has `cgroup.kill`, beside the memory hierarchy or the same.
fn killable(layout: &Layout, cgroup: &Cgroup) -> Option<PathBuf> {
    if layout.version == Version::V2 {
        return Some(cgroup.folder.clone()).filter(|folder| folder.join("cgroup.kill").exists());
    }
    let folder = PathBuf::from("/sys/fs/cgroup/unified").join(&cgroup.path[1..]);
    fs::create_dir(&folder).ok()?;
    Some(folder).filter(|folder| folder.join("cgroup.kill").exists())
}

fn wait_for(pids: &dyn Fn() -> Vec<u32>, count: usize) -> Vec<u32> {
    let begun = Instant::now();
    loop {
        let found = pids();
        if found.len() >= count {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{found:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes of a cgroup by this name.
fn named(folder: &std::path::Path, comm: &str) -> Vec<u32> {
    let all = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let is = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == comm);
    all.lines().filter_map(|line| line.parse().ok()).filter(is).collect()
}

#[test]
fn a_signal_is_seen_with_who_sent_it_and_how() {
    let Some((layout, mut probe)) = load() else { return };
    if !(probe.has("signal_sent") && probe.has("process_exit")) {
        return eprintln!("SKIPPED: signals are not seen here");
    }
    let Some(mut cgroup) = Cgroup::make("probe", b"signals") else { return };
    let Some(bystander) = Cgroup::make("probe", b"signals-other") else { return };
    let id = cgroup.id();
    probe.sample(id);
    let programs = tempfile::tempdir().unwrap();
    let victim = cgroup.start("exec sleep 100");
    let aborts = cgroup.start("sleep 0.3; kill -ABRT $$");
    let mut other = Command::new("sleep").arg("100").spawn().unwrap();
    fs::write(bystander.folder.join("cgroup.procs"), other.id().to_string()).unwrap();
    wait_for(&|| named(&cgroup.folder, "sleep"), 1);
    let killer = outside(programs.path(), "tester", &format!("kill -9 {victim} {}; true", other.id()));
    other.wait().unwrap();
    cgroup.children[1].wait().unwrap();
    let whole = killable(&layout, &cgroup);
    let mut last = 0;
    if let Some(folder) = &whole {
        last = cgroup.start(&format!("echo $$ > {}/cgroup.procs; exec sleep 100", folder.display()));
        wait_for(&|| named(folder, "sleep"), 1);
        outside(programs.path(), "tester", &format!("echo 1 > {}/cgroup.kill", folder.display()));
        cgroup.children[2].wait().unwrap();
        if *folder != cgroup.folder {
            fs::remove_dir(folder).unwrap();
        }
    }
    std::thread::sleep(Duration::from_millis(100));
    let (mut signals, mut exits) = (Vec::new(), HashMap::new());
    probe.read_events(|event| match event {
        ProbeEvent::Signal { cgroup, pid, sent, .. } => {
            assert_eq!(cgroup, id, "one of a cgroup that is not sampled");
            signals.push((pid as u32, sent));
        }
        ProbeEvent::Exit { cgroup, exit, .. } if cgroup == id => drop(exits.insert(exit.pid as u32, exit)),
        _ => {}
    });
    eprintln!("{signals:?} {exits:?}");
    let of = |pid| signals.iter().find(|(to, _)| *to == pid).map(|(_, sent)| sent).unwrap();
    let sent = of(victim);
    assert_eq!((sent.signal, sent.sender_comm.as_str(), sent.sender_pid as u32), (9, "tester", killer));
    assert_eq!((sent.origin, sent.code, sent.ignored), (SignalOrigin::Process, 0, false));
    assert_eq!((of(aborts).signal, of(aborts).sender_pid as u32), (6, aborts), "itself");
    assert_eq!((exits[&victim].signal, exits[&aborts].signal), (Some(9), Some(6)));
    assert!(exits[&victim].usage.is_some() && exits[&victim].limit.is_none());
    if whole.is_some() {
        assert_eq!((of(last).origin, of(last).sender_comm.as_str()), (SignalOrigin::CgroupKill, "tester"));
        assert!(exits[&last].last, "nobody was left");
    }
    assert_eq!(probe.lost(), 0);
}

#[test]
fn each_death_of_a_busy_machine_is_reported_with_who_did_it_and_no_healthy_end_is() {
    let Some((layout, probe)) = load() else { return };
    if !["signal_sent", "process_exit", "oom_victim"].iter().all(|feature| probe.has(feature)) {
        return eprintln!("SKIPPED: signals and ends are not seen here");
    }
    drop(probe);
    if Cgroup::make("deaths", b"may").is_none() {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let programs = tempfile::tempdir().unwrap();
    let sampler = env!("CARGO_BIN_EXE_sampler");
    let agent = Agent::with_probe(out.path());
    let make = |name: &str| Cgroup::make("deaths", name.as_bytes()).unwrap();
    let begin = |name: &str, line: &str| {
        let mut cgroup = make(name);
        cgroup.limit(256 << 20);
        cgroup.start(line);
        cgroup
    };
    // A container's main process is the first of its pid namespace.
    let container = "exec unshare --pid --fork sleep 100";
    let [killed, late, saved] = ["killed", "late", "saved"].map(|name| begin(name, container));
    let whole = begin("whole", "sleep 100 & sleep 100 & exec sleep 100");
    let polite = begin("polite", "exec sleep 100");
    let polite_pid = polite.children[0].id();
    let mut oom = make("oom");
    oom.limit(24 << 20);
    let in_ns = |cgroup: &Cgroup| wait_for(&|| named(&cgroup.folder, "sleep"), 1)[0];
    let pids = [in_ns(&killed), in_ns(&late), in_ns(&saved)];
    wait_for(&|| named(&whole.folder, "sleep"), 3);
    wait_for(&|| named(&polite.folder, "sleep"), 1);
    std::thread::sleep(Duration::from_millis(500));

    oom.start("tail /dev/zero; exit 1");
    outside(programs.path(), "runc", &format!("kill -TERM {}", pids[1]));
    outside(programs.path(), "runc", &format!("kill -9 {}", pids[0]));
    outside(programs.path(), "systemd-oomd", &format!("kill -9 {}", pids[2]));
    outside(programs.path(), "runc", &format!("kill -TERM {polite_pid}"));
    let aborted = begin("aborted", "sleep 0.2; kill -ABRT $$");
    let failed = begin("failed", "exec unshare --pid --fork sh -c 'sleep 0.2; exit 3'");
    let fine = begin("fine", "exec unshare --pid --fork sh -c 'sleep 0.2; sh -c \"exit 1\"; exit 0'");
    let kills = killable(&layout, &whole);
    if let Some(folder) = &kills {
        for pid in named(&whole.folder, "sleep") {
            fs::write(folder.join("cgroup.procs"), pid.to_string()).unwrap();
        }
        outside(programs.path(), "tester", &format!("echo 1 > {}/cgroup.kill", folder.display()));
    }
    std::thread::sleep(Duration::from_millis(1500));
    outside(programs.path(), "runc", &format!("kill -9 {}", pids[1]));
    std::thread::sleep(Duration::from_millis(500));
    drop((killed, late, saved, polite, oom, aborted, failed, fine));
    if let Some(folder) = kills.as_ref().filter(|folder| **folder != whole.folder) {
        let _ = fs::remove_dir(folder);
    }
    drop(whole);
    agent.stop();

    let postmortem =
        Command::new(sampler).arg("postmortem").arg(out.path()).args(["--all", "--json"]).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&postmortem.stdout).unwrap();
    let prefix = format!("/sampler-test-{}-deaths-", std::process::id());
    let mut got: Vec<(String, String, String)> = Vec::new();
    for incident in shown["incidents"].as_array().unwrap() {
        let path =
            incident["death"]["cgroup"].as_str().or(incident["victims"][0]["cgroup"].as_str()).unwrap_or_default();
        eprintln!("{} {}", incident["cause"], incident["verdict"]);
        if let Some(name) = path.strip_prefix(&prefix) {
            let word = |key: &str| incident[key].as_str().unwrap().to_owned();
            let cause = if incident["kind"] == "death" { word("cause") } else { String::new() };
            got.push((name.into(), word("kind"), cause));
        }
    }
    got.sort();
    let mut want = vec![
        ("aborted", "death", "crash"),
        ("failed", "death", "exit-code"),
        ("killed", "death", "killed"),
        ("late", "death", "stop-timeout"),
        ("oom", "oom-kill", ""),
        ("saved", "death", "oom-daemon"),
    ];
    if kills.is_some() {
        want.push(("whole", "death", "killed"));
    }
    let want: Vec<(String, String, String)> =
        want.into_iter().map(|(a, b, c)| (a.into(), b.into(), c.into())).collect();
    assert_eq!(got, want);
    let list = |more: &[&str]| {
        let list = Command::new(sampler).arg("postmortem").arg(out.path()).arg("--list").args(more).output().unwrap();
        String::from_utf8_lossy(&list.stdout).into_owned()
    };
    // On a screen a long name leaves less room for what happened.
    let (shown, whole) = (list(&[]), list(&["--json"]));
    assert!(whole.contains("was killed (SIGKILL) by `runc`") && shown.contains("no OOM kill"), "{shown}{whole}");
    let info = Command::new(sampler).arg("info").arg(out.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&info.stdout).contains("Deaths that were no OOM kills"));
}

/// Deeper than a watch on folders reaches in time, and gone before anybody looks: only the probe knows it.
#[test]
fn a_recording_knows_who_was_in_a_cgroup_of_a_moment() {
    let Some((layout, probe)) = load() else { return };
    if !["cgroup_made", "cgroup_removed", "cgroup_joined"].iter().all(|feature| probe.has(feature)) {
        return eprintln!("SKIPPED: cgroups are not seen to come and go here");
    }
    drop(probe);
    if Cgroup::make("probe", b"above").is_none() {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let sampler = env!("CARGO_BIN_EXE_sampler");
    let agent = Agent::with_probe(out.path());
    let above = Cgroup::make("probe", b"above").unwrap();
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
    agent.stop();
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
