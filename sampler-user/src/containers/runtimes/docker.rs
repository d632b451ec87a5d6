//! Docker: `/docker/<id>`, `/system.slice/docker-<id>.scope`, any other parent with `--cgroup-parent`; Docker Desktop, rootless and
//! ECS too. Builds are `/docker/buildkit/<id>`, `/docker/buildx/<id>`, and `system.slice:docker:<id>` with systemd.

use crate::containers::runtimes::kubernetes::slice_and_id;
use crate::containers::runtimes::own_names::names_its_runtime;
use crate::containers::runtimes::place::{Place, id_after, is_id};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "docker";

/// What Docker alone calls so.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let build = |id: &str| Identity { name: Some("build".into()), ..Identity::container(NAME, id) };
    if let Some(id) = id_after(place.leaf, "docker") {
        return Some(Identity::container(NAME, id));
    }
    if let Some((pod_id, id)) = slice_and_id(place.leaf, "docker") {
        return Some(Identity { pod_id, ..Identity::container(NAME, id) });
    }
    if let Some((_, id)) =
        place.leaf.split_once(":docker:").filter(|(slice, id)| slice.ends_with(".slice") && !id.is_empty())
    {
        return Some(build(id));
    }
    let is_build = matches!(place.above, [.., "docker", "buildkit" | "buildx"]) && !names_its_runtime(place.leaf);
    is_build.then(|| build(place.leaf))
}

/// A bare id that no runtime claims is Docker's: `--cgroup-parent` may be anything.
pub fn bare_id(place: Place<'_>) -> Option<Identity> {
    is_id(place.leaf).then(|| Identity::container(NAME, place.leaf))
}
