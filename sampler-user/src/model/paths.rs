//! Paths of cgroups: which is above which, what people call them, and how a name that is not UTF-8 is kept.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::os::unix::ffi::OsStringExt;

/// A byte that is no part of UTF-8 is kept as this char and the byte: U+10FF80 to U+10FFFF, which no alphabet uses.
const RAW: u32 = 0x10_ff00;

/// The byte that a char stands for, if it is one of those.
pub fn raw_byte(c: char) -> Option<u8> {
    u8::try_from((c as u32).checked_sub(RAW)?).ok().filter(|byte| *byte >= 0x80)
}

/// The char that stands for a byte that is no part of UTF-8; no byte below 0x80 is one.
fn raw_char(byte: u8) -> Option<char> {
    char::from_u32(RAW | u32::from(byte)).filter(|_| byte >= 0x80)
}

/// The name or path that the kernel gave, as text from which [`to_os`] makes the same bytes again, whatever they are. What is
/// UTF-8 stays as it is, but for the chars that stand for bytes: of them each byte is kept.
pub fn from_bytes(bytes: &[u8]) -> String {
    let raw = |byte: &u8| raw_char(*byte).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match raw_byte(c) {
                Some(_) => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes().iter().map(raw)),
                None => out.push(c),
            }
        }
        out.extend(chunk.invalid().iter().map(raw));
    }
    out
}

/// The name or path as the file system has it.
///
/// ```
/// use std::os::unix::ffi::OsStrExt;
///
/// use sampler::model::paths::{from_bytes, to_os};
///
/// let name = from_bytes(b"a\xffb");
/// assert_eq!(to_os(&name).as_bytes(), b"a\xffb");
/// ```
pub fn to_os(path: &str) -> Cow<'_, OsStr> {
    if !path.chars().any(|c| raw_byte(c).is_some()) {
        return Cow::Borrowed(OsStr::new(path));
    }
    let mut out = Vec::with_capacity(path.len());
    for c in path.chars() {
        match raw_byte(c) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(OsString::from_vec(out))
}

/// Whether a path is another, or below it.
pub fn is_below(path: &str, above: &str) -> bool {
    path == above || above == "/" || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// The path above; `None` of the root.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 => (path.len() > 1).then_some("/"),
        end => Some(&path[..end]),
    }
}

/// A cgroup as people call it: its last name; of an id of 64 hexadecimal digits the first twelve, as Docker shows it.
pub fn name(path: &str) -> &str {
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/");
    let id = last.trim_end_matches(".scope").rsplit('-').next().unwrap_or(last);
    if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) { &id[..12] } else { last }
}

/// Whether no other of these paths is below one.
pub fn is_leaf(paths: &BTreeSet<String>, path: &str) -> bool {
    let mut after = paths.range::<str, _>((Bound::Excluded(path), Bound::Unbounded));
    // Names that begin alike (`/a`, `/a-b`, `/a/c`) may stand between.
    !after.by_ref().take_while(|next| next.starts_with(path)).any(|next| is_below(next, path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a name is made of, its bytes come back, and two names are never the same text.
        #[test]
        fn any_bytes_come_back_from_their_text(bytes in prop::collection::vec(any::<u8>(), 0..300), other in prop::collection::vec(any::<u8>(), 0..4)) {
            let text = from_bytes(&bytes);
            let back = to_os(&text).into_owned();
            prop_assert_eq!(back.as_bytes(), &bytes[..]);
            let mut longer = bytes.clone();
            longer.extend(&other);
            prop_assert_eq!(from_bytes(&longer) == text, other.is_empty());
        }

        #[test]
        fn text_that_stands_for_bytes_already_comes_back_too(text in "[a\u{10ff70}-\u{10ffff}/é]{0,40}") {
            let back = to_os(&from_bytes(text.as_bytes())).into_owned();
            prop_assert_eq!(back.as_bytes(), text.as_bytes());
        }

        /// A path is cut and joined at slashes: as text as in bytes.
        #[test]
        fn names_are_joined_as_text_as_they_are_in_bytes(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..5)) {
            let whole = from_bytes(&parts.join(&b'/'));
            let joined: Vec<String> = parts.iter().map(|part| from_bytes(part)).collect();
            prop_assert_eq!(whole, joined.join("/"));
        }
    }

    #[test]
    fn utf_8_is_kept_as_it_is_and_any_other_byte_as_one_char() {
        assert_eq!(from_bytes("/café".as_bytes()), "/café");
        assert_eq!(from_bytes(b"/a\xff\x80b"), "/a\u{10ffff}\u{10ff80}b");
        assert!(matches!(to_os("/docker/a"), Cow::Borrowed(_)));
        assert_eq!((raw_byte('\u{10fffe}'), raw_byte('\u{10ff7f}'), raw_byte('a')), (Some(0xfe), None, None));
    }

    #[test]
    fn a_path_is_below_itself_and_its_ancestors_and_no_namesake() {
        for (path, above, is) in
            [("/a", "/a", true), ("/a/b", "/a", true), ("/ab", "/a", false), ("/a", "/", true), ("/a", "/a/b", false)]
        {
            assert_eq!(is_below(path, above), is, "{path} below {above}");
        }
    }

    #[test]
    fn the_way_up_ends_at_the_root() {
        fn up(path: &str) -> Vec<&str> {
            std::iter::successors(Some(path), |path| parent(path)).collect()
        }
        assert_eq!(up("/a/b/c"), ["/a/b/c", "/a/b", "/a", "/"]);
        assert_eq!((up("/"), up("")), (vec!["/"], vec![""]));
    }

    #[test]
    fn a_container_is_called_by_the_first_digits_of_its_id() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(name(&format!("/system.slice/docker-{id}.scope")), "0123456789ab");
        assert_eq!((name("/docker/web"), name("/")), ("web", "/"));
    }
}
