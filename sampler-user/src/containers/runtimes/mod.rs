//! Which runtime a cgroup belongs to, by its path alone. Pure: a path from anywhere, another machine's too.
//!
//! A runtime is one file and one line of [`TABLE`]. The innermost part of a path that a runtime claims decides, so a container
//! in a container is the inner one, and what lies below belongs to it.

pub mod containerd;
pub mod crio;
pub mod docker;
pub mod kubernetes;
pub mod lxc;
pub mod nspawn;
pub mod podman;
pub mod systemd;
pub mod wsl;

use crate::model::identity::Identity;

/// A cgroup as a runtime looks at it: its own name, and the folders above.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Names of the folders above, outermost first.
    pub above: &'a [&'a str],
    /// Its own name.
    pub leaf: &'a str,
}

impl Place<'_> {
    /// Name of the folder right above.
    pub fn parent(&self) -> Option<&str> {
        self.above.last().copied()
    }
}

/// A runtime.
pub struct Runtime {
    /// Name.
    pub name: &'static str,
    /// Who a cgroup is, if it is this runtime's.
    pub claim: fn(Place<'_>) -> Option<Identity>,
}

/// All runtimes but systemd, which has what none of them claims.
pub static TABLE: [Runtime; 8] = [
    Runtime { name: docker::NAME, claim: docker::claim },
    Runtime { name: containerd::NAME, claim: containerd::claim },
    Runtime { name: crio::NAME, claim: crio::claim },
    Runtime { name: podman::NAME, claim: podman::claim },
    Runtime { name: kubernetes::NAME, claim: kubernetes::claim },
    Runtime { name: lxc::NAME, claim: lxc::claim },
    Runtime { name: nspawn::NAME, claim: nspawn::claim },
    Runtime { name: wsl::NAME, claim: wsl::claim },
];

/// What has the cgroups that no other runtime claims.
pub static LAST: Runtime = Runtime { name: systemd::NAME, claim: systemd::claim };

/// Deeper paths are not looked into: nobody nests so far.
const DEPTH: usize = 64;

/// Who a cgroup is by its path; `None` when it is nobody's.
pub fn identify(path: &str) -> Option<Identity> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).take(DEPTH).collect();
    let (distro, prefix) = wsl::distro(&parts);
    // Behind WSL's prefix is a tree like any other; the prefix alone is WSL's own.
    let from = if prefix == parts.len() { 0 } else { prefix };
    let claimed = (from..parts.len()).rev().find_map(|at| {
        let place = Place { above: &parts[from..at], leaf: parts[at] };
        let mut identity = claimants(place).next()?.1;
        let inner = &parts[at + 1..];
        // The runtimes' own subfolder for the container's processes is the container.
        if !(inner.is_empty() || inner == ["container"]) {
            identity.inner = Some(inner.join("/"));
        }
        identity.pod_id = identity.pod_id.or_else(|| kubernetes::pod_above(place.above));
        Some(identity)
    });
    let whole = || {
        let (leaf, above) = parts.split_last()?;
        (LAST.claim)(Place { above: &above[from..], leaf })
    };
    let mut identity = claimed.or_else(whole)?;
    identity.distro = distro;
    Some(identity)
}

/// The runtimes that claim a cgroup: one at most, which a test holds.
pub fn claimants(place: Place<'_>) -> impl Iterator<Item = (&'static str, Identity)> {
    TABLE.iter().filter_map(move |runtime| Some((runtime.name, (runtime.claim)(place)?)))
}

/// Whether a name tells its runtime by itself, whatever folder it is in.
pub fn tells(leaf: &str) -> bool {
    const PREFIXES: [&str; 5] = ["docker", "nerdctl", "libpod", "crio", "cri-containerd"];
    PREFIXES.iter().any(|prefix| id_after(leaf, prefix).is_some())
        || leaf.contains(":cri-containerd:")
        || podman::pod(leaf).is_some()
        || nspawn::name(leaf).is_some()
        || ["lxc.payload.", "lxc.monitor."].iter().any(|prefix| leaf.starts_with(prefix))
}

