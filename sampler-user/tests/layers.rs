//! The plan of the code, checked: layers import downward only, no two files import each other, no file grows beyond what a
//! person reads at once. ARCHITECTURE.md shows the table of this file.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Folder of `src`, what it holds, and the folders that it may import.
const LAYERS: &[(&str, &str, &str)] = &[
    ("model", "the words of the program; no IO but the clock", ""),
    ("kernel", "what Linux reports: cgroup files, log, OOM kills, probe", "model"),
    ("containers", "who a cgroup is: runtimes by path, names", "model"),
    ("record", "the sampling", "model kernel containers"),
    ("journal", "the crash-safe file", "model"),
    ("store", "Parquet: seal, scan, retention", "model containers journal"),
    ("analysis", "pure: leaks, pressure, incidents", "model"),
    ("advise", "pure: limits and settings", "model analysis"),
    ("guard", "pure: the guard's policy", "model"),
    ("doctor", "checks of a host", "model kernel"),
    ("live", "the present: board, alerts, metrics", "model containers analysis"),
    ("reading", "findings of a recording", "model containers store analysis advise"),
    ("ui", "how it looks: text, HTML, screen", "model kernel analysis live reading"),
    (
        "agent",
        "the process around `record`",
        "model kernel containers record journal store analysis guard live reading ui",
    ),
    ("serve", "a recording in a browser, read-only", "model journal store live reading ui agent"),
    (
        "cli",
        "arguments and glue, one file a command",
        "model kernel containers record journal store analysis advise guard doctor live reading ui agent serve",
    ),
];

/// Files that may be longer than [`LONGEST`]: tables.
const TABLES: &[&str] = &["model/fields.rs"];
/// Lines of a file of code.
const LONGEST: usize = 500;

/// A module by its path, `analysis::leak`, with its code: no comments, no unit tests.
fn modules() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![src.clone()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|ext| ext != "rs") {
                continue;
            }
            let file = path.strip_prefix(&src).unwrap().with_extension("");
            let name = file.to_str().unwrap().replace('/', "::");
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            found.insert(name.strip_suffix("::mod").unwrap_or(&name).to_owned(), code.join("\n"));
        }
    }
    assert!(found.len() > 100);
    found
}

/// The paths that `code` names below a root such as `crate::`, groups taken apart.
fn paths(code: &str, root: &str) -> Vec<String> {
    fn ident(text: &str) -> usize {
        text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
    }
    fn follow(prefix: &str, text: &str, found: &mut Vec<String>) {
        if let Some(group) = text.strip_prefix('{') {
            let (mut depth, mut from) = (0_u32, 0);
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' | ',' if depth == 0 => {
                        let item = group[from..at].trim();
                        if !item.is_empty() {
                            follow(prefix, item, found);
                        }
                        from = at + 1;
                        if c == '}' {
                            return;
                        }
                    }
                    '}' => depth -= 1,
                    _ => {}
                }
            }
            return;
        }
        let end = ident(text);
        let path = if prefix.is_empty() { text[..end].to_owned() } else { format!("{prefix}::{}", &text[..end]) };
        match text[end..].strip_prefix("::") {
            Some(rest) if end > 0 => follow(&path, rest, found),
            _ => found.push(path),
        }
    }
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            follow("", &code[at + root.len()..], &mut found);
        }
    }
    found
}

/// Whether a line of a table begins with this module: the macro of the table makes uses of it.
fn is_row(code: &str, module: &str) -> bool {
    let rows = code.lines().map(|line| line.rsplit_once("] ").map_or(line, |(_, row)| row));
    rows.filter_map(|row| row.split_whitespace().next()).any(|word| word == module)
}

/// The modules that each module imports; its own children too, if it uses more of them than that they are there.
fn imports(modules: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let resolve = |path: &str| {
        let mut path = path;
        loop {
            if let Some((known, _)) = modules.get_key_value(path) {
                return Some(known.as_str());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let mut all = BTreeMap::new();
    for (module, code) in modules {
        let mut named: Vec<String> = paths(code, "crate::");
        named.extend(paths(code, "sampler::"));
        named.extend(paths(code, "self::").into_iter().map(|path| format!("{module}::{path}")));
        let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        named.extend(paths(code, "super::").into_iter().map(|path| format!("{parent}::{path}")));
        for child in modules.keys().filter_map(|other| other.strip_prefix(&format!("{module}::"))) {
            if !child.contains("::") && (!paths(code, &format!("{child}::")).is_empty() || is_row(code, child)) {
                named.push(format!("{module}::{child}"));
            }
        }
        let found: BTreeSet<&str> =
            named.iter().filter_map(|path| resolve(path)).filter(|used| used != module).collect();
        all.insert(module.as_str(), found);
    }
    all
}

#[test]
fn modules_import_downward_only() {
    let modules = modules();
    let layer = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let mut faults = Vec::new();
    for (module, used) in imports(&modules) {
        let Some((name, _, may)) = LAYERS.iter().find(|(name, ..)| *name == layer(module)) else {
            assert!(module == "lib" || module == "main", "{module} is in no layer");
            continue;
        };
        for other in used.into_iter().map(&layer).filter(|other| other != name) {
            if !may.split(' ').any(|known| known == other) {
                faults.push(format!("{module} uses {other}"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn each_layer_imports_only_layers_above_it_in_the_table() {
    for (at, (name, _, may)) in LAYERS.iter().enumerate() {
        for other in may.split_whitespace() {
            assert!(LAYERS[..at].iter().any(|(above, ..)| *above == other), "{name} may import {other}");
        }
    }
    assert!(LAYERS.len() <= 16);
}

#[test]
fn no_two_files_import_each_other() {
    let modules = modules();
    let all = imports(&modules);
    let mut faults = Vec::new();
    for (module, used) in &all {
        for other in used.iter().filter(|other| *other > module) {
            if all[other].contains(module) {
                faults.push(format!("{module} and {other}"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn no_file_of_code_is_longer_than_a_person_reads_at_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<_> =
        ["sampler-user/src", "sampler-user/tests", "sampler-ebpf/src", "xtask/src"].map(|dir| root.join(dir)).into();
    let (mut faults, mut seen) = (Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                seen += 1;
                let lines = fs::read_to_string(&path).unwrap().lines().count();
                if lines > LONGEST && !TABLES.iter().any(|table| path.ends_with(table)) {
                    faults.push(format!("{}: {lines} lines", path.strip_prefix(&root).unwrap().display()));
                }
            }
        }
    }
    assert!(seen > 200);
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn the_source_folder_holds_layers_and_nothing_else() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found: Vec<String> =
        fs::read_dir(src).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    let mut expected: Vec<String> = LAYERS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    expected.extend(["lib.rs".to_owned(), "main.rs".to_owned()]);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

/// `BLESS=1 cargo test --test layers` writes the table.
#[test]
fn the_architecture_shows_this_table() {
    let mut table = String::from("| layer | holds | may import |\n|---|---|---|\n");
    for (name, holds, may) in LAYERS {
        let may: Vec<String> = may.split_whitespace().map(|name| format!("`{name}`")).collect();
        table += &format!("| `{name}` | {holds} | {} |\n", may.join(", "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- layers -->\n", "<!-- /layers -->");
    let (head, rest) = text.split_once(begin).expect("ARCHITECTURE.md has a place for the table");
    let (shown, tail) = rest.split_once(end).expect("the table ends");
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, format!("{head}{begin}{table}{end}{tail}")).unwrap();
    } else {
        assert_eq!(shown, table, "run BLESS=1 cargo test --test layers");
    }
}
