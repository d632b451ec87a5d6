//! The README's commands run, and it stays a page for a person in a hurry.
#![allow(clippy::unwrap_used, reason = "a test panics and says why")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The lines of the shell blocks, without their comments.
fn commands() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let line = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    blocks.flat_map(|block| block.lines().map(line).collect::<Vec<_>>()).filter(|line| !line.is_empty()).collect()
}

/// The arguments of a line that calls `sampler`, and whether it needs root or a terminal.
fn of_sampler(line: &str) -> Option<(Vec<String>, bool)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_root = words.first() == Some(&"sudo");
    let words = &words[usize::from(is_root)..];
    (words.first()?.trim_start_matches("./") == "sampler")
        .then(|| (words[1..].iter().map(|word| (*word).to_owned()).collect(), is_root))
}

#[test]
fn each_command_of_the_readme_is_one_that_there_is() {
    let all = commands();
    let calls: Vec<_> = all.iter().filter_map(|line| of_sampler(line)).collect();
    assert!(calls.len() >= 8, "{all:?}");
    for (arguments, _) in calls {
        // The arguments before `--help` are parsed, so a flag that is gone fails.
        let own = arguments.iter().take_while(|word| *word != "--");
        let out = Command::new(env!("CARGO_BIN_EXE_sampler")).args(own).arg("--help").output().unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    for line in all.iter().filter(|line| line.contains("cargo xtask ")) {
        let task = line.split("cargo xtask ").nth(1).unwrap().split_whitespace().next().unwrap();
        let tasks = std::fs::read_to_string(root().join("xtask/src/main.rs")).unwrap().to_lowercase();
        assert!(tasks.contains(&format!("{},", task.replace('-', ""))), "there is no task {task}");
    }
}

#[test]
fn each_command_of_the_readme_that_reads_a_recording_works() {
    let calls: Vec<_> = commands().iter().filter_map(|line| of_sampler(line)).collect();
    let reads: Vec<_> = calls
        .iter()
        .filter(|(arguments, root)| !root && arguments.iter().any(|word| word.starts_with("data/recordings")))
        .collect();
    assert!(reads.len() >= 4, "{calls:?}");
    for (arguments, _) in reads {
        let out = Command::new(env!("CARGO_BIN_EXE_sampler")).args(arguments).current_dir(root()).output().unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(out.stdout.len() > 50, "{arguments:?} prints nothing");
    }
}

#[test]
fn the_readme_is_a_page() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let words = text.split_whitespace().count();
    assert!(words < 900, "{words} words");
    for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(link.starts_with("http") || root().join(link).exists(), "{link} leads nowhere");
    }
}
