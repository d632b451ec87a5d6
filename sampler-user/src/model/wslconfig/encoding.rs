//! The bytes of a file as text, and back.

use serde::Serialize;

/// How a file is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// UTF-8 or ASCII without a mark, as WSL wants it.
    Plain,
    /// UTF-8 behind a byte order mark.
    Utf8Mark,
    /// UTF-16, little end first, behind its mark, as old editors and `>` of PowerShell 5 write it.
    Utf16,
    /// UTF-16 without its mark, or with the big end first: WSL does not know it.
    Utf16Unread,
    /// Neither: bytes that are no UTF-8.
    Other,
}

/// The text of any bytes, and how it was encoded. Bytes that are no UTF-8 are kept (see [`crate::model::paths::from_bytes`]).
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
        [0xef, 0xbb, 0xbf, rest @ ..] => (Encoding::Utf8Mark, crate::model::paths::from_bytes(rest)),
        [0xff, 0xfe, rest @ ..] => (Encoding::Utf16, wide(rest, false)),
        [0xfe, 0xff, rest @ ..] => (Encoding::Utf16Unread, wide(rest, true).replace('\0', "")),
        // Without a mark: the first letters are ASCII, so their other halves are nothing.
        [0, b, 0, d, ..] if *b != 0 && *d != 0 => (Encoding::Utf16Unread, wide(bytes, true).replace('\0', "")),
        [a, 0, c, 0, ..] if *a != 0 && *c != 0 => (Encoding::Utf16Unread, wide(bytes, false).replace('\0', "")),
        _ => {
            let is_utf8 = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
            (if is_utf8 { Encoding::Plain } else { Encoding::Other }, crate::model::paths::from_bytes(bytes))
        }
    }
}

/// The bytes of a text in an encoding; what WSL cannot read becomes UTF-8.
pub(super) fn encode(text: &str, encoding: Encoding) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let plain = || crate::model::paths::to_os(text).as_bytes().to_vec();
    match encoding {
        Encoding::Plain | Encoding::Other | Encoding::Utf16Unread => plain(),
        Encoding::Utf8Mark => [b"\xef\xbb\xbf".to_vec(), plain()].concat(),
        Encoding::Utf16 => std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect(),
    }
}
