//! cgroups whose names are no text, or untrusted text: recorded like any other, and shown escaped.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/cgroups.rs"]
mod cgroups;

use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cgroups::{Cgroup, Storm};
use sampler::model::paths::from_bytes;

fn sampler(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sampler")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Path below the root, as it is recorded.
fn path(cgroup: &Cgroup) -> String {
    let root = sampler::kernel::cgroupfs::layout::Layout::detect().unwrap().memory;
    from_bytes(&[b"/", cgroup.folder.strip_prefix(root).unwrap().as_os_str().as_bytes()].concat())
}

/// As it was, neither the cgroup nor the one below was recorded, and of the kill the limit was not known.
#[test]
fn a_kill_below_a_name_that_is_not_utf_8_has_its_cgroup_and_its_limit() {
    let test = "bytes";
    let Some(parent) = Cgroup::make(test, b"\xff\xfe") else { return };
    let Some(_others) = Storm::begin("names", "1") else { return };
    let mut bytes = parent.below(b"caf\xe9 \x1b[2J\"'<b>,=1");
    let mut long = parent.below(&[0xc3; 255]);
    let mut untrusted = parent.below("caf\u{e9}\u{202e}\t\\xff".as_bytes());
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("rec");
    let mut agent = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(["record", "--interval", "10ms", "--slow-interval", "50ms", "--no-protect", "--no-alerts", "--no-names"])
        .args(["--cgroup", "/sampler-test-*/**", "--out"])
        .arg(&out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !out.join("journal").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(500));
    // One that appears while it is recorded.
    let mut late = parent.below(b"late\x80");
    let all = [(&mut bytes, 8u64), (&mut long, 9), (&mut untrusted, 10), (&mut late, 11)];
    let mut want = Vec::new();
    for (cgroup, mib) in all {
        cgroup.limit(mib << 20);
        cgroup.start(&format!("sleep 0.3; exec {} demo --leak 64", env!("CARGO_BIN_EXE_sampler")));
        let begun = Instant::now();
        while cgroup.kills() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing was killed in {}", cgroup.folder.display());
            std::thread::sleep(Duration::from_millis(5));
        }
        want.push((path(cgroup), mib << 20));
        // The kernel's log names the cgroups of no more than ten kills in five seconds, and others are killed meanwhile.
        std::thread::sleep(Duration::from_millis(300));
    }
    std::thread::sleep(Duration::from_secs(4));
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(agent.wait().unwrap().success());

    let dir = out.to_str().unwrap();
    let info: serde_json::Value = serde_json::from_str(&sampler(&["info", dir, "--json"])).unwrap();
    for (path, limit) in &want {
        let cgroups = info["cgroups"].as_array().unwrap();
        let cgroup = cgroups.iter().find(|cgroup| cgroup["path"] == **path);
        let cgroup = cgroup.unwrap_or_else(|| panic!("{} is not among {cgroups:?}", path.escape_debug()));
        assert!(cgroup["rows"].as_u64().unwrap() > 10 && cgroup["peak_bytes"].as_u64().unwrap() > 1 << 20, "{cgroup}");
        assert_eq!(cgroup["limit_bytes"], *limit, "{cgroup}");
        let kills = info["oom_kills"].as_array().unwrap();
        let kills: Vec<_> = kills.iter().filter(|kill| kill["victim_cgroup"] == **path).collect();
        assert_eq!(kills.len(), 1, "one kill in {}: {kills:?}", path.escape_debug());
        assert!([&serde_json::Value::Null, &path.as_str().into()].contains(&&kills[0]["limit_cgroup"]), "{kills:?}");
    }
    let placed =
        info["oom_kills"].as_array().unwrap().iter().filter(|kill| {
            want.iter().any(|(path, _)| kill["victim_cgroup"] == **path && kill["limit_cgroup"] == **path)
        });
    assert!(placed.count() >= 1, "no limit is known: {}", info["oom_kills"]);

    let page = dir_file(dir, "page.html");
    sampler(&["report", dir, "--html", &page]);
    let html = std::fs::read_to_string(&page).unwrap();
    for (what, text) in [
        ("info", sampler(&["info", dir, "--verbose"])),
        ("csv", sampler(&["export", dir, "--fields", "current"])),
        ("events", sampler(&["export", dir, "--table", "events"])),
        ("html", html.replace("\\u001b", "\\u{1b}").replace("\\\\xff", "\\xff")),
    ] {
        let shown = text.chars().all(|c| (!c.is_control() || "\n\t\r".contains(c)) && (c as u32) < 0x10_ff80);
        assert!(shown, "{what} has what steers a terminal, or no alphabet");
        assert!(
            text.contains("\\xff\\xfe") || what == "html" && text.contains("\\xff\\\\xfe"),
            "{what} shows the bytes"
        );
        assert!(what == "html" || !text.contains('\u{202e}'), "{what}");
    }
}

fn dir_file(dir: &str, name: &str) -> String {
    format!("{dir}/{name}")
}
