//! A recording of five services as Compose makes them: names, labels, limits, and health checks in step.
#![allow(clippy::unwrap_used, dead_code, reason = "a test panics, and not each uses all")]

use std::path::Path;

use sampler::model::event::{Event, EventKind};
use sampler::model::fields::{FieldId, UNLIMITED};
use sampler::model::identity::Identity;
use sampler::model::recording::Subject;
use sampler::model::sample::{PassHead, PassKind, Row};
use sampler::model::sink::Sink;

use crate::journal;

pub const MIB: u64 = 1 << 20;

/// A service: name, image, limit and highest working set in MiB.
pub type Service = (&'static str, &'static str, u64, u64);

pub const SHOP: [Service; 5] = [
    ("backend", "shop/backend:1", 2048, 840),
    ("auth", "shop/auth:1", 1024, 425),
    ("frontend", "nginx:1.25", 1024, 205),
    ("postgres", "postgres:15", 512, 208),
    ("redis", "redis:7", 256, 104),
];

/// A container of a made-up machine.
pub struct Container {
    pub name: String,
    pub image: &'static str,
    /// Project and service of Compose.
    pub compose: Option<(&'static str, String)>,
    /// Limit, MiB; 0 is none.
    pub limit: u64,
    /// Page cache, MiB.
    pub cache: u64,
    /// Anonymous memory at a second, bytes.
    pub holds: Box<dyn Fn(u64) -> u64>,
}

/// Memory of the machine, what is available of it, and swap, which is free; bytes.
pub struct Machine {
    pub total: u64,
    pub available: u64,
    pub swap: u64,
}

/// Writes 40 minutes at 1 Hz of `services` on a machine with 8 GiB and this much swap.
pub fn write(dir: &Path, services: &[Service], swap: u64) {
    let containers: Vec<Container> = services
        .iter()
        .enumerate()
        .map(|(n, &(name, image, limit, most))| Container {
            name: format!("shop-{name}-1"),
            image,
            compose: Some(("shop", name.to_owned())),
            limit,
            cache: 30,
            holds: Box::new(move |second| {
                // A health check every 30 s takes a tenth for a second; the highest is one of them.
                let check = if second % 30 == 7 { most / 10 } else { 0 };
                let wobble = (second * 7919 + n as u64 * 31) % 64 * 4096;
                (most - most / 10 + check) * MIB - 64 * 4096 + wobble
            }),
        })
        .collect();
    record(dir, &Machine { total: 8192 * MIB, available: 5000 * MIB, swap }, &containers, 0..2400);
}

/// Writes a recording of all of them at once, with a row at each of these seconds.
pub fn record(dir: &Path, machine: &Machine, containers: &[Container], seconds: impl Iterator<Item = u64>) {
    record_on("host/../x", dir, machine, containers, seconds);
}

/// The same, of a host of this name.
pub fn record_on(
    host: &str,
    dir: &Path,
    machine: &Machine,
    containers: &[Container],
    seconds: impl Iterator<Item = u64>,
) {
    let mut origin = journal::origin();
    origin.host = host.into();
    let begin = origin.anchor.mono_ns;
    let mut writer = journal::create_of(dir, origin);
    let path = |n: usize| format!("/docker/{}", format!("{:02x}", n + 17).repeat(32));
    writer.subject(0, &Subject::host());
    for (n, container) in containers.iter().enumerate() {
        writer.subject(n as u32 + 1, &Subject { cgroup: path(n), id: n as u64 + 100, process: None });
        let mut who = Identity::container("docker", &path(n)[8..]);
        who.name = Some(container.name.clone());
        who.image = Some(container.image.into());
        if let Some((project, service)) = &container.compose {
            who.label([
                ("com.docker.compose.project".to_owned(), (*project).to_owned()),
                ("com.docker.compose.service".to_owned(), service.clone()),
            ]);
        }
        writer.event(&Event { mono_ns: begin, cgroup: Some(path(n)), what: EventKind::Named(Box::new(who)) });
    }
    for second in seconds {
        let mono_ns = begin + second * 1_000_000_000;
        let head = PassHead { kind: PassKind::Full, mono_ns, rows: containers.len() as u32 };
        writer.pass(head);
        for (n, container) in containers.iter().enumerate() {
            let (anon, cache) = ((container.holds)(second), container.cache * MIB);
            let mut row = Row::new(n as u32 + 1);
            for (id, value) in [
                (FieldId::Current, anon + cache),
                (FieldId::Anon, anon),
                (FieldId::File, cache),
                (FieldId::InactiveFile, cache),
                (FieldId::ActiveFile, 0),
                (FieldId::Max, if container.limit == 0 { UNLIMITED } else { container.limit * MIB }),
                (FieldId::EventsMax, 0),
                (FieldId::EventsOomKill, 0),
            ] {
                row.put(id.field(), value);
            }
            writer.row(head, &row);
        }
        let head = PassHead { kind: PassKind::Host, mono_ns, rows: 1 };
        writer.pass(head);
        let mut row = Row::new(0);
        for (id, value) in [
            (FieldId::MemTotal, machine.total),
            (FieldId::MemAvailable, machine.available),
            (FieldId::SwapTotal, machine.swap),
            (FieldId::SwapFree, machine.swap),
        ] {
            row.put(id.field(), value);
        }
        writer.row(head, &row);
    }
    writer.flush(true);
}
