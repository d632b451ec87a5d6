//! Rows and events of a recording, as `export` writes them: whether those of a damaged one are true.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Rows by what tells one from another, each as often as it comes.
#[derive(Debug, Default)]
pub struct Rows {
    all: HashMap<String, Vec<Map<String, Value>>>,
    /// How many there are.
    pub count: usize,
}

/// How the rows of a damaged recording differ from the true ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows that were never recorded, or with a value that was not.
    pub wrong: usize,
    /// Rows and values that are missing.
    pub missing: usize,
}

impl Rows {
    /// Of JSON lines.
    pub fn of(lines: &str) -> Rows {
        let mut rows = Rows::default();
        for line in lines.lines() {
            let Ok(Value::Object(row)) = serde_json::from_str(line) else { continue };
            rows.all.entry(key(&row)).or_default().push(row);
            rows.count += 1;
        }
        rows
    }

    /// Compares those of a damaged recording with these.
    pub fn compare(&self, damaged: &Rows) -> Difference {
        let mut difference = Difference { wrong: 0, missing: self.count.saturating_sub(damaged.count) };
        for (key, rows) in &damaged.all {
            let mut left: Vec<&Map<String, Value>> = self.all.get(key).into_iter().flatten().collect();
            for row in rows {
                // A value that is absent is missing; one that is there has to be the one that was recorded.
                let is_true = |known: &Map<String, Value>| row.iter().all(|(name, value)| is_same(name, value, known));
                match left.iter().position(|known| is_true(known)) {
                    Some(at) => difference.missing += left.swap_remove(at).len().saturating_sub(row.len()),
                    None => difference.wrong += 1,
                }
            }
        }
        difference
    }
}

fn key(row: &Map<String, Value>) -> String {
    ["time", "cgroup", "pid", "kind"]
        .iter()
        .map(|name| row.get(*name).map(Value::to_string).unwrap_or_default() + "|")
        .collect()
}

fn is_same(name: &str, value: &Value, known: &Map<String, Value>) -> bool {
    // Where rows before it are missing, it is not known when within its pass a row was read: 0.
    known.get(name) == Some(value) || name == "lag_us" && *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_value_is_wrong_and_an_absent_one_is_missing() {
        let rows = Rows::of("{\"time\":1,\"cgroup\":\"/a\",\"anon\":5}\n{\"time\":2,\"cgroup\":\"/a\",\"anon\":6}\n");
        let of = |lines| rows.compare(&Rows::of(lines));
        assert_eq!(of("{\"time\":1,\"cgroup\":\"/a\",\"anon\":5}\n"), Difference { wrong: 0, missing: 1 });
        assert_eq!(of("{\"time\":1,\"cgroup\":\"/a\"}\n{\"time\":2,\"cgroup\":\"/a\",\"anon\":7}\n").wrong, 1);
        assert_eq!(
            of("{\"time\":1,\"cgroup\":\"/a\"}\n{\"time\":2,\"cgroup\":\"/a\",\"anon\":6}\n"),
            Difference { wrong: 0, missing: 1 }
        );
        assert_eq!(of("{\"time\":9,\"cgroup\":\"/a\",\"anon\":5}\n").wrong, 1);
    }
}
