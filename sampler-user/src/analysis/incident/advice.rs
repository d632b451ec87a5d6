//! What to change, with the numbers it rests on.

use serde::{Deserialize, Serialize};

use crate::analysis::incident::context::IncidentContext;
use crate::model::units::printable;

/// One change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Advice {
    /// What to do.
    pub what: String,
    /// The line that does it, and where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// The numbers it rests on.
    pub because: String,
}

/// Room above what was used, as a part of it.
pub const MARGIN: f64 = 0.25;

/// What was used, bytes, and [`MARGIN`] above it, in steps of 16 MiB.
pub fn with_margin(used: u64) -> u64 {
    ((used as f64 * (1.0 + MARGIN)) as u64).next_multiple_of(16 << 20)
}

/// A size in bytes as configuration files write it: `64M`.
pub fn config_size(bytes: u64) -> String {
    format!("{}M", (bytes >> 20).max(1))
}

/// The line that sets a cgroup's limit, bytes, and the file or command it belongs to.
pub fn limit_setting(context: &IncidentContext, path: &str, bytes: u64) -> String {
    let last = path.rsplit('/').next().unwrap_or(path);
    let who = context.called(path);
    let service = context.names.of(path, |_| None).and_then(|who| who.service);
    let service = service.map_or_else(|| who.clone(), |service| printable(&service));
    let size = config_size(bytes);
    if last.ends_with(".service") || last.ends_with(".slice") {
        format!("systemd: systemctl set-property {who} MemoryMax={size}")
    } else if path == "/wsl-user" {
        format!(".wslconfig: [wsl2] memory={size}")
    } else {
        format!("compose, service {service}: mem_limit: {}", size.to_ascii_lowercase())
    }
}
