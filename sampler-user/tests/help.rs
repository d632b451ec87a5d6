//! The help of each command, as it was when somebody read it last. `BLESS=1 cargo test --test help` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test panics and says why")]

use std::fs;
use std::path::Path;
use std::process::Command;

fn help(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(arguments)
        .arg("--help")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The commands that the first screen lists.
fn commands(overview: &str) -> Vec<&str> {
    let list = overview.split_once("Commands:").map_or("", |(_, list)| list);
    list.lines()
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        // A description goes on further to the right.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

#[test]
fn the_help_of_each_command_is_the_one_that_was_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let overview = help(&[]);
    let commands = commands(&overview);
    assert!(commands.len() >= 15, "{commands:?}");
    let mut pages = vec![("sampler".to_owned(), overview.clone())];
    pages.extend(commands.iter().map(|name| ((*name).to_owned(), help(&[name]))));
    let bless = std::env::var_os("BLESS").is_some();
    if bless {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
    }
    for (name, text) in &pages {
        let path = folder.join(format!("{name}.txt"));
        if bless {
            fs::write(&path, text).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        assert!(*text == known, "the help of {name} changed; read it, then BLESS=1 cargo test --test help\n{text}");
    }
    let files = fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, pages.len(), "a page of a command that is gone");
}

#[test]
fn each_command_has_an_example_or_says_what_it_needs() {
    for name in commands(&help(&[])) {
        let text = help(&[name]);
        assert!(text.contains("Usage:") && text.len() > 200, "{text}");
    }
}
