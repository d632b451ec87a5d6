//! `.wslconfig`: what a new one should say, and the user's own with that in it.

use serde::Serialize;

use crate::model::units::bytes;
use crate::model::wslconfig::keys::table;
use crate::model::wslconfig::{Change, Config, Kind};

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

/// The new file: the user's with memory, swap and reclaim as wanted; all else of it stays.
pub fn text(old: &Config, wanted: &Wanted) -> String {
    let size = |bytes: u64| match bytes {
        0 => "0".to_owned(),
        b if b.is_multiple_of(1 << 30) => format!("{}GB", b >> 30),
        b => format!("{}MB", b.div_ceil(1 << 20)),
    };
    let change = |section: &'static str, key: &'static str, value: String, because: &str| {
        let about = table(Kind::Wslconfig).iter().find(|known| known.name == key).map_or("", |known| known.about);
        Change { section, key, value, because: format!("{about} {because}") }
    };
    old.with(&[
        change("wsl2", "memory", size(wanted.memory), &wanted.because),
        change("wsl2", "swap", size(wanted.swap), NO_SWAP),
        change("experimental", "autoMemoryReclaim", wanted.reclaim.to_owned(), wanted.reclaim_because),
    ])
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

    const GOOD: &str = "[wsl2]\r\nmemory=6GB # of 16\r\nswap=0\r\n# a comment\r\nlocalhostForwarding=true\r\nfrobnicate=1\r\n[experimental]\r\nautoMemoryReclaim=Gradual\r\n";

    fn read(bytes: &[u8]) -> Config {
        Config::read(bytes, Kind::Wslconfig)
    }

    #[test]
    fn what_is_written_is_valid_and_keeps_what_the_user_has() {
        let wanted = wanted(2 << 30, 1 << 30, "6.6.87.2-microsoft-standard-WSL2");
        let written = text(&read(GOOD.as_bytes()), &wanted);
        let again = read(written.as_bytes());
        let value = |section: &str, key: &str| again.get(section, key).map(ToString::to_string);
        assert_eq!(value("wsl2", "memory").as_deref(), Some("3584MB"), "{written}");
        assert_eq!(
            (value("wsl2", "swap").as_deref(), value("wsl2", "localhostForwarding").as_deref()),
            (Some("1GB"), Some("true"))
        );
        assert_eq!(value("experimental", "autoMemoryReclaim").as_deref(), Some("Gradual"));
        for line in ["memory=3584MB # of 16\r\n", "# a comment\r\n", "frobnicate=1\r\n"] {
            assert!(written.contains(line), "{line}: {written}");
        }
        assert!(!written.replace("\r\n", "").contains('\n'), "its line ends stay");
        assert_eq!(text(&again, &wanted), written, "again is the same");
        assert_eq!(super::wanted(1, 1, "5.15.153.1").reclaim, "dropCache");
        let fresh = text(&read(b""), &wanted);
        assert!(fresh.starts_with("[wsl2]\n# sampler advise: ") && fresh.contains("\n\n[experimental]\n"), "{fresh}");
        assert_eq!(read(fresh.as_bytes()).problems, []);
    }

    /// All that was in force stays so, and the three keys say what is wanted.
    fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
        let old = read(bytes);
        let wanted = wanted(1 << 30, 1 << 28, "6.6");
        let written = text(&old, &wanted);
        let again = read(&old.encode(&written));
        let ours = ["wsl2.memory", "wsl2.swap", "experimental.autoMemoryReclaim"];
        for (name, value) in old.effective.iter().filter(|(name, _)| !ours.contains(&name.as_str())) {
            prop_assert_eq!(again.effective.get(name), Some(value), "{}: {}", name, written);
        }
        for name in ours {
            prop_assert!(again.effective.contains_key(name), "{}: {}", name, written);
        }
        let kept = |text: &str| {
            text.split(['\n', '\r'])
                .map(str::to_owned)
                .filter(|line| !line.contains("emory") && !line.contains("swap"))
                .collect::<Vec<_>>()
        };
        let before = crate::model::wslconfig::decode(bytes).1;
        let after = kept(&written);
        let mut rest = after.iter();
        // A value that goes on in the next line is one value.
        let is_joined = before.contains("\\\n") || before.contains("\\\r");
        for line in kept(&before).iter().filter(|_| !is_joined).map(|line| line.trim_end()) {
            prop_assert!(rest.any(|other| other.trim_end() == line), "{:?} is lost: {}", line, written);
        }
        prop_assert_eq!(again.encode(&text(&again, &wanted)), old.encode(&written));
        Ok(())
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_in_force_stays_so(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            holds(&bytes)?;
        }

        #[test]
        fn no_pieces_panic(pieces in prop::collection::vec(prop::sample::select(vec![
            "[wsl2]", "[wsl2]\n", "[experimental]\r\n", "[", "]", "\n", "\n", "\r\n", "memory", "memory=6GB\n", "=", "6GB", "swap", "99999999999999999999GB",
            "#", ";", " ", "\"", "\\", "kernelCommandLine", "kernel=C:\\\\k\n", "é", "\u{feff}", "\0", "networkingMode", "mirrored", "\r",
        ]), 0..40)) {
            holds(pieces.concat().as_bytes())?;
        }
    }
}
