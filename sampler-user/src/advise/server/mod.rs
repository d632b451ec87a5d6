//! Well-known servers: settings that must go with the limit, each with where its rule is from.

mod clickhouse;
mod jvm;
mod node;
mod postgres;
mod python;
mod redis;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::advise::image::repository;

/// What is seen of a container.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Image, as the runtime or the Compose file has it.
    pub image: Option<String>,
    /// Names of its processes and the most anonymous memory of each, bytes.
    pub processes: Vec<(String, u64)>,
    /// Environment, where the Compose file has it.
    pub environment: BTreeMap<String, String>,
    /// Entrypoint and command, where the Compose file has them.
    pub command: Vec<String>,
    /// The limit it will have, bytes.
    pub limit: u64,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// What it is called.
    pub key: String,
    /// What was seen; absent when it was not.
    pub seen: Option<String>,
    /// What goes with the limit.
    pub value: String,
    /// The line that sets it.
    pub line: String,
    /// Why.
    pub because: String,
    /// Whether what was seen (or what holds without a setting) does not go with the limit.
    pub out_of_proportion: bool,
}

/// A server.
pub struct Server {
    /// Its name.
    pub name: &'static str,
    /// Whether this is one.
    pub is: fn(&Seen) -> bool,
    /// Its settings for the limit.
    pub settings: fn(&Seen) -> Vec<Setting>,
}

/// The servers.
pub static TABLE: [Server; 6] =
    [postgres::SERVER, redis::SERVER, clickhouse::SERVER, jvm::SERVER, node::SERVER, python::SERVER];

/// The server that a container is, and its settings.
pub fn settings(seen: &Seen) -> Option<(&'static str, Vec<Setting>)> {
    let server = TABLE.iter().find(|server| (server.is)(seen))?;
    Some((server.name, (server.settings)(seen)))
}

impl Seen {
    /// Whether the image is one of these repositories, whoever made it: `bitnami/redis` is `redis`.
    fn is_image(&self, names: &[&str]) -> bool {
        let last = self.image.as_deref().map(|image| repository(image).rsplit('/').next().unwrap_or_default());
        last.is_some_and(|last| names.contains(&last))
    }

    /// Whether a process has one of these names.
    fn runs(&self, names: &[&str]) -> bool {
        self.processes.iter().any(|(name, _)| names.contains(&name.as_str()))
            || self.command.first().is_some_and(|first| names.contains(&first.rsplit('/').next().unwrap_or_default()))
    }

    /// The value of an option in the command: `-c key=value`, `--key value`, `--key=value`, `key=value`.
    fn option(&self, key: &str) -> Option<String> {
        for (at, word) in self.command.iter().enumerate() {
            let bare = word.trim_start_matches('-');
            let (name, value) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, self.command.get(at + 1).cloned()),
            };
            if name.eq_ignore_ascii_case(key) {
                return value;
            }
        }
        None
    }

    fn variable(&self, key: &str) -> Option<String> {
        self.environment.get(key).cloned()
    }
}

/// Whole MiB of a part of the limit, at least one.
fn part(limit: u64, part: f64) -> u64 {
    (((limit as f64 * part) as u64) >> 20).max(1)
}

/// A size as servers write it: `64MB`, `100mb`, `2g`, `8kB`.
fn size(text: &str) -> Option<u64> {
    crate::model::units::parse_bytes(text).ok().filter(|bytes| *bytes != crate::model::fields::UNLIMITED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn seen(image: &str, command: &str, env: &[(&str, &str)], limit: u64) -> Seen {
        Seen {
            image: Some(image.into()),
            processes: Vec::new(),
            environment: env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            command: command.split_whitespace().map(str::to_owned).collect(),
            limit: limit * MIB,
        }
    }

    /// Each setting as `key=value`, with a `!` where what was seen does not go with the limit.
    fn told(seen: &Seen) -> (&'static str, Vec<String>) {
        let (name, settings) = settings(seen).unwrap();
        let mark = |s: &Setting| if s.out_of_proportion { "!" } else { "" };
        (name, settings.iter().map(|s| format!("{}={}{}", s.key, s.value, mark(s))).collect())
    }

    #[test]
    fn settings_go_with_the_limit() {
        let table: [(Seen, &str, &[&str]); 10] = [
            (
                seen(
                    "postgres:15",
                    "postgres -c shared_buffers=256MB -c work_mem=16MB -c max_connections=100",
                    &[],
                    256,
                ),
                "PostgreSQL",
                &["shared_buffers=64MB!", "max_connections=30!", "work_mem=2MB!"],
            ),
            (
                seen("postgres:15", "postgres -c shared_buffers=64MB -c work_mem=2MB -c max_connections=30", &[], 256),
                "PostgreSQL",
                &["shared_buffers=64MB", "max_connections=30", "work_mem=2MB"],
            ),
            (seen("redis:7", "", &[], 128), "Redis", &["maxmemory=96mb!", "maxmemory-policy=allkeys-lru!"]),
            (
                seen("bitnami/redis", "redis-server --maxmemory 90mb --maxmemory-policy volatile-ttl", &[], 128),
                "Redis",
                &["maxmemory=96mb", "maxmemory-policy=volatile-ttl"],
            ),
            (seen("my/shop", "java -Xmx1g -jar a.jar", &[], 512), "JVM", &["-XX:MaxRAMPercentage=70!"]),
            (
                seen("my/shop", "java -jar a.jar", &[("JAVA_OPTS", "-Xmx300m")], 512),
                "JVM",
                &["-XX:MaxRAMPercentage=70"],
            ),
            (
                seen("node:20", "node --max-old-space-size=2048 a.js", &[], 256),
                "Node.js",
                &["--max-old-space-size=192!"],
            ),
            (seen("node:20", "node a.js", &[], 256), "Node.js", &["--max-old-space-size=192!"]),
            (
                seen("clickhouse/clickhouse-server:23", "", &[], 512),
                "ClickHouse",
                &["max_server_memory_usage=429496729!", "mark_cache_size=53687091!"],
            ),
            (seen("python:3", "gunicorn -w 4 app", &[], 256), "Python", &[]),
        ];
        for (seen, name, settings) in table {
            let (got, list) = told(&seen);
            assert_eq!(
                (got, list.iter().map(String::as_str).collect::<Vec<_>>()),
                (name, settings.to_vec()),
                "{seen:?}"
            );
        }
        assert!(super::settings(&seen("nginx", "", &[], 64)).is_none());
    }

    #[test]
    fn workers_are_counted_by_what_one_was_seen_to_hold() {
        let mut python = seen("my/api", "gunicorn app", &[("WEB_CONCURRENCY", "8")], 512);
        python.processes = vec![("gunicorn".into(), 100 * MIB), ("gunicorn".into(), 120 * MIB)];
        assert_eq!(told(&python), ("Python", vec!["WEB_CONCURRENCY=3!".to_owned()]));
        python.environment.insert("WEB_CONCURRENCY".into(), "2".into());
        assert_eq!(told(&python).1, ["WEB_CONCURRENCY=3"]);
    }
}
