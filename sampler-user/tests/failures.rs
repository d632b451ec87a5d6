//! Disks that are full or read-only, and cgroups that cannot be read: nothing already recorded is lost, the rest goes on.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/journal.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sampler::journal::writer::Writer;
use sampler::kernel::cgroupfs::layout::{Layout, Version};
use sampler::model::event::{Event, EventKind};
use sampler::model::fields::{FieldId, Table};
use sampler::model::recording::Subject;
use sampler::model::sample::{PassHead, PassKind, Row, SubjectRef};
use sampler::model::sink::Sink;
use sampler::model::time::mono_ns;
use sampler::record::{Config, NameSources, UseProbe, record};
use sampler::store::scan::{Query, Recording};

/// A file system of its own, as small as a test wants; gone at the end.
struct Mount(PathBuf, #[expect(dead_code, reason = "its folder stays until the end")] tempfile::TempDir);

impl Mount {
    /// `None`, said aloud, where the machine does not let us mount.
    fn tmpfs(test: &str, options: &str) -> Option<Mount> {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_owned();
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).output().unwrap();
        if !output.status.success() {
            eprintln!("SKIPPED {test}: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        Some(Mount(at, dir))
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.join("fill");
        let mut file = fs::File::create(&path).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_a_gap_and_what_was_written_stays() {
    let Some(disk) = Mount::tmpfs("a_full_disk_is_a_gap_and_what_was_written_stays", "size=24m") else { return };
    let mut writer = support::create(&disk.0);
    writer.subject(1, &Subject { cgroup: "/a".into(), id: 1, process: None });
    let mut noise = 88_172_645_463_325_252_u64;
    let mut passes = |writer: &mut Writer, count: u64| {
        for _ in 0..count {
            writer.pass(PassHead { kind: PassKind::Fast, mono_ns: mono_ns(), rows: 1 });
            let mut row = Row::new(1);
            for field in [FieldId::Current, FieldId::SwapCurrent, FieldId::PressureSome, FieldId::PressureFull] {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                row.put(field.field(), noise >> 2);
            }
            writer.row(PassHead { kind: PassKind::Fast, mono_ns: 0, rows: 1 }, &row);
        }
        writer.flush(true);
    };
    passes(&mut writer, 500);
    let fill = disk.fill();
    // Far more than is kept in memory while the disk refuses it.
    (0..43).for_each(|_| passes(&mut writer, 10_000));
    let lost = writer.lost_passes();
    assert!(lost > 0 && lost < 430_000, "a bounded backlog, the last of which is written: {lost}");
    fs::remove_file(fill).unwrap();
    passes(&mut writer, 500);
    drop(writer);

    let mut recording = Recording::open(&disk.0).unwrap();
    let gaps: Vec<u64> = recording
        .events(i64::MIN..i64::MAX)
        .into_iter()
        .filter_map(|timed| match timed.event.what {
            EventKind::Gap { lost_passes, reason, .. } => {
                assert!(reason.contains("No space left"), "{reason}");
                Some(lost_passes)
            }
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [lost]);
    let mut rows = 0;
    recording.series(Table::Samples, &Query::all(), |series| rows += series.len() as u64);
    assert_eq!(rows + lost, 500 + 430_000 + 500, "every pass is written or reported as lost");
    assert!(recording.problems.is_empty(), "{:?}", recording.problems);
}

#[test]
fn the_agent_outlives_a_full_disk() {
    let test = "the_agent_outlives_a_full_disk";
    let (Some(disk), Ok(_)) = (Mount::tmpfs(test, "size=2m"), Layout::detect()) else {
        return eprintln!("SKIPPED {test}: no mount or no memory controller");
    };
    let out = disk.0.join("rec");
    let agent = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(["record", "--interval", "5ms", "--no-protect", "--for", "6s", "--seal-every", "1s", "--out"])
        .arg(&out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    let fill = disk.fill();
    std::thread::sleep(Duration::from_millis(1500));
    fs::remove_file(fill).unwrap();
    let output = agent.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut recording = Recording::open(&out).unwrap();
    // Of all cgroups together: other tests make and remove some meanwhile.
    let mut times = Vec::new();
    recording.series(Table::Samples, &Query::all(), |series| times.extend(series.time_us));
    times.sort_unstable();
    assert!(recording.problems.is_empty(), "{:?}", recording.problems);
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(times.last().unwrap() - times[0] > 4_000_000, "{} rows", times.len());
    assert!(longest < Some(1_000_000), "the backlog bridged the full disk, but {longest:?} us are missing");
}

#[test]
fn a_read_only_disk_is_said_with_the_way_out() {
    let Some(disk) = Mount::tmpfs("a_read_only_disk_is_said_with_the_way_out", "ro") else { return };
    let out = disk.0.join("rec");
    let output = Command::new(env!("CARGO_BIN_EXE_sampler")).args(["record", "--out"]).arg(&out).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    for part in [out.to_str().unwrap(), "Read-only file system", "--out"] {
        assert!(words.contains(part), "{words}");
    }
}

/// An agent that says what it does to a file.
fn agent(out: &Path, more: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(["record", "--interval", "20ms", "--no-protect", "--probe", "off", "--no-names", "--out"])
        .arg(out)
        .args(more)
        .stderr(fs::File::create(out.with_extension("said")).unwrap())
        .spawn()
        .unwrap()
}

fn said(out: &Path) -> String {
    fs::read_to_string(out.with_extension("said")).unwrap()
}

/// Waits for what comes within a second or two, on a busy machine within ten.
fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}");
}

#[test]
fn a_recording_that_vanishes_while_it_is_written_is_said_and_begun_anew() {
    if Layout::detect().is_err() {
        return eprintln!("SKIPPED a_recording_that_vanishes: no memory controller");
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("rec");
    let child = agent(&out, &[]);
    let journal = out.join("journal");
    let segments = || fs::read_dir(&journal).map_or(0, Iterator::count);
    until("it begins", || segments() == 1 && out.join("lock").exists());
    std::thread::sleep(Duration::from_millis(600));
    fs::remove_dir_all(&out).unwrap();
    until("it is begun anew", || segments() == 1 && out.join("lock").exists());
    assert!(said(&out).contains("was removed or moved while it was written"), "{}", said(&out));
    std::thread::sleep(Duration::from_millis(600));
    let output = stop(child);
    assert_eq!(output, Some(5), "{}", said(&out));
    assert!(said(&out).contains("recorded, but not whole"), "{}", said(&out));
    let mut recording = Recording::open(&out).unwrap();
    let events = recording.events(i64::MIN..i64::MAX);
    let gap = |kind: &EventKind| matches!(kind, EventKind::Gap { reason, lost_passes, .. } if reason.contains("removed") && *lost_passes > 0);
    assert!(events.iter().any(|event| gap(&event.event.what)), "{events:?}");
    let mut rows = 0;
    recording.series(Table::Samples, &Query::all(), |series| rows += series.len());
    assert!(rows > 0 && recording.problems.is_empty(), "{rows} rows, {:?}", recording.problems);
}

fn stop(mut child: std::process::Child) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap().code()
}

#[test]
fn sealing_that_fails_is_tried_again_and_the_disk_is_bounded_meanwhile() {
    if Layout::detect().is_err() {
        return eprintln!("SKIPPED sealing_that_fails: no memory controller");
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("rec");
    fs::create_dir(&out).unwrap();
    // No folder can be made here.
    fs::write(out.join("samples"), "in the way").unwrap();
    let child = agent(&out, &["--max-disk", "300K", "--seal-every", "1s"]);
    let journal = out.join("journal");
    let bytes = || -> u64 {
        fs::read_dir(&journal).into_iter().flatten().flatten().filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
    };
    until("sealing fails", || said(&out).contains("it is tried again"));
    assert!(said(&out).contains("samples"), "the error names the path: {}", said(&out));
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(100));
        assert!(bytes() < 600 << 10, "{} bytes", bytes());
    }
    fs::remove_file(out.join("samples")).unwrap();
    until("what could not be sealed is", || out.join("samples").is_dir());
    stop(child);
    assert_eq!(said(&out).matches("it is tried again").count(), 1, "once, not at each try: {}", said(&out));
}

/// Of all threads of a process, lines of their status.
fn status(pid: u32, name: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let of = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start_matches(':').trim().to_owned()))
    };
    threads.filter_map(of).collect()
}

