//! Kata Containers: `kata_<id>` in the folder of a pod, `kata_overhead/<id>` for what is the virtual machine's own.

use crate::containers::runtimes::place::{Place, is_id};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "kata";

/// A container in a virtual machine, or that machine.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let leaf = place.leaf.strip_suffix(".scope").unwrap_or(place.leaf);
    let id = leaf.strip_prefix("kata_").or_else(|| leaf.strip_prefix("kata-")).filter(|id| is_id(id));
    let overhead = || {
        leaf.strip_prefix("kata_overhead-").or(if place.parent() == Some("kata_overhead") { Some(leaf) } else { None })
    };
    id.or_else(|| overhead().filter(|id| is_id(id))).map(|id| Identity::container(NAME, id))
}
