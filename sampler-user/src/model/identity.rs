//! Who a cgroup is: what its path says of it, and what its runtime calls it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::model::shrink::shrink;

/// Most labels that are kept of a container.
pub const LABELS: usize = 32;
/// A name, an image or a label is cut at this many bytes.
pub const TEXT: usize = 256;

/// Who a cgroup is. Texts come from outside and are hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The runtime whose cgroup it is: `docker`, `kubernetes`, `systemd`, …
    pub runtime: String,
    /// Id of the container, as the runtime has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What a user calls it: name of the container, of the unit, of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Image it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What the runtime has for that image: its id or its digest, with the algorithm. A tag may be moved, this is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// Compose project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Compose service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Kubernetes namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Id of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<String>,
    /// Number (WSL 2.9.8 and later) or name of the WSL distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro: Option<String>,
    /// Path below the container's own cgroup, for a cgroup inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<String>,
    /// Labels, the first [`LABELS`] by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Which source gave the name, when it was not the path.
    #[serde(rename = "told_by", default, skip_serializing_if = "Option::is_none")]
    pub named_by: Option<String>,
}

impl Identity {
    /// Whether it is a container itself: it has an id, and is no cgroup inside one.
    ///
    /// ```
    /// use sampler::model::identity::Identity;
    ///
    /// let container = Identity::container("docker", "c401884006");
    /// assert!(container.is_container());
    /// let inside = Identity { inner: Some("init.scope".into()), ..container };
    /// assert!(!inside.is_container());
    /// ```
    pub fn is_container(&self) -> bool {
        self.container.is_some() && self.inner.is_none()
    }

    /// Of a runtime, nothing else known.
    pub fn of(runtime: &str) -> Identity {
        Identity { runtime: runtime.into(), ..Identity::default() }
    }

    /// A container with its id.
    pub fn container(runtime: &str, id: &str) -> Identity {
        Identity { container: Some(id.into()), ..Identity::of(runtime) }
    }

    /// Something the path has a name for.
    pub fn named(runtime: &str, name: &str) -> Identity {
        Identity { name: Some(name.into()), ..Identity::of(runtime) }
    }

    /// Takes labels, within bounds; those of Compose and of stacks of Swarm become project and service.
    pub fn label(&mut self, labels: impl IntoIterator<Item = (String, String)>) {
        let mut swarm = None;
        for (key, value) in labels {
            match key.as_str() {
                "com.docker.compose.project" | "io.podman.compose.project" => self.project = Some(cut(&value)),
                "com.docker.compose.service" => self.service = Some(cut(&value)),
                "com.docker.stack.namespace" => self.project = Some(cut(&value)),
                "com.docker.swarm.service.name" => swarm = Some(cut(&value)),
                _ => {}
            }
            self.labels.insert(cut(&key), cut(&value));
        }
        // Swarm calls a service of a stack `stack_service`.
        if let (Some(name), Some(project)) = (swarm, &self.project)
            && let Some(service) = name.strip_prefix(&format!("{project}_"))
        {
            self.service = Some(service.to_owned());
        }
        while self.labels.len() > LABELS {
            self.labels.pop_last();
        }
    }

    /// Adds what another source knows where this one knows nothing.
    pub fn complete(&mut self, other: &Identity) {
        let fill = |mine: &mut Option<String>, theirs: &Option<String>| {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        };
        fill(&mut self.name, &other.name);
        fill(&mut self.image, &other.image);
        fill(&mut self.image_id, &other.image_id);
        fill(&mut self.project, &other.project);
        fill(&mut self.service, &other.service);
        fill(&mut self.namespace, &other.namespace);
        fill(&mut self.pod, &other.pod);
        fill(&mut self.pod_id, &other.pod_id);
        fill(&mut self.named_by, &other.named_by);
        if self.labels.is_empty() {
            self.labels.clone_from(&other.labels);
        }
    }

    /// The name to show: `project/service` of Compose, `namespace/pod/container` of Kubernetes, else the name, else the
    /// beginning of the id. `None` when even the path says nothing.
    pub fn title(&self) -> Option<String> {
        let id = || self.container.as_deref().map(|id| id.get(..12).unwrap_or(id).to_owned());
        let own = match (&self.pod, &self.project, &self.service) {
            (Some(pod), _, _) => {
                let parts = [self.namespace.clone(), Some(pod.clone()), self.name.clone().or_else(id)];
                Some(parts.into_iter().flatten().collect::<Vec<_>>().join("/"))
            }
            (None, Some(project), Some(service)) => Some(compose(project, service, self.name.as_deref())),
            _ => self.name.clone().or_else(id),
        };
        let own = own.or_else(|| self.pod_id.as_deref().map(|pod| format!("pod {pod}")))?;
        Some(match &self.inner {
            Some(inner) => format!("{own}:{inner}"),
            None => own,
        })
    }
}

