//! A recording in which everything happens at once: a leak that is killed every 130 s, one every 14 s whose containers are made
//! anew, a working set killed at each start, a worker killed below a server that lives, a tmpfs that is full beside a JVM, containers
//! that live for a moment, and cgroups that come and go.
#![allow(clippy::unwrap_used, dead_code, reason = "a test panics, and not each uses all")]

use std::path::Path;

use sampler::journal::writer::Writer;
use sampler::model::event::{Event, EventKind};
use sampler::model::evidence::{Constraint, OomKill, OomReport, TaskRow, Trigger, Usage, Victim, WitnessKind};
use sampler::model::fields::{FieldId, UNLIMITED};
use sampler::model::identity::Identity;
use sampler::model::recording::Subject;
use sampler::model::sample::{PassHead, PassKind, Row};
use sampler::model::sink::Sink;

use crate::journal;

pub const MIB: u64 = 1 << 20;
/// Tenths of a second that are recorded.
const END: u64 = 11_000;

/// What a cgroup holds.
#[derive(Clone, Copy, Default)]
struct Held {
    anon: u64,
    shmem: u64,
    sock: u64,
}

/// One life of a cgroup.
struct Life {
    path: String,
    who: Option<Identity>,
    comm: &'static str,
    limit: u64,
    /// Tenths of a second.
    from: u64,
    to: u64,
    held: Box<dyn Fn(u64) -> Held>,
    /// Kills, each in its tenth of a second.
    kills: Vec<u64>,
    /// Whether its limit is read.
    read: bool,
}

/// A path whose id is this digit again and again.
pub fn path(digit: u8) -> String {
    format!("/docker/{}", format!("{digit:02x}").repeat(32))
}

fn service(path: &str, service: &str) -> Option<Identity> {
    let mut who = Identity::container("docker", &path[8..]);
    who.name = Some(format!("shop-{service}-1"));
    who.image = Some(format!("shop/{service}:1"));
    who.label([
        ("com.docker.compose.project".to_owned(), "shop".to_owned()),
        ("com.docker.compose.service".to_owned(), service.to_owned()),
    ]);
    Some(who)
}

fn anon(bytes: f64) -> Held {
    Held { anon: bytes as u64, ..Held::default() }
}

/// Lives of `span` tenths, one after the other with `pause` between them, each from 8 MiB to its limit.
fn rising(
    all: &mut Vec<Life>,
    name: &'static str,
    ids: impl Fn(u64) -> u8,
    limit: u64,
    from: u64,
    span: u64,
    pause: u64,
) {
    for n in 0..8u64 {
        let path = path(ids(n));
        // No two lives are the same: their paces differ by up to a tenth.
        let own = span - span / 10 * (n % 3) / 2;
        let begin = from + n * (span + pause);
        let held = move |t: u64| anon((8.0 + (limit as f64 - 8.0) * t as f64 / own as f64) * MIB as f64);
        let who = service(&path, name);
        all.push(Life {
            path,
            who,
            comm: "python3",
            limit,
            from: begin,
            to: begin + own + 3,
            held: Box::new(held),
            kills: vec![begin + own],
            read: true,
        });
    }
}

