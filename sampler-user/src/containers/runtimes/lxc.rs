//! LXC, LXD and Incus: `/lxc.payload.<name>`, `/lxc.payload/<name>`, `/lxc/<name>`; `/lxc.monitor.<name>` is its monitor.

use crate::containers::runtimes::place::Place;
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "lxc";

/// A container of LXC, or its monitor.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let text = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    // Older versions have a folder for all.
    let of = |folder: &str| match place.parent() == Some(folder) {
        true => text(place.leaf).filter(|name| !crate::containers::runtimes::own_names::names_its_runtime(name)),
        false => place.leaf.strip_prefix(folder)?.strip_prefix('.').and_then(text),
    };
    if let Some(name) = of("lxc.payload") {
        return Some(Identity { name: Some(name.clone()), ..Identity::container(NAME, &name) });
    }
    if let Some(name) = of("lxc.monitor") {
        return Some(Identity::named(NAME, &format!("{name} (monitor)")));
    }
    (is_below(place.above) && !crate::containers::runtimes::own_names::names_its_runtime(place.leaf))
        .then(|| Identity { name: text(place.leaf), ..Identity::container(NAME, place.leaf) })
}

/// Whether the folder above is that of old LXC.
pub fn is_below(above: &[&str]) -> bool {
    above == ["lxc"]
}
