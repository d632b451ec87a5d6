//! Samples of Docker by the ids of their containers: `${ECS_CONTAINER_METADATA_URI_V4}/task/stats` of ECS.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;

use crate::reading::import::forms::document::{documents, first_name, has};
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::json::Documents;

pub fn is(head: &str) -> bool {
    let name = first_name(head);
    let is_id = name.len() >= 32 && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_id && has(head, &["memory_stats"])
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let mut rows = Documents::default();
    documents(bytes, intake, |all: BTreeMap<String, Value>, intake| {
        for (id, sample) in all {
            let mut cells = Vec::new();
            flatten("", &sample, &mut cells);
            if !cells.iter().any(|(name, _)| name == "id") {
                cells.push(("id".into(), id));
            }
            rows.record(&cells, intake)?;
        }
        Ok(())
    })?;
    rows.finish()
}

/// Cells an object may have at most.
const MOST: usize = 1024;

/// The values of an object with their paths; lists are left out.
fn flatten(path: &str, value: &Value, cells: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, cells);
            }
        }
        Value::String(text) if cells.len() < MOST => cells.push((path.to_owned(), text.clone())),
        Value::Number(number) if cells.len() < MOST => cells.push((path.to_owned(), number.to_string())),
        _ => {}
    }
}
