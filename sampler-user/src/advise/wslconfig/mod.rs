//! `.wslconfig`: what WSL takes of the user's file, what it steps over in silence, and what a new one should say.

pub mod keys;

use std::fmt::Write;

use serde::Serialize;

use self::keys::{Key, TABLE};
use crate::model::units::{bytes, printable};
use crate::model::wslconfig::Encoding;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Line, from 1; absent for the whole file.
    pub line: Option<usize>,
    /// What, and what to do.
    pub what: String,
}

/// A file as WSL would read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Section, key and value of each line that is valid; the last of a key counts.
    pub values: Vec<(String, String, String)>,
    /// What is not.
    pub problems: Vec<Problem>,
}

/// What the new file should say, bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Wanted {
    /// Memory of the virtual machine.
    pub memory: u64,
    /// How it was found.
    pub because: String,
    /// Swap.
    pub swap: u64,
    /// `gradual` or `dropCache`.
    pub reclaim: &'static str,
    /// Why that one.
    pub reclaim_because: &'static str,
}

/// The text of a file, and what its encoding means for WSL.
fn decode(bytes: &[u8], problems: &mut Vec<Problem>) -> String {
    let (encoding, text) = crate::model::wslconfig::decode(bytes);
    let marked =
        |encoding: &str| format!("it is {encoding}: WSL may ignore it without a word; save it as UTF-8 without a mark");
    let what = match encoding {
        Encoding::Plain => return text,
        Encoding::Utf8Mark => marked("UTF-8 with a byte order mark"),
        Encoding::Utf16 => marked("UTF-16 (as PowerShell 5 writes with > and Out-File)"),
        Encoding::Other => "it is not UTF-8: save it as UTF-8 without a mark".into(),
    };
    problems.push(Problem { line: None, what });
    text
}

/// Reads a file; no bytes are refused.
pub fn read(bytes: &[u8]) -> Config {
    let mut config = Config::default();
    let text = decode(bytes, &mut config.problems);
    let mut section: Option<String> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let mut problem = |what: String| config.problems.push(Problem { line: Some(at + 1), what });
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default().trim().to_owned();
            if !TABLE.iter().any(|key| key.section.eq_ignore_ascii_case(&name)) {
                problem(format!(
                    "there is no section [{}]: only [wsl2], [experimental] and [general]",
                    printable(&name)
                ));
            }
            section = Some(name);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            problem(format!("`{}` is no `key=value`", printable(line)));
            continue;
        };
        let (key, value) = (key.trim(), value.split(" #").next().unwrap_or_default().trim());
        let Some(section) = &section else {
            problem(format!("`{}` stands before any section: put [wsl2] above it", printable(key)));
            continue;
        };
        match check(section, key, value) {
            Ok(known) => {
                let same = |(s, k, _): &(String, String, String)| s == known.section && k == known.name;
                if config.values.iter().any(same) {
                    problem(format!("{} is there twice", known.name));
                }
                config.values.retain(|value| !same(value));
                config.values.push((known.section.into(), known.name.into(), value.to_owned()));
            }
            Err(what) => problem(what),
        }
    }
    config
}

/// The key that a line sets, if WSL takes it.
fn check(section: &str, key: &str, value: &str) -> Result<&'static Key, String> {
    let named = |known: &&Key| known.name.eq_ignore_ascii_case(key);
    let Some(known) = TABLE.iter().find(|known| named(known) && known.section.eq_ignore_ascii_case(section)) else {
        return Err(match TABLE.iter().find(named) {
            Some(known) => format!(
                "{} belongs under [{}]; under [{}] it does nothing",
                known.name,
                known.section,
                printable(section)
            ),
            None => format!("`{}` is no key of WSL: it does nothing", printable(key)),
        });
    };
    if known.takes.accepts(value) {
        Ok(known)
    } else {
        Err(format!("{} takes {}, not `{}`", known.name, known.takes.words(), printable(value)))
    }
}

/// The new file: what the user's has and WSL takes, with memory, swap and reclaim as wanted. Only documented keys.
pub fn text(old: &Config, wanted: &Wanted) -> String {
    let size = |bytes: u64| match bytes {
        0 => "0".to_owned(),
        b if b.is_multiple_of(1 << 30) => format!("{}GB", b >> 30),
        b => format!("{}MB", b.div_ceil(1 << 20)),
    };
    let new = [
        ("wsl2", "memory", size(wanted.memory), wanted.because.clone()),
        ("wsl2", "swap", size(wanted.swap), NO_SWAP.to_owned()),
        ("experimental", "autoMemoryReclaim", wanted.reclaim.to_owned(), wanted.reclaim_because.to_owned()),
    ];
    let mut out = String::from(
        "# %UserProfile%\\.wslconfig, by `sampler advise`. Save it as UTF-8 without a mark, then run: wsl --shutdown\n",
    );
    for section in ["general", "wsl2", "experimental"] {
        let kept = old.values.iter().filter(|(s, k, _)| s == section && !new.iter().any(|(_, name, ..)| name == k));
        let kept: Vec<_> = kept.collect();
        let ours: Vec<_> = new.iter().filter(|(s, ..)| *s == section).collect();
        if kept.is_empty() && ours.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n[{section}]");
        for (_, key, value, because) in ours {
            let about = TABLE.iter().find(|known| known.name == *key).map_or("", |known| known.about);
            let _ = writeln!(out, "# {about} {because}\n{key}={value}");
        }
        for (_, key, value) in kept {
            let _ = writeln!(out, "{key}={}", printable(value));
        }
    }
    out
}

/// Why swap stays on.
pub const NO_SWAP: &str = "swap=0 is folklore: without swap only page cache can be taken back, so code and data are read from the disk again and again until the OOM killer comes; a quarter of the memory is WSL's own default.";

