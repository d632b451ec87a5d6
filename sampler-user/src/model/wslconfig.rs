//! The files that configure WSL, `.wslconfig` and `wsl.conf`: how they are encoded, and what a key says.

/// How a file is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 or ASCII without a mark, as WSL wants it.
    Plain,
    /// UTF-8 behind a byte order mark.
    Utf8Mark,
    /// UTF-16, as old editors and `>` of PowerShell 5 write it.
    Utf16,
    /// Neither.
    Other,
}

/// A file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// How it is encoded.
    pub encoding: Encoding,
    /// Section, key and value of each line that has them; section and key in lower case.
    pub entries: Vec<(String, String, String)>,
}

impl File {
    /// Reads any bytes. What is no `key=value` is left out.
    pub fn parse(bytes: &[u8]) -> File {
        let (encoding, text) = decode(bytes);
        let mut section = String::new();
        let mut entries = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                section = name.trim().to_ascii_lowercase();
            } else if let Some((key, value)) = line.split_once('=')
                && !key.starts_with(['#', ';'])
            {
                // A path may hold a #; behind a space it begins a comment.
                let value = value.split(" #").next().unwrap_or_default().trim().trim_matches('"');
                entries.push((section.clone(), key.trim().to_ascii_lowercase(), value.to_owned()));
            }
        }
        File { encoding, entries }
    }

    /// The value of a key; of one that is there twice the last.
    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        let is = |(s, k, _): &&(String, String, String)| s.eq_ignore_ascii_case(section) && k.eq_ignore_ascii_case(key);
        self.entries.iter().rev().find(is).map(|(_, _, value)| value.as_str())
    }
}

/// The text of any bytes, and how it was encoded.
pub fn decode(bytes: &[u8]) -> (Encoding, String) {
    let wide = |bytes: &[u8], big: bool| {
        let pair = |pair: &[u8]| match (pair, big) {
            ([a, b], true) => u16::from_be_bytes([*a, *b]),
            ([a, b], false) => u16::from_le_bytes([*a, *b]),
            _ => 0xfffd,
        };
        String::from_utf16_lossy(&bytes.chunks(2).map(pair).collect::<Vec<_>>())
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => (Encoding::Utf8Mark, String::from_utf8_lossy(rest).into_owned()),
        [0xff, 0xfe, rest @ ..] => (Encoding::Utf16, wide(rest, false)),
        [0xfe, 0xff, rest @ ..] => (Encoding::Utf16, wide(rest, true)),
        // Without a mark: the first letter is ASCII, so its other half is nothing.
        [0, second, ..] if *second != 0 => (Encoding::Utf16, wide(bytes, true)),
        [first, 0, ..] if *first != 0 => (Encoding::Utf16, wide(bytes, false)),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => (Encoding::Plain, text.to_owned()),
            _ => (Encoding::Other, String::from_utf8_lossy(bytes).into_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "# mine\r\n[WSL2]\r\nMemory = 6GB # of 16\r\nkernelCommandLine=\"psi=1 a=b\"\r\n\r\n[experimental]\r\nautoMemoryReclaim=gradual\r\nnonsense\r\n";

    fn utf16(text: &str, mark: bool, big: bool) -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn the_same_text_is_read_from_every_encoding() {
        let marked = [b"\xef\xbb\xbf".as_slice(), TEXT.as_bytes()].concat();
        let files = [
            (TEXT.as_bytes().to_vec(), Encoding::Plain),
            (marked, Encoding::Utf8Mark),
            (utf16(TEXT, true, false), Encoding::Utf16),
            (utf16(TEXT, true, true), Encoding::Utf16),
            (utf16(TEXT, false, false), Encoding::Utf16),
            (utf16(TEXT, false, true), Encoding::Utf16),
        ];
        for (bytes, encoding) in files {
            let file = File::parse(&bytes);
            assert_eq!(file.encoding, encoding);
            assert_eq!(file.get("wsl2", "memory"), Some("6GB"));
            assert_eq!(file.get("wsl2", "kernelCommandLine"), Some("psi=1 a=b"));
            assert_eq!(file.get("experimental", "automemoryreclaim"), Some("gradual"));
            assert_eq!((file.get("wsl2", "autoMemoryReclaim"), file.entries.len()), (None, 3));
        }
        let twice = File::parse(b"[wsl2]\nswap=1\nswap=2\n#swap=3");
        assert_eq!((twice.get("wsl2", "swap"), twice.entries.len()), (Some("2"), 2));
        assert_eq!(File::parse(b"a=\xff\xff").encoding, Encoding::Other);
        assert_eq!(File::parse(b"").encoding, Encoding::Plain);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let file = File::parse(&bytes);
            prop_assert!(file.entries.len() <= bytes.len());
        }

        #[test]
        fn what_is_written_is_read(key in "[a-z]{1,9}", value in "[a-zA-Z0-9./]{1,20}") {
            let text = format!("[wsl2]\n{key} = {value}\n");
            for bytes in [text.clone().into_bytes(), utf16(&text, true, false)] {
                let file = File::parse(&bytes);
                prop_assert_eq!(file.get("wsl2", &key), Some(&*value));
            }
        }
    }
}
