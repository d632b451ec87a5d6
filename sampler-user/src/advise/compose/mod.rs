//! The user's Compose project, as far as limits need it: its files merged as Compose merges them. They are never written.

pub mod environment;
mod error;
pub mod matching;
mod merge;
pub mod overriding;
pub mod project;
mod size;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use self::environment::{Missing, Variables};
use self::project::{Project, Sources};
use self::size::size;
use crate::model::units::parse_duration;

pub use self::error::Error;

/// Where the project has the limit of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Placement {
    /// `mem_limit`, or nowhere yet.
    #[serde(rename = "mem_limit")]
    Plain,
    /// `deploy.resources.limits`, which may be there without memory: Compose then refuses `mem_limit` beside it.
    #[serde(rename = "deploy.resources.limits.memory")]
    Deploy,
    /// Both: Compose refuses them when they differ.
    #[serde(rename = "both")]
    Both,
}

/// A health check that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Time between two, when it is written as a time.
    pub interval: Option<Duration>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name; hostile.
    pub name: String,
    /// `container_name`.
    pub container_name: Option<String>,
    /// Image.
    pub image: Option<String>,
    /// The limit in the project, bytes, when it is written as a size.
    pub limit: Option<u64>,
    /// Where the limit is, or has to be.
    pub placement: Placement,
    /// What is reserved, bytes.
    pub reservation: Option<u64>,
    /// Where that is, or has to be.
    pub reserved_in: Placement,
    /// Whether the project says how much memory and swap together may be, and not that it may be any.
    pub has_swap_limit: bool,
    /// Its profiles; without one it always runs.
    pub profiles: Vec<String>,
    /// How many containers of it run.
    pub replicas: Option<u64>,
    /// The health check.
    pub health: Option<Health>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
    /// Entrypoint and command, as words.
    pub command: Vec<String>,
}

/// A Compose project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `version`, as written: an override must have the same.
    pub version: Option<String>,
    /// `name`: the project; of `COMPOSE_PROJECT_NAME` where that is set.
    pub name: Option<String>,
    /// The services, by name.
    pub services: Vec<Service>,
    /// Variables that are not there.
    pub missing: Missing,
    /// Addresses of parts that are not on this machine.
    pub unread: BTreeSet<String>,
}

