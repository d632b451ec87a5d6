//! Whole files, with what WSL takes of them.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::model::wslconfig::*;

fn utf16(text: &str, mark: bool, big: bool) -> Vec<u8> {
    let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

fn read(text: &str) -> Config {
    Config::read(text.as_bytes(), Kind::Wslconfig)
}

/// What is in force, as JSON, and the lines that do nothing.
fn facts(config: &Config) -> (Json, Vec<usize>) {
    (serde_json::to_value(&config.effective).unwrap(), config.ineffective.clone())
}

#[test]
fn each_encoding_is_read_as_windows_and_linux_read_it() {
    const TEXT: &str = "[WSL2]\r\nMemory = 6GB # of 16\r\n[experimental]\r\nautoMemoryReclaim=gradual\r\n";
    let marked = [b"\xef\xbb\xbf".as_slice(), TEXT.as_bytes()].concat();
    let files = [
        (TEXT.as_bytes().to_vec(), Encoding::Plain, true, true),
        (marked, Encoding::Utf8Mark, true, false),
        (utf16(TEXT, true, false), Encoding::Utf16, true, false),
        (utf16(TEXT, true, true), Encoding::Utf16Unread, false, false),
        (utf16(TEXT, false, false), Encoding::Utf16Unread, false, false),
        (utf16(TEXT, false, true), Encoding::Utf16Unread, false, false),
    ];
    for (bytes, encoding, windows, linux) in files {
        let file = Config::read(&bytes, Kind::Wslconfig);
        assert_eq!((file.encoding, file.effective.len()), (encoding, if windows { 2 } else { 0 }), "{encoding:?}");
        assert_eq!(file.is_faulty(), !windows, "{encoding:?}");
        assert_eq!(file.problems.len(), usize::from(encoding != Encoding::Plain), "{:?}", file.problems);
        let conf = Config::read(&String::from_utf8_lossy(&bytes).replace("WSL2", "boot").into_bytes(), Kind::WslConf);
        assert!(linux || conf.effective.is_empty());
    }
    let ansi = Config::read(b"[wsl2]\nmemory=8GB # gr\xf6\xdfer\nswap=\xff\n", Kind::Wslconfig);
    assert_eq!((ansi.encoding, facts(&ansi)), (Encoding::Other, (json!({"wsl2.memory": 8u64 << 30}), vec![3])));
}

#[test]
fn lines_are_read_by_the_rules_of_wsl() {
    let table: [(&str, Json, &[usize]); 25] = [
        ("[wsl2]\nwsl2.memory=50%\nmemory=4GB\n", json!({"wsl2.memory": 4u64 << 30}), &[2]),
        ("[wsl2]\nmemory=50%\nmemory=4GB\n", json!({}), &[2, 3]),
        ("[wsl2] # main\n\tmemory =\t\"4GB\"\t# half\n", json!({"wsl2.memory": 4u64 << 30}), &[]),
        // A header with something behind it is none; what follows belongs to the section before.
        ("[wsl2] ; main\nmemory=4GB\n", json!({}), &[1, 2]),
        ("[experimental]\n[wsl2] main\nsparseVhd=true\n", json!({}), &[2, 3]),
        ("[wsl2]\nmemory=4GB\n[ experimental ]\nswap=0\n", json!({"wsl2.memory": 4u64 << 30, "wsl2.swap": 0}), &[3]),
        // Of a broken header WSL keeps as many letters as the section before had.
        ("[wsl2]\nmemory=4GB\n[experimental\nswap=0\n", json!({"wsl2.memory": 4u64 << 30}), &[3, 4]),
        ("[wsl2\nmemory=4GB\n", json!({}), &[1, 2]),
        ("[boot]\nsystemd=true\n", json!({}), &[1, 2]),
        ("[wsl2]\nprocessors=0x4\nvmIdleTimeout=-1\n", json!({"wsl2.processors": 4, "wsl2.vmIdleTimeout": -1}), &[]),
        ("[wsl2]\nprocessors=08\nswap=00\n", json!({}), &[2, 3]),
        (
            "[wsl2]\nnetworkingMode=mirrored\n[experimental]\nnetworkingMode=nat\n",
            json!({"wsl2.networkingMode": "Mirrored"}),
            &[4],
        ),
        ("[experimental]\nfirewall=0\n", json!({"experimental.firewall": false}), &[]),
        (
            "[wsl2]\nkernelCommandLine = a=b \\\n  c=d # e\nswap=0",
            json!({"wsl2.kernelCommandLine": "a=b   c=d", "wsl2.swap": 0}),
            &[],
        ),
        (
            "[wsl2]\ncrashDumpFolder=D:\\\nmemory=4GB\nswap=0\n",
            json!({"wsl2.crashDumpFolder": "D:memory=4GB", "wsl2.swap": 0}),
            &[3],
        ),
        ("[wsl2]\nkernelCommandLine=\"a # b\" c\n", json!({"wsl2.kernelCommandLine": "a # b c"}), &[]),
        ("[wsl2]\nkernelCommandLine=\"a\nswap=0\n", json!({"wsl2.swap": 0}), &[2]),
        ("[wsl2]\nswapFile=C:\\\\t\\\\s.vhdx\n", json!({"wsl2.swapFile": "C:\\t\\s.vhdx"}), &[]),
        ("[wsl2]\nswapFile=C:\\t\\s.vhdx\n", json!({}), &[2]),
        ("[wsl2]\nmemory: 4GB\nswap 0\n-processors=2\n", json!({}), &[2, 3, 4]),
        ("[wsl2]\nmemory=\nguiApplications=yes\n", json!({}), &[2, 3]),
        ("[wsl2]\nauto-proxy=true\n\u{a0}swap=0\n", json!({}), &[2, 3]),
        ("[wsl2]\nuseWindowsDnsCache=true\npageReporting=false\n", json!({}), &[2, 3]),
        ("[network]\n[wsl2]\nmemory=1TB", json!({"wsl2.memory": 1u64 << 40}), &[]),
        ("[wsl2]\nswap=0\r[wsl2]\rmemory=2GB", json!({"wsl2.swap": 0, "wsl2.memory": 2u64 << 30}), &[]),
    ];
    for (text, effective, ineffective) in table {
        let config = read(text);
        assert_eq!(facts(&config), (effective.clone(), ineffective.to_vec()), "{text}: {:?}", config.problems);
        if !text.contains("\r[") {
            let windows = read(&text.replace('\n', "\r\n"));
            assert_eq!(facts(&windows), (effective, ineffective.to_vec()), "{text} with CRLF");
        }
    }
}

#[test]
fn an_invalid_line_ends_a_wsl_conf() {
    let read = |text: &str| Config::read(text.as_bytes(), Kind::WslConf);
    let conf = read("[boot]\nsystemd=true\n; mine\n[user]\ndefault=ada\n");
    assert_eq!(facts(&conf), (json!({"boot.systemd": true}), vec![3, 5]));
    assert!(conf.problems[1].what.contains("at line 3"), "{:?}", conf.problems);
    // What is invalid by its value or unknown is stepped over alone.
    let conf = read(
        "[boot]\r\nsystemd=yes\r\nfoo=1\r\ncommand=service docker start\r\n[automount]\r\ncgroups=V1\r\n[filesystem]\r\numask=022\r\n",
    );
    let wanted = json!({"boot.command": "service docker start", "automount.cgroups": "v1", "filesystem.umask": 18});
    assert_eq!(facts(&conf), (wanted, vec![2, 3]));
    // Linux does not join lines at `\` and `\r\n`.
    assert_eq!(facts(&read("[boot]\r\ncommand=a \\\r\n b\r\n[user]\r\ndefault=ada\r\n")), (json!({}), vec![2, 5]));
    assert_eq!(Kind::of("08-wsl.conf"), Kind::WslConf);
    assert_eq!(Kind::of(".wslconfig"), Kind::Wslconfig);
}

#[test]
fn each_fault_has_its_reason_and_the_line_to_write() {
    let table = [
        ("memory=8gb", "takes a whole number with a unit in upper case", Some("memory=8GB")),
        ("memory=50%", "takes a whole number", None),
        ("sparseVhd=true", "is read under [experimental] only", Some("[experimental] sparseVhd=true")),
        ("cpus=4", "it is processors", Some("processors=4")),
        ("pageReporting=true", "no longer", None),
        ("swapFile=C:\\Temp\\s.vhdx", "`\\T` is no escape", Some("swapFile=C:\\\\Temp\\\\s.vhdx")),
        ("systemd=true", "no key of WSL", None),
        ("networkingMode=mirored", "takes None, Nat", Some("networkingMode=Mirrored")),
        ("; memory=8GB", "only # begins a comment", None),
    ];
    for (line, why, write) in table {
        let problems = read(&format!("[wsl2]\n{line}\n")).problems;
        assert_eq!(problems.len(), 1, "{line}: {problems:?}");
        assert!(problems[0].what.contains(why) && problems[0].write.as_deref() == write, "{line}: {:?}", problems[0]);
    }
    let above = read("memory=12GB\n[wsl2]\nswap=1GB\n").problems;
    assert!(
        above[0].what.contains("above any section") && above[0].write.as_deref() == Some("[wsl2] memory=12GB"),
        "{above:?}"
    );
    let misspelt = read("[ws12]\nmemory=3GB\n").problems;
    assert_eq!((misspelt[0].line, misspelt[0].write.as_deref()), (Some(1), Some("[wsl2]")), "{misspelt:?}");
    let twice = read("[wsl2]\nmemory=8gb\nmemory=8GB\n").problems;
    assert!(twice[1].what.contains("in line 2 already"), "{twice:?}");
    // What is in force but is not what it seems.
    for line in ["swapFile=D:\\\\\u{dc}bung\\\\s.vhdx", "swapFile=C:\\temp", "ignoredPorts=80"] {
        let text = if line.starts_with("ignored") {
            format!("[experimental]\n{line},x\n")
        } else {
            format!("[wsl2]\n{line}\n")
        };
        let config = read(&text);
        assert!(
            config.ineffective.is_empty() && config.problems.len() == 1 && config.effective.len() == 1,
            "{config:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200), linux in any::<bool>()) {
        let kind = if linux { Kind::WslConf } else { Kind::Wslconfig };
        let config = Config::read(&bytes, kind);
        prop_assert!(config.effective.len() + config.ineffective.len() <= bytes.len());
        let lines = 1 + bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
        prop_assert!(config.ineffective.iter().all(|line| (1..=lines).contains(line)));
    }

    #[test]
    fn what_is_written_is_read(key in "[a-z]{1,9}", value in "[a-zA-Z0-9./]{1,20}") {
        let text = format!("[wsl2]\nkernelCommandLine = {key}={value}\n");
        for bytes in [text.clone().into_bytes(), utf16(&text, true, false)] {
            let config = Config::read(&bytes, Kind::Wslconfig);
            prop_assert_eq!(config.get("WSL2", "kernelcommandline"), Some(&Value::Text(format!("{key}={value}"))));
        }
    }
}

/// What differs from the `truth.json` of a folder: `[{file, effective, ineffective: [{line}], may_be_named: [line]}]`.
fn differences(folder: &Path) -> Vec<String> {
    let truth: Vec<Json> = serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in &truth {
        let name = case["file"].as_str().unwrap();
        let config = Config::read(&std::fs::read(folder.join(name)).unwrap(), Kind::of(name));
        let effective = serde_json::to_value(&config.effective).unwrap();
        let lines = |list: &Json| -> Vec<Option<u64>> {
            list.as_array().into_iter().flatten().map(|line| line.get("line").unwrap_or(line).as_u64()).collect()
        };
        let (must, may) = (lines(&case["ineffective"]), lines(&case["may_be_named"]));
        let named: BTreeMap<Option<u64>, &Problem> =
            config.problems.iter().map(|problem| (problem.line.map(|line| line as u64), problem)).collect();
        let missed: Vec<_> = must.iter().filter(|line| !named.contains_key(line)).collect();
        let extra: Vec<_> = named.iter().filter(|(line, _)| !must.contains(line) && !may.contains(line)).collect();
        if effective != case["effective"] || !missed.is_empty() || !extra.is_empty() {
            wrong.push(format!("{name}: {effective} for {}; missed {missed:?}, extra {extra:?}", case["effective"]));
        }
    }
    assert!(!truth.is_empty());
    wrong
}

#[test]
fn files_as_people_write_them_are_read_as_their_truths_say() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/wslconfig");
    assert_eq!(differences(&own), Vec::<String>::new());
}

/// By hand: `SAMPLER_CASES=DIR cargo test --lib wslconfig::tests::cases -- --ignored --nocapture`.
#[test]
#[ignore = "needs a folder of cases: SAMPLER_CASES"]
fn cases() {
    let folder = std::env::var("SAMPLER_CASES").unwrap();
    assert_eq!(differences(Path::new(&folder)), Vec::<String>::new());
}