/// Whether a text is a container's id of 64 hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The id in `<prefix>-<id>.scope` or `<prefix>-<id>`.
pub fn id_after<'a>(leaf: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = leaf.strip_prefix(prefix)?.strip_prefix('-')?;
    let id = rest.strip_suffix(".scope").unwrap_or(rest);
    is_id(id).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    /// Runtime, path, what is wanted.
    type Fixture = (String, String, Vec<(String, String)>);

    /// `PATH KEY=VALUE…`, one a line, in a file named after the runtime; `nobody.txt` has those of none.
    fn fixtures() -> Vec<Fixture> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../data/cgroup-paths");
        let mut all = Vec::new();
        for file in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            let runtime = file.file_stem().unwrap().to_string_lossy().into_owned();
            for line in std::fs::read_to_string(&file).unwrap().lines().filter(|line| line.starts_with('/')) {
                let mut words = line.split_whitespace();
                let path = words.next().unwrap().to_owned();
                let pair =
                    |word: &str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
                all.push((runtime.clone(), path, words.map(pair).collect()));
            }
        }
        all
    }

    #[test]
    fn real_paths_are_whose_they_are() {
        let all = fixtures();
        for runtime in TABLE.iter().chain([&LAST]) {
            assert!(
                all.iter().filter(|(name, _, _)| name == runtime.name).count() >= 2,
                "too few paths of {}",
                runtime.name
            );
        }
        for (runtime, path, wanted) in all {
            let Some(got) = identify(&path) else {
                assert_eq!(runtime, "nobody", "{path}");
                continue;
            };
            assert_eq!(got.runtime, runtime, "{path}");
            let texts = [
                ("id", got.container.as_deref().map(|id| id.get(..12).unwrap_or(id).to_owned())),
                ("name", got.name.clone()),
                ("pod", got.pod_id.clone()),
                ("distro", got.distro.clone()),
                ("inner", got.inner.clone()),
            ];
            let got: Vec<(String, String)> =
                texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.replace(' ', "_")))).collect();
            assert_eq!(got, wanted, "{path}");
        }
    }

    #[test]
    fn one_runtime_at_most_claims_each_part_of_each_path() {
        for (_, path, _) in fixtures() {
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            for at in 0..parts.len() {
                for from in 0..=at {
                    let place = Place { above: &parts[from..at], leaf: parts[at] };
                    let names: Vec<_> = claimants(place).map(|(name, _)| name).collect();
                    assert!(names.len() <= 1, "{names:?} claim {place:?}");
                    assert!(
                        names.is_empty() || (LAST.claim)(place).is_none_or(|unit| unit.inner.is_some()),
                        "{place:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn hostile_names_of_units_are_unescaped_once() {
        assert_eq!(systemd::unescape(r"a\x2db\x5cx2d\xZZ\x"), r"a-b\x2d\xZZ\x");
        assert_eq!(identify("/"), None);
        assert_eq!(identify("/.service"), None);
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(parts in prop::collection::vec(
            prop_oneof![
                "\\PC{0,12}",
                "[0-9a-f]{64}",
                "(docker|crio|libpod|cri-containerd|machine|lxc.payload|kubepods|pod|distro|systemd-nspawn@)[-.:/]?[0-9a-f\\\\x]{0,70}(\\.scope|\\.slice|\\.service)?",
                Just("wsl-user".to_owned()), Just("kubepods".to_owned()), Just("docker".to_owned()), Just("lxc".to_owned()),
            ], 0..8)) {
            let path = format!("/{}", parts.join("/"));
            if let Some(identity) = identify(&path) {
                prop_assert!(!identity.runtime.is_empty());
                identity.title();
            }
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            if let Some((leaf, above)) = parts.split_last() {
                let claims = claimants(Place { above, leaf }).count();
                prop_assert!(claims <= 1);
            }
        }
    }
}
