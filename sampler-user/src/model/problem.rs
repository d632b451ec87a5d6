//! What of a source could not be read: where it is, and what is missing. All commands report it in these words.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::model::time::format_us;
use crate::model::units::{count, micros, printable};

/// Something that a reader could not read; it went on without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// File or source.
    pub source: String,
    /// What is wrong.
    pub what: String,
    /// Where in the source: bytes of a journal, a row group of a Parquet file.
    pub place: Option<String>,
    /// Columns whose values are missing; none where whole rows are.
    pub columns: Vec<String>,
    /// Rows that are hit: counted in a sealed file, an estimate in a journal.
    pub rows: Option<u64>,
    /// Nothing before it is missing, wall-clock microseconds.
    pub from_us: Option<i64>,
    /// Nothing after it is missing, wall-clock microseconds.
    pub to_us: Option<i64>,
}

/// Columns that are named in a line.
const NAMED: usize = 4;

impl Problem {
    /// Of a source, without more to know of it.
    pub fn new(source: impl Into<String>, what: impl Into<String>) -> Problem {
        Problem { source: source.into(), what: what.into(), ..Problem::default() }
    }

    /// Takes the columns of a problem that is otherwise the same; gives back one that is another.
    fn merge(&mut self, other: Problem) -> Option<Problem> {
        let is_same = (&self.source, &self.what, &self.place) == (&other.source, &other.what, &other.place)
            && (self.from_us, self.to_us, self.rows) == (other.from_us, other.to_us, other.rows)
            && self.columns.is_empty() == other.columns.is_empty();
        if !is_same {
            return Some(other);
        }
        for column in other.columns {
            if !self.columns.contains(&column) {
                self.columns.push(column);
            }
        }
        None
    }

    /// Adds one to others, which may have it already.
    pub fn add(all: &mut Vec<Problem>, problem: Problem) {
        let mut new = Some(problem);
        for known in &mut *all {
            new = new.and_then(|problem| known.merge(problem));
        }
        all.extend(new);
    }

    /// How long the time is in which something is missing, seconds.
    pub fn seconds(&self) -> Option<f64> {
        Some((self.to_us? - self.from_us?).max(0) as f64 / 1e6)
    }

    /// What is missing, in words; empty where that is not known.
    fn missing(&self) -> String {
        let mut parts = Vec::new();
        if !self.columns.is_empty() {
            let named: Vec<String> = self.columns.iter().take(NAMED).map(|column| printable(column)).collect();
            let more = self.columns.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("{}{more}", named.join(", ")));
        }
        match self.rows {
            Some(1) => parts.push("1 row".into()),
            Some(rows) => parts.push(format!("{} rows", count(rows))),
            None => {}
        }
        match (self.from_us, self.to_us) {
            (Some(from), Some(to)) => {
                let length = micros(u64::try_from(to - from).unwrap_or(0));
                parts.push(format!("{length} from {} to {}", format_us(from), format_us(to)));
            }
            (Some(from), None) => parts.push(format!("from {} on", format_us(from))),
            (None, Some(to)) => parts.push(format!("until {}", format_us(to))),
            (None, None) => {}
        }
        parts.join(", ")
    }
}

/// One line, safe to show.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", printable(&self.source), printable(&self.what))?;
        if let Some(place) = &self.place {
            write!(f, " ({})", printable(place))?;
        }
        match self.missing() {
            missing if missing.is_empty() => Ok(()),
            missing => write!(f, "; missing: {missing}"),
        }
    }
}

/// `source` and `what`, and of the rest what is known: `place`, `columns`, `rows`, `from`, `to` (RFC 3339), `seconds`.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("what", &self.what)?;
        if let Some(place) = &self.place {
            map.serialize_entry("place", place)?;
        }
        if !self.columns.is_empty() {
            map.serialize_entry("columns", &self.columns)?;
        }
        if let Some(rows) = self.rows {
            map.serialize_entry("rows", &rows)?;
        }
        for (key, time) in [("from", self.from_us), ("to", self.to_us)] {
            if let Some(time) = time {
                map.serialize_entry(key, &format_us(time))?;
            }
        }
        if let Some(seconds) = self.seconds() {
            map.serialize_entry("seconds", &seconds)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged(columns: &[&str]) -> Problem {
        Problem {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            place: Some("row group 2 of 3".into()),
            rows: Some(1200),
            from_us: Some(0),
            to_us: Some(2_500_000),
            ..Problem::new("a\u{1b}.parquet", "damaged")
        }
    }

    #[test]
    fn a_problem_names_its_place_and_what_is_missing_in_text_and_json() {
        let line = damaged(&["anon"]).to_string();
        assert_eq!(
            line,
            "a\\u{1b}.parquet: damaged (row group 2 of 3); missing: anon, 1 200 rows, 2.5 s from \
             1970-01-01T00:00:00.000Z to 1970-01-01T00:00:02.500Z"
        );
        let json = serde_json::to_value(damaged(&["anon"])).unwrap();
        assert_eq!(json["seconds"], 2.5);
        assert_eq!((&json["rows"], &json["place"]), (&1200.into(), &"row group 2 of 3".into()));
        let plain = serde_json::to_value(Problem::new("s", "w")).unwrap();
        assert_eq!(plain, serde_json::json!({"source": "s", "what": "w"}));
        assert_eq!(Problem::new("s", "w").to_string(), "s: w");
    }

    #[test]
    fn columns_of_one_place_are_one_problem() {
        let mut first = damaged(&["anon"]);
        assert_eq!(first.merge(damaged(&["file"])), None);
        assert_eq!(first.merge(damaged(&["anon"])), None);
        assert_eq!(first.columns, ["anon", "file"]);
        let whole = damaged(&[]);
        assert_eq!(first.merge(whole.clone()), Some(whole), "whole rows are another problem");
    }
}
