//! The user's Compose file, as far as limits need it. Anchors, aliases and merge keys are the YAML library's; the file is never
//! written.

pub mod matching;
pub mod overriding;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::units::{parse_bytes, parse_duration};

/// A larger file is refused, bytes.
const MOST: usize = 4 << 20;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No YAML, or not within the bounds of the parser.
    #[error("this is no YAML that can be read: {0}")]
    Yaml(String),
    /// Too large.
    #[error("it is larger than {} MiB", MOST >> 20)]
    Large,
    /// YAML without services.
    #[error("it has no `services:` mapping; is it a Compose file?")]
    NoServices,
}

/// Where the user's file has the limit of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// `mem_limit`, or nowhere yet.
    Plain,
    /// `deploy.resources.limits.memory`.
    Deploy,
    /// Both: Compose refuses them when they differ.
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
    /// The limit in the file, bytes, when it is written as a size.
    pub limit: Option<u64>,
    /// Where the limit is.
    pub placement: Placement,
    /// Whether the file says how much memory and swap together may be.
    pub has_swap_limit: bool,
    /// The health check.
    pub health: Option<Health>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
    /// Entrypoint and command, as words.
    pub command: Vec<String>,
}

/// A Compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `version`, as written: an override must have the same.
    pub version: Option<String>,
    /// `name`: the project.
    pub name: Option<String>,
    /// The services, by name.
    pub services: Vec<Service>,
}

impl File {
    /// Reads a file.
    pub fn read(text: &[u8]) -> Result<File, Error> {
        if text.len() > MOST {
            return Err(Error::Large);
        }
        let text = std::str::from_utf8(text).map_err(|error| Error::Yaml(error.to_string()))?;
        let root: Value = serde_saphyr::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| Error::Yaml(error.to_string()))?;
        let services = root.get("services").and_then(Value::as_object).ok_or(Error::NoServices)?;
        let services = services.iter().filter_map(|(name, value)| Some(service(name, value.as_object()?))).collect();
        Ok(File { version: root.get("version").and_then(scalar), name: root.get("name").and_then(scalar), services })
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
    let get = |path: &[&str]| at(path).flatten();
    let plain = get(&["mem_limit"]);
    let deploy = get(&["deploy", "resources", "limits", "memory"]);
    let placement = match (plain, deploy) {
        (Some(_), Some(_)) => Placement::Both,
        (None, Some(_)) => Placement::Deploy,
        _ => Placement::Plain,
    };
    let mut command = words(map.get("entrypoint"));
    command.extend(words(map.get("command")));
    Service {
        name: name.to_owned(),
        container_name: map.get("container_name").and_then(scalar),
        image: map.get("image").and_then(scalar),
        limit: plain.or(deploy).and_then(scalar).and_then(|text| parse_bytes(&text).ok()).filter(|limit| *limit > 0),
        placement,
        has_swap_limit: map.contains_key("memswap_limit"),
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
        assert_eq!((bare.limit, bare.placement, bare.health), (None, Placement::Plain, None));
        let tags = file.service("tags").unwrap();
        assert_eq!((tags.limit, tags.environment["A"].as_str()), (None, "1"), "tags of Compose and of YAML");
        assert!(file.service("none").is_none(), "a service without a body has nothing to be limited");
    }

    #[test]
    fn what_is_no_compose_file_says_so() {
        assert!(matches!(File::read(b"a: [1"), Err(Error::Yaml(_))));
        assert!(matches!(File::read(b"\xff\xfe"), Err(Error::Yaml(_))));
        assert!(matches!(File::read(b"volumes: {}"), Err(Error::NoServices)));
        assert!(matches!(File::read(&vec![b' '; MOST + 1]), Err(Error::Large)));
        // Aliases of aliases must not fill the memory.
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        (1..12).for_each(|n| bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))));
        assert!(matches!(File::read(bomb.as_bytes()), Err(Error::Yaml(_))));
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
