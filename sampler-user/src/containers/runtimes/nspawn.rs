//! Machines of systemd-machined: nspawn (`machine-<name>.scope`, `systemd-nspawn@<name>.service`) and libvirt
//! (`machine-qemu\x2d<n>\x2d<name>.scope`; `qemu-<n>-<name>.libvirt-qemu` without systemd).

use crate::containers::runtimes::place::Place;
use crate::containers::runtimes::systemd::unescape;
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "nspawn";

/// A machine.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    name(place.leaf).map(|name| Identity { name: Some(name.clone()), ..Identity::container(NAME, &name) })
}

/// Name of the machine whose unit it is.
pub fn name(leaf: &str) -> Option<String> {
    let scope = leaf.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope"));
    let unit = leaf.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"));
    let plain = || ["libvirt-qemu", "libvirt-lxc"].iter().find_map(|kind| leaf.strip_suffix(kind)?.strip_suffix('.'));
    let name = unescape(scope.or(unit).or_else(plain)?);
    // libvirt counts its machines: qemu-3-name, lxc-3-name.
    let virt = |driver: &str| {
        let (number, name) = name.strip_prefix(driver)?.strip_prefix('-')?.split_once('-')?;
        (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then(|| name.to_owned())
    };
    Some(virt("qemu").or_else(|| virt("lxc")).unwrap_or_else(|| name.clone())).filter(|name| !name.is_empty())
}
