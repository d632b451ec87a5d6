//! CRI-O: `crio-<id>.scope`, `crio-<id>`, `<slice>:crio:<id>`. Its monitors are `crio-conmon-<id>.scope` and no containers.

use crate::containers::runtimes::kubernetes::slice_and_id;
use crate::containers::runtimes::place::{Place, id_after};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "crio";

/// A container of CRI-O.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    if let Some((pod_id, id)) = slice_and_id(place.leaf, NAME) {
        return Some(Identity { pod_id, ..Identity::container(NAME, id) });
    }
    id_after(place.leaf, NAME).map(|id| Identity::container(NAME, id))
}
