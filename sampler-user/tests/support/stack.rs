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

/// Writes 40 minutes at 1 Hz of `services` on a machine with 8 GiB and this much swap.
pub fn write(dir: &Path, services: &[Service], swap: u64) {
    let mut origin = journal::origin();
    origin.host = "shop".into();
    let begin = origin.anchor.mono_ns;
    let mut writer = journal::create(dir);
    let path = |n: usize| format!("/docker/{}", format!("{:02x}", n + 17).repeat(32));
    writer.subject(0, &Subject::host());
    for (n, (name, image, ..)) in services.iter().enumerate() {
        let subject = Subject { cgroup: path(n), id: n as u64 + 100, process: None };
        writer.subject(n as u32 + 1, &subject);
        let mut who = Identity::container("docker", &path(n)[8..]);
        who.name = Some(format!("shop-{name}-1"));
        who.image = Some((*image).into());
        who.label([
            ("com.docker.compose.project".to_owned(), "shop".to_owned()),
            ("com.docker.compose.service".to_owned(), (*name).to_owned()),
        ]);
        writer.event(&Event { mono_ns: begin, cgroup: Some(path(n)), what: EventKind::Named(Box::new(who)) });
    }
    for second in 0..2400u64 {
        let mono_ns = begin + second * 1_000_000_000;
        let head = PassHead { kind: PassKind::Full, mono_ns, rows: services.len() as u32 };
        writer.pass(head);
        for (n, (_, _, limit, most)) in services.iter().enumerate() {
            // A health check every 30 s takes a tenth for a second; the highest is one of them.
            let check = if second % 30 == 7 { most / 10 } else { 0 };
            let wobble = (second * 7919 + n as u64 * 31) % 64 * 4096;
            let anon = (most - most / 10 + check) * MIB - 64 * 4096 + wobble;
            let mut row = Row::new(n as u32 + 1);
            for (id, value) in [
                (FieldId::Current, anon + 30 * MIB),
                (FieldId::Anon, anon),
                (FieldId::File, 30 * MIB),
                (FieldId::InactiveFile, 30 * MIB),
                (FieldId::ActiveFile, 0),
                (FieldId::Max, if *limit == 0 { UNLIMITED } else { limit * MIB }),
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
            (FieldId::MemTotal, 8192 * MIB),
            (FieldId::MemAvailable, 5000 * MIB),
            (FieldId::SwapTotal, swap),
            (FieldId::SwapFree, swap),
        ] {
            row.put(id.field(), value);
        }
        writer.row(head, &row);
    }
    writer.flush(true);
}
