//! The verdicts on real programs: data/corpus and data/services are thin recordings of them, corpus.json says what they were made
//! to do.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::collections::BTreeMap;
use std::path::Path;

use sampler::analysis::leak::detectors::Class;
use sampler::analysis::leak::track::Track;
use sampler::analysis::leak::verdict::judge;
use sampler::model::fields::Table;
use sampler::store::scan::{Query, Recording};

/// Known defects of a recording: what is called a leak and is none, and leaks that are not found.
struct Known {
    false_alarms: &'static [&'static str],
    missed: &'static [&'static str],
}

#[test]
fn programs_that_leak_are_found_and_others_are_not() {
    // A kernel that does not split slab (cgroup v1) cannot distinguish names that it remembers from memory that is lost; V8 grows its
    // heap for longer than the half hour that was recorded.
    let known = Known { false_alarms: &["c-dentries-1", "node-steady-1", "node-steady-2"], missed: &[] };
    assert_eq!(judged("corpus", &known), (24, 24));
}

#[test]
fn services_that_leak_are_found_and_others_are_not() {
    // Heaps that no collection has reached in half an hour, and shared buffers that were not full at its end; heaps of Java that grow
    // by stairs to their largest size, and lose all at once.
    let known =
        Known { false_alarms: &["jvm-idle-1", "jvm-idle-2", "sql-sort-1"], missed: &["jvm-map-1", "jvm-classes-1"] };
    assert_eq!(judged("services", &known), (26, 22));
}

/// Judges the tune part; how many of it leak, and how many do not.
fn judged(name: &str, known: &Known) -> (usize, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name);
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
        let is_known = if says { known.false_alarms } else { known.missed }.contains(&name);
        let right = says == (truth["class"] == "leak");
        assert!(
            right != is_known,
            "{name} ({}) is called {:?}: {:?}",
            truth["class"],
            verdict.verdict,
            verdict.evidence
        );
        *if truth["class"] == "leak" { &mut leaks } else { &mut others } += 1;
    }
    (leaks, others)
}

/// What is said of a service of `data/services` when this part of its time has passed.
fn said_of(name: &str, part: f64) -> Class {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/services");
    let text = std::fs::read_to_string(folder.join("corpus.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let truth = document["traces"].as_array().unwrap().iter().find(|truth| truth["name"] == name).unwrap();
    let (begin, end) = (truth["begin_us"].as_i64().unwrap(), truth["end_us"].as_i64().unwrap());
    let to = begin + ((end - begin) as f64 * part) as i64;
    let wanted = |path: &str| path == truth["cgroup"].as_str().unwrap();
    let mut track = Track::default();
    let query = Query { cgroups: &wanted, time: begin..to, ..Query::all() };
    Recording::open(&folder).unwrap().series(Table::Samples, &query, |series| track.feed(&series));
    judge(&mut track, truth["limit_bytes"].as_f64().map(|bytes| ("", bytes))).unwrap().verdict
}

#[test]
fn work_that_rose_once_does_not_explain_what_grows_on() {
    // The producer works more from the begin of the growth on; nothing else about it rises.
    assert_eq!([23, 25, 27].map(|part| said_of("py-backlog-1", f64::from(part) / 40.0)), [Class::Leak; 3]);
}

#[test]
fn a_growth_in_few_large_steps_is_not_steady_and_a_pause_of_it_no_end() {
    assert_eq!([22, 23].map(|part| said_of("py-job-leak-2", f64::from(part) / 40.0)), [Class::Leak; 2]);
    let later = [24, 26, 28, 30].map(|part| said_of("py-job-leak-2", f64::from(part) / 40.0));
    assert!(!later.contains(&Class::Steady), "{later:?}");
}
