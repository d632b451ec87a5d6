//! `sampler import` on the forms of `data/import`, each with its truth, and by hand on a folder of others.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says what differs")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn sampler(args: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The command that an error prints, as words; none of it needs quotes but for its file.
fn printed_command(stderr: &str) -> Option<Vec<String>> {
    let line = stderr.lines().find_map(|line| line.trim().strip_prefix("sampler import "))?;
    let words = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
    Some(std::iter::once("import".to_owned()).chain(words).collect())
}

/// What is wrong with the answer to one case, in a sentence.
fn check(folder: &Path, truth: &Value) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("rec").to_str().unwrap().to_owned();
    let file = folder.join(truth["file"].as_str().unwrap()).to_str().unwrap().to_owned();
    let mut args = vec!["import".to_owned(), file];
    args.extend(truth["args"].as_array().into_iter().flatten().map(|arg| arg.as_str().unwrap().to_owned()));
    args.extend(words(&["--json", "--out", &out]));
    let mut output = sampler(&args);
    let stderr = text(&output.stderr);
    for said in truth["says"].as_array().into_iter().flatten() {
        let said = said.as_str().unwrap();
        if !stderr.contains(said) {
            return Err(format!("does not say {said:?}: {stderr}"));
        }
    }
    let wants_failure = truth["exit"].as_i64() == Some(1);
    if output.status.code() == Some(1) {
        if Path::new(&out).exists() {
            return Err("a failure left something".into());
        }
        let may_ask = truth["or_map"].is_string() || wants_failure && truth["rows"].is_number();
        if wants_failure && !may_ask {
            return Ok(());
        }
        if !may_ask {
            return Err(format!("failed: {stderr}"));
        }
        let mut command = printed_command(&stderr).ok_or_else(|| format!("prints no command: {stderr}"))?;
        command.push("--json".into());
        output = sampler(&command);
    } else if wants_failure {
        return Err(format!("did not fail: {stderr}"));
    }
    if !output.status.success() {
        return Err(format!("exit {:?}: {}", output.status.code(), text(&output.stderr)));
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let info: Value = serde_json::from_slice(&sampler(&words(&["info", &out, "--json"])).stdout).unwrap();
    let tables = ["samples", "host"].map(|table| info["tables"][table]["rows"].as_u64().unwrap_or(0));
    let rows = answer["rows"].as_u64();
    if rows != truth["rows"].as_u64() || rows != Some(tables.iter().sum()) {
        return Err(format!(
            "{rows:?} rows, {tables:?} in the recording, not {}: {}",
            truth["rows"],
            text(&output.stderr)
        ));
    }
    if let Some(first) = truth["first_time_utc"].as_str() {
        let want: jiff::Timestamp = first.parse().unwrap();
        let got: jiff::Timestamp = answer["from"].as_str().unwrap().parse().unwrap();
        if want != got {
            return Err(format!("begins at {got}, not {want}"));
        }
    }
    values(&out, truth)
}

/// Compares the cgroups of a recording and the last value of their fields, where the truth has them.
fn values(out: &str, truth: &Value) -> Result<(), String> {
    let exported = text(&sampler(&words(&["export", out, "--format", "jsonl"])).stdout);
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for line in exported.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let at = |row: &Value| row["time"].as_str().unwrap().to_owned();
        let slot = last.entry(row["cgroup"].as_str().unwrap().to_owned()).or_insert_with(|| row.clone());
        if at(&row) >= at(slot) {
            *slot = row;
        }
    }
    if let (Some(want), true) = (truth["cgroups"].as_array(), truth["question"].is_null()) {
        let want: BTreeSet<&str> = want.iter().map(|name| name.as_str().unwrap()).collect();
        let got: BTreeSet<&str> = last.keys().map(String::as_str).collect();
        if want != got {
            return Err(format!("cgroups {got:?}, not {want:?}"));
        }
    }
    for (name, fields) in truth["last"].as_object().into_iter().flatten() {
        for (field, want) in fields.as_object().unwrap() {
            let got = last.get(name).map_or(&Value::Null, |row| &row[field]);
            let unlimited = want == "inf" && got == "max";
            if got != want && !unlimited {
                return Err(format!("{field} of {name} is {got} at last, not {want}"));
            }
        }
    }
    Ok(())
}

