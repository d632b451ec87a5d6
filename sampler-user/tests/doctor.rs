//! `sampler doctor` on hosts that are laid out as files: the report of each, word for word. `SAMPLER_BLESS=1` writes it again.
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
fn each_host_is_shown_what_it_is_and_what_it_lacks() {
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

const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
const V1: &str = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";
const NO_MEMORY: &str =
    "cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n";
const OFF: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t80\t1\nmemory\t0\t80\t0\n";
const RELEASE: &str = "proc/sys/kernel/osrelease";
const MOUNTS: &str = "proc/self/mounts";
const CONTROLLERS: &str = "sys/fs/cgroup/cgroup.controllers";
const BELOW: &str = "sys/fs/cgroup/cgroup.subtree_control";

/// A host's name and files, what is said of it, and what is not.
type Said = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], &'static [&'static str]);

const SAID: &[Said] = &[
    (
        "a Pi of before Debian 12",
        &[
            (RELEASE, "5.15.84-v7l+"),
            (MOUNTS, NO_MEMORY),
            ("proc/cmdline", "coherent_pool=1M cgroup_disable=memory console=tty1"),
            ("boot/cmdline.txt", "console=tty1"),
        ],
        &["cgroup_disable=memory", "cgroup_enable=memory", "/boot/cmdline.txt"],
        &["is accounted", "update-grub"],
    ),
    (
        "a Pi by its model, the list of controllers",
        &[
            (RELEASE, "6.8.0-1010"),
            (MOUNTS, V2),
            (CONTROLLERS, "cpu io"),
            ("proc/cmdline", "cgroup_disable=cpuset,memory"),
            ("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
        ],
        &["cgroup_enable=memory", "switched off by cgroup_disable=memory"],
        &["is accounted", "GRUB"],
    ),
    (
        "a server whose boot loader switches it off",
        &[
            (RELEASE, "6.1.0-18-amd64"),
            (MOUNTS, V2),
            (CONTROLLERS, "cpu io"),
            ("proc/cmdline", "root=/dev/sda1 cgroup_disable=memory quiet"),
        ],
        &["take cgroup_disable=memory off", "GRUB_CMDLINE_LINUX"],
        &["firmware writes", "is accounted"],
    ),
    (
        "a board whose kernel has it off by itself",
        &[
            (RELEASE, "5.10.110-rockchip"),
            (MOUNTS, NO_MEMORY),
            ("proc/cgroups", OFF),
            ("proc/cmdline", "console=ttyS2"),
        ],
        &["boot with cgroup_enable=memory", "switched off in /proc/cgroups"],
        &["is accounted", "cgroup_disable"],
    ),
    (
        "el7",
        &[(RELEASE, "3.10.0-1160.el7.x86_64"), (MOUNTS, V1), ("run/systemd/system/x", "")],
        &["memory on v1", "this kernel has no cgroup v2", "a kernel since 4.20"],
        &[
            "systemd.unified_cgroup_hierarchy",
            "boot with psi=1",
            "the kernel accounts stalls",
            "cgroup v2, see cgroups",
        ],
    ),
    (
        "Amazon Linux 2, whose systemd is too old for its kernel",
        &[
            (RELEASE, "5.10.230-223.885.amzn2.x86_64"),
            (MOUNTS, V1),
            ("etc/os-release", "NAME=\"Amazon Linux\"\nVERSION_ID=\"2\"\nID=\"amzn\"\n"),
        ],
        &["memory on v1", "too old for cgroup v2", "boot with psi=1"],
        &["systemd.unified_cgroup_hierarchy", "cgroup v2, see cgroups"],
    ),
    (
        "el7 with nothing mounted",
        &[(RELEASE, "3.10.0-1160.el7.x86_64"), (MOUNTS, NO_MEMORY)],
        &["mount -t cgroup -o memory"],
        &["cgroup2", "is accounted", "unified_cgroup_hierarchy"],
    ),
    (
        "el8, whose 4.18 has PSI and v2",
        &[(RELEASE, "4.18.0-513.el8.x86_64"), (MOUNTS, V1), ("run/systemd/system/x", "")],
        &["systemd.unified_cgroup_hierarchy=1", "boot with psi=1"],
        &["no cgroup v2", "since 4.20"],
    ),
    (
        "Ubuntu 18.04",
        &[(RELEASE, "4.15.0-213-generic"), (MOUNTS, V1), ("run/systemd/system/x", "")],
        &["systemd.unified_cgroup_hierarchy=1", "a kernel since 4.20"],
        &["boot with psi=1", "no cgroup v2"],
    ),
    (
        "Alpine with OpenRC on v1",
        &[(RELEASE, "5.15.145-0-virt"), (MOUNTS, V1), ("etc/rc.conf", "")],
        &["rc_cgroup_mode=\"unified\""],
        &["unified_cgroup_hierarchy"],
    ),
    (
        "Alpine on WSL, where nobody passes memory down",
        &[
            (RELEASE, "6.6.87.2-microsoft-standard-WSL2"),
            (MOUNTS, V2),
            (CONTROLLERS, "cpu memory pids"),
            (BELOW, "cpu pids"),
        ],
        &["subtree_control", "OpenRC", "boot command of /etc/wsl.conf"],
        &["DefaultMemoryAccounting", "before 6.6", "is accounted"],
    ),
    (
        "WSL without PSI",
        &[(RELEASE, "6.18.26.1-microsoft-standard-WSL2"), (MOUNTS, V2), (CONTROLLERS, "cpu memory"), (BELOW, "memory")],
        &["kernelCommandLine=psi=1", "the memory controller is on below the root"],
        &["before 6.6", "boot with psi=1"],
    ),
    (
        "a copy without its mounts",
        &[(RELEASE, "6.1.0-18-amd64")],
        &["not known: /proc/self/mounts", "not known: /proc/self/status", "not known: /proc/sys/vm/panic_on_oom"],
        &["is accounted", "memory on v1", "switched off"],
    ),
    (
        "a copy without its controllers",
        &[(RELEASE, "6.1.0-18-amd64"), (MOUNTS, V2)],
        &["not known whether it has memory", "not known without a memory hierarchy"],
        &["is accounted", "is off", "switched off"],
    ),
    (
        "a copy without what is below",
        &[(RELEASE, "6.1.0-18-amd64"), (MOUNTS, V2), (CONTROLLERS, "memory cpu")],
        &["not known: /sys/fs/cgroup/cgroup.subtree_control"],
        &["is accounted", "is off below"],
    ),
    (
        "a container that memory is not passed to",
        &[(RELEASE, "6.1.0-18-amd64"), (MOUNTS, V2), (CONTROLLERS, "cpu pids"), ("proc/cmdline", "quiet")],
        &["without the memory controller; it has cpu pids", "cgroup.subtree_control of each cgroup above"],
        &["is accounted", "cgroup_disable", "firmware"],
    ),
    (
        "Docker without root",
        &[
            (RELEASE, "6.1.0-18-amd64"),
            (MOUNTS, V2),
            (CONTROLLERS, "memory"),
            (BELOW, "memory"),
            ("run/user/1000/docker.sock", ""),
        ],
        &["/run/user/1000/docker.sock", "--docker-socket"],
        &["start Docker"],
    ),
    (
        "Podman alone",
        &[
            (RELEASE, "6.1.0-18-amd64"),
            (MOUNTS, V2),
            (CONTROLLERS, "memory"),
            (BELOW, "memory"),
            ("run/podman/podman.sock", ""),
        ],
        &["but Podman's, /run/podman/podman.sock"],
        &["start Docker"],
    ),
];

#[test]
fn hosts_are_advised_what_their_kernel_can() {
    for (name, files, must, must_not) in SAID {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in *files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (text, _) = doctor(root.path(), &[]);
        for part in *must {
            assert!(text.contains(part), "{name}: says nothing of {part}\n{text}");
        }
        for part in *must_not {
            assert!(!text.contains(part), "{name}: says {part}\n{text}");
        }
    }
}

/// By hand: `SAMPLER_CASES=DIR cargo test --test doctor cases -- --ignored`, where DIR has hosts in folders and a `truth.json` of
/// `[{folder, must_say, must_not_say}]`.
#[test]
#[ignore = "needs a folder of cases: SAMPLER_CASES"]
fn cases() {
    let folder = PathBuf::from(std::env::var("SAMPLER_CASES").unwrap());
    let truth: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in &truth {
        let (text, _) = doctor(&folder.join(case["folder"].as_str().unwrap()), &[]);
        let parts = |key: &str| {
            case[key].as_array().unwrap().iter().map(|part| part.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        wrong.extend(
            parts("must_say")
                .into_iter()
                .filter(|part| !text.contains(part))
                .map(|part| format!("{}: not {part}", case["folder"])),
        );
        wrong.extend(
            parts("must_not_say")
                .into_iter()
                .filter(|part| text.contains(part))
                .map(|part| format!("{}: {part}", case["folder"])),
        );
    }
    assert!(wrong.is_empty() && !truth.is_empty(), "{}", wrong.join("\n"));
}