/// What the virtual machine should have: limits of containers, what else runs, and a tenth for page cache, in steps of 512 MiB.
/// `outside` is what was used outside of containers, bytes.
pub fn wanted(limits: u64, outside: u64, kernel: &str) -> Wanted {
    let sum = limits.saturating_add(outside);
    let memory = sum.saturating_add(sum / 10).next_multiple_of(512 << 20);
    let because =
        format!("{} of limits, {} outside of containers, and a tenth for page cache.", bytes(limits), bytes(outside));
    // The default: a quarter, in whole GiB.
    let swap = (memory / 4).next_multiple_of(1 << 30);
    let is_old = kernel.starts_with("4.") || kernel.starts_with("5.");
    let (reclaim, reclaim_because) = if is_old {
        (
            "dropCache",
            "This kernel is of a WSL before 2.5, where gradual forced cgroup v2 and broke Docker (microsoft/WSL#10515).",
        )
    } else {
        ("gradual", "A little at a time: dropCache empties the page cache at once, and what is needed is read again.")
    };
    Wanted { memory, because, swap, reclaim, reclaim_because }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "[wsl2]\r\nmemory=6GB\r\nswap=0\r\n# a comment\r\nlocalhostForwarding=true\r\n[experimental]\r\nautoMemoryReclaim=Gradual\r\n";

    fn problems(bytes: &[u8]) -> Vec<String> {
        read(bytes).problems.into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn a_good_file_has_no_problems() {
        let config = read(GOOD.as_bytes());
        assert_eq!(config.problems, []);
        assert_eq!(config.values[0], ("wsl2".into(), "memory".into(), "6GB".into()));
        assert_eq!(config.values.len(), 4);
    }

    #[test]
    fn utf_16_and_marks_are_recognised_and_read_all_the_same() {
        let units = |f: fn(u16) -> [u8; 2]| GOOD.encode_utf16().flat_map(f).collect::<Vec<u8>>();
        let (little, big) = (units(u16::to_le_bytes), units(u16::to_be_bytes));
        let marked = |mark: &[u8], rest: &[u8]| [mark, rest].concat();
        for (name, bytes) in [
            ("UTF-16 (", marked(&[0xff, 0xfe], &little)),
            ("UTF-16 (", marked(&[0xfe, 0xff], &big)),
            ("UTF-16 (", little),
            ("UTF-16 (", big),
            ("UTF-8 with", marked(&[0xef, 0xbb, 0xbf], GOOD.as_bytes())),
        ] {
            let config = read(&bytes);
            assert_eq!((config.values.len(), config.problems.len()), (4, 1), "{name}");
            assert!(config.problems[0].what.starts_with(&format!("it is {name}")), "{}", config.problems[0].what);
        }
    }

    #[test]
    fn unknown_keys_and_values_are_told_with_their_line() {
        let text = "memory=1GB\n[wsl2]\nmemory=6 Gigs\nmemry=6GB\nautoMemoryReclaim=gradual\nprocessors=four\nswap=2GB\nswap=4GB\n[wsl3]\nfoo\n[experimental]\nsparseVhd=maybe\n";
        let config = read(text.as_bytes());
        let told: Vec<(Option<usize>, &str)> = config.problems.iter().map(|p| (p.line, &*p.what)).collect();
        let expected = [
            (1, "stands before any section"),
            (3, "memory takes"),
            (4, "is no key of WSL"),
            (5, "belongs under [experimental]"),
            (6, "processors takes"),
            (8, "swap is there twice"),
            (9, "no section [wsl3]"),
            (10, "is no `key=value`"),
            (12, "sparseVhd takes"),
        ];
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for ((line, what), (expected_line, part)) in told.iter().zip(expected) {
            assert!(*line == Some(expected_line) && what.contains(part), "{line:?} {what}: {part}");
        }
        assert_eq!(config.values, [("wsl2".into(), "swap".into(), "4GB".into())]);
        assert!(problems(b"[wsl2]\nkernel=\xff\xff\n").iter().any(|what| what.contains("not UTF-8")));
    }

    #[test]
    fn what_is_written_is_valid_and_keeps_what_the_user_has() {
        let wanted = wanted(2 << 30, 1 << 30, "6.6.87.2-microsoft-standard-WSL2");
        let text = text(&read(GOOD.as_bytes()), &wanted);
        let again = read(text.as_bytes());
        assert_eq!(again.problems, [], "{text}");
        let value = |key: &str| again.values.iter().find(|(_, k, _)| k == key).map(|(_, _, value)| value.as_str());
        assert_eq!((value("memory"), value("swap")), (Some("3584MB"), Some("1GB")), "{text}");
        assert_eq!((value("localhostForwarding"), value("autoMemoryReclaim")), (Some("true"), Some("gradual")));
        assert_eq!(super::wanted(1, 1, "5.15.153.1").reclaim, "dropCache");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_valid_stays_valid(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let config = read(&bytes);
            let written = text(&config, &wanted(1 << 30, 1 << 28, "6.6"));
            prop_assert_eq!(read(written.as_bytes()).problems, vec![], "{}", written);
        }

        #[test]
        fn no_pieces_panic(pieces in prop::collection::vec(prop::sample::select(vec![
            "[wsl2]", "[", "]", "\n", "memory", "=", "6GB", "swap", "99999999999999999999GB", "#", ";", " ", "\r\n", "kernelCommandLine", "é", "\u{feff}", "\0", "networkingMode", "mirrored",
        ]), 0..40)) {
            let config = read(pieces.concat().as_bytes());
            let written = text(&config, &wanted(1 << 30, 1 << 28, "6.6"));
            prop_assert_eq!(read(written.as_bytes()).problems, vec![], "{}", written);
        }
    }
}