fn lives() -> Vec<Life> {
    let mut all = Vec::new();
    rising(&mut all, "backend", |_| 0x11, 160, 50, 1300, 10);
    rising(&mut all, "worker", |n| 0x21 + n as u8, 96, 700, 140, 10);
    // A need of 200 MiB and a limit of 64, filled within 2 s; started again after 20 s.
    for n in 0..12u64 {
        let begin = 400 + n * 220;
        let path = path(0x31);
        let held = |t: u64| anon((4.0 + 3.0 * t as f64).min(64.0) * MIB as f64);
        let who = service(&path, "import");
        all.push(Life {
            path,
            who,
            comm: "java",
            limit: 64,
            from: begin,
            to: begin + 22,
            held: Box::new(held),
            kills: vec![begin + 20],
            read: true,
        });
    }
    // A server of 30 MiB whose worker rises to 150 and is killed, every 60 s.
    let held = |t: u64| anon((30.0 + 0.2 * (t % 600) as f64) * MIB as f64);
    let path_of = path(0x41);
    let kills = (1..=18).map(|n| 100 + n * 600 - 1).collect();
    all.push(Life {
        who: service(&path_of, "prefork"),
        path: path_of,
        comm: "gunicorn",
        limit: 150,
        from: 100,
        to: END,
        held: Box::new(held),
        kills,
        read: true,
    });
    // A full tmpfs: kills that never pause for a minute.
    let held = |t: u64| Held { anon: 3 * MIB, shmem: (t * MIB / 4).min(60 * MIB), sock: 0 };
    let path_of = path(0x51);
    let kills = (0..200).map(|n| 4300 + n * 3).collect();
    all.push(Life {
        who: service(&path_of, "shm"),
        path: path_of,
        comm: "dd",
        limit: 64,
        from: 4000,
        to: END,
        held: Box::new(held),
        kills,
        read: true,
    });
    // A JVM at rest near its limit, killed once in the midst of it.
    let held = |t: u64| anon(190.0 * MIB as f64 + (t * 7919 % 97) as f64 * 40960.0);
    let path_of = path(0x61);
    all.push(Life {
        who: service(&path_of, "jvm"),
        path: path_of,
        comm: "java",
        limit: 200,
        from: 60,
        to: 4503,
        held: Box::new(held),
        kills: vec![4500],
        read: true,
    });
    // Containers that live for a tenth of a second, with a limit that nobody read; one without any row.
    for (digit, from) in [(0x71, 3001), (0x72, 3502)] {
        let path = path(digit);
        let held = |_| anon(9.0 * MIB as f64);
        all.push(Life {
            path,
            who: None,
            comm: "sh",
            limit: 32,
            from,
            to: from + u64::from(digit == 0x71),
            held: Box::new(held),
            kills: vec![from],
            read: false,
        });
    }
    // What holds its memory in sockets, at rest.
    let held = |_| Held { anon: 20 * MIB, shmem: 0, sock: 30 * MIB };
    all.push(Life {
        path: "/system.slice/queue.service".into(),
        who: None,
        comm: "queue",
        limit: 0,
        from: 0,
        to: END,
        held: Box::new(held),
        kills: Vec::new(),
        read: true,
    });
    for n in 0..200u64 {
        let held = move |t: u64| anon((2.0 + (n % 7) as f64 + 0.1 * t as f64) * MIB as f64);
        all.push(Life {
            path: format!("/noise/job{}", n % 10),
            who: None,
            comm: "job",
            limit: 0,
            from: n * 55,
            to: n * 55 + 60,
            held: Box::new(held),
            kills: Vec::new(),
            read: true,
        });
    }
    all
}

fn kill(life: &Life, held: Held, pid: i32) -> EventKind {
    let limit = life.limit * MIB;
    let victim = Victim { pid, comm: life.comm.into(), anon_rss: held.anon, shmem_rss: 0, ..Victim::default() };
    // At that moment the limit is full.
    let anon = limit - held.shmem.min(limit);
    let report = OomReport {
        constraint: Constraint::Memcg,
        oom_memcg: Some(life.path.clone()),
        task_memcg: Some(life.path.clone()),
        trigger: Some(Trigger { comm: life.comm.into(), ..Trigger::default() }),
        victim: victim.clone(),
        memory: Some(Usage { usage: limit, limit: Some(limit), failcnt: 9 }),
        stats: vec![
            ("anon".into(), anon),
            ("file".into(), held.shmem),
            ("shmem".into(), held.shmem),
            ("kernel".into(), 0),
        ],
        tasks: vec![TaskRow {
            pid,
            uid: 0,
            total_vm: limit,
            rss: anon,
            swap: 0,
            pgtables: 0,
            oom_score_adj: 0,
            comm: life.comm.into(),
        }],
        ..OomReport::default()
    };
    EventKind::OomKill(Box::new(OomKill {
        time_ns: 0,
        constraint: Constraint::Memcg,
        victim_cgroup: Some(life.path.clone()),
        limit_cgroup: Some(life.path.clone()),
        victim: Some(victim),
        witnesses: vec![WitnessKind::Kmsg],
        report: Some(Box::new(report)),
        probe: None,
        hit: None,
    }))
}

