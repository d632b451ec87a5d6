//! The command as a user has it: exit codes, messages, and real cgroups where the machine allows.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn sampler(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(args: &[&str]) -> serde_json::Value {
    let output = sampler(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether this machine lets us make cgroups; says why not.
fn can_cage(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    let memory = sampler::kernel::cgroupfs::layout::Layout::detect();
    match (root, memory) {
        (true, Ok(layout)) => {
            let probe = layout.memory.join(format!("sampler-test-probe-{}", std::process::id()));
            let made = std::fs::create_dir(&probe);
            let _ = std::fs::remove_dir(&probe);
            if let Err(error) = &made {
                eprintln!("SKIPPED {test}: cannot make a cgroup in {}: {error}", layout.memory.display());
            }
            made.is_ok()
        }
        (false, _) => {
            eprintln!("SKIPPED {test}: needs root to make a cgroup");
            false
        }
        (_, Err(error)) => {
            eprintln!("SKIPPED {test}: {error}");
            false
        }
    }
}

#[test]
fn the_generated_documents_of_columns_are_current() {
    for (name, options) in [("fields", &["--markdown"][..]), ("findings", &["--findings", "--markdown"])] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{name}.md"));
        let now = text(&sampler(&[&["fields"], options].concat()).stdout);
        assert!(now.len() > 5000);
        assert_eq!(std::fs::read_to_string(path).unwrap(), now, "run `cargo xtask docs`");
    }
}

#[test]
fn fields_as_json_name_unit_kind_and_file() {
    let fields = json(&["fields", "--json"]);
    let current = fields.as_array().unwrap().iter().find(|f| f["column"] == "current").unwrap();
    assert_eq!(current["v1"], "memory.usage_in_bytes");
    assert_eq!((&current["unit"], &current["kind"]), (&"bytes".into(), &"gauge".into()));
}

