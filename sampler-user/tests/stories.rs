//! Real incidents, recorded by our own recorder, with a known truth: the page must say it, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings")
}

fn postmortem(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sampler")).arg("postmortem").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `key = value` lines whose values are written as JSON has them, which TOML has as well.
fn truth(path: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(path).unwrap();
    let pair = |line: &str| {
        let (key, value) = line.split_once(" = ").unwrap();
        (key.to_owned(), serde_json::from_str(value).unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(pair).collect()
}

fn words(truth: &BTreeMap<String, Value>, key: &str) -> Vec<String> {
    truth[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_story_is_reported_as_it_was() {
    let mut wrong = Vec::new();
    let mut stories = 0;
    for folder in fs::read_dir(recordings()).unwrap().map(|entry| entry.unwrap().path()) {
        let path = folder.join("truth.toml");
        if !path.exists() {
            continue;
        }
        stories += 1;
        let truth = truth(&path);
        let shown: Value = serde_json::from_str(&postmortem(&[folder.to_str().unwrap(), "--json"])).unwrap();
        let page = &shown["incidents"][0];
        let name = folder.file_name().unwrap().to_str().unwrap();
        let mut check = |what: &str, got: &Value, want: Option<&Value>| {
            // The id of a container is another one in each recording.
            let ends =
                |want: &str| want.strip_suffix('*').is_some_and(|head| got.as_str().unwrap_or("").starts_with(head));
            if got != want.unwrap_or(&Value::Null) && !want.and_then(Value::as_str).is_some_and(ends) {
                wrong.push(format!("{name}: {what} is {got}, not {want:?}: {}", page["verdict"]));
            }
        };
        check("kind", &page["kind"], truth.get("kind"));
        check("owner of the limit", &page["limit"]["owner"], truth.get("owner"));
        check("cgroup of the limit", &page["limit"]["cgroup"], truth.get("limit_cgroup"));
        check("cause", &page["cause"], truth.get("cause"));
        check("contributing", &page["contributing"], truth.get("also"));
        for (key, got) in [("suspect", &page["suspect"]), ("victim", &page["victims"][0]["comm"])] {
            if truth.contains_key(key) {
                check(key, got, truth.get(key));
            }
        }
        let advice = page["advice"].to_string();
        let left_out = words(&truth, "advises").into_iter().filter(|part| !advice.contains(part.as_str()));
        wrong.extend(left_out.map(|part| format!("{name}: does not advise {part:?}: {advice}")));
        let unlikely = if truth.contains_key("unlikely") { words(&truth, "unlikely") } else { Vec::new() };
        for class in unlikely {
            let judged = page["causes"].as_array().unwrap().iter().find(|cause| cause["class"] == class.as_str());
            if judged.is_none_or(|cause| cause["score"].as_f64() >= Some(0.5) || cause["against"][0].is_null()) {
                wrong.push(format!("{name}: {class} is not spoken against: {judged:?}"));
            }
        }
        wrong.extend(contradictions(page).into_iter().map(|what| format!("{name}: {what}")));
        let text = postmortem(&[folder.to_str().unwrap()]);
        let said = |part: &str| page["verdict"].as_str().unwrap().contains(part);
        wrong.extend(
            words(&truth, "says")
                .iter()
                .filter(|part| !said(part))
                .map(|part| format!("{name}: does not say {part:?}: {}", page["verdict"])),
        );
        wrong.extend(
            words(&truth, "never")
                .iter()
                .filter(|part| said(part))
                .map(|part| format!("{name}: says {part:?}: {}", page["verdict"])),
        );
        if !text.replace("\n", " ").contains(&page["verdict"].as_str().unwrap()[..30])
            || !text.contains("What to change")
        {
            wrong.push(format!("{name}: the text has no verdict or no advice:\n{text}"));
        }
        if shown["problems"] != Value::Array(Vec::new()) && name != "vm-killed" {
            wrong.push(format!("{name}: {}", shown["problems"]));
        }
    }
    assert!(stories >= 12, "{stories} stories");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What of a page does not fit together, whatever the story.
fn contradictions(page: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let list = |key: &str| page[key].as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let scores: Vec<f64> = list("causes").iter().map(|cause| number(&cause["score"])).collect();
    if !scores.is_sorted_by(|a, b| a >= b) || scores.iter().any(|score| !(0.0..=1.0).contains(score)) {
        wrong.push(format!("the causes are not in order: {scores:?}"));
    }
    let has_reasons = |cause: &Value| cause["for"].as_array().is_some_and(|reasons| !reasons.is_empty());
    let cause = list("causes").into_iter().find(|cause| cause["class"] == page["cause"]);
    if !cause.as_ref().is_some_and(|cause| has_reasons(cause) && number(&cause["score"]) >= 0.5) {
        wrong.push(format!("the cause has no evidence: {cause:?}"));
    }
    // At the kill the kernel's own report is exact: the parts are the whole.
    for cgroup in list("memory").iter().filter(|cgroup| cgroup["exact"] == true && !cgroup["current"].is_null()) {
        let parts: f64 =
            ["anon", "file", "shmem", "kernel"].iter().map(|part| cgroup[*part].as_f64().unwrap_or(0.0)).sum();
        let whole = number(&cgroup["current"]);
        if (parts - whole).abs() > 0.01 * whole {
            wrong.push(format!("parts of {parts} bytes are a whole of {whole}: {cgroup}"));
        }
    }
    let before: Vec<f64> =
        list_of(&page["timeline"]["minute"]).iter().map(|point| number(&point["before_s"])).collect();
    if before.len() < 5 || !before.is_sorted_by(|a, b| a > b) {
        wrong.push(format!("the timeline of the minute: {before:?}"));
    }
    if page["kind"] == "oom-kill" {
        if !list("processes").iter().any(|process| process["killed"] == true && number(&process["rss"]) > 0.0) {
            wrong.push("no process was killed".into());
        }
        // Right before the kill the limit was reached.
        let (usage, limit) = (number(&page["limit"]["usage"]), number(&page["limit"]["limit"]));
        if usage < 0.9 * limit || usage > 1.01 * limit {
            wrong.push(format!("{usage} bytes of {limit} were used"));
        }
    }
    if !list("unknown").iter().any(|what| what.as_str().unwrap_or("").starts_with("the parts of ")) {
        wrong.push(format!("how old the readings are is not said: {}", page["unknown"]));
    }
    wrong
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn incidents_are_listed_found_by_time_and_shown_all() {
    let folder = recordings().join("sum-of-limits");
    let folder = folder.to_str().unwrap();
    let list = postmortem(&[folder, "--list"]);
    assert_eq!(list.lines().count(), 2);
    let first = list.split_whitespace().next().unwrap().to_owned();
    let shown: Value = serde_json::from_str(&postmortem(&[folder, "--json", "--at", &first])).unwrap();
    assert_eq!(shown["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(shown["incidents"][0]["time"], first.as_str());
    assert_eq!(shown["incidents"][0]["cause"], "limits-exceed", "also while the others still live");
    let all: Value = serde_json::from_str(&postmortem(&[folder, "--json", "--all"])).unwrap();
    assert_eq!(all["incidents"].as_array().unwrap().len(), 2);
}

#[test]
fn a_page_of_a_recording_that_was_not_read_whole_is_not_sure() {
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() { copy(&entry.path(), &target) } else { drop(std::fs::copy(entry.path(), target)) }
        }
    }
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings/sibling");
    let dir = tempfile::tempdir().unwrap();
    copy(&source, dir.path());
    let samples = dir.path().join("samples/host=vm/date=2026-11-25");
    let file = std::fs::read_dir(samples).unwrap().flatten().next().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..900]).unwrap();
    let page = |dir: &std::path::Path| -> serde_json::Value {
        let sampler = std::process::Command::new(env!("CARGO_BIN_EXE_sampler"))
            .args(["postmortem", "--json"])
            .arg(dir)
            .output()
            .unwrap();
        let document: serde_json::Value = serde_json::from_slice(&sampler.stdout).unwrap();
        document["incidents"][0].clone()
    };
    assert!(page(&source)["confidence"].as_f64().unwrap() > 0.9);
    let damaged = page(dir.path());
    assert!(damaged["confidence"].as_f64().unwrap() <= 0.5, "{}", damaged["confidence"]);
    assert!(damaged["unknown"].to_string().contains("could not be read"), "{}", damaged["unknown"]);
}
