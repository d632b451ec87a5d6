//! Variables: `.env` files, and `${…}` in a Compose file, as compose-go has them (`dotenv`, `template`).

use std::collections::{BTreeMap, BTreeSet};

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// What was asked for and is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Variables that are nothing.
    pub unset: BTreeSet<String>,
    /// Variables without which Compose refuses the file, with its words for it.
    pub required: BTreeMap<String, String>,
    /// Texts that are no template: a `$` that is not doubled.
    pub invalid: BTreeSet<String>,
}

/// Defaults within defaults are looked into this deep.
const DEPTH: usize = 20;

/// A text with its variables in place.
pub fn substitute(text: &str, variables: &Variables, missing: &mut Missing) -> String {
    replace(text, variables, missing, 0)
}

fn replace(text: &str, variables: &Variables, missing: &mut Missing, depth: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        rest = match behind.as_bytes().first() {
            Some(b'$') => {
                out.push('$');
                &behind[1..]
            }
            Some(b'{') => match closing(behind).filter(|_| depth < DEPTH) {
                Some(end) => {
                    let inner = &behind[1..end];
                    match braced(inner, variables, missing, depth) {
                        Some(value) => out.push_str(&value),
                        None => {
                            missing.invalid.insert(text.to_owned());
                        }
                    }
                    &behind[end + 1..]
                }
                None => {
                    missing.invalid.insert(text.to_owned());
                    out.push('$');
                    behind
                }
            },
            _ => {
                let end = name_end(behind);
                if end == 0 {
                    missing.invalid.insert(text.to_owned());
                    out.push('$');
                } else {
                    out.push_str(&value(&behind[..end], variables, missing));
                }
                &behind[end..]
            }
        };
    }
    out.push_str(rest);
    out
}

/// Where the brace that a text begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at == 0 || bytes[at - 1] == b'$' => open += 1,
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// How long the name is that a text begins with.
fn name_end(text: &str) -> usize {
    let is = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || at > 0 && c.is_ascii_digit();
    text.char_indices().find(|pair| !is(*pair)).map_or(text.len(), |(at, _)| at)
}

fn value(name: &str, variables: &Variables, missing: &mut Missing) -> String {
    variables.get(name).cloned().unwrap_or_else(|| {
        missing.unset.insert(name.to_owned());
        String::new()
    })
}

/// What stands between braces; `None` where it is no name with an operator.
fn braced(inner: &str, variables: &Variables, missing: &mut Missing, depth: usize) -> Option<String> {
    let end = name_end(inner);
    let (name, rest) = inner.split_at(end);
    if name.is_empty() {
        return None;
    }
    let known = variables.get(name);
    let full = known.filter(|value| !value.is_empty());
    let (found, operator, word) = match rest.strip_prefix(':') {
        Some(rest) => (full, rest.chars().next()?, rest.get(1..)?),
        None if rest.is_empty() => return Some(value(name, variables, missing)),
        None => (known, rest.chars().next()?, rest.get(1..)?),
    };
    match (operator, found) {
        ('-' | '?', Some(found)) => Some(found.clone()),
        ('-', None) | ('+', Some(_)) => Some(replace(word, variables, missing, depth + 1)),
        ('+', None) => Some(String::new()),
        ('?', None) => {
            let words = replace(word, variables, missing, depth + 1);
            missing.required.insert(name.to_owned(), words);
            Some(String::new())
        }
        _ => None,
    }
}

