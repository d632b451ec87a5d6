//! What a terminal, a web page or an editor did to a line that somebody copied: undone, as far as no line of the kernel looks like it.

use std::borrow::Cow;

/// Tags of HTML that come with a paste and mean nothing. The kernel's own `<4>` and `<TASK>` are none of them.
const TAGS: [&str; 19] = [
    "pre", "code", "p", "span", "div", "li", "ul", "td", "tr", "tbody", "table", "summary", "details", "b", "i",
    "font", "strong", "em", "samp",
];

/// A line as it was printed. It may become several (`<br>`), and a record of several lines within one has them behind a vertical tab.
pub fn clean(line: &[u8]) -> Cow<'_, str> {
    let line = line.trim_ascii_end();
    let plain = line.iter().all(|b| (0x20..0x7f).contains(b)) && !line.iter().any(|b| b"&\\#".contains(b));
    let is_tagged = line.contains(&b'<') && has_tag(line);
    match std::str::from_utf8(line) {
        Ok(text) if plain && !is_tagged => Cow::Borrowed(text),
        _ => Cow::Owned(undo(line)),
    }
}

fn has_tag(line: &[u8]) -> bool {
    line.windows(3).any(|three| three[0] == b'<' && (three[1] == b'/' || three[1].is_ascii_alphabetic()))
}

fn undo(line: &[u8]) -> String {
    let mut out: Vec<u8> = Vec::with_capacity(line.len());
    let mut at = 0;
    while at < line.len() {
        let rest = &line[at..];
        let (put, taken): (&[u8], usize) = match rest[0] {
            0x1b => (b"", escape(rest)),
            b'\r' | 0x07 | 0x08 | 0x0f | 0 => (b"", 1),
            b'\t' => (b" ", 1),
            b'&' => entity(rest),
            b'<' => tag(rest),
            b'#' => octal(rest),
            b'\\' if rest.get(1).is_some_and(|b| b"_[]*<>()#-~|`&".contains(b)) => (&rest[1..2], 2),
            0xc2 if rest.get(1) == Some(&0xa0) => (b" ", 2),
            // A mark of order, and spaces of no width.
            0xef if rest.starts_with(b"\xef\xbb\xbf") => (b"", 3),
            0xe2 if rest.starts_with(b"\xe2\x80\x8b") || rest.starts_with(b"\xe2\x80\x8e") => (b"", 3),
            _ => (&rest[..1], 1),
        };
        out.extend_from_slice(put);
        at += taken.max(1);
    }
    crate::model::paths::from_bytes(&out)
}

/// The length of an escape sequence of a terminal.
fn escape(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'[') => rest[2..].iter().position(|b| (0x40..=0x7e).contains(b)).map_or(2, |end| end + 3),
        // A title or a link, up to its end.
        Some(b']') => rest[2..].iter().position(|b| *b == 0x07 || *b == b'\\').map_or(2, |end| end + 3),
        Some(b'(' | b')') => 3.min(rest.len()),
        Some(_) => 2,
        None => 1,
    }
}

fn entity(rest: &[u8]) -> (&'static [u8], usize) {
    const ENTITIES: [(&[u8], &[u8]); 9] = [
        (b"&lt;", b"<"),
        (b"&gt;", b">"),
        (b"&amp;", b"&"),
        (b"&quot;", b"\""),
        (b"&nbsp;", b" "),
        (b"&#39;", b"'"),
        (b"&#x27;", b"'"),
        (b"&#34;", b"\""),
        (b"&apos;", b"'"),
    ];
    let found = ENTITIES.iter().find(|(name, _)| rest.starts_with(name));
    found.map_or((b"&", 1), |(name, text)| (*text, name.len()))
}

fn tag(rest: &[u8]) -> (&'static [u8], usize) {
    let Some(end) = rest.iter().take(200).position(|b| *b == b'>') else { return (b"<", 1) };
    let inside = rest[1..end].strip_prefix(b"/").unwrap_or(&rest[1..end]);
    let length = inside.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(inside.len());
    let name = String::from_utf8_lossy(&inside[..length]);
    if name == "br" {
        (b"\n", end + 1)
    } else if TAGS.contains(&&*name) {
        (b"", end + 1)
    } else {
        (b"<", 1)
    }
}

/// `#012`: rsyslog writes control characters as three octal digits.
fn octal(rest: &[u8]) -> (&'static [u8], usize) {
    match rest.get(..4) {
        Some(b"#012") => (b"\x0b", 4),
        Some(b"#011") => (b" ", 4),
        Some([b'#', b'0', b'0'..=b'3', b'0'..=b'7']) => (b"", 4),
        _ => (b"#", 1),
    }
}

/// Takes off what quotes a line in Markdown or in an answer by mail.
pub fn unquote(text: &str) -> &str {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start();
        let next = trimmed.trim_start_matches(['>', '`', '|']);
        let next = ["- ", "* ", "+ ", "• "].iter().find_map(|mark| next.strip_prefix(mark)).unwrap_or(next);
        if next.len() == trimmed.len() {
            break;
        }
        rest = next;
    }
    let rest = if rest.len() == text.len() { rest } else { rest.trim_end_matches(['|', ' ']) };
    let rest = rest.trim_end_matches('`');
    match rest.trim_start().strip_prefix('"') {
        Some(quoted) => {
            let inside = quoted.trim_end_matches(',').strip_suffix('"');
            inside.filter(|inside| !inside.contains('"')).unwrap_or(rest)
        }
        None => rest,
    }
}
