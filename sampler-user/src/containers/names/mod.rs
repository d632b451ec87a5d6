//! Who knows what a container is called: the state files of its runtime, and Docker over its socket.
//!
//! Everything here may wait for a disk or a daemon; the recorder asks on a thread of its own.

pub mod docker_api;
pub mod docker_files;
pub mod docker_usage;
pub mod kubernetes_files;
pub mod oci_state;
pub mod podman_files;
mod source;

use crate::model::identity::Identity;

pub use self::source::{Roots, Source};

/// The sources, the most exact first.
pub static FILES: [Source; 4] =
    [docker_files::SOURCE, oci_state::SOURCE, kubernetes_files::SOURCE, podman_files::SOURCE];

/// What the files know of a container whose path shows the rest.
pub fn from_files(roots: &Roots, identity: &Identity) -> Option<Identity> {
    let id = identity.container.as_deref().filter(|id| is_plain(id))?;
    FILES.iter().filter(|source| source.runtimes.contains(&&*identity.runtime)).find_map(|source| {
        let found = (source.read)(roots, id)?;
        Some(Identity { named_by: Some(source.name.into()), ..found })
    })
}

/// An id becomes a part of a path and of a request: letters, digits and a few signs, and not `..`.
fn is_plain(id: &str) -> bool {
    id.len() <= 128
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "5da01ff6c9b04d3f1e2a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7081929";

    fn read(runtime: &str, files: &[(String, &str)]) -> Option<Identity> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        from_files(&Roots::of(dir.path().into()), &Identity::container(runtime, ID))
    }

    #[test]
    fn docker_writes_down_what_it_calls_a_container() {
        let json = r#"{"ID":"x","Name":"/web","Image":"sha256:ab12","Config":{"Image":"nginx:1","Labels":{"com.docker.compose.project":"shop",
            "com.docker.compose.service":"front","tier":"a"}},"State":{"Pid":7}}"#;
        let who = read("docker", &[(format!("var/lib/docker/containers/{ID}/config.v2.json"), json)]).unwrap();
        assert_eq!((who.name.as_deref(), who.image.as_deref()), (Some("web"), Some("nginx:1")));
        assert_eq!(who.image_id.as_deref(), Some("sha256:ab12"), "the same tag may be another image");
        assert_eq!((who.project.as_deref(), who.service.as_deref()), (Some("shop"), Some("front")));
        assert_eq!((who.labels["tier"].as_str(), who.named_by.as_deref()), ("a", Some("config.v2.json")));
        assert_eq!(read("docker", &[(format!("var/lib/docker/containers/{ID}/config.v2.json"), "{half")]), None);
        assert_eq!(read("docker", &[]), None);
    }

    #[test]
    fn kubernetes_names_are_in_the_state_of_the_runtime_or_in_the_names_of_logs() {
        let cri = r#"{"annotations":{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.sandbox-name":"web-5d",
            "io.kubernetes.cri.sandbox-namespace":"prod","io.kubernetes.cri.image-name":"app:2"}}"#;
        let path = format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
        let who = read("containerd", &[(path, cri)]).unwrap();
        assert_eq!((who.title().as_deref(), who.image.as_deref()), (Some("prod/web-5d/app"), Some("app:2")));
        let crio = r#"{"annotations":{"io.kubernetes.container.name":"app","io.kubernetes.pod.name":"web-5d","io.kubernetes.pod.namespace":"prod"}}"#;
        let path = format!("run/containers/storage/overlay-containers/{ID}/userdata/config.json");
        assert_eq!(read("crio", &[(path, crio)]).unwrap().title().as_deref(), Some("prod/web-5d/app"));
        let log = format!("var/log/containers/web-5d_prod_app-{ID}.log");
        for runtime in ["containerd", "crio", "docker", "kubernetes"] {
            let who = read(runtime, &[(log.clone(), "")]).unwrap();
            assert_eq!(
                (who.title().as_deref(), who.named_by.as_deref()),
                (Some("prod/web-5d/app"), Some("/var/log/containers"))
            );
        }
    }

    #[test]
    fn podman_has_one_file_of_all_containers() {
        let json = format!(
            r#"[{{"id":"other","names":["a"]}},{{"id":"{ID}","names":["db"],"metadata":"{{\"image-name\":\"pg:15\",\"image-id\":\"c0ffee\",\"name\":\"db\"}}"}}]"#
        );
        let who =
            read("podman", &[("var/lib/containers/storage/overlay-containers/containers.json".into(), &json)]).unwrap();
        assert_eq!((who.name.as_deref(), who.image.as_deref()), (Some("db"), Some("pg:15")));
        assert_eq!(who.image_id.as_deref(), Some("c0ffee"));
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        for id in ["..", "../../etc", "a/b", "", ".x", "a\0b"] {
            assert!(!is_plain(id), "{id:?}");
        }
    }
}