/// The variables of a `.env` file. What `outer` has counts where a value refers to another variable.
pub fn dotenv(text: &str, outer: &Variables) -> Variables {
    let mut all = Variables::new();
    let mut known = outer.clone();
    let mut rest = text.trim_start_matches('\u{feff}');
    while !rest.is_empty() {
        rest = rest.trim_start();
        let end = rest.find('\n').unwrap_or(rest.len());
        let line = &rest[..end];
        let entry = line.strip_prefix("export ").unwrap_or(line);
        let Some(at) = entry.find(['=', ':']).filter(|_| !line.starts_with('#')) else {
            rest = &rest[end..];
            continue;
        };
        let key = entry[..at].trim().to_owned();
        let from = line.len() - entry.len() + at + 1;
        let behind = rest[from..].trim_start_matches([' ', '\t']);
        let expand = |text: &str| substitute(text, &known, &mut Missing::default());
        let (value, after) = match behind.chars().next() {
            Some(quote @ ('"' | '\'')) => match quoted(&behind[1..], quote) {
                Some((value, after)) => (if quote == '"' { expand(&unescape(&value)) } else { value }, after),
                None => (String::new(), ""),
            },
            _ => {
                let end = behind.find('\n').unwrap_or(behind.len());
                let line = &behind[..end];
                let end_of_value = line.find(" #").or_else(|| line.starts_with('#').then_some(0)).unwrap_or(line.len());
                (expand(line[..end_of_value].trim()), &behind[end..])
            }
        };
        if !key.is_empty() {
            if !outer.contains_key(&key) {
                known.insert(key.clone(), value.clone());
            }
            all.insert(key, value);
        }
        rest = after;
    }
    all
}

/// A quoted value and what is behind its line.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut is_escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let ends = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped && quote == '"';
        ends
    })?;
    let behind = &text[end.0 + 1..];
    Some((text[..end.0].to_owned(), &behind[behind.find('\n').unwrap_or(behind.len())..]))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('$')) => out.push_str("$$"),
            ('\\', Some(c)) => out.push(c),
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("A", "1g"), ("EMPTY", ""), ("B", "x")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn variables_are_put_in_as_compose_does_it() {
        let table = [
            ("$A", "1g"),
            ("${A}", "1g"),
            ("a$A.b", "a1g.b"),
            ("${A:-2g}", "1g"),
            ("${NO:-2g}", "2g"),
            ("${NO-2g}", "2g"),
            ("${EMPTY:-2g}", "2g"),
            ("${EMPTY-2g}", ""),
            ("${NO:-${ALSO:-${A}}}m", "1gm"),
            ("${A:+yes}", "yes"),
            ("${NO:+yes}", ""),
            ("${EMPTY+yes}", "yes"),
            ("${EMPTY:+yes}", ""),
            ("$$A $${A}", "$A ${A}"),
            ("${NO:-a:b?c}", "a:b?c"),
            ("${A:?must}", "1g"),
            ("{$B}", "{x}"),
            ("${NO:-{}}", "{}"),
        ];
        for (text, wanted) in table {
            let mut missing = Missing::default();
            // A brace of its own in a default ends it, as in Compose.
            let wanted = if text == "${NO:-{}}" { "{}" } else { wanted };
            assert_eq!(substitute(text, &variables(), &mut missing), wanted, "{text}");
            assert!(missing.required.is_empty() && missing.invalid.is_empty(), "{text}: {missing:?}");
        }
        let mut missing = Missing::default();
        assert_eq!(substitute("${NO:?set it} $NONE $ ${-}", &variables(), &mut missing), "  $ ");
        assert_eq!(missing.required["NO"], "set it");
        assert!(missing.unset.contains("NONE") && !missing.invalid.is_empty());
        let deep = format!("{}x{}", "${N:-".repeat(500), "}".repeat(500));
        substitute(&deep, &variables(), &mut missing);
    }

    #[test]
    fn env_files_have_quotes_comments_and_variables() {
        let text = "\u{feff}# mine\nexport MEM=512m # half\nQUOTED=\"a b # c\\n\"\nRAW='$A'\nREF=${MEM}x\nOUT=$A\nSEE: yes\nNO_VALUE\nLONG=\"a\nb\"\r\nLAST=1\r\n";
        let all = dotenv(text, &variables());
        let wanted = [
            ("MEM", "512m"),
            ("QUOTED", "a b # c\n"),
            ("RAW", "$A"),
            ("REF", "512mx"),
            ("OUT", "1g"),
            ("SEE", "yes"),
            ("LONG", "a\nb"),
            ("LAST", "1"),
        ];
        for (name, value) in wanted {
            assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}: {all:?}");
        }
        assert_eq!(all.len(), wanted.len(), "{all:?}");
    }
}
