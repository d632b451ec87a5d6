//! Node.js: the old space is a part; young space, buffers and code come on top. Node 12 and later take a size from the memory
//! they see, which is the limit only on cgroup versions they know: said in so many words it is right everywhere.

use crate::advise::server::seen::{Seen, Server, Setting, part};

pub const SERVER: Server =
    Server { name: "Node.js", is: |seen| seen.is_image(&["node"]) || seen.runs(&["node", "npm", "yarn"]), settings };

const KEY: &str = "--max-old-space-size";
const PART: f64 = 0.75;
/// Least old space, MiB: less than the young space of three times 16 MiB has nowhere to move what survives.
const LEAST_MIB: u64 = 48;

fn settings(seen: &Seen) -> Vec<Setting> {
    let options = seen.variable("NODE_OPTIONS").unwrap_or_default();
    let in_options =
        options.split_whitespace().find_map(|word| word.strip_prefix(KEY)?.strip_prefix('=').map(str::to_owned));
    let now = seen.option(KEY.trim_start_matches('-')).or(in_options);
    let most = part(seen.limit, PART).max(LEAST_MIB);
    vec![Setting {
        key: KEY.into(),
        value: most.to_string(),
        line: format!("environment: NODE_OPTIONS={KEY}={most}"),
        because: "three quarters of the limit, in MiB: it collects before it is killed".into(),
        out_of_proportion: now.as_deref().is_none_or(|now| now.parse::<u64>().is_ok_and(|now| now > most + most / 8)),
        seen: now,
    }]
}
