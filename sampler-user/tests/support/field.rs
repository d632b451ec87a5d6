//! A machine as it is met in the field: sixty cgroups of which eight are somebody's containers; one leaks, two kills in two others.
#![allow(clippy::unwrap_used, dead_code, reason = "a test panics, and not each uses all")]

use std::path::Path;

use sampler::journal::writer::{NoOwner, Rotation, Writer};
use sampler::model::event::{Event, EventKind};
use sampler::model::evidence::{Constraint, OomKill, OomReport, Usage, Victim, WitnessKind};
use sampler::model::fields::{FieldId, UNLIMITED};
use sampler::model::identity::Identity;
use sampler::model::recording::{Origin, Subject};
use sampler::model::sample::{PassHead, PassKind, Row};
use sampler::model::sink::Sink;
use sampler::model::time::Anchor;

const MIB: u64 = 1 << 20;
/// Seconds that are recorded.
const END: u64 = 1200;

struct Cgroup {
    path: String,
    who: Option<Identity>,
    /// MiB; 0 is none.
    limit: u64,
    from: u64,
    to: u64,
    /// Anonymous memory and page cache at a second, bytes.
    held: Box<dyn Fn(u64) -> (u64, u64)>,
    /// Second and program of a kill.
    kill: Option<(u64, &'static str)>,
}

/// The path of a container.
pub fn path(n: u64) -> String {
    format!("/docker/{}", format!("{:02x}", n + 0x11).repeat(32))
}

fn container(n: u64, service: &str, limit: u64, held: impl Fn(u64) -> (u64, u64) + 'static) -> Cgroup {
    let mut who = Identity::container("docker", &path(n)[8..]);
    who.name = Some(format!("shop-{service}-1"));
    who.image = Some(format!("shop/{service}:1"));
    who.label([
        ("com.docker.compose.project".to_owned(), "shop".to_owned()),
        ("com.docker.compose.service".to_owned(), service.to_owned()),
    ]);
    Cgroup { path: path(n), who: Some(who), limit, from: 0, to: END, held: Box::new(held), kill: None }
}

fn cgroups() -> Vec<Cgroup> {
    let noise = |t: u64, n: u64| (t * 7919 + n * 31) % 101 * 4096;
    let rest = move |mib: u64, cache: u64| move |t: u64| (mib * MIB + noise(t, mib), cache * MIB);
    let mut all = vec![
        container(0, "postgres", 512, rest(208, 90)),
        container(1, "backend", 512, move |t| (100 * MIB + t * 160_000 + noise(t, 1), 20 * MIB)),
        container(2, "redis", 256, rest(104, 2)),
        // Page cache fills the limit: nobody minds.
        container(3, "files", 128, rest(12, 115)),
        container(4, "frontend", 64, rest(61, 1)),
        container(5, "worker", 256, move |t| (60 * MIB + t % 60 * MIB, 10 * MIB)),
        // Killed at once, and gone.
        Cgroup {
            from: 700,
            to: 706,
            kill: Some((704, "java")),
            ..container(6, "import", 96, |t| (t.saturating_sub(700).min(4) * 23 * MIB + 2 * MIB, MIB))
        },
        // A worker of it is killed, it goes on.
        Cgroup { kill: Some((400, "gunicorn")), ..container(7, "auth", 128, rest(70, 5)) },
    ];
    let plain = |path: String, from: u64, to: u64, mib: u64| Cgroup {
        path,
        who: None,
        limit: 0,
        from,
        to,
        held: Box::new(move |t| (mib * MIB + noise(t, mib), MIB)),
        kill: None,
    };
    for (n, name) in ["cron", "dbus", "docker", "ssh", "systemd-journald", "systemd-udevd"].iter().enumerate() {
        all.push(plain(format!("/system.slice/{name}.service"), 0, END, 4 + 6 * n as u64));
    }
    all.push(plain("/init.scope".into(), 0, END, 9));
    for n in 0..42 {
        all.push(plain(format!("/user.slice/user-0.slice/session-{n}.scope"), n * 25, n * 25 + 20, 3));
    }
    all
}

fn kill(cgroup: &Cgroup, comm: &str, pid: i32) -> EventKind {
    let limit = cgroup.limit * MIB;
    let report = OomReport {
        constraint: Constraint::Memcg,
        oom_memcg: Some(cgroup.path.clone()),
        task_memcg: Some(cgroup.path.clone()),
        memory: Some(Usage { usage: limit, limit: Some(limit), failcnt: 9 }),
        ..OomReport::default()
    };
    EventKind::OomKill(Box::new(OomKill {
        time_ns: 0,
        constraint: Constraint::Memcg,
        victim_cgroup: Some(cgroup.path.clone()),
        limit_cgroup: Some(cgroup.path.clone()),
        victim: Some(Victim { pid, comm: comm.into(), anon_rss: cgroup.limit * MIB, ..Victim::default() }),
        witnesses: vec![WitnessKind::Kmsg],
        report: Some(Box::new(report)),
        probe: None,
        hit: None,
    }))
}

/// Writes it, always with the same times.
pub fn write(dir: &Path) {
    let begin = 1_000_000_000_000;
    let origin = Origin {
        format: 0,
        host: "shop".into(),
        boot_id: "0123456789ab".into(),
        kernel: "6.6.87".into(),
        wsl: None,
        hierarchy: "v2".into(),
        agent: "0".into(),
        cpus: 4,
        page_size: 4096,
        interval_us: 1_000_000,
        slow_interval_us: 1_000_000,
        anchor: Anchor { mono_ns: begin, wall_ns: 1_795_000_000_000_000_000 },
    };
    let mut writer = Writer::create(&dir.join("journal"), origin, Rotation::default(), Box::new(NoOwner)).unwrap();
    let all = cgroups();
    let parents = ["/", "/docker", "/system.slice", "/user.slice"];
    assert!(all.len() + parents.len() >= 60);
    let event = |writer: &mut Writer, second: u64, cgroup: Option<&str>, what: EventKind| {
        let mono_ns = begin + second * 1_000_000_000 + 400_000_000;
        writer.event(&Event { mono_ns, cgroup: cgroup.map(str::to_owned), what });
    };
    writer.subject(0, &Subject::host());
    let subject = |path: &str, id: u64| Subject { cgroup: path.into(), id, process: None };
    parents.iter().zip(1..).for_each(|(path, n)| writer.subject(n, &subject(path, u64::from(n))));
    let start = EventKind::AgentStart { version: "0".into(), interval_us: 1_000_000, slow_interval_us: 1_000_000 };
    event(&mut writer, 0, None, start);
    for t in 0..END {
        for (n, one) in all.iter().enumerate().filter(|(_, one)| one.from == t) {
            writer.subject(n as u32 + 10, &subject(&one.path, n as u64 + 100));
            event(&mut writer, t, Some(&one.path), EventKind::CgroupCreated);
            if let Some(who) = &one.who {
                event(&mut writer, t, Some(&one.path), EventKind::Named(Box::new(who.clone())));
            }
        }
        let alive: Vec<(usize, &Cgroup)> =
            all.iter().enumerate().filter(|(_, one)| (one.from..one.to).contains(&t)).collect();
        let head = PassHead {
            kind: PassKind::Full,
            mono_ns: begin + t * 1_000_000_000,
            rows: (alive.len() + parents.len()) as u32,
        };
        writer.pass(head);
        let mut put = |number: u32, (anon, file): (u64, u64), limit: u64, kills: u64| {
            let mut row = Row::new(number);
            for (id, value) in [
                (FieldId::Current, anon + file),
                (FieldId::Anon, anon),
                (FieldId::File, file),
                (FieldId::Shmem, 0),
                (FieldId::Max, if limit == 0 { UNLIMITED } else { limit * MIB }),
                (FieldId::EventsOomKill, kills),
                (FieldId::LocalOomKill, kills),
            ] {
                row.put(id.field(), value);
            }
            writer.row(head, &row);
        };
        let kills = |one: &Cgroup| u64::from(one.kill.is_some_and(|(at, _)| at < t));
        for (parent, number) in parents.iter().zip(1..) {
            let below =
                alive.iter().filter(|(_, one)| one.path.starts_with(&format!("{}/", parent.trim_end_matches('/'))));
            let sum = below.fold((0, 0, 0), |sum, (_, one)| {
                let (anon, file) = (one.held)(t);
                (sum.0 + anon, sum.1 + file, sum.2 + kills(one))
            });
            put(number, (sum.0, sum.1), 0, sum.2);
        }
        for (n, one) in &alive {
            put(*n as u32 + 10, (one.held)(t), one.limit, kills(one));
        }
        let head = PassHead { kind: PassKind::Host, mono_ns: begin + t * 1_000_000_000, rows: 1 };
        writer.pass(head);
        let mut row = Row::new(0);
        for (id, mib) in
            [(FieldId::MemTotal, 8192), (FieldId::MemAvailable, 5000), (FieldId::SwapTotal, 0), (FieldId::SwapFree, 0)]
        {
            row.put(id.field(), mib * MIB);
        }
        writer.row(head, &row);
        for (n, one) in all.iter().enumerate() {
            if let Some((_, comm)) = one.kill.filter(|(at, _)| *at == t) {
                event(&mut writer, t, Some(&one.path), kill(one, comm, 4000 + n as i32));
            }
            if one.to == t + 1 {
                event(&mut writer, t, Some(&one.path), EventKind::CgroupRemoved);
            }
        }
    }
    event(&mut writer, END, None, EventKind::AgentStop { reason: "SIGTERM".into() });
    writer.flush(true);
}
