//! PostgreSQL: shared_buffers a quarter of the memory (its documentation, "Resource Consumption"); a connection takes 5 MB and
//! its work_mem several times, one for each sort or hash of a query.

use crate::advise::server::seen::{Seen, Server, Setting, part, size};

pub const SERVER: Server = Server {
    name: "PostgreSQL",
    is: |seen| {
        seen.is_image(&["postgres", "postgresql", "postgis", "timescaledb", "pgvector"]) || seen.runs(&["postgres"])
    },
    settings,
};

/// What one connection takes without its sorts, MiB, and the part of the limit that all of them may.
const CONNECTION_MIB: f64 = 5.0;
const CONNECTIONS: f64 = 0.6;
/// Fewest connections: what initdb tries last when shared memory is short (`trial_conns` of initdb.c). Three of them are reserved.
const LEAST_CONNECTIONS: u64 = 20;
/// Least shared_buffers, MiB: initdb's own default until 9.2. The server starts with 128 kB, and reads all from disk.
const LEAST_BUFFERS_MIB: u64 = 32;
/// Sorts and hashes of a query at the same time.
const SORTS: u64 = 3;
/// What holds without a setting.
const USUAL_BUFFERS: u64 = 128 << 20;
const USUAL_CONNECTIONS: u64 = 100;
const USUAL_WORK: u64 = 4 << 20;

fn settings(seen: &Seen) -> Vec<Setting> {
    let mib = seen.limit >> 20;
    let buffers = part(seen.limit, 0.25).max(LEAST_BUFFERS_MIB);
    let connections = ((mib as f64 * CONNECTIONS / CONNECTION_MIB) as u64).clamp(LEAST_CONNECTIONS, 100);
    let work = (mib.saturating_sub(buffers) / (connections * SORTS)).clamp(1, 64);
    let one = |key: &str, value: String, usual: u64, most: u64, read: fn(&str) -> Option<u64>, because: String| {
        let given = seen.option(key);
        let now = given.as_deref().map_or(Some(usual), read);
        Setting {
            key: key.into(),
            line: format!("command: postgres -c {key}={value}"),
            out_of_proportion: now.is_some_and(|now| now > most),
            seen: given,
            value,
            because,
        }
    };
    let number = |text: &str| text.parse().ok();
    // A little above is no fault.
    let above = |bytes: u64| bytes + bytes / 4;
    vec![
        one(
            "shared_buffers",
            format!("{buffers}MB"),
            USUAL_BUFFERS,
            above(buffers << 20),
            size,
            format!("a quarter of {mib} MiB; without a setting it is 128MB"),
        ),
        one(
            "max_connections",
            connections.to_string(),
            USUAL_CONNECTIONS,
            above(connections),
            number,
            format!("each takes about {CONNECTION_MIB:.0} MiB; without a setting there are 100"),
        ),
        one(
            "work_mem",
            format!("{work}MB"),
            USUAL_WORK,
            above(work << 20),
            size,
            format!(
                "{connections} connections × {SORTS} sorts in what shared_buffers leave; without a setting it is 4MB"
            ),
        ),
    ]
}
