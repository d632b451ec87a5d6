//! ClickHouse: max_server_memory_usage below the limit (without it, it is 0.9 of the memory it sees), and a mark cache that is
//! 5 GiB without a setting, whatever the limit ("Server settings" of its documentation).

use crate::advise::server::seen::{Seen, Server, Setting};

pub const SERVER: Server = Server {
    name: "ClickHouse",
    is: |seen| {
        seen.is_image(&["clickhouse-server", "clickhouse"]) || seen.runs(&["clickhouse-serv", "clickhouse-server"])
    },
    settings,
};

const PART: f64 = 0.8;
const MARKS: f64 = 0.1;
/// Least of either, bytes: its documentation asks for 4 GB, and a quarter of that still answers simple queries; a mark cache that is
/// too small reads the marks of each query anew.
const LEAST_MEMORY: u64 = 768 << 20;
const LEAST_MARKS: u64 = 64 << 20;

fn settings(seen: &Seen) -> Vec<Setting> {
    let one = |key: &str, part: f64, least: u64, because: &str| {
        let value = ((seen.limit as f64 * part) as u64).max(least);
        let given = seen.option(key);
        let now = given.as_deref().and_then(|text| text.parse::<u64>().ok());
        Setting {
            key: key.into(),
            line: format!("config.d/memory.xml: <clickhouse><{key}>{value}</{key}></clickhouse>"),
            out_of_proportion: now.is_none_or(|now| now > value + value / 8),
            seen: given,
            value: value.to_string(),
            because: because.into(),
        }
    };
    vec![
        one(
            "max_server_memory_usage",
            PART,
            LEAST_MEMORY,
            "four fifths of the limit, so that a query fails before the server is killed",
        ),
        one("mark_cache_size", MARKS, LEAST_MARKS, "a tenth of the limit; without a setting it may grow to 5 GiB"),
    ]
}