/// Writes it up to a tenth of a second, as an agent that is stopped then does.
pub fn write(dir: &Path, until: u64) {
    let mut origin = journal::origin();
    origin.host = "field".into();
    let begin = origin.anchor.mono_ns;
    let mut writer = journal::create(dir);
    let lives = lives();
    writer.subject(0, &Subject::host());
    let event = |writer: &mut Writer, tenth: u64, cgroup: Option<&str>, what: EventKind| {
        let mono_ns = begin + tenth * 100_000_000 + 20_000_000;
        writer.event(&Event { mono_ns, cgroup: cgroup.map(str::to_owned), what });
    };
    let start = EventKind::AgentStart { version: "0".into(), interval_us: 100_000, slow_interval_us: 1_000_000 };
    event(&mut writer, 0, None, start);
    for tenth in 0..END.min(until) {
        for (n, life) in lives.iter().enumerate() {
            if life.from == tenth {
                writer.subject(n as u32 + 1, &Subject { cgroup: life.path.clone(), id: n as u64 + 100, process: None });
                event(&mut writer, tenth, Some(&life.path), EventKind::CgroupCreated);
                if let Some(who) = &life.who {
                    event(&mut writer, tenth, Some(&life.path), EventKind::Named(Box::new(who.clone())));
                }
            }
        }
        let alive: Vec<(usize, &Life)> =
            lives.iter().enumerate().filter(|(_, life)| (life.from..life.to).contains(&tenth)).collect();
        let slow = tenth % 10 == 0;
        let kind = if slow { PassKind::Full } else { PassKind::Fast };
        let head = PassHead { kind, mono_ns: begin + tenth * 100_000_000, rows: alive.len() as u32 };
        writer.pass(head);
        for (n, life) in &alive {
            let emptied = life.kills.first().is_some_and(|kill| *kill < tenth && life.kills.len() == 1);
            let held = if emptied { Held::default() } else { (life.held)(tenth - life.from) };
            let mut row = Row::new(*n as u32 + 1);
            let sum = held.anon + held.shmem + held.sock;
            let mut put = |id: FieldId, value: u64| row.put(id.field(), value);
            put(FieldId::Current, sum);
            let kills = life.kills.iter().filter(|kill| **kill < tenth).count() as u64;
            put(FieldId::EventsOomKill, kills);
            put(FieldId::EventsMax, kills);
            if slow {
                put(FieldId::Anon, held.anon);
                put(FieldId::File, held.shmem);
                put(FieldId::Shmem, held.shmem);
                put(FieldId::Kernel, 0);
                put(FieldId::Sock, held.sock);
                put(FieldId::SlabReclaimable, 0);
                put(FieldId::SlabUnreclaimable, 0);
                if life.read {
                    put(FieldId::Max, if life.limit == 0 { UNLIMITED } else { life.limit * MIB });
                }
            }
            writer.row(head, &row);
        }
        if slow {
            let head = PassHead { kind: PassKind::Host, mono_ns: begin + tenth * 100_000_000, rows: 1 };
            writer.pass(head);
            let mut row = Row::new(0);
            for (id, gib) in
                [(FieldId::MemTotal, 22), (FieldId::MemAvailable, 20), (FieldId::SwapTotal, 0), (FieldId::SwapFree, 0)]
            {
                row.put(id.field(), gib << 30);
            }
            writer.row(head, &row);
        }
        for (n, life) in lives.iter().enumerate() {
            for kill_at in life.kills.iter().filter(|kill| **kill == tenth) {
                let held = (life.held)(tenth - life.from);
                event(
                    &mut writer,
                    tenth,
                    Some(&life.path),
                    kill(life, held, (n as i32 + 1) * 1000 + (*kill_at % 900) as i32),
                );
            }
            if life.to == tenth + 1 {
                event(&mut writer, tenth, Some(&life.path), EventKind::CgroupRemoved);
            }
        }
    }
    event(&mut writer, END.min(until), None, EventKind::AgentStop { reason: "SIGTERM".into() });
    writer.flush(true);
}
