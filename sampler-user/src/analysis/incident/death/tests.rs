use std::sync::Arc;

use crate::analysis::incident::cause::CauseClass;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::finder::{MOST, WAIT_US};
use crate::analysis::incident::death::process_end::{ABORT, KILL, TERM};
use crate::analysis::incident::death::sender::SenderKind;
use crate::analysis::incident::death::{Death, DeathFinder, find};
use crate::analysis::incident::incident_ref::{self, IncidentKind};
use crate::analysis::incident::trace::Trace;
use crate::analysis::incident::{Incident, explain};
use crate::model::event::{Event, EventKind};
use crate::model::evidence::{Constraint, OomKill, SentSignal, SignalOrigin, Victim};
use crate::model::fields::{FieldId, Table};
use crate::model::recording::{Origin, ProcessKey, Series, Subject, TimedEvent};
use crate::model::sample::Row;
use crate::model::time::Anchor;

const MIB: u64 = 1 << 20;
const WEB: &str = "/docker/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const DB: &str = "/docker/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn at(s: f64, cgroup: &str, what: EventKind) -> TimedEvent {
    let event = Event { mono_ns: (s * 1e9) as u64, cgroup: Some(cgroup.into()), what };
    TimedEvent { time_us: (s * 1e6) as i64, event }
}

fn sent(s: f64, signal: u8, pid: i32, comm: &str) -> SentSignal {
    SentSignal {
        time_ns: (s * 1e9) as u64,
        signal,
        code: 0,
        origin: SignalOrigin::Process,
        ignored: false,
        sender_pid: pid,
        sender_uid: 0,
        sender_comm: comm.into(),
        sender_cgroup: Some("/system.slice/docker.service".into()),
    }
}

fn by_kernel(s: f64) -> SentSignal {
    SentSignal { origin: SignalOrigin::Kernel, ..sent(s, KILL, 1, "anybody") }
}

/// A process that ended: pid, name, MiB, main, a signal (negative: a code), and the signals it was sent.
fn exit(pid: i32, comm: &str, mib: u64, main: bool, how: i32, signals: Vec<SentSignal>) -> EventKind {
    EventKind::ProcessExit {
        pid,
        own_pid: if main { 1 } else { pid },
        comm: comm.into(),
        uid: 0,
        lived_us: 60_000_000,
        peak_rss: mib * MIB,
        code: (how <= 0).then_some(-how as u8),
        signal: (how > 0).then_some(how as u8),
        main,
        last: false,
        usage: None,
        limit: Some(256 * MIB),
        address_limit: None,
        signals,
    }
}

fn oom(pid: i32, victim: &str) -> EventKind {
    EventKind::OomKill(Box::new(OomKill {
        time_ns: 0,
        constraint: Constraint::Memcg,
        victim_cgroup: Some(victim.into()),
        limit_cgroup: Some(victim.into()),
        victim: Some(Victim { pid, ..Victim::default() }),
        witnesses: Vec::new(),
        report: None,
        probe: None,
        hit: None,
    }))
}

fn docker(cgroup: &str, action: &str, signal: Option<u8>, code: Option<u8>) -> EventKind {
    let container = cgroup.rsplit('/').next().unwrap().to_owned();
    EventKind::ContainerEvent { runtime: "docker".into(), container, action: action.into(), signal, code }
}

fn names(found: &[Death]) -> Vec<&str> {
    found.iter().map(|death| death.comm.as_deref().unwrap_or("-")).collect()
}