fn check_all(folder: &Path) {
    let truths: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
    assert!(!truths.is_empty());
    let mut wrong = Vec::new();
    for truth in &truths {
        if let Err(why) = check(folder, truth) {
            wrong.push(format!("{}: {why}", truth["file"].as_str().unwrap()));
        }
    }
    eprintln!("{} of {} right", truths.len() - wrong.len(), truths.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_forms_are_read_as_their_truths_say() {
    check_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/import"));
}

/// The verdict on the one cgroup of a file.
fn verdict(dir: &Path, name: &str, content: &str) -> Value {
    let (file, out) = (dir.join(name), dir.join(format!("{name}.rec")));
    fs::write(&file, content).unwrap();
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let imported = sampler(&words(&["import", file, "--out", out]));
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let document: Value = serde_json::from_slice(&sampler(&words(&["analyze", out, "--json"])).stdout).unwrap();
    document["cgroups"][0].clone()
}

fn metric(name: &str, value: impl Fn(u64) -> u64) -> String {
    let values: Vec<String> = (0..180).map(|n| format!("[{}, \"{}\"]", 1_750_000_000 + 60 * n, value(n))).collect();
    format!(
        "{{\"data\":{{\"result\":[{{\"metric\":{{\"__name__\":\"{name}\",\"id\":\"/a\"}},\"values\":[{}]}}]}}}}",
        values.join(",")
    )
}

#[test]
fn a_leak_is_seen_in_one_number_and_believed_less() {
    let dir = tempfile::tempdir().unwrap();
    const MIB: u64 = 1 << 20;
    let rises = |n: u64| 100 * MIB + n * MIB + n * 7919 % 101 * 2048;
    for (name, most) in [("container_memory_rss", 0.85), ("container_memory_working_set_bytes", 0.75)] {
        let leak = verdict(dir.path(), name, &metric(name, rises));
        assert_eq!(leak["verdict"], "leak", "{name}: {leak}");
        let probability = leak["probability"].as_f64().unwrap();
        assert!(probability > 0.5 && probability <= most, "{name}: {leak}");
        assert!(leak["evidence"].to_string().contains("was recorded"), "{name}: {leak}");
        assert!(leak["last_bytes"].as_u64().unwrap() > 270 * MIB, "{name}: {leak}");
        let rest = verdict(dir.path(), &format!("rest-{name}"), &metric(name, |n| 100 * MIB + n * 7919 % 101 * 2048));
        assert_eq!(rest["verdict"], "steady", "{name}: {rest}");
    }
}

#[test]
fn a_long_file_needs_no_more_memory_than_a_short_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("long.csv");
    let mut csv = String::from("ts_ns,anon\n");
    for n in 0..200_000u64 {
        csv.push_str(&format!("{},{}\n", 1_750_000_000_000_000_000 + n * 1_000_000_000, 100_000_000 + n * 7));
    }
    fs::write(&file, csv).unwrap();
    let out = dir.path().join("rec");
    let output = sampler(&words(&["import", file.to_str().unwrap(), "--out", out.to_str().unwrap()]));
    assert!(output.status.success() && text(&output.stderr).contains("200000 rows"), "{}", text(&output.stderr));
    // Of all children of this test so far, the largest.
    // SAFETY: the structure is plain numbers, and the call fills it.
    let most_kib = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage), 0);
        usage.ru_maxrss
    };
    assert!(most_kib < 64 << 10, "{most_kib} KiB");
}

#[test]
fn files_of_one_query_each_become_rows_together() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("rec");
    let files = ["container_memory_rss", "container_memory_usage_bytes"].map(|name| {
        let file = dir.path().join(format!("{name}.json"));
        fs::write(&file, metric(name, |n| n + 7)).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let output = sampler(&[&words(&["import", "--out", out.to_str().unwrap()])[..], &files].concat());
    assert!(text(&output.stderr).contains("2 files: 180 rows of 1 cgroup"), "{}", text(&output.stderr));
    let csv = text(&sampler(&words(&["export", out.to_str().unwrap(), "--fields", "current,anon"])).stdout);
    assert!(csv.lines().nth(1).unwrap().ends_with(",7,7,"), "{csv}");
}

#[test]
fn what_is_printed_of_names_cannot_steer_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.csv");
    fs::write(&file, "time,rss_mb,\"a\u{9b}31m\u{202e}b\"\n2026-03-01T10:00:00Z,1,2\n").unwrap();
    let output = sampler(&words(&["import", file.to_str().unwrap(), "--out", dir.path().join("r").to_str().unwrap()]));
    let stderr = text(&output.stderr);
    assert!(output.status.success() && stderr.contains("\\u{9b}31m\\u{202e}b"), "{stderr}");
    assert!(!stderr.contains(['\u{9b}', '\u{202e}']), "{stderr}");
}

/// `SAMPLER_IMPORT_CASES=DIR cargo test --test import -- --ignored by_hand`: DIR has files and a `truth.json` beside them.
#[test]
#[ignore = "needs a folder of cases"]
fn by_hand() {
    check_all(Path::new(&std::env::var("SAMPLER_IMPORT_CASES").unwrap()));
}
