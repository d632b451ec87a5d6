//! What the HTML report says, by what is embedded in it; how it looks is looked at by `cargo xtask browser-test`.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/field.rs"]
mod field;
#[path = "support/journal.rs"]
mod journal;
#[path = "support/loops.rs"]
mod loops;
#[path = "support/stack.rs"]
mod stack;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The page that a command writes of a recording, as it is embedded.
fn page(dir: &Path, command: &str) -> Value {
    page_of(dir, command, &[])
}

fn page_of(dir: &Path, command: &str, more: &[&str]) -> Value {
    page_and_code(dir, command, more, 0)
}

fn page_and_code(dir: &Path, command: &str, more: &[&str], code: i32) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let html = folder.path().join("page.html");
    let output =
        Command::new(env!("CARGO_BIN_EXE_sampler")).arg(command).arg(dir).arg("--html").arg(&html).args(more).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&html).unwrap();
    serde_json::from_str(text.split("id=\"recording\">").nth(1).unwrap().split("</script>").next().unwrap()).unwrap()
}

fn list<'a>(page: &'a Value, key: &str) -> &'a [Value] {
    page[key].as_array().unwrap()
}

fn recorded(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings").join(name)
}

#[test]
fn a_busy_day_begins_with_its_incident_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    field::write(dir.path());
    let page = page(dir.path(), "report");
    let head = &page["head"];
    let sentence = head["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("`java` in `shop/import` was OOM-killed at "), "{sentence}");
    assert!(head["advice"].as_str().is_some_and(|text| text.contains("shop/import")), "{head}");
    assert_eq!(head["setting"], "compose, service import: mem_limit: 128m");
    let links: Vec<&str> = list(head, "links").iter().map(|link| link["text"].as_str().unwrap()).collect();
    assert_eq!(links, ["Why", "1 other incident", "1 leak: shop/backend"]);
    let cards: Vec<(&str, &str)> = list(&page, "cards")
        .iter()
        .map(|card| (card["title"].as_str().unwrap(), card["value"].as_str().unwrap()))
        .collect();
    assert_eq!(cards, [("OOM kills", "2"), ("Leaks", "1"), ("Pressure", "none"), ("Machine headroom", "4.9 GiB")]);
    assert!(page["cards"][1]["words"].as_str().unwrap().starts_with("shop/backend: full in "), "{}", page["cards"][1]);
}

#[test]
fn the_chart_has_the_containers_that_matter_and_all_others_as_one() {
    let dir = tempfile::tempdir().unwrap();
    field::write(dir.path());
    let page = page(dir.path(), "report");
    let shown: Vec<&str> = list(&page, "findings")
        .iter()
        .filter(|finding| finding["shown"] == true)
        .map(|finding| finding["path"].as_str().unwrap())
        .collect();
    assert_eq!(shown.len(), 10);
    let set = &page["sets"][0];
    let charted = set["charted"].as_u64().unwrap() as usize;
    let plotted: Vec<&str> =
        list(set, "cgroups").iter().take(charted).map(|plot| plot["path"].as_str().unwrap()).collect();
    assert_eq!(plotted, shown, "the same, in the same order");
    // 57 cgroups without children, of which ten are shown.
    assert_eq!(set["others"]["count"], 47);
    assert!(page["folded"].as_str().unwrap().starts_with("51 others: "), "{}", page["folded"]);
    assert_eq!(list(&page, "findings").len(), 61, "all of them can be asked for");
}

/// A hundred lines of cgroups that came and went stood where the kills should.
#[test]
fn events_that_belong_to_no_incident_are_marked_so() {
    let dir = tempfile::tempdir().unwrap();
    field::write(dir.path());
    let page = page(dir.path(), "report");
    let own: Vec<(&str, &str)> = list(&page, "marks")
        .iter()
        .filter(|mark| mark["is_incident"] == true)
        .map(|mark| (mark["name"].as_str().unwrap(), mark["kind"].as_str().unwrap()))
        .collect();
    let all = [
        ("shop/auth", "oom_kill"),
        ("shop/import", "cgroup_created"),
        ("shop/import", "oom_kill"),
        ("shop/import", "cgroup_removed"),
    ];
    assert_eq!(own, all);
    assert!(list(&page, "marks").len() > 80);
}

#[test]
fn a_limit_that_several_share_is_drawn_as_their_sum() {
    let page = page(&recorded("sibling"), "report");
    assert_eq!(page["head"]["is_sum"], true);
    let charted = page["sets"][0]["charted"].as_u64().unwrap() as usize;
    let above: Vec<&str> = list(&page["sets"][0], "cgroups")
        .iter()
        .take(charted)
        .filter(|plot| plot["is_above"] == true)
        .map(|plot| plot["name"].as_str().unwrap())
        .collect();
    assert!(above.is_empty(), "its children are drawn, not it: {above:?}");
    let leaks: Vec<&str> = list(&page, "findings")
        .iter()
        .filter(|finding| finding["state"] == "leak" && finding["shown"] == true)
        .map(|finding| finding["name"].as_str().unwrap())
        .collect();
    assert_eq!(leaks, ["batch"], "the pod's leak is that of batch");
}

#[test]
fn nothing_is_called_calm_that_was_watched_too_briefly_or_not_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    stack::write(dir.path(), &stack::SHOP, 0);
    let whole = page(dir.path(), "report");
    assert_eq!(whole["head"]["label"], "Calm", "{}", whole["head"]);
    let folder = dir.path().join("samples/host=shop/date=2026-11-28");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("20261128T000000000Z-01234567-00009.parquet"), "no Parquet").unwrap();
    let damaged = page_and_code(dir.path(), "report", &[], 5);
    assert!(damaged["head"]["sentence"].as_str().unwrap().contains("could not be read"), "{}", damaged["head"]);
    assert_ne!(damaged["head"]["label"], "Calm");
    // A part of it alone.
    std::fs::remove_dir_all(dir.path().join("samples")).unwrap();
    let brief = page_of(dir.path(), "report", &["--from", "2026-11-22T00:00:00Z", "--to", "2026-11-22T00:00:01Z"]);
    assert_ne!(brief["head"]["label"], "Calm", "{}", brief["head"]);
}

#[test]
fn the_page_of_a_kill_in_a_restart_loop_has_the_lives() {
    let dir = tempfile::tempdir().unwrap();
    loops::write(dir.path(), 1200);
    let page = page(dir.path(), "postmortem");
    let incident = &page["incidents"][0];
    assert!(
        incident["loop"].is_object() && incident["lives"].as_array().unwrap().len() >= 3,
        "{}",
        incident["verdict"]
    );
    assert_eq!(page["head"]["sentence"], incident["verdict"]);
    let titles: Vec<&str> = list(&page, "cards").iter().map(|card| card["title"].as_str().unwrap()).collect();
    assert_eq!(titles[..3], ["Limit", "Cause", "Killed"]);
}
