//! What this host offers the recorder and its probe, and what to do where it offers less.
//!
//! A check looks at facts and says what it found. What it needs, it reads below a root, so that its tests can lay a host out.

mod around;
mod checks;
mod hierarchy;
mod host;
mod wsl;

pub use self::host::{Check, Finding, Host, Look, State};
pub use checks::CHECKS;
pub use wsl::{Settings, reclaim, settings};

/// Asks all checks.
pub fn examine(host: &Host) -> Vec<Finding> {
    let ask = |check: &Check| {
        let (state, what, fix) = (check.look)(host);
        Finding { check: check.name, state, what, fix: fix.map(str::to_owned) }
    };
    CHECKS.iter().filter(|check| !check.of_wsl || host.is_wsl()).map(ask).collect()
}