#[test]
fn a_docker_kill_is_a_death_with_its_sender_while_the_oom_killer_storms_in_the_same_container_and_beside_it() {
    let mut events = Vec::new();
    for n in 0..40 {
        let s = 5.0 + f64::from(n) * 0.3;
        for (cgroup, pid) in [(WEB, 100 + n), (DB, 200 + n)] {
            events.push(at(s, cgroup, exit(pid, "dd", 20, false, 9, vec![by_kernel(s)])));
            events.push(at(s + 0.01, cgroup, oom(pid, cgroup)));
        }
    }
    events.push(at(10.02, WEB, exit(50, "app", 12, true, 9, vec![sent(10.01, KILL, 7, "runc")])));
    events.push(at(10.03, WEB, exit(51, "helper", 2, false, 9, vec![by_kernel(10.02)])));
    events.sort_by_key(|event| event.time_us);
    let found = find(&events);
    assert_eq!(names(&found), ["app"], "{found:?}");
    assert_eq!(
        found[0].sender.as_ref().map(|sender| (sender.comm.as_str(), sender.kind())),
        Some(("runc", SenderKind::Runtime))
    );
}

#[test]
fn what_the_oom_killer_took_or_what_ended_because_of_it_is_no_death() {
    // The exit comes before its kill is merged; the main process fails once its worker is gone.
    let events = [
        at(5.0, WEB, exit(11, "worker", 200, false, 9, vec![by_kernel(5.0)])),
        at(5.5, WEB, exit(10, "main", 20, true, -1, vec![])),
        // Merged after seconds, of the time when it happened.
        at(5.0, WEB, oom(11, WEB)),
        at(20.0, DB, exit(20, "java", 200, true, 9, vec![by_kernel(20.0)])),
        at(20.1, DB, docker(DB, "oom", None, None)),
        at(20.1, DB, docker(DB, "die", None, Some(137))),
        at(20.0, DB, oom(20, DB)),
        // A kill somewhere else hides nothing.
        at(21.1, WEB, exit(30, "app", 20, true, 11, vec![])),
    ];
    assert_eq!(names(&find(&events)), ["app"]);
    // As an agent hears it: what the kernel did first, in its own order, and asks each second.
    let mut deaths = DeathFinder::default();
    let mut found = Vec::new();
    let mut now = 0;
    for event in &events {
        now = now.max(event.time_us);
        found.extend(deaths.poll(now));
        deaths.on_event(event);
    }
    assert!(found.is_empty(), "too early to know");
    assert_eq!(names(&deaths.poll(21_100_000 + WAIT_US)), ["app"]);
    assert!(deaths.poll(i64::MAX).is_empty(), "each once");
}

#[test]
fn a_storm_of_kills_elsewhere_makes_no_death_of_an_oom_kill() {
    let mut events = vec![at(5.0, WEB, oom(11, WEB)), at(5.1, WEB, exit(10, "main", 20, true, -1, vec![]))];
    events.extend((0..3 * MOST).map(|n| at(5.2 + n as f64 / 5000.0, DB, oom(1000 + n as i32, DB))));
    assert_eq!(find(&events), []);
}

#[test]
fn a_healthy_hour_has_no_deaths() {
    let scope = "/user.slice/user-0.slice/session-3.scope";
    let mut events = Vec::new();
    for n in 0..20 {
        let s = f64::from(n) * 180.0;
        let cron = format!("/docker/cron-{n}");
        events.push(at(s, &cron, exit(n, "job", 100, true, 0, vec![])));
        // `docker stop` in time: by the signal, with its code, with a code of its own, and its cleared-up children.
        let asked = || vec![sent(s + 1.0, TERM, 7, "runc")];
        events.push(at(s + 2.0, WEB, exit(100 + n, "nginx", 100, true, 15, asked())));
        events.push(at(s + 2.1, WEB, exit(101 + n, "worker", 100, false, 9, vec![by_kernel(s + 2.0)])));
        events.push(at(s + 2.2, WEB, docker(WEB, "kill", Some(15), None)));
        events.push(at(s + 2.2, WEB, docker(WEB, "die", None, Some(143))));
        events.push(at(s + 22.0, DB, exit(200 + n, "java", 100, true, -143, asked())));
        events.push(at(s + 42.0, DB, exit(200 + n, "python3", 100, true, -1, vec![sent(s + 41.0, 2, 7, "runc")])));
        events.push(at(s + 42.2, DB, docker(DB, "kill", Some(2), None)));
        events.push(at(s + 42.3, DB, docker(DB, "die", None, Some(1))));
        // `docker exec` that fails, a health check that took too long, a pipeline, a worker that its own master kills.
        events.push(at(s + 60.0, DB, exit(300 + n, "sh", 2, false, -1, vec![])));
        events.push(at(s + 61.0, DB, exit(301 + n, "node", 90, false, 9, vec![sent(s + 61.0, KILL, 7, "runc")])));
        events.push(at(s + 62.0, DB, exit(302 + n, "head", 90, false, 13, vec![])));
        let master = SentSignal { sender_cgroup: Some(DB.into()), ..sent(s + 63.0, KILL, 7, "gunicorn") };
        events.push(at(s + 63.0, DB, exit(303 + n, "gunicorn", 90, false, 9, vec![master])));
        // Logins come and go; a compiler fails.
        let mut shell = exit(304 + n, "bash", 9, false, -130, vec![]);
        if let EventKind::ProcessExit { last, .. } = &mut shell {
            *last = true;
        }
        events.push(at(s + 64.0, scope, shell));
        events.push(at(s + 65.0, scope, exit(305 + n, "cc1plus", 900, false, -1, vec![])));
        events.push(at(s + 66.0, DB, exit(306 + n, "runc:[2:INIT]", 12, true, -1, vec![])));
    }
    assert_eq!(find(&events), []);
}

