//! A journal that nobody owns, of a host with a untrusted name.
#![allow(clippy::unwrap_used, dead_code, reason = "a test panics, and not each uses all")]

use std::path::Path;

use sampler::journal::writer::{NoOwner, Rotation, Writer};
use sampler::model::recording::Origin;
use sampler::model::time::Anchor;

/// Of a host with a untrusted name.
pub fn origin() -> Origin {
    Origin {
        format: 0,
        host: "host/../x".into(),
        boot_id: "0123456789ab".into(),
        kernel: "6.1".into(),
        wsl: None,
        hierarchy: "v2".into(),
        agent: "0".into(),
        cpus: 2,
        page_size: 4096,
        interval_us: 100_000,
        slow_interval_us: 1_000_000,
        anchor: Anchor::now(),
    }
}

/// Begins one in `dir`.
pub fn create(dir: &Path) -> Writer {
    create_of(dir, origin())
}

/// The same, of a place of its own.
pub fn create_of(dir: &Path, origin: Origin) -> Writer {
    Writer::create(&dir.join("journal"), origin, Rotation::default(), Box::new(NoOwner)).unwrap()
}