#[test]
fn what_is_wrong_is_said_and_has_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().to_str().unwrap();
    for (args, code, words) in [
        (vec!["info", empty], 3, "holds no recording"),
        (vec!["info", "/no/such/place"], 3, "/no/such/place"),
        (vec!["record", "--interval", "1us"], 2, "is not between 1ms and 1min"),
        (vec!["record", "--fields", "nonsense", "--out", empty], 1, "no field `nonsense`"),
        (vec!["import", "x.txt", "--out", empty], 1, "x.txt"),
        (vec!["nonsense"], 2, "nonsense"),
    ] {
        let output = sampler(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(words), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn what_cannot_be_read_is_no_all_clear() {
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/journal/small.journal");
    let mut bytes = std::fs::read(small).unwrap();
    bytes[40] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    std::fs::write(journal.join("x.journal"), bytes).unwrap();
    let parquet = dir.path().join("x.parquet");
    std::fs::write(&parquet, "not a table").unwrap();
    let folder = dir.path().to_str().unwrap();
    for args in [&[folder][..], &[folder, "--all"], &[folder, "--list"], &[parquet.to_str().unwrap()]] {
        let output = sampler(&[&["postmortem"], args].concat());
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(5), "{args:?}: {said}");
        assert!(said.contains("no all-clear") && said.contains("problem: "), "{args:?}: {said}");
        assert!(!said.contains("no OOM kill"), "{args:?}: {said}");
    }
    for args in [&["--at", "10"][..], &["--html", "/dev/null"], &["--list", "--json"]] {
        let output = sampler(&[&["postmortem", folder], args].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{args:?}: {said}");
        assert!(said.contains("no all-clear") && said.contains("x.journal"), "{args:?}: {said}");
    }
    let output = sampler(&["postmortem", folder, "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["incidents"]), (Some(5), &serde_json::json!([])));
    assert!(document["problems"][0]["source"].as_str().unwrap().ends_with("x.journal"), "{document}");
    let page = dir.path().join("page.html");
    let page = page.to_str().unwrap();
    for args in [&["analyze"][..], &["advise"], &["info"], &["export"], &["report", "--html", page]] {
        let output = sampler(&[&args[..1], &[folder], &args[1..]].concat());
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{args:?}: {said}");
        // Lines are folded at the width of a terminal, words are not.
        assert!(said.contains("x.journal"), "{args:?}: {said}");
        assert!(!said.contains("0 us"), "{args:?}: a time of nothing: {said}");
    }
}

#[test]
fn csv_is_imported_shown_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.csv");
    std::fs::write(
        &file,
        "ts_ns,rss,max,colour\n1700000000000000000,5,max,red\n1700000000100000001,7,100,red\n1700000000200000000,,x,red\n",
    )
    .unwrap();
    let out = dir.path().join("rec");
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let imported = sampler(&["import", file, "--map", "rss=anon", "--out", out]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    assert!(text(&imported.stderr).contains("`colour` is left out"), "{}", text(&imported.stderr));
    let csv = text(&sampler(&["export", out, "--fields", "anon,max"]).stdout);
    let want = "cgroup,id,time,lag_us,max,anon,name\nweb,0,2023-11-14T22:13:20.000000Z,0,inf,5,\nweb,0,2023-11-14T22:13:20.100000Z,0,100,7,\n";
    assert_eq!(csv, want);
    let jsonl = text(&sampler(&["export", out, "--fields", "max", "--format", "jsonl"]).stdout);
    assert!(jsonl.lines().next().unwrap().contains("\"max\":\"max\""), "{jsonl}");
    assert_eq!(json(&["info", out, "--json"])["tables"]["samples"]["rows"], 2);
}

#[test]
fn prometheus_json_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.json");
    let series = |name: &str, value: &str| {
        format!(
            "{{\"metric\":{{\"__name__\":\"{name}\",\"id\":\"/docker/a\"}},\"values\":[[1700000010.5,\"{value}\"],[1700000011.5,\"{value}\"]]}}"
        )
    };
    let document = format!(
        "{{\"data\":{{\"result\":[{},{},{}]}}}}",
        series("container_memory_rss", "42"),
        series("container_spec_memory_limit_bytes", "0"),
        series("container_fs_reads_total", "1")
    );
    std::fs::write(&file, document).unwrap();
    let out = dir.path().join("rec");
    let output = sampler(&["import", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(text(&output.stderr).contains("container_fs_reads_total"));
    let csv = text(&sampler(&["export", out.to_str().unwrap(), "--fields", "anon,max"]).stdout);
    assert!(csv.contains("/docker/a,0,2023-11-14T22:13:30.500000Z,0,inf,42"), "{csv}");
}

#[test]
fn run_passes_exit_codes_and_explains_a_kill() {
    if !can_cage("run_passes_exit_codes_and_explains_a_kill") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let seven = sampler(&["run", "--out", &out("seven"), "--", "sh", "-c", "exit 7"]);
    assert_eq!(seven.status.code(), Some(7), "{}", text(&seven.stderr));
    assert!(text(&seven.stderr).contains("no OOM kill"));
    let missing = sampler(&["run", "--out", &out("missing"), "--", "no-such-command"]);
    assert_eq!(missing.status.code(), Some(127), "{}", text(&missing.stderr));
    let layout = sampler::kernel::cgroupfs::layout::Layout::detect().unwrap();
    let left: Vec<_> = std::fs::read_dir(layout.memory).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("sampler-run-")), "a cgroup was left: {left:?}");

    let leak = [env!("CARGO_BIN_EXE_sampler"), "demo", "--leak", "256"];
    let mut args = vec!["run", "--memory-max", "24M", "--out"];
    let killed_out = out("killed");
    args.extend([killed_out.as_str(), "--"]);
    args.extend(leak);
    let killed = sampler(&args);
    assert_eq!(killed.status.code(), Some(137), "{}", text(&killed.stderr));
    let said = text(&killed.stderr);
    assert!(said.contains("`sampler` (pid ") && said.contains(" was OOM-killed at "), "{said}");
    assert!(said.contains(" by its own limit of 24 MiB."), "{said}");

    let info = json(&["info", &killed_out, "--json"]);
    let kills = info["oom_kills"].as_array().unwrap();
    assert_eq!(kills.len(), 1, "one kill, one event: {kills:?}");
    let witnesses = kills[0]["witnesses"].as_array().unwrap();
    assert!(witnesses.contains(&"memory.events".into()), "{witnesses:?}");
    let cgroup = &info["cgroups"][0];
    assert_eq!(cgroup["limit_bytes"], 24 << 20);
    assert!(cgroup["peak_bytes"].as_u64().unwrap() > 23 << 20);
    assert!(info["tables"]["samples"]["rows"].as_u64().unwrap() > 50);
}

#[test]
fn without_root_the_command_runs_where_it_is_and_a_limit_is_not_ignored() {
    use std::os::unix::process::CommandExt;
    let test = "without_root_the_command_runs_where_it_is_and_a_limit_is_not_ignored";
    if !can_cage(test) {
        return;
    }
    // Where nobody may enter: a program that others may read, and a folder that they may write.
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("sampler");
    std::fs::copy(env!("CARGO_BIN_EXE_sampler"), &program).unwrap();
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    open(dir.path(), 0o777);
    open(&program, 0o755);
    let run = |name: &str, more: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["run", "--out"]).arg(dir.path().join(name)).args(more).args(["--", "sleep", "1"]);
        command.uid(65534).gid(65534).current_dir("/").output().unwrap()
    };
    let plain = run("plain", &[]);
    assert_eq!(plain.status.code(), Some(0), "{}", text(&plain.stderr));
    assert!(text(&plain.stderr).contains("sudo sampler run"), "{}", text(&plain.stderr));
    let info = json(&["info", dir.path().join("plain").to_str().unwrap(), "--json"]);
    assert!(info["tables"]["samples"]["rows"].as_u64().unwrap() > 20, "the cgroup it was in was sampled");
    let limited = run("limited", &["--memory-max", "100M"]);
    assert_eq!(limited.status.code(), Some(4), "{}", text(&limited.stderr));
    assert!(text(&limited.stderr).contains("needs root"));
}

#[test]
fn doctor_says_what_there_is_and_what_to_do() {
    let output = sampler(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["format"], "sampler.doctor.v1");
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() > 8 && checks.iter().all(|check| check["what"].as_str().is_some_and(|what| !what.is_empty())));
    let blocked = checks.iter().any(|check| check["state"] == "blocks");
    assert_eq!(output.status.code(), Some(if blocked { 4 } else { 0 }), "{}", text(&output.stderr));
    let words = sampler(&["doctor"]);
    assert!(text(&words.stdout).lines().count() >= checks.len());
}