#[test]
fn an_agent_keeps_no_right_that_it_does_not_use_and_its_files_are_for_its_group_alone() {
    use std::os::unix::fs::PermissionsExt;
    let test = "an_agent_keeps_no_right_that_it_does_not_use";
    if !rustix::process::geteuid().is_root() || Layout::detect().is_err() {
        return eprintln!("SKIPPED {test}: needs root and a memory controller");
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("rec");
    let child = Command::new("sh")
        .args(["-c", "umask 0; exec \"$0\" record --no-protect --interval 20ms --out \"$1\" 2> /dev/null"])
        .args([Path::new(env!("CARGO_BIN_EXE_sampler")), &out])
        .spawn()
        .unwrap();
    let pid = child.id();
    until("it records", || fs::read_dir(out.join("journal")).is_ok_and(|mut files| files.next().is_some()));
    std::thread::sleep(Duration::from_millis(500));
    // CHOWN, FSETID, SETUID, SETPCAP, NET_ADMIN, NET_RAW, SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME, MKNOD.
    let gone: u64 = [0, 4, 7, 8, 12, 13, 16, 17, 22, 25, 27].iter().map(|bit| 1u64 << bit).sum();
    for name in ["CapEff", "CapPrm", "CapBnd"] {
        let threads = status(pid, name);
        assert!(threads.len() > 2, "{threads:?}");
        for mask in threads {
            assert_eq!(u64::from_str_radix(&mask, 16).unwrap() & gone, 0, "{name} {mask}");
        }
    }
    for (name, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let threads = status(pid, name);
        assert!(!threads.is_empty() && threads.iter().all(|value| value == wanted), "{name}: {threads:?}");
    }
    assert_eq!(stop(child), Some(0));
    let mut folders = vec![out.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o750, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                assert_eq!(mode(&entry.path()), 0o640, "{}", entry.path().display());
            }
        }
    }
    assert!(files > 3, "{files} files");
}

