//! The verdicts on real programs: data/corpus is a thin recording of them, corpus.json says what they were made to do.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::collections::BTreeMap;
use std::path::Path;

use sampler::analysis::detectors::Class;
use sampler::analysis::track::Track;
use sampler::analysis::verdict::judge;
use sampler::fields::Table;
use sampler::store::scan::{Query, Recording};

/// Known defects: what is called a leak and is none. A kernel that does not tell slab apart (cgroup v1) cannot tell names that it
/// remembers from memory that is lost; V8 grows its heap for longer than the half hour that was recorded.
const KNOWN: [&str; 3] = ["c-dentries-1", "node-steady-1", "node-steady-2"];

#[test]
fn real_programs_that_leak_are_told_and_others_are_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/corpus");
    let text = std::fs::read_to_string(folder.join("corpus.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut tracks: BTreeMap<String, Track> = BTreeMap::new();
    let mut recording = Recording::open(&folder).unwrap();
    recording.series(Table::Samples, &Query::all(), |series| {
        tracks.entry(series.subject.cgroup.clone()).or_default().feed(&series);
    });
    let (mut leaks, mut others) = (0, 0);
    for truth in document["traces"].as_array().unwrap().iter().filter(|truth| truth["part"] == "tune") {
        let (name, path) = (truth["name"].as_str().unwrap(), truth["cgroup"].as_str().unwrap());
        let limit = truth["limit_bytes"].as_f64().map(|bytes| (path, bytes));
        let verdict = judge(tracks.get_mut(path).unwrap(), limit).unwrap();
        let says = verdict.verdict == Class::Leak;
        if truth["class"] == "leak" {
            leaks += 1;
            assert!(says, "{name} is not told: {:?}", verdict.evidence);
        } else {
            others += 1;
            assert!(!says || KNOWN.contains(&name), "{name} is called a leak: {:?}", verdict.evidence);
        }
    }
    assert_eq!((leaks, others), (24, 24));
}
