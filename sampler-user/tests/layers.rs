//! Layers import downward only. The table is the architecture; a new module has to be placed in it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::fs;
use std::path::Path;

const LAYERS: &[(&str, &[&str])] = &[
    ("units", &["fields", "paths", "units"]),
    ("time", &["units"]),
    ("fields", &["sample"]),
    ("sample", &["fields"]),
    ("evidence", &[]),
    ("identity", &[]),
    ("runtime", &["runtime", "identity"]),
    ("event", &["evidence", "identity", "time"]),
    ("recording", &["event", "fields", "sample", "time"]),
    ("paths", &[]),
    ("memory", &["fields"]),
    ("sink", &["event", "recording", "sample"]),
    ("cgroupfs", &["cgroupfs", "fields", "paths", "sample"]),
    ("oom", &["oom", "evidence", "paths"]),
    ("names", &["names", "identity"]),
    ("probe", &["probe", "cgroupfs", "evidence", "fields", "paths", "sample"]),
    ("doctor", &["doctor", "cgroupfs", "probe", "units", "wsl", "wslconfig"]),
    ("wsl", &[]),
    ("wslconfig", &[]),
    ("processes", &["cgroupfs", "fields", "recording", "sample"]),
    (
        "analysis",
        &[
            "analysis",
            "event",
            "evidence",
            "fields",
            "identity",
            "memory",
            "paths",
            "recording",
            "sample",
            "time",
            "units",
        ],
    ),
    ("report", &["report", "analysis", "paths"]),
    ("advise", &["advise", "analysis", "fields", "identity", "paths", "recording", "sample", "units", "wslconfig"]),
    ("board", &["board", "analysis", "event", "fields", "identity", "recording", "runtime", "sample", "sink", "time"]),
    ("alert", &["alert", "analysis", "board", "fields", "recording", "sample", "units"]),
    ("guard", &["fields", "units"]),
    ("import", &["import", "fields", "paths", "sample", "time", "units"]),
    ("metrics", &["board", "fields", "identity", "paths"]),
    ("tui", &["tui", "board", "cgroupfs", "fields", "time", "units"]),
    ("journal", &["journal", "event", "fields", "recording", "sample", "sink", "time"]),
    ("store", &["store", "journal", "event", "fields", "identity", "recording", "runtime", "sample", "time", "units"]),
    (
        "record",
        &[
            "record",
            "cgroupfs",
            "oom",
            "probe",
            "processes",
            "event",
            "evidence",
            "fields",
            "identity",
            "names",
            "recording",
            "runtime",
            "sample",
            "sink",
            "time",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

fn check(path: &Path, module: &str, faults: &mut Vec<String>) {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let allowed = LAYERS.iter().find(|(name, _)| *name == module);
    let Some((_, allowed)) = allowed else {
        faults.push(format!("{} is in no layer", path.display()));
        return;
    };
    for (_, rest) in code.match_indices("crate::").map(|(at, found)| (at, &code[at + found.len()..])) {
        let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !allowed.contains(&used.as_str()) {
            faults.push(format!("{} uses {used}", path.display()));
        }
    }
}

#[test]
fn modules_import_downward_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut faults, mut seen) = (Vec::new(), 0);
    for entry in fs::read_dir(&src).unwrap().flatten() {
        let path = entry.path();
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        if module == "cli" {
            continue; // the binary, which may use everything
        }
        if path.is_file() {
            check(&path, &module, &mut faults);
            seen += 1;
        } else {
            let mut folders = vec![path];
            while let Some(folder) = folders.pop() {
                for file in fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()) {
                    if file.is_dir() {
                        folders.push(file);
                    } else if file.extension().is_some_and(|ext| ext == "rs") {
                        check(&file, &module, &mut faults);
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 20);
    assert_eq!(faults, Vec::<String>::new());
}
