//! What Docker keeps on disk and nobody uses, as `docker system df` counts it.

use std::io;

use serde::Deserialize;

use crate::containers::names::docker_api::Api;

/// Numbers and bytes of what could be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Containers that ended, and what they wrote.
    pub stopped: (usize, u64),
    /// Images without a name that no container uses.
    pub dangling: (usize, u64),
    /// Layers of builds that are not in use.
    pub build_cache: (usize, u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SystemDf {
    containers: Option<Vec<Container>>,
    images: Option<Vec<Image>>,
    build_cache: Option<Vec<Layer>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    state: String,
    size_rw: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    repo_tags: Option<Vec<String>>,
    containers: Option<i64>,
    size: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    #[serde(default)]
    in_use: bool,
    size: Option<i64>,
}

impl Api {
    /// What could be removed; only asks.
    pub async fn usage(&self) -> io::Result<Usage> {
        Ok(self.read::<SystemDf>("/system/df").await?.usage())
    }
}

impl SystemDf {
    fn usage(self) -> Usage {
        let add = |(count, bytes): (usize, u64), size: Option<i64>| {
            (count + 1, bytes.saturating_add(u64::try_from(size.unwrap_or(0)).unwrap_or(0)))
        };
        let ended = |container: &Container| matches!(container.state.as_str(), "exited" | "dead" | "created");
        let is_dangling = |image: &Image| {
            let nameless = image.repo_tags.as_ref().is_none_or(|tags| tags.iter().all(|tag| tag == "<none>:<none>"));
            nameless && image.containers.is_none_or(|containers| containers <= 0)
        };
        Usage {
            stopped: self.containers.iter().flatten().filter(|c| ended(c)).fold((0, 0), |sum, c| add(sum, c.size_rw)),
            dangling: self.images.iter().flatten().filter(|i| is_dangling(i)).fold((0, 0), |sum, i| add(sum, i.size)),
            build_cache: self
                .build_cache
                .iter()
                .flatten()
                .filter(|l| !l.in_use)
                .fold((0, 0), |sum, l| add(sum, l.size)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_not_counted() {
        let json = r#"{"LayersSize":9,"Containers":[{"State":"running","SizeRw":7},{"State":"exited","SizeRw":5},{"State":"created"}],
            "Images":[{"RepoTags":["a:1"],"Containers":0,"Size":3},{"RepoTags":null,"Containers":0,"Size":11},
            {"RepoTags":["<none>:<none>"],"Containers":1,"Size":2},{"RepoTags":["<none>:<none>"],"Containers":-1,"Size":4}],
            "BuildCache":[{"InUse":true,"Size":1},{"InUse":false,"Size":13}],"Volumes":null}"#;
        let usage = serde_json::from_str::<SystemDf>(json).unwrap().usage();
        assert_eq!(usage, Usage { stopped: (2, 5), dangling: (2, 15), build_cache: (1, 13) });
        assert_eq!(serde_json::from_str::<SystemDf>("{}").unwrap().usage(), Usage::default());
    }
}
