//! Podman: `libpod-<id>.scope`, below a pod's slice or a user's too; `/libpod_parent/libpod-<id>` without systemd;
//! `libpod-payload-<id>` in the unit of a Quadlet. Its monitors are `libpod-conmon-<id>.scope` and no containers.

use crate::containers::runtimes::place::{Place, id_after, is_id};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "podman";

/// Folder of containers without systemd.
pub const PARENT: &str = "libpod_parent";

/// A container or a pod of Podman.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let is_pod = |name: &&str| is_id(name) && place.above.contains(&PARENT);
    if let Some(id) = id_after(place.leaf, "libpod").or_else(|| id_after(place.leaf, "libpod-payload")) {
        let plain = || place.parent().filter(is_pod).map(str::to_owned);
        let pod_id = place.parent().and_then(pod).or_else(plain);
        return Some(Identity { pod_id, ..Identity::container(NAME, id) });
    }
    if place.parent() == Some(PARENT) && is_id(place.leaf) {
        return Some(Identity { pod_id: Some(place.leaf.to_owned()), ..Identity::of(NAME) });
    }
    pod(place.leaf).map(|pod| Identity { pod_id: Some(pod), ..Identity::of(NAME) })
}

/// Id of the pod whose slice it is.
pub fn pod(name: &str) -> Option<String> {
    let id = name.strip_prefix("machine-libpod_pod_").or_else(|| name.strip_prefix("user-libpod_pod_"))?;
    let id = id.strip_suffix(".slice")?;
    is_id(id).then(|| id.to_owned())
}