#[test]
fn a_cgroup_that_is_killed_whole_is_one_death() {
    let killed = |s| SentSignal { origin: SignalOrigin::CgroupKill, ..sent(s, KILL, 77, "sh") };
    let events: Vec<TimedEvent> = (0..5)
        .map(|n| at(5.0 + f64::from(n) * 0.001, "/test/job", exit(10 + n, "sleep", 1, false, 9, vec![killed(5.0)])))
        .chain([at(5.0, "/test/other", exit(90, "sleep", 1, false, 9, vec![]))])
        .collect();
    let found = find(&events);
    assert_eq!((found.len(), found[0].others, found[0].cgroup.as_deref()), (1, 4, Some("/test/job")), "{found:?}");
}

#[test]
fn the_program_that_failed_is_named_and_not_the_shell_that_passed_its_code_on() {
    let own = |s| SentSignal { code: -6, ..sent(s, ABORT, 11, "node") };
    let events = [
        at(5.0, WEB, exit(11, "node", 90, false, 6, vec![own(5.0)])),
        at(5.01, WEB, exit(10, "sh", 1, true, -134, vec![])),
        at(5.2, WEB, docker(WEB, "die", None, Some(134))),
    ];
    let found = find(&events);
    assert_eq!((names(&found), found[0].others), (vec!["node"], 1));
    assert_eq!(found[0].runtime.as_ref().and_then(|account| account.code), Some(134));
}

#[test]
fn without_the_probe_docker_is_the_witness() {
    let events = [
        at(5.0, WEB, docker(WEB, "kill", Some(9), None)),
        at(5.1, WEB, docker(WEB, "die", None, Some(137))),
        at(20.0, DB, docker(DB, "kill", Some(15), None)),
        at(30.0, DB, docker(DB, "kill", Some(9), None)),
        at(30.1, DB, docker(DB, "die", None, Some(137))),
        at(50.0, WEB, docker(WEB, "die", None, Some(1))),
        at(60.0, WEB, docker(WEB, "die", None, Some(0))),
        at(70.0, WEB, docker(WEB, "kill", Some(15), None)),
        at(70.1, WEB, docker(WEB, "die", None, Some(143))),
    ];
    let cause_of = |death: &Death| (death.time_us / 1_000_000, story(death, &[]).cause);
    let found: Vec<_> = find(&events).iter().map(cause_of).collect();
    assert_eq!(found, [(5, CauseClass::Killed), (30, CauseClass::StopTimeout), (50, CauseClass::ExitCode)]);
}

