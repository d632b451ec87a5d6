//! Redis: maxmemory with room for copy-on-write while it saves, buffers and fragmentation (its documentation, "Memory
//! optimization", asks for room above it), and a policy, because without one writes fail when it is full.

use crate::advise::server::seen::{Seen, Server, Setting, part, size};

pub const SERVER: Server = Server {
    name: "Redis",
    is: |seen| {
        seen.is_image(&["redis", "valkey", "redis-stack-server"]) || seen.runs(&["redis-server", "valkey-server"])
    },
    settings,
};

const PART: f64 = 0.75;
/// Least maxmemory, MiB: an empty server holds 3 MB (redis.io, FAQ), and below it nearly every write evicts.
const LEAST_MIB: u64 = 16;

fn settings(seen: &Seen) -> Vec<Setting> {
    let most = part(seen.limit, PART).max(LEAST_MIB);
    let now = seen.option("maxmemory");
    let bytes = now.as_deref().and_then(size).filter(|bytes| *bytes > 0);
    let policy = seen.option("maxmemory-policy");
    let wanted = policy.clone().filter(|policy| policy != "noeviction").unwrap_or_else(|| "allkeys-lru".into());
    vec![
        Setting {
            key: "maxmemory".into(),
            line: format!("command: redis-server --maxmemory {most}mb"),
            because: "three quarters of the limit; without a setting it grows until it is killed".into(),
            // None at all has no bound.
            out_of_proportion: bytes.is_none_or(|bytes| bytes > (most << 20) + (most << 18) / 2),
            value: format!("{most}mb"),
            seen: now,
        },
        Setting {
            key: "maxmemory-policy".into(),
            line: format!("command: redis-server --maxmemory-policy {wanted}"),
            because: "for a cache; where keys must stay keep noeviction, and give it room".into(),
            out_of_proportion: policy.is_none(),
            value: wanted,
            seen: policy,
        },
    ]
}
