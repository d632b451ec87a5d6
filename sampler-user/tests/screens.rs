//! The first screen of each command on a machine as it is met in the field. `BLESS=1 cargo test --test screens` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test panics")]

#[path = "support/field.rs"]
mod field;

use std::path::Path;
use std::process::{Command, Output};

fn run(args: &[&str], columns: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampler"));
    command.args(args).env_remove("COLUMNS");
    columns.map(|columns| command.env("COLUMNS", columns));
    command.output().unwrap()
}

fn screen(args: &[&str], columns: Option<&str>) -> String {
    let output = run(args, columns);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress in a pipe: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn recorded() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    field::write(dir.path());
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}

/// A command that is copied is one line, whatever its length.
fn fits(line: &str, width: usize) -> bool {
    line.chars().count() <= width || line.starts_with("    ") && line.contains(" && ")
}

/// The commands, and the name of their screens.
const SCREENS: [(&str, &[&str]); 6] = [
    ("analyze", &["analyze"]),
    ("info", &["info"]),
    ("kills", &["postmortem", "--list"]),
    ("page", &["postmortem", "--last"]),
    ("advise", &["advise"]),
    ("top", &["top", "--once"]),
];

#[test]
fn each_screen_is_the_one_that_was_looked_at() {
    let (_dir, dir) = recorded();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
    for (name, args) in SCREENS {
        for columns in ["80", "120"] {
            let shown = screen(&[args, &[&dir]].concat(), Some(columns));
            let width: usize = columns.parse().unwrap();
            assert!(shown.lines().all(|line| fits(line, width)), "{name} at {columns}:\n{shown}");
            let path = folder.join(format!("{name}-{columns}.txt"));
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(&path, &shown).unwrap();
            }
            let known = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(shown == known, "{name} at {columns} changed: BLESS=1 cargo test --test screens\n{shown}");
        }
    }
}

/// It was below sixty lines of cgroups that nobody had asked about.
#[test]
fn the_leak_and_the_kills_are_in_the_first_lines_of_few() {
    let (_dir, dir) = recorded();
    let first = |text: &str, lines: usize| text.lines().take(lines).collect::<Vec<_>>().join("\n");
    let advised = screen(&["advise", &dir], None);
    assert!(first(&advised, 3).contains("shop/backend"), "{advised}");
    let analyzed = screen(&["analyze", &dir], None);
    assert!(first(&analyzed, 3).contains("shop/backend") && first(&analyzed, 3).contains("leak "), "{analyzed}");
    let listed = screen(&["postmortem", &dir, "--list"], None);
    assert!(first(&listed, 2).matches("OOM kill").count() == 2, "{listed}");
    assert!(analyzed.contains("full in "), "a narrow screen has the time that is left: {analyzed}");
    let top = screen(&["top", &dir, "--once"], Some("80"));
    assert!(first(&top, 4).contains("shop/import") && first(&top, 4).contains("shop/auth"), "{top}");
    for (text, most) in
        [(&analyzed, 25), (&listed, 25), (&advised, 25), (&top, 25), (&screen(&["info", &dir], None), 32)]
    {
        assert!(text.lines().count() <= most, "{text}");
        assert!(!text.contains('\x1b') && !text.contains('\r'), "neither colour nor a bar in a pipe: {text}");
        assert!(text.lines().all(|line| fits(line, 80)), "{text}");
        let ids = text.split_whitespace().filter(|word| word.contains(&"11".repeat(8)));
        assert_eq!(ids.count(), 0, "names, no ids: {text}");
    }
    assert!(!analyzed.contains("session-1.scope") && analyzed.contains("watched for less than a minute"), "{analyzed}");
    let all = screen(&["analyze", &dir, "--all"], None);
    assert!(all.contains("session-1.scope") && all.lines().count() >= 60, "{all}");
    assert!(screen(&["analyze", &dir, "--verbose"], None).contains(&field::path(1)), "paths where they are asked for");
}

#[test]
fn a_parent_does_not_stand_beside_the_child_that_grew() {
    let (_dir, dir) = recorded();
    let text = screen(&["analyze", &dir], None);
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("leak")?.split_whitespace().next()).collect();
    assert_eq!(names, ["shop/backend"], "{text}");
}

/// It printed all of the help.
#[test]
fn sampler_alone_shows_six_commands_with_an_example_each() {
    let output = run(&[], None);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.lines().count() < 20 && text.contains("sampler --help"), "{text}");
    for command in ["record", "top", "postmortem", "analyze", "report", "advise"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(command) && line.contains("sampler ")), "{text}");
        assert!(run(&[command, "--help"], None).status.success());
    }
}
