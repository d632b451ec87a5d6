//! A series in the text form of Prometheus: its name and its labels.

/// Labels of a series, its name among them.
pub type Labels = std::collections::BTreeMap<String, String>;

/// `name{label="value"}` and what follows it. `{...}` alone is a series without a name.
pub fn parse(text: &str) -> Option<(Labels, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() && !rest.starts_with('{') {
        return None;
    }
    let rest = rest.trim_start();
    let (mut labels, rest) = if rest.starts_with('{') { labels(rest)? } else { (Labels::new(), rest) };
    if !name.is_empty() {
        labels.insert("__name__".into(), name.to_owned());
    }
    Some((labels, rest))
}

/// Labels a series may have at most.
pub(super) const MOST_LABELS: usize = 256;

/// `{label="value",other="value"}`, and what follows it.
pub fn labels(text: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    let mut rest = text.strip_prefix('{')?.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let at = rest.find('=')?;
        let name = rest[..at].trim().trim_matches('"');
        let quoted = rest[at + 1..].trim_start();
        let mut value = String::new();
        let inside = quoted.strip_prefix('"')?;
        let mut chars = inside.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, c) => value.push(c),
            }
        };
        if labels.len() >= MOST_LABELS {
            return None;
        }
        labels.insert(name.to_owned(), value);
        rest = inside[end + 1..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
}
