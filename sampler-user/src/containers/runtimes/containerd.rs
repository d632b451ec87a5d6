//! containerd, nerdctl and the CRI plugin: `/<namespace>/<id>`, `nerdctl-<id>.scope`, `cri-containerd-<id>.scope`, and
//! `<slice>:cri-containerd:<id>` where the drivers of kubelet and containerd differ.

use crate::containers::runtimes::{Place, id_after, is_id, tells};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "containerd";

/// Namespaces that have a cgroup at the top; others look like any folder.
const NAMESPACES: [&str; 4] = ["default", "k8s.io", "moby", "nerdctl"];

/// A container of containerd.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    if let Some(id) = id_after(place.leaf, "cri-containerd").or_else(|| id_after(place.leaf, "nerdctl")) {
        return Some(Identity::container(NAME, id));
    }
    if let Some((slice, id)) = place.leaf.split_once(":cri-containerd:") {
        let pod_id = crate::containers::runtimes::kubernetes::pod_of(slice);
        return is_id(id).then(|| Identity { pod_id, ..Identity::container(NAME, id) });
    }
    namespace(place).then(|| Identity::container(NAME, place.leaf))
}

/// Whether it is a container right below a namespace. Its id is chosen by who made it: any name.
pub fn namespace(place: Place<'_>) -> bool {
    matches!(place.above, [namespace] if NAMESPACES.contains(namespace)) && !tells(place.leaf)
}
