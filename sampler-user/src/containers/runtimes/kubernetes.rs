//! Kubernetes: the slices and folders of its pods, and bare ids below them (`/kubepods/burstable/pod<uid>/<id>`), whose runtime the
//! path does not tell.

use crate::containers::runtimes::{Place, is_id};
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
    if let Some(pod) = pod_of(place.leaf).filter(|_| is_below(place.above) || place.leaf.starts_with("kubepods")) {
        return Some(Identity { pod_id: Some(pod), ..Identity::of(NAME) });
    }
    let class = place.leaf.strip_suffix(".slice").unwrap_or(place.leaf);
    let class = match (place.above.last(), class) {
        (None, "kubepods") | (Some(_), "kubepods-burstable" | "kubepods-besteffort") => class,
        (Some(&"kubepods"), "burstable" | "besteffort") => class,
        _ => return None,
    };
    Some(Identity::named(NAME, class))
}

/// Whether the folders above are those of pods.
pub fn is_below(above: &[&str]) -> bool {
    above.iter().any(|part| *part == "kubepods" || part.starts_with("kubepods-") || *part == "kubepods.slice")
}

/// Id of the innermost pod among folders.
pub fn pod_above(above: &[&str]) -> Option<String> {
    is_below(above).then(|| above.iter().rev().find_map(|part| pod_of(part)))?
}

/// Id of the pod in `pod<uid>`, `kubepods-burstable-pod<uid>.slice` and alike: a UUID, or 32 digits for a static pod.
pub fn pod_of(name: &str) -> Option<String> {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid = match name.strip_prefix("kubepods") {
        Some(rest) => rest
            .strip_prefix("-burstable")
            .or_else(|| rest.strip_prefix("-besteffort"))
            .unwrap_or(rest)
            .strip_prefix("-pod")?,
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<usize> = uid.split('-').filter(|part| hex(part)).map(str::len).collect();
    (parts == [8, 4, 4, 4, 12] && uid.len() == 36 || parts == [32] && uid.len() == 32).then_some(uid)
}
