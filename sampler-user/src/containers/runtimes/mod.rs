//! Which runtime a cgroup belongs to, by its path alone. Pure: a path from anywhere, another machine's too.
//!
//! A runtime is one file and one line of [`TABLE`]. The innermost part of a path that a runtime claims decides, so a container
//! in a container is the inner one, and what lies below belongs to it.

pub mod buildkit;
pub mod containerd;
pub mod crio;
pub mod docker;
pub mod ecs;
pub mod garden;
pub mod kata;
pub mod kubernetes;
pub mod lxc;
pub mod nomad;
pub mod nspawn;
mod own_names;
mod place;
pub mod podman;
pub mod systemd;
mod table;
pub mod wsl;

use crate::model::identity::Identity;

pub use self::own_names::names_its_runtime;
pub use self::place::{Place, Runtime, id_after, is_id, is_uuid};
pub use self::table::{TABLE, claimants};

/// What has the cgroups that no other runtime claims.
pub static LAST: Runtime = Runtime { name: systemd::NAME, claim: systemd::claim };

/// Deeper paths are not looked into: nobody nests so far.
const DEPTH: usize = 64;

/// Who a cgroup is by its path; `None` when it is nobody's.
pub fn identify(path: &str) -> Option<Identity> {
    let parts = parts(path);
    let (distro, prefix) = wsl::distro(&parts);
    // Behind WSL's prefix is a tree like any other; the prefix alone is WSL's own.
    let from = if prefix == parts.len() { 0 } else { prefix };
    let claimed = (from..parts.len()).rev().find_map(|at| {
        let place = Place { above: &parts[from..at], leaf: parts[at] };
        let mut identity = claimants(place).next()?.1;
        let inner = &parts[at + 1..];
        // The runtimes' own subfolder for the container's processes is the container.
        if !(inner.is_empty() || inner == ["container"]) {
            identity.inner = Some(
                identity.inner.iter().map(String::as_str).chain(inner.iter().copied()).collect::<Vec<_>>().join("/"),
            );
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

/// Where hierarchies are mounted.
const MOUNT: &str = "/sys/fs/cgroup/";
/// Hierarchies of v1 below that, and that of v2 beside them.
const HIERARCHIES: [&str; 6] = ["memory", "unified", "systemd", "cpu,cpuacct", "cpu", "pids"];

/// The parts of a path, of one from a namespace (`/../x`), from `/proc/PID/cgroup` (`9:memory:/x`) and with its mount too.
fn parts(path: &str) -> Vec<&str> {
    let of_proc = path.split_once(":/").filter(|(head, _)| {
        head.split_once(':').is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    });
    let path = of_proc.map_or(path, |(_, path)| path);
    let (path, is_mount) = path.strip_prefix(MOUNT).map_or((path, false), |path| (path, true));
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".." && *part != ".");
    let mut parts = parts.take(DEPTH).peekable();
    if is_mount {
        parts.next_if(|first| HIERARCHIES.contains(first));
    }
    parts.collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

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

    /// What differs from the `truth.json` of a folder: `[{path, runtime, container, name, pod}]`.
    fn differences(folder: &Path) -> Vec<String> {
        let truth: Vec<serde_json::Value> =
            serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
        let mut wrong = Vec::new();
        for case in &truth {
            let path = case["path"].as_str().unwrap();
            let text = |key: &str| case[key].as_str().map(str::to_owned);
            let got = identify(path).unwrap_or_default();
            let shown = got.title().unwrap_or_default();
            let found = (Some(got.runtime), got.container, got.name, got.pod_id);
            let wanted = (text("runtime"), text("container"), text("name"), text("pod"));
            if found != wanted {
                wrong.push(format!("{path}:\n  {found:?} ({shown})\n  {wanted:?}"));
            }
        }
        assert!(!truth.is_empty());
        wrong
    }

    #[test]
    fn paths_of_many_hosts_are_whose_their_truths_say() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/paths");
        assert_eq!(differences(&own), Vec::<String>::new());
    }

    /// By hand: `SAMPLER_CASES=DIR cargo test --lib runtimes::tests::cases -- --ignored`.
    #[test]
    #[ignore = "needs a folder of cases: SAMPLER_CASES"]
    fn cases() {
        let folder = std::env::var("SAMPLER_CASES").unwrap();
        assert_eq!(differences(Path::new(&folder)), Vec::<String>::new());
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
