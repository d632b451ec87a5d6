//! A stream of documents, each held whole, and what their first bytes say.

use std::io::{BufReader, Read};

use serde::de::DeserializeOwned;

use crate::reading::import::bounded::{Budget, Guard};
use crate::reading::import::intake::{Intake, Stop};

/// Whether all of these names are in a text.
pub fn has(head: &str, names: &[&str]) -> bool {
    names.iter().all(|name| head.contains(&format!("\"{name}\"")))
}

/// The first name of an object.
pub fn first_name(head: &str) -> &str {
    let inside = head.strip_prefix('{').map_or("", str::trim_start);
    inside.strip_prefix('"').and_then(|name| name.split('"').next()).unwrap_or("")
}

/// Takes the documents of a stream one after the other. Each is held whole, and so bounded.
pub fn documents<T: DeserializeOwned>(
    bytes: &mut dyn Read,
    intake: &mut Intake<'_>,
    mut take: impl FnMut(T, &mut Intake<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let budget = Budget::default();
    let guarded = BufReader::with_capacity(64 << 10, budget.of(Guard::new(bytes)));
    let mut any = false;
    for document in serde_json::Deserializer::from_reader(guarded).into_iter::<T>() {
        match document {
            Ok(document) => take(document, intake)?,
            Err(error) if error.is_eof() && any => {
                intake.notes.remark("the last document of JSON is cut off: what came before it is kept");
                return Ok(());
            }
            Err(error) => return Err(crate::reading::import::json::wrong(&error)),
        }
        any = true;
        budget.renew();
    }
    Ok(())
}
