//! WSL 2.9.8 and later: each distribution has a cgroup, `/wsl-user/distro-<n>/{systemd,non-systemd}`, and everything else is behind it.

use crate::containers::runtimes::place::Place;
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "wsl";

/// The cgroups of WSL itself: of all distributions, of one, of its systemd or of what runs beside that.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let parts: Vec<&str> = place.above.iter().chain([&place.leaf]).copied().collect();
    if parts[0] != "wsl-user" || distro(&parts).1 != parts.len() {
        return None;
    }
    let name = parts.get(1).unwrap_or(&parts[0]);
    let inner = parts.get(2).map(|part| (*part).to_owned());
    Some(Identity { inner, ..Identity::named(NAME, name) })
}

/// Number of the distribution, and how many parts of the path are its prefix.
pub fn distro(parts: &[&str]) -> (Option<String>, usize) {
    let number = |name: &str| {
        let number = name.strip_prefix("distro-")?;
        (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then(|| number.to_owned())
    };
    match parts {
        ["wsl-user", name, "systemd" | "non-systemd", ..] if number(name).is_some() => (number(name), 3),
        ["wsl-user", name, ..] if number(name).is_some() => (number(name), 2),
        ["wsl-user", "non-distro", ..] => (None, 2),
        ["wsl-user", ..] => (None, 1),
        _ => (None, 0),
    }
}
