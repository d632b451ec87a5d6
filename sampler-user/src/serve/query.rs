//! The query of an address.

use crate::model::paths::from_bytes;

/// What was asked for, by name; untrusted.
#[derive(Debug, Default)]
pub struct Asked(Vec<(String, String)>);

/// Parameters of a request.
const MOST: usize = 64;

impl Asked {
    /// Reads a query in which no other names than these may stand.
    pub fn read(query: Option<&str>, allowed: &[&str]) -> Result<Asked, String> {
        let mut asked = Asked::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err("the query has a % without two hexadecimal digits".into());
            };
            if !allowed.contains(&name.as_str()) {
                return Err(format!("there is no parameter `{name}` here; there are {}", allowed.join(", ")));
            }
            if asked.0.len() == MOST {
                return Err(format!("more than {MOST} parameters"));
            }
            asked.0.push((name, value));
        }
        Ok(asked)
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// A time, microseconds since 1970.
    pub fn time(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<i64>() {
            // Of these years times can be written.
            Ok(time) if (0..253_402_300_800_000_000).contains(&time) => Ok(Some(time)),
            _ => Err(format!("`{name}` is no time: give microseconds since 1970")),
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail;
            }
            b'+' => out.push(b' '),
            other => out.push(*other),
        }
    }
    Some(from_bytes(&out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_what_is_unknown_or_broken_is_refused() {
        fn read(query: &str) -> Result<Asked, String> {
            Asked::read(Some(query), &["cgroup", "from"])
        }
        let asked = read("cgroup=%2Fa%2Fb+c&from=12&cgroup=%ff").unwrap();
        assert_eq!(asked.all("cgroup"), ["/a/b c", "\u{10ffff}"], "also what is no UTF-8");
        assert_eq!(asked.time("from"), Ok(Some(12)));
        assert_eq!(asked.get("to"), None);
        for broken in ["cgroup=%2", "cgroup=%zz", "cgroup=%+1", "other=1", &"from=1&".repeat(MOST + 1)] {
            assert!(read(broken).is_err(), "{broken}");
        }
        for time in ["-1", "x", "", "999999999999999999", "1e5"] {
            assert!(read(&format!("from={time}")).unwrap().time("from").is_err(), "{time}");
        }
        assert!(Asked::read(None, &[]).is_ok());
    }
}
