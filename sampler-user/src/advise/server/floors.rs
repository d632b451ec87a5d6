//! The least that programs need by their vendors' documents: at rest they hold a tenth of it, and a limit by that would kill them
//! with the first work.

use serde::Serialize;

use crate::advise::server::seen::Seen;

/// The least limit of a kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Floor {
    /// What the program is called.
    pub program: &'static str,
    /// The least limit that is advised for it, bytes.
    pub bytes: u64,
    /// Where that is from.
    pub source: &'static str,
}

/// How a program is known, and its floor.
struct Row {
    images: &'static [&'static str],
    processes: &'static [&'static str],
    floor: Floor,
}

const fn row(
    program: &'static str,
    mib: u64,
    images: &'static [&'static str],
    processes: &'static [&'static str],
    source: &'static str,
) -> Row {
    Row { images, processes, floor: Floor { program, bytes: mib << 20, source } }
}

/// The first that is one counts: what runs in a JVM and has a floor of its own stands before the JVM.
static TABLE: [Row; 17] = [
    row(
        "PostgreSQL",
        192,
        &["postgres", "postgresql", "postgis", "timescaledb", "pgvector"],
        &["postgres"],
        "postgresql.org, Resource Consumption: shared_buffers 128MB and maintenance_work_mem 64MB without a setting",
    ),
    row(
        "Redis",
        32,
        &["redis", "valkey", "redis-stack-server", "keydb"],
        &["redis-server", "valkey-server"],
        "redis.io, FAQ: 3 MB without a key; redis.conf: up to 32mb of output for one subscriber that does not read",
    ),
    row(
        "MySQL",
        512,
        &["mysql", "mysql-server", "percona", "percona-server"],
        &["mysqld"],
        "MySQL manual, How MySQL Uses Memory: the defaults are made to start on a machine with about 512MB",
    ),
    row(
        "MariaDB",
        256,
        &["mariadb"],
        &["mariadbd"],
        "MariaDB manual, innodb_buffer_pool_size: 128MB without a setting, and each connection's buffers on top",
    ),
    row(
        "ClickHouse",
        1024,
        &["clickhouse-server", "clickhouse"],
        &["clickhouse-serv", "clickhouse-server"],
        "clickhouse.com, Requirements: 4 GB for queries that are not trivial; it runs with much less, where they are aborted often",
    ),
    row(
        "MongoDB",
        512,
        &["mongo", "mongodb", "mongodb-community-server"],
        &["mongod"],
        "MongoDB manual, WiredTiger memory use: its cache is 256 MB at least; connections and sorts come on top",
    ),
    row(
        "Elasticsearch",
        1024,
        &["elasticsearch", "opensearch"],
        &[],
        "elastic.co, Install with Docker: MEM_LIMIT of 1 GB for a node, half of it heap",
    ),
    row(
        "RabbitMQ",
        256,
        &["rabbitmq"],
        &["beam.smp"],
        "rabbitmq.com, Production Checklist: a node has 256 MiB available at all times; quorum queues need more",
    ),
    row(
        "Memcached",
        96,
        &["memcached"],
        &["memcached"],
        "memcached(1): -m is 64 megabytes of items without a setting, hash table and connections on top",
    ),
    row(
        "JVM",
        192,
        &["openjdk", "eclipse-temurin", "amazoncorretto", "tomcat", "kafka", "jetty", "keycloak", "zookeeper"],
        &["java"],
        "OpenJDK, MinRAMPercentage: the heap is half of the memory up to 96 MB of heap, so below 192; metaspace, code and stacks are not in it",
    ),
    row(
        "Node.js",
        96,
        &["node"],
        &["node", "npm", "yarn"],
        "nodejs.org, --max-semi-space-size: 16 MiB up to Node 20, of which the young space has three; the runtime takes as much",
    ),
    row(
        "PHP",
        128,
        &["php", "wordpress", "drupal", "nextcloud"],
        &["php-fpm", "php"],
        "php.net, memory_limit: 128M for one request without a setting",
    ),
    row(
        ".NET",
        96,
        &["aspnet", "dotnet"],
        &["dotnet"],
        "learn.microsoft.com, GCHeapHardLimit: 20 MB or 75 % of the limit, the rest is code and runtime",
    ),
    row(
        "nginx",
        32,
        &["nginx", "openresty"],
        &["nginx"],
        "nginx.org, proxy_buffers: 8 of 4k, so with the usual 512 worker_connections 18 MiB for one worker",
    ),
    row(
        "Apache httpd",
        64,
        &["httpd", "apache2"],
        &["httpd", "apache2"],
        "httpd.apache.org, mpm_event: StartServers 3 of ThreadsPerChild 25, and up to 400 requests",
    ),
    row(
        "Ruby",
        96,
        &["ruby", "rails"],
        &["ruby", "puma", "sidekiq"],
        "ours, as the vendor names none: an interpreter with a framework and one request",
    ),
    row(
        "Python",
        48,
        &["python"],
        &["python", "python3", "gunicorn", "uvicorn", "celery", "hypercorn", "uwsgi"],
        "ours, as the vendor names none: an interpreter with a framework and one request",
    ),
];

/// The floor of what a container runs, if it is known.
pub fn floor(seen: &Seen) -> Option<Floor> {
    // An image says what a container is for; a process may be a helper.
    let by_image = TABLE.iter().find(|row| seen.is_image(row.images));
    by_image.or_else(|| TABLE.iter().find(|row| seen.runs(row.processes))).map(|row| row.floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_image_or_else_by_its_processes() {
        let of = |image: &str, processes: &[&str]| {
            let image = (!image.is_empty()).then(|| image.to_owned());
            let processes = processes.iter().map(|name| ((*name).to_owned(), 1)).collect();
            floor(&Seen { image, processes, ..Seen::default() }).map(|floor| floor.program)
        };
        assert_eq!(of("bitnami/redis:7", &[]), Some("Redis"));
        assert_eq!(of("docker.elastic.co/elasticsearch/elasticsearch:8.17.0", &["java"]), Some("Elasticsearch"));
        assert_eq!(of("shop/api:1", &["sh", "java"]), Some("JVM"));
        assert_eq!(of("node:20", &["python3"]), Some("Node.js"), "what builds its modules is a helper");
        assert_eq!(of("shop/api:1", &["api"]), None);
    }

    #[test]
    fn each_floor_is_a_size_that_people_write_and_has_a_source() {
        for row in &TABLE {
            let Floor { program, bytes, source } = row.floor;
            assert_eq!(crate::advise::sizes::at_least(bytes), bytes, "{program}");
            assert!(source.contains([',', ':']), "{program}: {source}");
        }
    }
}