/// Of the first container of a service the service; of another its number, or its name when the user gave one.
fn compose(project: &str, service: &str, name: Option<&str>) -> String {
    let title = format!("{project}/{service}");
    let Some(name) = name else { return title };
    let rest = ["-", "_"].iter().find_map(|dash| {
        let number = name.strip_prefix(&format!("{project}{dash}{service}{dash}"))?;
        number.bytes().all(|b| b.is_ascii_digit()).then_some(number)
    });
    match rest {
        Some("1") => title,
        Some(number) => format!("{title}/{number}"),
        None => format!("{title}/{name}"),
    }
}

/// A text from outside within [`TEXT`] bytes.
pub fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The names that a recording holds, by path of the cgroup; a path without one is asked what it says itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: HashMap<String, Identity>,
}

impl Names {
    /// Takes a name that was recorded.
    pub fn learn(&mut self, cgroup: &str, identity: &Identity) {
        self.known.insert(cgroup.to_owned(), identity.clone());
    }

    /// Forgets the names of cgroups that `keeps` is false for.
    pub fn retain(&mut self, keeps: impl Fn(&str) -> bool) {
        self.known.retain(|path, _| keeps(path));
        shrink(&mut self.known);
    }

    /// Who a cgroup is. `by_path` gives what a path shows by itself (`runtime::identify`).
    pub fn of(&self, cgroup: &str, by_path: impl Fn(&str) -> Option<Identity>) -> Option<Identity> {
        let mut own = by_path(cgroup);
        if let Some(known) = self.known.get(cgroup) {
            let mut known = known.clone();
            if let Some(own) = &own {
                known.complete(own);
                known.distro = known.distro.or_else(|| own.distro.clone());
            }
            return Some(known);
        }
        // A cgroup inside a container has the name of the container.
        if let Some(own) = own.as_mut()
            && let Some(inner) = &own.inner
            && let Some(known) =
                cgroup.strip_suffix(inner.as_str()).and_then(|outer| self.known.get(outer.trim_end_matches('/')))
        {
            own.complete(known);
        }
        own.or_else(|| self.around(cgroup))
    }

    /// The container that a cgroup is inside of, by its name alone.
    fn around(&self, cgroup: &str) -> Option<Identity> {
        let ends = cgroup.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        let mut outer = ends.rev().filter_map(|at| Some((at, self.known.get(&cgroup[..at])?)));
        let (at, known) = outer.find(|(_, known)| known.container.is_some())?;
        Some(Identity { inner: Some(cgroup[at + 1..].to_owned()), ..known.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_what_the_user_calls_it() {
        let shop = |name: &str| Identity {
            project: Some("shop".into()),
            service: Some("web".into()),
            ..Identity { name: Some(name.into()), ..Identity::container("docker", "0123456789abcdef") }
        };
        assert_eq!(shop("shop-web-1").title().unwrap(), "shop/web");
        assert_eq!(shop("shop_web_3").title().unwrap(), "shop/web/3");
        assert_eq!(shop("front").title().unwrap(), "shop/web/front");
        let pod = Identity {
            namespace: Some("prod".into()),
            pod: Some("web-5d".into()),
            ..Identity::container("containerd", "0123456789abcdef")
        };
        assert_eq!(pod.title().unwrap(), "prod/web-5d/0123456789ab");
        assert_eq!(Identity::container("docker", "é").title().unwrap(), "é");
        assert_eq!(Identity::of("docker").title(), None);
    }

    #[test]
    fn labels_are_bounded_and_compose_is_understood() {
        let mut who = Identity::of("docker");
        who.label((0..100).map(|n| (format!("k{n:03}"), "é".repeat(1000))));
        assert_eq!((who.labels.len(), who.labels["k000"].len()), (LABELS, TEXT));
        who.label([
            ("com.docker.compose.project".into(), "p".into()),
            ("com.docker.compose.service".into(), "s".into()),
        ]);
        assert_eq!((who.project.as_deref(), who.service.as_deref()), (Some("p"), Some("s")));
        let mut task = Identity::of("docker");
        task.label([
            ("com.docker.swarm.service.name".into(), "shop_web".into()),
            ("com.docker.stack.namespace".into(), "shop".into()),
        ]);
        assert_eq!((task.project.as_deref(), task.service.as_deref()), (Some("shop"), Some("web")));
    }

    #[test]
    fn a_cgroup_inside_a_container_has_its_name() {
        let mut names = Names::default();
        names.learn("/docker/x", &Identity { name: Some("web".into()), ..Identity::container("docker", "x") });
        let by_path = |path: &str| {
            let inner = path.strip_prefix("/docker/x").filter(|inner| !inner.is_empty()).map(|i| i[1..].to_owned());
            path.starts_with("/docker/x").then(|| Identity { inner, ..Identity::container("docker", "x") })
        };
        assert_eq!(names.of("/docker/x", by_path).unwrap().title().unwrap(), "web");
        assert_eq!(names.of("/docker/x/init.scope", by_path).unwrap().title().unwrap(), "web:init.scope");
        assert_eq!(names.of("/other", by_path), None);
        // Also where the path itself says nothing.
        assert_eq!(names.of("/docker/x/job", |_| None).unwrap().title().unwrap(), "web:job");
        assert_eq!(names.of("/docker/xy/job", |_| None), None);
    }
}