impl File {
    /// Reads one file that stands for itself.
    pub fn read(text: &[u8]) -> Result<File, Error> {
        let read = |path: &Path| match path.to_str() {
            Some("compose.yaml") => Ok(text.to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let sources = Sources {
            files: vec!["compose.yaml".into()],
            directory: None,
            env_files: Vec::new(),
            variables: Variables::new(),
            read: &read,
        };
        File::load(&sources)
    }

    /// Reads a project.
    pub fn load(sources: &Sources<'_>) -> Result<File, Error> {
        let Project { root, variables, missing, unread } = project::load(sources)?;
        let root: Map<String, Value> = root.iter().map(|(key, node)| (key.clone(), node.value())).collect();
        let services = root.get("services").and_then(Value::as_object);
        if services.is_none() && unread.is_empty() {
            return Err(Error::NoServices);
        }
        let services = services.into_iter().flatten();
        let services = services.filter_map(|(name, value)| Some(service(name, value.as_object()?))).collect();
        let named = variables.get("COMPOSE_PROJECT_NAME").cloned();
        let name = named.or_else(|| root.get("name").and_then(scalar)).filter(|name| !name.is_empty());
        Ok(File { version: root.get("version").and_then(scalar), name, services, missing, unread })
    }

    /// The service of a name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

fn service(name: &str, map: &Map<String, Value>) -> Service {
    let at = |path: &[&str]| {
        path.iter().try_fold(None, |at: Option<&Value>, key| match at {
            None => map.get(*key).map(Some),
            Some(value) => value.get(key).map(Some),
        })
    };
    let get = |path: &[&str]| at(path).flatten().filter(|value| !value.is_null());
    // Compose takes a block without memory for one with 0.
    let placement = |plain: &str, block: &str| match (
        get(&[plain]).is_some(),
        get(&["deploy", "resources", block]).is_some_and(Value::is_object),
    ) {
        (true, true) => Placement::Both,
        (false, true) => Placement::Deploy,
        _ => Placement::Plain,
    };
    let bytes = |plain: &str, block: &str| {
        let value = get(&["deploy", "resources", block, "memory"]).or_else(|| get(&[plain]));
        value.and_then(scalar).and_then(|text| size(&text)).filter(|bytes| *bytes > 0)
    };
    let count = |value: Option<&Value>| value.and_then(scalar).and_then(|text| text.parse::<u64>().ok());
    let swap = get(&["memswap_limit"]).and_then(scalar);
    let mut command = words(map.get("entrypoint"));
    command.extend(words(map.get("command")));
    Service {
        name: name.to_owned(),
        container_name: map.get("container_name").and_then(scalar).filter(|name| !name.is_empty()),
        image: map.get("image").and_then(scalar),
        limit: bytes("mem_limit", "limits"),
        placement: placement("mem_limit", "limits"),
        reservation: bytes("mem_reservation", "reservations"),
        reserved_in: placement("mem_reservation", "reservations"),
        has_swap_limit: swap.is_some_and(|text| !matches!(text.trim(), "-1" | "0" | "")),
        profiles: match map.get("profiles") {
            Some(Value::Array(list)) => list.iter().filter_map(scalar).collect(),
            other => other.and_then(scalar).into_iter().collect(),
        },
        replicas: count(get(&["deploy", "replicas"])).or_else(|| count(get(&["scale"]))),
        health: map.get("healthcheck").and_then(health),
        environment: environment(map.get("environment")),
        command,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn health(value: &Value) -> Option<Health> {
    let is_off = value.get("disable").and_then(Value::as_bool) == Some(true)
        || words(value.get("test")).first().is_some_and(|word| word == "NONE");
    let interval = value.get("interval").and_then(scalar).and_then(|text| go_duration(&text));
    (value.is_object() && !is_off).then_some(Health { interval })
}

/// As Go writes one: `1m30s`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        sum = sum.checked_add(parse_duration(&rest[..end]).ok()?)?;
        rest = &rest[end..];
    }
    (!sum.is_zero()).then_some(sum)
}

/// A command as a list, or as a line in the shell's words without its quotes.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(scalar).collect(),
        Some(Value::String(line)) => {
            line.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect()
        }
        _ => Vec::new(),
    }
}

/// A mapping, or a list of `KEY=value`.
fn environment(value: Option<&Value>) -> BTreeMap<String, String> {
    match value {
        Some(Value::Object(map)) => map.iter().filter_map(|(key, value)| Some((key.clone(), scalar(value)?))).collect(),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(scalar)
            .filter_map(|line| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect(),
        _ => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::error::MOST;
    use super::*;

    const USER: &str = r#"
# The shop.
x-limits: &limits
  deploy:
    resources:
      limits: {memory: 1g}
x-check: &check
  healthcheck: &health {test: [CMD, curl, localhost], interval: 1m30s}
version: "3.8"
name: shop
services:
  web:
    <<: [*limits, *check]
    image: "web:1"
    environment: [WEB_CONCURRENCY=4, EMPTY]
  db:
    image: postgres:15
    mem_limit: 512m
    command: postgres -c shared_buffers=256MB -c "work_mem=64MB"
    healthcheck:
      <<: *health
      interval: 30s
    environment: {POSTGRES_DB: a, N: 3}
  both: {mem_limit: 1073741824, memswap_limit: 2g, deploy: {resources: {limits: {memory: 1g}}}, healthcheck: {disable: true}}
  bare: {image: x, mem_limit: "${LIMIT:-1g}", healthcheck: {test: [NONE]}}
  tags: {image: x, ports: !override ["80:80"], mem_limit: !reset null, environment: {A: !!str 1}}
  none:
"#;

    #[test]
    fn anchors_merge_keys_and_both_places_are_understood() {
        let file = File::read(USER.as_bytes()).unwrap();
        assert_eq!((file.version.as_deref(), file.name.as_deref()), (Some("3.8"), Some("shop")));
        let web = file.service("web").unwrap();
        assert_eq!((web.placement, web.limit), (Placement::Deploy, Some(1 << 30)));
        assert_eq!(web.health.unwrap().interval, Some(Duration::from_secs(90)));
        assert_eq!(web.environment["WEB_CONCURRENCY"], "4");
        let db = file.service("db").unwrap();
        assert_eq!((db.placement, db.limit), (Placement::Plain, Some(512 << 20)));
        assert_eq!(
            db.health.unwrap().interval,
            Some(Duration::from_secs(30)),
            "the service's own wins over the merged"
        );
        assert_eq!(db.command.last().unwrap(), "work_mem=64MB");
        assert_eq!(db.environment["N"], "3");
        let both = file.service("both").unwrap();
        assert_eq!((both.placement, both.health, both.has_swap_limit), (Placement::Both, None, true));
        let bare = file.service("bare").unwrap();
        assert_eq!((bare.limit, bare.placement, bare.health), (Some(1 << 30), Placement::Plain, None));
        let tags = file.service("tags").unwrap();
        assert_eq!((tags.limit, tags.environment["A"].as_str()), (None, "1"), "tags of Compose and of YAML");
        assert!(file.service("none").is_none(), "a service without a body has nothing to be limited");
    }

    #[test]
    fn what_is_no_compose_file_says_so() {
        let fault = |text: &[u8]| File::read(text).unwrap_err();
        assert!(matches!(fault(b"a: [1").cause(), Error::Yaml(_)));
        assert!(matches!(fault(b"\xff\xfe").cause(), Error::Yaml(_)));
        assert!(matches!(fault(b"volumes: {}").cause(), Error::NoServices));
        assert!(matches!(fault(&vec![b' '; MOST + 1]).cause(), Error::Large));
        // Aliases of aliases must not fill the memory.
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        (1..12).for_each(|n| bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))));
        assert!(matches!(fault(bomb.as_bytes()).cause(), Error::Yaml(_)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = File::read(&bytes);
        }

        #[test]
        fn no_pieces_of_yaml_panic(pieces in prop::collection::vec(prop::sample::select(vec![
            "services:", "\n", "  ", "web:", " {", "}", "[", "]", "&a ", "*a", "<<: ", "- ", "mem_limit: ", "1g", "'", "\"", "|", "!x ",
            "healthcheck:", "interval: ", "1m", "x.5h", "environment:", "A=b", ",", "?", "---\n", "\t", "é", "#",
        ]), 0..40)) {
            let _ = File::read(pieces.concat().as_bytes());
        }
    }
}
