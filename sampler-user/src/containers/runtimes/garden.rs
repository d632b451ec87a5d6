//! Garden of Cloud Foundry: `/garden/<handle>`, and `garden-good`, `garden-bad` by how much processor time is left.

use crate::containers::runtimes::own_names::names_its_runtime;
use crate::containers::runtimes::place::Place;
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "garden";

/// A container of Garden.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let is_below = matches!(place.parent(), Some("garden" | "garden-good" | "garden-bad" | "good" | "bad"))
        && place.above.iter().any(|part| part.starts_with("garden"));
    // The folders of its scheduler are none.
    let is_folder = matches!(place.leaf, "good" | "bad" | "init") || place.leaf.starts_with("garden-");
    (is_below && !is_folder && !names_its_runtime(place.leaf)).then(|| Identity::container(NAME, place.leaf))
}
