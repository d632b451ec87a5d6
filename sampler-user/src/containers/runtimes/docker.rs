//! Docker: `/docker/<id>`, `/system.slice/docker-<id>.scope`, any other parent with `--cgroup-parent`; Docker Desktop, rootless and
//! ECS too. Builds are `/docker/buildkit/<id>`, `/docker/buildx/<id>`, and `system.slice:docker:<id>` with systemd.

use crate::containers::runtimes::{Place, TABLE, id_after, is_id, slice_and_id, tells};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "docker";

/// A bare id that no other runtime claims is Docker's: `--cgroup-parent` may be anything.
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
    if matches!(place.above, [.., "docker", "buildkit" | "buildx"]) && !tells(place.leaf) {
        return Some(build(place.leaf));
    }
    let mut others = TABLE.iter().filter(|runtime| runtime.name != NAME);
    (is_id(place.leaf) && others.all(|runtime| (runtime.claim)(place).is_none()))
        .then(|| Identity::container(NAME, place.leaf))
}