#[test]
fn a_recording_of_before_has_no_deaths_that_it_cannot_know() {
    let old = r#"{"mono_ns":5,"cgroup":"/a","kind":"process_exit","pid":7,"own_pid":1,"comm":"a","uid":0,"lived_us":1,"peak_rss":900000000,"signal":9}"#;
    let event: Event = serde_json::from_str(old).unwrap();
    assert_eq!(find(&[TimedEvent { time_us: 5, event }]), []);
}

/// The page of a death; the memory of its cgroup as seconds before it and MiB.
fn story(death: &Death, points: &[(f64, u64)]) -> Incident {
    explain(&context(death, points))
}

fn context(death: &Death, points: &[(f64, u64)]) -> IncidentContext {
    let incident = incident_ref::IncidentRef {
        kind: IncidentKind::Death,
        at_us: death.time_us,
        kills: Vec::new(),
        more: 0,
        last_us: death.time_us,
        afterwards: None,
        death: Some(Box::new(death.clone())),
    };
    let mut context = IncidentContext::new(&incident, Origin::example(Anchor { mono_ns: 0, wall_ns: 0 }));
    let path = death.cgroup.clone().unwrap_or_default();
    let subject = Arc::new(Subject { cgroup: path.clone(), id: 1, process: None });
    let mut series = Series::new(subject, Table::Samples);
    for (before_s, mib) in points {
        let mut row = Row::new(1);
        row.put(FieldId::Current.field(), mib * MIB);
        row.put(FieldId::Anon.field(), mib * MIB);
        series.push(death.time_us - (before_s * 1e6) as i64, &row);
    }
    context.cgroups.entry(path).or_default().feed(&series);
    context.find_suspect();
    context
}

/// The page of the one death of a process.
fn page(what: EventKind, points: &[(f64, u64)]) -> Incident {
    let found = find(&[at(1000.0, WEB, what)]);
    assert_eq!(found.len(), 1, "{found:?}");
    story(&found[0], points)
}

/// Grows for 25 s and stands for the rest.
fn ceiling(mib: u64) -> Vec<(f64, u64)> {
    (0..=300u32).map(|n| (30.0 - f64::from(n) / 10.0, (mib * u64::from(n) / 250).clamp(4, mib))).collect()
}

#[test]
fn without_the_probe_the_sampled_process_says_what_program_it_was() {
    let found = find(&[at(1000.0, WEB, docker(WEB, "die", None, Some(139)))]);
    assert_eq!(story(&found[0], &ceiling(80)).cause, CauseClass::Crash);
    let mut context = context(&found[0], &ceiling(80));
    let subject = Subject { cgroup: WEB.into(), id: 1, process: None };
    let mut series = Series::new(Arc::new(subject), Table::Processes);
    let mut row = Row::new(1);
    row.put(FieldId::ProcessAnon.field(), 80 * MIB);
    series.push(found[0].time_us - 1000, &row);
    let mut trace = Trace::default();
    trace.feed(&series);
    let key = ProcessKey { pid: 7, start: 0, comm: "node".into() };
    context.processes.push((WEB.into(), key, trace));
    let page = explain(&context);
    assert_eq!(page.cause, CauseClass::OwnCeiling, "{}", page.verdict);
}

fn steady(mib: u64) -> Vec<(f64, u64)> {
    (0..=300u32).map(|n| (30.0 - f64::from(n) / 10.0, mib)).collect()
}

fn itself(signal: u8, code: i32) -> Vec<SentSignal> {
    vec![SentSignal { code, ..sent(1000.0, signal, 9, "itself") }]
}

