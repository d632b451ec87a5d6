//! CRI-O: `crio-<id>.scope`, `crio-<id>`. Its monitors are `crio-conmon-<id>.scope` and no containers.

use crate::containers::runtimes::{Place, id_after};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "crio";

/// A container of CRI-O.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    id_after(place.leaf, NAME).map(|id| Identity::container(NAME, id))
}
