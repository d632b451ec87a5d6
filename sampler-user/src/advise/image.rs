//! Images that exist in a smaller form. That saves disk and download; memory only where fewer libraries are mapped.

use crate::model::image::ImageRef;

/// Repositories of Docker Hub and the suffix of their small tags.
const SLIM: [(&str, &str); 16] = [
    ("python", "-slim"),
    ("node", "-slim"),
    ("ruby", "-slim"),
    ("perl", "-slim"),
    ("rust", "-slim"),
    ("golang", "-alpine"),
    ("postgres", "-alpine"),
    ("redis", "-alpine"),
    ("nginx", "-alpine-slim"),
    ("httpd", "-alpine"),
    ("php", "-alpine"),
    ("memcached", "-alpine"),
    ("rabbitmq", "-alpine"),
    ("haproxy", "-alpine"),
    ("eclipse-temurin", "-alpine"),
    ("clickhouse/clickhouse-server", "-alpine"),
];

/// Words in a tag that is small already.
const SMALL: [&str; 4] = ["alpine", "slim", "distroless", "scratch"];

/// The repository of an image without registry and tag: `docker.io/library/postgres:15` is `postgres`.
pub fn repository(image: &str) -> &str {
    let image = ImageRef::of(image).name;
    let image = ["docker.io/", "index.docker.io/"].iter().find_map(|hub| image.strip_prefix(hub)).unwrap_or(image);
    image.strip_prefix("library/").unwrap_or(image)
}

/// The small form of an image, when it is known to exist and this is not one.
pub fn slim(image: &str) -> Option<String> {
    let known = SLIM.iter().find(|(name, _)| *name == repository(image))?;
    let tag = ImageRef::of(image).tag;
    if image.contains('@') || tag.is_some_and(|tag| SMALL.iter().any(|small| tag.contains(small))) {
        return None;
    }
    Some(match tag {
        None | Some("latest") => format!("{}:{}", known.0, known.1.trim_start_matches('-')),
        Some(tag) => format!("{}:{tag}{}", known.0, known.1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_forms_are_of_known_images_only() {
        for (image, small) in [
            ("postgres:15", Some("postgres:15-alpine")),
            ("docker.io/library/redis:7.2", Some("redis:7.2-alpine")),
            ("python", Some("python:slim")),
            ("node:latest", Some("node:slim")),
            ("clickhouse/clickhouse-server:23", Some("clickhouse/clickhouse-server:23-alpine")),
            ("redis:7-alpine", None),
            ("python:3.12-slim-bookworm", None),
            ("localhost:5000/postgres:15", None),
            ("me/postgres:15", None),
            ("postgres:15@sha256:ab", None),
            ("", None),
        ] {
            assert_eq!(slim(image).as_deref(), small, "{image}");
        }
        assert_eq!(repository("localhost:5000/web"), "localhost:5000/web");
    }
}
