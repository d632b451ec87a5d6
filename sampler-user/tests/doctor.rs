//! `sampler doctor` on hosts that are laid out as files: what each is told, word for word. `SAMPLER_BLESS=1` writes it again.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn hosts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts")
}

fn doctor(root: &Path, more: &[&str]) -> (String, Option<i32>) {
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_sampler"));
    let output = doctor.arg("doctor").args(more).arg("--root").arg(root).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

fn check(root: &Path, name: &str) -> Value {
    let (text, _) = doctor(root, &["--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    report["checks"].as_array().unwrap().iter().find(|check| check["check"] == name).cloned().unwrap_or_default()
}

#[test]
fn each_host_is_told_what_it_is_and_what_it_lacks() {
    for host in ["wsl-hybrid", "wsl-v2", "debian"] {
        let (text, code) = doctor(&hosts().join(host), &[]);
        let kept = hosts().join(format!("{host}.txt"));
        if std::env::var_os("SAMPLER_BLESS").is_some() {
            fs::write(&kept, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&kept).unwrap_or_default(), "{host}; SAMPLER_BLESS=1 writes it again");
        assert_eq!(code, Some(0), "{host}");
    }
}

#[test]
fn what_is_of_wsl_is_asked_on_wsl_only() {
    for name in ["wsl", ".wslconfig", "wsl.conf", "reclaim"] {
        assert!(check(&hosts().join("debian"), name).is_null(), "{name}");
        assert!(check(&hosts().join("wsl-v2"), name).is_object(), "{name}");
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
    fs::write(root.path().join("proc/sys/kernel/osrelease"), "4.4.0-19041-Microsoft\n").unwrap();
    assert_eq!(check(root.path(), "wsl")["state"], "blocks");
    assert_eq!(doctor(root.path(), &[]).1, Some(4));
}

/// Content of `.wslconfig`, memory of the VM in KiB, state, and a word of it.
const CONFIGS: [(&[u8], u64, &str, &str); 12] = [
    (b"[wsl2]\nmemory=6GB\n", 6_082_000, "good", "memory=6GB"),
    (b"[wsl2]\nmemory=6GB\n", 13_000_000, "lacks", "but the VM has 12.4 GiB"),
    (b"[wsl2]\nmemory=16GB\n", 6_082_000, "lacks", "but the VM has"),
    (b"\xef\xbb\xbf[wsl2]\nmemory=6GB\n", 6_082_000, "note", "byte order mark"),
    (b"\xff\xfe[\0w\0s\0l\x002\0]\0", 6_082_000, "note", "is UTF-16"),
    (b"\xfe\xff\0[\0w\0s\0l\x002\0]\0", 6_082_000, "lacks", "takes nothing of it"),
    (b"[wsl2]\nmemory=\xff\n", 6_082_000, "lacks", "is no UTF-8"),
    (b"[wsl2]\nkernelCommandLine=psi=1\x1b[2J\n", 6_082_000, "good", "\\u{1b}[2J"),
    (b"[ws12]\nmemory=6GB\n", 6_082_000, "lacks", "line 1: WSL has no key in a section [ws12]; write [wsl2]"),
    (b"[wsl2]\nmemory=50%\n", 6_082_000, "lacks", "line 2: memory takes"),
    (b"[wsl2]\nmemory=8gb\n", 6_082_000, "lacks", "write memory=8GB"),
    (b"memory=6GB\n[wsl2]\n", 6_082_000, "lacks", "line 1: memory stands above any section"),
];

#[test]
fn a_wslconfig_is_read_as_it_is_encoded_and_held_against_the_vm() {
    for (bytes, kib, state, word) in CONFIGS {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        put("proc/sys/kernel/osrelease", b"6.6.87.2-microsoft-standard-WSL2\n");
        put("proc/meminfo", format!("MemTotal: {kib} kB\n").as_bytes());
        assert!(check(root.path(), ".wslconfig")["what"].as_str().unwrap().contains("not seen"));
        put("mnt/c/Users/Public/x", b"");
        assert!(check(root.path(), ".wslconfig")["what"].as_str().unwrap().contains("no user has one"));
        put("mnt/c/Users/Ada/.wslconfig", bytes);
        let found = check(root.path(), ".wslconfig");
        assert!(found["state"] == state && found["what"].as_str().unwrap().contains(word), "{state} {word}: {found}");
    }
}

#[test]
fn the_files_of_wsl_are_reported_line_by_line() {
    let (text, _) = doctor(&hosts().join("wsl-v2"), &["--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let files: Vec<&str> =
        report["settings"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(files, ["/etc/wsl.conf", "/mnt/c/Users/ada/.wslconfig"]);
    assert_eq!(report["settings"][1]["effective"]["wsl2.memory"], 6u64 << 30);
    // One file alone, by its name.
    let dir = tempfile::tempdir().unwrap();
    for (name, kind, nothing) in [(".wslconfig", ".wslconfig", 3), ("wsl.conf", "wsl.conf", 5)] {
        let path = dir.path().join(name);
        fs::write(&path, "[wsl2]\nmemory=6GB\nmemory=8GB\n[boot]\nsystemd=true\n").unwrap();
        let run = |more: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_sampler"))
                .args(["doctor", "--wslconfig"])
                .arg(&path)
                .args(more)
                .output();
            let output = output.unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let report: Value = serde_json::from_str(&run(&["--json"])).unwrap();
        let file = &report["settings"][0];
        assert_eq!(file["kind"], kind);
        let lines: Vec<u64> =
            file["ineffective"].as_array().unwrap().iter().map(|line| line.as_u64().unwrap()).collect();
        assert!(lines.contains(&3) && (kind == "wsl.conf") != lines.contains(&nothing.max(5)), "{kind}: {lines:?}");
        assert!(run(&[]).contains("line 3: "));
    }
    let missing =
        Command::new(env!("CARGO_BIN_EXE_sampler")).args(["doctor", "--wslconfig", "/nowhere"]).output().unwrap();
    assert!(
        !missing.status.success() && String::from_utf8_lossy(&missing.stderr).contains("read /nowhere"),
        "{missing:?}"
    );
}
