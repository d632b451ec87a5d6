//! As an OOM kill happens: its page lies beside the recording, and the user's command gets it, without stopping the sampling.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/cgroups.rs"]
mod cgroups;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::agent::Agent;
use self::cgroups::Cgroup;

/// The host's count of kills does not show whose they are: the tests take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A cgroup with a limit of 24 MiB.
fn limited(test: &str, name: &str) -> Option<Cgroup> {
    let cgroup = Cgroup::make(test, name.as_bytes())?;
    cgroup.limit(24 << 20);
    Some(cgroup)
}

/// Leaks in a cgroup until the kernel ends it.
fn leak(cgroup: &Cgroup) {
    let script = "echo $$ > \"$0\" && exec \"$1\" demo --leak 64";
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(cgroup.folder.join("cgroup.procs"))
        .arg(env!("CARGO_BIN_EXE_sampler"))
        .status()
        .unwrap();
    assert!(!status.success(), "it was not killed");
}

fn record(out: &Path, cgroup: &str, command: &str) -> Agent {
    Agent::start(
        Command::new(env!("CARGO_BIN_EXE_sampler"))
            .args([
                "record",
                "--no-protect",
                "--probe",
                "off",
                "--interval",
                "20ms",
                "--cgroup",
                cgroup,
                "--on-oom",
                command,
                "--out",
            ])
            .arg(out)
            .stderr(fs::File::create(out.with_file_name("said")).unwrap()),
    )
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn files(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
}

#[test]
fn the_page_is_there_and_the_command_gets_it_while_the_sampling_goes_on() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(cgroup) = limited("hook", "page") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (out, given) = (dir.path().join("rec"), dir.path().join("given.json"));
    // A command that never ends by itself must cost nothing.
    let hangs = format!("sleep 1000.{}", std::process::id());
    let command = format!("cat > {0}.tmp && mv {0}.tmp {0}; {hangs}", given.display());
    let agent = record(&out, &cgroup.path, &command);
    until("the recording", || !files(&out.join("journal"), ".journal").is_empty());
    std::thread::sleep(Duration::from_secs(1));
    leak(&cgroup);
    until("the command", || given.exists());
    let page: Value = serde_json::from_slice(&fs::read(&given).unwrap()).unwrap();
    assert_eq!(page["format"], "sampler.incident.v1");
    assert_eq!(page["limit"]["cgroup"], cgroup.path.as_str(), "{page}");
    assert_eq!(page["limit"]["owner"], "own");
    let pages = out.join("incidents");
    let (text, json) = (files(&pages, ".txt"), files(&pages, ".json"));
    assert_eq!((text.len(), json.len()), (1, 1));
    assert_eq!(fs::read(&json[0]).unwrap(), fs::read(&given).unwrap());
    let page = fs::read_to_string(&text[0]).unwrap();
    // Lines are 80 columns wide.
    assert!(page.split_whitespace().collect::<Vec<_>>().join(" ").contains("its own limit of 24 MiB"), "{page}");

    // The command still hangs; a second passes, and its rows are there.
    std::thread::sleep(Duration::from_secs(3));
    let begun = Instant::now();
    agent.stop();
    // By how long the recording takes to end, sealing included, and 3 s.
    assert!(begun.elapsed() < Duration::from_secs(12), "stopping waited {:?} for the command", begun.elapsed());
    let said = fs::read_to_string(dir.path().join("said")).unwrap();
    assert!(
        said.contains("the command of --on-oom: it still ran 3 s after the recording ended and was killed"),
        "{said}"
    );
    let sleeps = Command::new("pgrep").args(["-f", &hangs]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&sleeps.stdout), "", "what the command started ended with it");
    let info = Command::new(env!("CARGO_BIN_EXE_sampler")).args(["info", "--json"]).arg(&out).output().unwrap();
    let info: Value = serde_json::from_slice(&info.stdout).unwrap();
    let kill = info["oom_kills"][0]["time_us"].as_i64().unwrap();
    let last = info["cgroups"][0]["last_us"].as_i64().unwrap();
    assert!(last - kill > 3_000_000, "the sampling went on for {} us", last - kill);
    assert_eq!(info["events"]["gap"], Value::Null, "and nothing was missed");
}

