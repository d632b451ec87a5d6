//! Kubernetes: the slices and folders of its pods, and bare ids below them (`/kubepods/burstable/pod<uid>/<id>`), whose runtime the
//! path does not show.

use crate::containers::runtimes::place::{Place, is_id};
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "kubernetes";

/// A pod, a class of pods, or a container whose runtime is not known.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    if is_below(place.above) && is_id(place.leaf) {
        return Some(Identity::container(NAME, place.leaf));
    }
    if place.leaf.contains(':') {
        return None;
    }
    if let Some(pod) = pod_of(place.leaf).filter(|_| is_below(place.above) || root(place.leaf).is_some()) {
        return Some(Identity { pod_id: Some(pod), ..Identity::of(NAME) });
    }
    let class = place.leaf.strip_suffix(".slice").unwrap_or(place.leaf);
    let is_class = match root(class) {
        Some("") => {
            !is_below(place.above) && (place.above.is_empty() || class != place.leaf || is_root_of(place.above))
        }
        Some("-burstable" | "-besteffort") => !place.above.is_empty(),
        _ => matches!((place.parent(), class), (Some("kubepods"), "burstable" | "besteffort")),
    };
    is_class.then(|| Identity::named(NAME, class))
}

/// What is behind `kubepods` in a name. Kubelets with a root of their own put that in front: `kubelet-kubepods`.
fn root(name: &str) -> Option<&str> {
    let at = name.find("kubepods")?;
    (at == 0 || name[..at].ends_with('-')).then(|| &name[at + "kubepods".len()..])
}

/// Whether the folder above is that of a kubelet in a container.
fn is_root_of(above: &[&str]) -> bool {
    above.last() == Some(&"kubelet")
}

/// Whether the folders above are those of pods.
pub fn is_below(above: &[&str]) -> bool {
    above.iter().any(|part| {
        root(part.strip_suffix(".slice").unwrap_or(part)).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

/// Id of the innermost pod among folders.
pub fn pod_above(above: &[&str]) -> Option<String> {
    is_below(above).then(|| above.iter().rev().find_map(|part| pod_of(part)))?
}

/// Id of the pod in `pod<uid>`, `kubepods-burstable-pod<uid>.slice` and alike: a UUID, or 32 digits for a static pod.
pub fn pod_of(name: &str) -> Option<String> {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid = match root(name) {
        Some(rest) => rest
            .strip_prefix("-burstable")
            .or_else(|| rest.strip_prefix("-besteffort"))
            .unwrap_or(rest)
            .strip_prefix("-pod")?,
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let is_hash = uid.len() == 32 && uid.bytes().all(|b| b.is_ascii_hexdigit());
    (is_hash || crate::containers::runtimes::place::is_uuid(&uid)).then_some(uid)
}

/// Pod and id in `<slice>:<runtime>:<id>`, which is where runc puts a container that was asked for in systemd's way without systemd.
pub fn slice_and_id<'a>(leaf: &'a str, runtime: &str) -> Option<(Option<String>, &'a str)> {
    let (slice, rest) = leaf.split_once(':')?;
    let id = rest.strip_prefix(runtime)?.strip_prefix(':')?;
    is_id(id).then(|| (pod_of(slice), id))
}
