//! containerd, nerdctl and the CRI plugin: `/<namespace>/<id>`, `nerdctl-<id>.scope`, `cri-containerd-<id>.scope`, and
//! `<slice>:cri-containerd:<id>` where the drivers of kubelet and containerd differ.

use crate::containers::runtimes::kubernetes::slice_and_id;
use crate::containers::runtimes::own_names::names_its_runtime;
use crate::containers::runtimes::place::{Place, id_after, is_id};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "containerd";

/// Namespaces that have a cgroup at the top; others look like any folder.
const NAMESPACES: [&str; 4] = ["default", "k8s.io", "moby", "nerdctl"];

/// A container of containerd.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let of = |prefix| id_after(place.leaf, prefix);
    if let Some(id) = of("cri-containerd").or_else(|| of("nerdctl")).or_else(|| of("containerd")) {
        return Some(Identity::container(NAME, id));
    }
    for name in ["cri-containerd", "nerdctl"] {
        if let Some((pod_id, id)) = slice_and_id(place.leaf, name) {
            return Some(Identity { pod_id, ..Identity::container(NAME, id) });
        }
    }
    namespace(place).then(|| Identity::container(NAME, place.leaf))
}

/// Whether it is a container right below a namespace. Its id is chosen by who made it: any name. In a container only a long id
/// is one.
pub fn namespace(place: Place<'_>) -> bool {
    match place.above {
        [namespace] => NAMESPACES.contains(namespace) && !names_its_runtime(place.leaf),
        [.., "k8s.io" | "moby"] => is_id(place.leaf),
        _ => false,
    }
}