#[test]
fn sigkill_loses_nothing_that_was_journalled() {
    if !can_cage("sigkill_loses_nothing_that_was_journalled") {
        return;
    }
    let trials = std::env::var("SAMPLER_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12u64);
    let samples =
        |kind: sampler::model::sample::PassKind| u64::from(kind.table() == sampler::model::fields::Table::Samples);
    let mut torn = 0;
    for trial in 0..trials {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().to_str().unwrap();
        let mut agent = Command::new(env!("CARGO_BIN_EXE_sampler"))
            .args(["record", "--interval", "2ms", "--no-protect", "--out", out])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let journal = dir.path().join("journal");
        let begun = Instant::now();
        // From the first rows on: before them, there is nothing to lose.
        let segment = loop {
            let found = sampler::journal::reader::segments(&journal).unwrap_or_default();
            let written = |path: &std::path::PathBuf| {
                let whole = sampler::journal::reader::Segment::open(path);
                let mut rows = 0;
                whole.is_ok_and(|whole| whole.rows(|head, _| rows += samples(head.kind)) == 0 && rows > 0)
            };
            if let Some(path) = found.into_iter().find(written) {
                break path;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no rows appeared");
            std::thread::sleep(Duration::from_millis(2));
        };
        // Another moment in each trial, over several flushes.
        std::thread::sleep(Duration::from_micros(trial * 7919 * 13 % 900_000));
        let journalled = std::fs::metadata(&segment).unwrap().len();
        // A write that was seen half done is done by now.
        std::thread::sleep(Duration::from_millis(10));
        agent.kill().unwrap();
        agent.wait().unwrap();
        let whole = sampler::journal::reader::Segment::open(&segment).unwrap();
        assert_eq!(whole.corrupt_bytes, 0);
        let kept = std::fs::metadata(&segment).unwrap().len() - whole.torn_bytes;
        assert!(kept >= journalled, "{kept} of {journalled}");
        torn += u64::from(whole.torn_bytes > 0);
        let mut rows = 0;
        assert_eq!(whole.rows(|head, _| rows += samples(head.kind)), 0);
        assert!(rows > 0);
        // The next agent seals what the dead one left.
        let again = sampler(&["record", "--for", "200ms", "--no-protect", "--out", out]);
        assert!(again.status.success(), "{}", text(&again.stderr));
        let info = json(&["info", out, "--json"]);
        assert!(
            info["tables"]["samples"]["rows"].as_u64().unwrap() > rows && info["problems"] == serde_json::json!([])
        );
    }
    eprintln!("{trials} kills, {torn} torn tails, all recovered");
}

#[test]
fn a_demo_without_root_explains_the_recording_that_is_in_the_program() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // As an installed program: the source is out of its reach.
    let program = dir.path().join("sampler");
    fs::copy(env!("CARGO_BIN_EXE_sampler"), &program).unwrap();
    let out = dir.path().join("demo");
    let mut demo = Command::new(&program);
    demo.arg("demo").arg("--out").arg(&out).current_dir(dir.path());
    if rustix::process::geteuid().is_root() {
        demo.uid(65534).gid(65534);
    }
    let done = demo.output().unwrap();
    let (page, notes) = (text(&done.stdout), text(&done.stderr));
    // A pipe is 80 columns wide.
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(done.status.success(), "{notes}");
    assert!(page.contains("its own limit of 64 MiB") && page.contains("cause: burst"), "{page}");
    assert!(notes.contains("Next:") && !notes.contains(env!("CARGO_MANIFEST_DIR")), "{notes}");
    assert!(fs::metadata(out.join("report.html")).unwrap().len() > 10_000);
}
