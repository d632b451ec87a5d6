//! Nomad: `/nomad.slice/{share,reserve}.slice/<allocation>.<task>.scope`, `/nomad/<allocation>.<task>` on cgroup v1. Tasks of its
//! Docker driver are Docker's.

use crate::containers::runtimes::place::{Place, is_uuid};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "nomad";

/// A task, by its allocation and name.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    if !place.above.iter().any(|part| matches!(*part, "nomad" | "nomad.slice")) {
        return None;
    }
    let leaf = place.leaf.strip_suffix(".scope").unwrap_or(place.leaf);
    let (allocation, task) = leaf.split_once('.').map_or((leaf, None), |(id, task)| (id, Some(task)));
    let name = task.filter(|task| !task.is_empty()).map(crate::containers::runtimes::systemd::unescape);
    is_uuid(allocation).then(|| Identity { name, ..Identity::container(NAME, allocation) })
}
