//! Well-known servers: settings that must go with the limit, each with where its rule is from.

mod clickhouse;
pub mod floors;
mod jvm;
mod node;
mod postgres;
mod python;
mod redis;
mod seen;

pub use self::seen::{Seen, Server, Setting};

/// The servers.
pub static TABLE: [Server; 6] =
    [postgres::SERVER, redis::SERVER, clickhouse::SERVER, jvm::SERVER, node::SERVER, python::SERVER];

/// The server that a container is, and its settings.
pub fn settings(seen: &Seen) -> Option<(&'static str, Vec<Setting>)> {
    let server = TABLE.iter().find(|server| (server.is)(seen))?;
    Some((server.name, (server.settings)(seen)))
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
    fn advised(seen: &Seen) -> (&'static str, Vec<String>) {
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
                seen("clickhouse/clickhouse-server:23", "", &[], 1024),
                "ClickHouse",
                &["max_server_memory_usage=858993459!", "mark_cache_size=107374182!"],
            ),
            (seen("python:3", "gunicorn -w 4 app", &[], 256), "Python", &[]),
        ];
        for (seen, name, settings) in table {
            let (got, list) = advised(&seen);
            assert_eq!(
                (got, list.iter().map(String::as_str).collect::<Vec<_>>()),
                (name, settings.to_vec()),
                "{seen:?}"
            );
        }
        assert!(super::settings(&seen("nginx", "", &[], 64)).is_none());
    }

    #[test]
    fn settings_are_never_below_what_the_server_needs_to_work() {
        let settings = |image, limit| advised(&seen(image, "", &[], limit)).1;
        assert_eq!(settings("postgres:15", 30), ["shared_buffers=32MB!", "max_connections=20!", "work_mem=1MB!"]);
        assert_eq!(settings("redis:7", 8)[0], "maxmemory=16mb!");
        assert_eq!(settings("node:20", 16), ["--max-old-space-size=48!"]);
        assert_eq!(settings("clickhouse", 64), ["max_server_memory_usage=805306368!", "mark_cache_size=67108864!"]);
    }

    #[test]
    fn workers_are_counted_by_what_one_was_seen_to_hold() {
        let mut python = seen("my/api", "gunicorn app", &[("WEB_CONCURRENCY", "8")], 512);
        python.processes = vec![("gunicorn".into(), 100 * MIB), ("gunicorn".into(), 120 * MIB)];
        assert_eq!(advised(&python), ("Python", vec!["WEB_CONCURRENCY=3!".to_owned()]));
        python.environment.insert("WEB_CONCURRENCY".into(), "2".into());
        assert_eq!(advised(&python).1, ["WEB_CONCURRENCY=3"]);
    }
}
