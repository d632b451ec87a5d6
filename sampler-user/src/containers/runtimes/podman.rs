//! Podman: `libpod-<id>.scope`, below a pod's slice or a user's too; `/libpod_parent/libpod-<id>` without systemd. Its monitors are
//! `libpod-conmon-<id>.scope` and no containers.

use crate::containers::runtimes::{Place, id_after, is_id};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "podman";

/// Folder of containers without systemd.
pub const PARENT: &str = "libpod_parent";

/// A container or a pod of Podman.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    if let Some(id) = id_after(place.leaf, "libpod") {
        return Some(Identity { pod_id: place.parent().and_then(pod), ..Identity::container(NAME, id) });
    }
    pod(place.leaf).map(|pod| Identity { pod_id: Some(pod), ..Identity::of(NAME) })
}

/// Id of the pod whose slice it is.
pub fn pod(name: &str) -> Option<String> {
    let id = name.strip_prefix("machine-libpod_pod_").or_else(|| name.strip_prefix("user-libpod_pod_"))?;
    let id = id.strip_suffix(".slice")?;
    is_id(id).then(|| id.to_owned())
}
