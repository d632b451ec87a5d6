//! Docker: `/docker/<id>`, `/system.slice/docker-<id>.scope`, any other parent with `--cgroup-parent`; Docker Desktop and rootless too.

use crate::containers::runtimes::{Place, containerd, id_after, is_id, kubernetes, lxc, podman, tells};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "docker";

/// A bare id that no other runtime's folder holds is Docker's: `--cgroup-parent` may be anything.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    if let Some(id) = id_after(place.leaf, "docker") {
        return Some(Identity::container(NAME, id));
    }
    if place.above == ["docker", "buildkit"] && !tells(place.leaf) {
        return Some(Identity { name: Some("build".into()), ..Identity::container(NAME, place.leaf) });
    }
    let others = kubernetes::is_below(place.above)
        || place.parent() == Some(podman::PARENT)
        || containerd::namespace(place)
        || lxc::is_below(place.above);
    (is_id(place.leaf) && !others).then(|| Identity::container(NAME, place.leaf))
}