/// Keeps the rows of each subject.
#[derive(Default)]
struct Seen {
    names: Vec<(SubjectRef, String)>,
    rows: Vec<(SubjectRef, Option<u64>)>,
    events: Vec<Event>,
}

struct Keep(Arc<Mutex<Seen>>);

impl Sink for Keep {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.0.lock().unwrap().names.push((number, subject.cgroup.clone()));
    }
    fn forget(&mut self, _: SubjectRef) {}
    fn pass(&mut self, _: PassHead) {}
    fn row(&mut self, _: PassHead, row: &Row) {
        let current = row.get(FieldId::Current.field());
        self.0.lock().unwrap().rows.push((row.subject, current));
    }
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap().events.push(event.clone());
    }
    fn flush(&mut self, _: bool) {}
}

/// A tree of plain files in the place of the kernel's.
fn tree(root: &Path, cgroups: &[&str]) -> Layout {
    for name in cgroups {
        let dir = root.join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("memory.current"), "4096\n").unwrap();
    }
    let root = root.to_owned();
    Layout { version: Version::V2, memory: root.clone(), unified: Some(root), cpuacct: None, pids: None }
}

#[test]
fn one_unreadable_cgroup_never_stops_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let layout = tree(dir.path(), &["good", "folder", "nonsense", "huge", "gone"]);
    // A read that fails even for root, words that are no number, a number that is none, and a file that goes away.
    fs::remove_file(dir.path().join("folder/memory.current")).unwrap();
    fs::create_dir(dir.path().join("folder/memory.current")).unwrap();
    fs::write(dir.path().join("nonsense/memory.current"), "\u{1b}[31mno\n").unwrap();
    fs::write(dir.path().join("huge/memory.current"), "99999999999999999999999999\n").unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let config = Config {
        interval: Duration::from_millis(10),
        slow_interval: Duration::from_millis(100),
        processes: false,
        protect: false,
        probe: UseProbe::Off,
        names: NameSources { ask: false, docker_socket: None },
        ..Config::new(layout)
    };
    let gone = dir.path().join("gone");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(record(config, Box::new(Keep(seen.clone())), async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            fs::remove_dir_all(gone).unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            "test".into()
        }))
        .unwrap();
    let seen = seen.lock().unwrap();
    let values = |name: &str| -> Vec<Option<u64>> {
        let path = format!("/{name}");
        let numbers: Vec<_> = seen.names.iter().filter(|(_, n)| *n == path).map(|(r, _)| *r).collect();
        seen.rows.iter().filter(|(r, _)| numbers.contains(r)).filter_map(|(_, v)| v.map(Some)).collect()
    };
    assert!(values("good").len() > 30 && values("good").iter().all(|v| *v == Some(4096)), "{}", values("good").len());
    assert!(values("gone").len() > 10 && values("gone").len() < values("good").len());
    for name in ["folder", "nonsense", "huge"] {
        assert!(values(name).is_empty(), "{name}: absent, not {:?}", values(name).first());
    }
}