#[test]
fn a_program_at_its_own_ceiling_differs_from_a_crash_and_from_a_kill() {
    let node = page(exit(9, "node", 80, true, 6, itself(6, -6)), &ceiling(80));
    assert_eq!((node.cause, node.kind), (CauseClass::OwnCeiling, IncidentKind::Death), "{}", node.verdict);
    for part in ["`node`", "ended itself (SIGABRT)", "not an OOM kill", "80 MiB of 256 MiB", "its own ceiling"] {
        assert!(node.verdict.contains(part), "{part}: {}", node.verdict);
    }
    let fault = page(exit(9, "node", 80, true, 11, itself(11, 1)), &ceiling(80));
    assert_eq!(fault.cause, CauseClass::OwnCeiling, "V8 ends with SIGSEGV too: {}", fault.verdict);
    let by_code = page(exit(9, "node", 80, true, -134, vec![]), &ceiling(80));
    assert_eq!(by_code.cause, CauseClass::OwnCeiling, "{}", by_code.verdict);
    for code in [1, 3] {
        let java = page(exit(9, "java", 80, true, -code, vec![]), &ceiling(80));
        assert_eq!(java.cause, CauseClass::OwnCeiling, "code {code}: {}", java.verdict);
        assert!(java.advice[0].setting.as_ref().is_some_and(|setting| setting.contains("-Xmx")));
    }
    let mut python = exit(9, "python3", 120, true, -1, vec![]);
    if let EventKind::ProcessExit { address_limit, .. } = &mut python {
        *address_limit = Some(200 * MIB);
    }
    let python = page(python, &ceiling(120));
    assert_eq!(python.cause, CauseClass::OwnCeiling, "{}", python.verdict);
    assert!(python.verdict.contains("RLIMIT_AS"), "{}", python.verdict);

    let crash = page(exit(9, "nginx", 80, true, 11, itself(11, 1)), &steady(80));
    assert_eq!(crash.cause, CauseClass::Crash, "{}", crash.verdict);
    let plain = page(exit(9, "python3", 80, true, -1, vec![]), &steady(80));
    assert_eq!(plain.cause, CauseClass::ExitCode, "any uncaught exception: {}", plain.verdict);
    let fell = page(exit(9, "node", 200, true, 6, itself(6, -6)), &[(30.0, 200), (20.0, 200), (10.0, 40), (0.1, 40)]);
    assert_ne!(fell.cause, CauseClass::OwnCeiling, "it was far below what it had had: {}", fell.verdict);
    let near = page(exit(9, "node", 250, true, 6, itself(6, -6)), &ceiling(250));
    assert_ne!(near.cause, CauseClass::OwnCeiling, "its limit was as near: {}", near.verdict);
}

#[test]
fn who_sent_the_signal_decides_between_a_kill_a_stop_and_a_daemon_that_saves_memory() {
    let of = |signals| page(exit(9, "sleep", 12, true, 9, signals), &steady(12));
    let killed = of(vec![sent(1000.0, KILL, 7, "runc")]);
    assert_eq!((killed.cause, killed.contributing.as_slice()), (CauseClass::Killed, [].as_slice()));
    for part in
        ["`sleep`", "was killed (SIGKILL) at", "by `runc`", "docker kill", "not an OOM kill", "12 MiB of 256 MiB"]
    {
        assert!(killed.verdict.contains(part), "{part}: {}", killed.verdict);
    }
    let ignored = SentSignal { ignored: true, ..sent(990.0, TERM, 6, "runc") };
    let late = of(vec![ignored, sent(1000.0, KILL, 7, "runc")]);
    assert_eq!((late.cause, late.contributing.as_slice()), (CauseClass::StopTimeout, [].as_slice()));
    assert!(late.verdict.contains("did not stop within 10 s of being asked"), "{}", late.verdict);
    assert!(
        late.advice[0].setting.as_ref().is_some_and(|setting| setting.contains("init: true")),
        "it ignored SIGTERM"
    );
    let daemon = of(vec![sent(1000.0, KILL, 7, "systemd-oomd")]);
    assert_eq!((daemon.cause, daemon.contributing.as_slice()), (CauseClass::OomDaemon, [].as_slice()));
    assert!(daemon.verdict.contains("not the kernel's OOM killer"), "{}", daemon.verdict);
    let person = of(vec![SentSignal { sender_uid: 1000, ..sent(1000.0, KILL, 7, "bash") }]);
    assert!(person.verdict.contains("`bash` (pid 7, user 1000)"), "{}", person.verdict);
    assert_eq!(person.witnesses, ["probe"]);
}