/// Kills something in it again and again until it is asked to stop; gives the number of kills.
fn storm(cgroup: Cgroup, stop: std::sync::Arc<std::sync::atomic::AtomicBool>) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut kills = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            leak(&cgroup);
            kills += 1;
            std::thread::sleep(Duration::from_millis(300));
        }
        kills
    })
}

#[test]
fn containers_killed_within_seconds_beside_kills_that_never_pause_have_a_page_a_hook_and_an_alert_each() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let name = format!("sampler-test-{}-many", std::process::id());
    let Some(busy) = limited("many", "storm") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (out, given) = (dir.path().join("rec"), dir.path().join("given"));
    fs::create_dir(&given).unwrap();
    let command = format!("cat > {0}/$$.tmp && mv {0}/$$.tmp {0}/$$.json; sleep 1", given.display());
    let agent = record(&out, &format!("/{name}*"), &command);
    until("the recording", || !files(&out.join("journal"), ".journal").is_empty());
    std::thread::sleep(Duration::from_secs(1));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let kills = storm(busy, stop.clone());
    std::thread::sleep(Duration::from_secs(4));
    let names: Vec<String> = ["a", "b", "c"].iter().map(|which| format!("{name}-{which}")).collect();
    for which in ["a", "b", "c"] {
        let cgroup = limited("many", which).unwrap();
        // Seen at least once, and gone with its kill.
        std::thread::sleep(Duration::from_millis(300));
        leak(&cgroup);
        drop(cgroup);
    }
    until("a hook for each", || files(&given, ".json").len() >= 4);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let kills = kills.join().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    agent.stop();

    let said = fs::read_to_string(dir.path().join("said")).unwrap();
    let hooks: Vec<(Value, std::time::SystemTime)> = files(&given, ".json")
        .iter()
        .map(|file| {
            (serde_json::from_slice(&fs::read(file).unwrap()).unwrap(), fs::metadata(file).unwrap().modified().unwrap())
        })
        .collect();
    for cgroup in names.iter().chain([&format!("{name}-storm")]).map(|name| format!("/{name}")) {
        let of: Vec<_> = hooks.iter().filter(|(page, _)| page["limit"]["cgroup"] == cgroup.as_str()).collect();
        let [(page, written)] = &of[..] else { panic!("{} hooks of {cgroup}:\n{said}", of.len()) };
        let victims: Vec<&str> =
            page["victims"].as_array().unwrap().iter().map(|v| v["cgroup"].as_str().unwrap()).collect();
        assert!(victims.iter().all(|victim| *victim == cgroup), "{victims:?} on the page of {cgroup}");
        let killed = std::time::UNIX_EPOCH + Duration::from_micros(page["time_us"].as_u64().unwrap());
        let late = written.duration_since(killed).unwrap();
        assert!(late < Duration::from_secs(3), "the hook of {cgroup} was called {late:?} after the kill");
        assert!(said.contains(&format!("ALERT oom_kill {cgroup}")), "no alert of {cgroup}:\n{said}");
    }
    let all = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(["postmortem", "--list", "--json"])
        .arg(&out)
        .output()
        .unwrap();
    let mut all: Vec<Value> = serde_json::from_slice(&all.stdout).unwrap();
    // Others on the machine may be killed too.
    all.retain(|one| one["what"].as_str().unwrap().contains(&name));
    let counts: Vec<u64> = all.iter().map(|one| one["kills"].as_u64().unwrap()).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (4, kills + 3), "{all:#?}");
    assert!(files(&out.join("incidents"), ".json").len() >= 4);
}
