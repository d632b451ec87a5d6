//! The guard: its policy as tables, and itself beside a real cgroup that rises to its limit, where this machine allows.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sampler::guard::policy::{LEAK_RAISES, Policy, RAISES, Step};
use sampler::guard::{Above, Action, ActionKind, Guard, Limits, Reading};
use sampler::kernel::cgroupfs::layout::{Layout, Version};
use sampler::model::fields::UNLIMITED;
use serde_json::Value;

const MIB: u64 = 1 << 20;

fn policy(budget_mib: u64) -> Policy {
    Policy { budget: budget_mib * MIB, reserve: 100 * MIB, step: Step::Part(0.25), calm_us: 10_000_000, apply: true }
}

fn max(mib: u64) -> Limits {
    Limits { high: UNLIMITED, max: mib * MIB }
}

fn reading(path: &str, current_mib: u64, limits: Limits) -> Reading {
    Reading {
        path: path.into(),
        id: 1,
        current: current_mib * MIB,
        cache: Some(0),
        limits,
        hits: 0,
        leaks: None,
        above: None,
        settling: false,
        can_reclaim: true,
    }
}

/// A cgroup whose limits are what the guard has made of them.
struct World {
    guard: Guard,
    apply: bool,
    limits: Limits,
    done: Vec<(f64, Action)>,
}

impl World {
    fn new(policy: Policy, limits: Limits) -> World {
        World { guard: Guard::new(policy), apply: policy.apply, limits, done: Vec::new() }
    }

    /// Looks every 100 ms from `from` to `to` seconds; `at` gives the reading at a second. The machine has room for
    /// `machine_mib`.
    fn go(&mut self, (from, to): (f64, f64), machine_mib: u64, at: impl Fn(f64, Limits) -> Reading) {
        let mut t = from;
        while t < to {
            let reading = at(t, self.limits);
            let available = (machine_mib * MIB).saturating_sub(reading.current);
            for action in self.guard.look((t * 1e6) as i64, &[reading], available) {
                if let (ActionKind::Raise { to, .. } | ActionKind::Restore { to, .. }, true) =
                    (&action.kind, self.apply)
                {
                    self.limits = *to;
                }
                self.done.push((t, action));
            }
            t += 0.1;
        }
    }

    fn raises(&self) -> usize {
        self.done.iter().filter(|(_, action)| matches!(action.kind, ActionKind::Raise { .. })).count()
    }

    fn reasons(&self, wanted: &str) -> Vec<&str> {
        let named = self.done.iter().filter(|(_, action)| match action.kind {
            ActionKind::Raise { .. } => wanted == "raise",
            ActionKind::Restore { .. } => wanted == "restore",
            ActionKind::Reclaim { .. } => wanted == "reclaim",
            ActionKind::Hold => wanted == "hold",
        });
        named.map(|(_, action)| &*action.reason).collect()
    }
}

/// Rises by so many MiB a second up to a height, MiB.
fn rise(t: f64, from: u64, pace: f64, to: u64) -> u64 {
    ((from as f64 + pace * t) as u64).min(to)
}

/// What happens in 20 seconds to a cgroup of 100 MiB.
type Story = (&'static str, fn(f64, Limits) -> Reading, usize, &'static str, &'static str);

const STORIES: [Story; 9] = [
    (
        "rises over its limit",
        |t, l| reading("/a", rise(t, 20, 20.0, 150), l),
        1,
        "raise",
        "it grows by 20 MiB a second",
    ),
    ("rises below it", |t, l| reading("/a", rise(t, 20, 20.0, 55), l), 0, "", ""),
    ("starts fast and low", |t, l| reading("/a", rise(t, 0, 200.0, 50), l), 0, "", ""),
    ("stands near it", |_, l| reading("/a", 95, l), 0, "", ""),
    ("stands at it", |_, l| reading("/a", 98, l), 1, "raise", "the next burst is its end"),
    ("is full of cache", |t, l| Reading { cache: Some(60 * MIB), hits: t as u64, ..reading("/a", 100, l) }, 0, "", ""),
    (
        "hits it with little cache",
        |t, l| Reading { cache: Some(5 * MIB), hits: (t * 10.0) as u64, ..reading("/a", 98, l) },
        1,
        "raise",
        "its limit was hit",
    ),
    (
        "is below another limit",
        |t, l| {
            let current = rise(t, 20, 20.0, 100);
            let above = Some(Above { path: "/pod".into(), room: (100 - current) * MIB });
            Reading { above, ..reading("/a", current, l) }
        },
        0,
        "hold",
        "the limit of /pod is reached first",
    ),
    (
        "grows into its cache",
        |t, l| Reading { cache: Some((60 - rise(t, 0, 4.0, 30)) * MIB), ..reading("/a", 98, l) },
        0,
        "reclaim",
        "of that cache",
    ),
];

#[test]
fn each_story_has_its_actions() {
    for (name, at, raises, action, reason) in STORIES {
        let mut world = World::new(policy(100), max(100));
        world.go((0.0, 20.0), 10_000, at);
        assert_eq!(world.raises(), raises, "{name}: {:#?}", world.done);
        match action {
            "" => assert!(world.done.is_empty(), "{name}: {:#?}", world.done),
            _ => assert!(world.reasons(action)[0].contains(reason), "{name}: {:#?}", world.done),
        }
    }
}

#[test]
fn it_is_raised_before_the_limit_is_reached_and_never_beyond_the_budget() {
    for (budget, pace) in [(40, 10.0), (80, 25.0), (300, 60.0)] {
        let mut world = World::new(policy(budget), max(100));
        world.go((0.0, 30.0), 10_000, |t, l| {
            let current = rise(t, 20, pace, 500).min(l.max / MIB);
            let full = 100 + budget;
            assert!(current < l.max / MIB || current + 1 >= full, "at {t} s it stood at its limit of {current} MiB");
            reading("/a", current, l)
        });
        assert!(
            world.limits.max <= (100 + budget) * MIB && world.limits.max > (99 + budget) * MIB,
            "{:?}",
            world.limits
        );
        assert_eq!(world.guard.given(), world.limits.max - 100 * MIB);
        let event = world.reasons("hold");
        assert!(!event.is_empty() && event.len() <= 2 && event[0].contains("left of the budget"), "{event:?}");
    }
}

#[test]
fn the_machine_keeps_its_reserve_and_two_do_not_get_the_same_memory() {
    let mut world = World::new(policy(1000), max(100));
    world.go((0.0, 10.0), 220, |t, l| reading("/a", rise(t, 20, 20.0, 500).min(l.max / MIB), l));
    assert!(world.limits.max > 110 * MIB && world.limits.max <= 120 * MIB, "{:?}", world.limits);
    assert!(world.reasons("hold")[0].contains("the machine has"), "{:?}", world.done);

    let mut guard = Guard::new(policy(1000));
    let (mut given, mut limits) = (0, [max(100); 2]);
    for n in 0..10 {
        let at = |which: usize| reading(["/a", "/b"][which], 60 + 2 * n, limits[which]);
        for action in guard.look(n as i64 * 100_000, &[at(0), at(1)], (160 - 4 * n) * MIB) {
            if let ActionKind::Raise { to, .. } = action.kind {
                limits[usize::from(action.path == "/b")] = to;
                given += 1;
            }
        }
    }
    // When it is seen, 48 MiB are left above the reserve, 34 of them below the old limit.
    assert_eq!((given, guard.given()), (1, 14 * MIB));
}

#[test]
fn a_leak_is_given_time_and_not_more() {
    for leaks in [Some(true), None] {
        let mut world = World::new(policy(100_000), max(100));
        world.go((0.0, 300.0), 100_000, |t, l| Reading {
            leaks,
            ..reading("/a", rise(t, 50, 20.0, 100_000).min(l.max / MIB), l)
        });
        assert_eq!(world.raises(), LEAK_RAISES as usize, "{:#?}", world.done);
        let (raise, hold) = match leaks {
            Some(_) => ("buys time, 1 of 2", "only delays its end"),
            None => ("it grows by", "has grown without a rest to each new limit"),
        };
        assert!(world.reasons("raise")[0].contains(raise), "{:?}", world.done);
        assert!(world.reasons("hold")[0].contains(hold), "{:?}", world.done);
        // The same is event once a minute.
        assert!((4..=6).contains(&world.reasons("hold").len()), "{:?}", world.reasons("hold"));
    }
}

#[test]
fn even_growth_of_any_pace_gets_as_much_as_a_leak_and_work_that_rests_gets_more() {
    for limit in [16, 64, 300, 2000] {
        for pace in [0.1, 0.4, 1.0, 3.0, 10.0] {
            let mut world = World::new(policy(100_000), max(limit));
            let from = limit as f64 - f64::max(pace * 8.0, limit as f64 * 0.05);
            world.go((0.0, limit as f64 / pace + 60.0), 1_000_000, |t, l| {
                let bytes = ((from + pace * t) * MIB as f64) as u64;
                Reading { current: bytes.min(l.max), ..reading("/a", 0, l) }
            });
            assert_eq!(world.raises(), LEAK_RAISES as usize, "{limit} MiB, {pace} MiB a second: {:#?}", world.done);
        }
    }
    let mut world = World::new(policy(100_000), max(100));
    world.go((0.0, 300.0), 100_000, |t, l| reading("/a", (50 + (t / 10.0) as u64 * 60).min(l.max / MIB), l));
    assert_eq!(world.raises(), RAISES as usize, "{:#?}", world.done);
}

#[test]
fn what_an_earlier_guard_raised_counts_and_goes_back_to_what_it_was_first() {
    let (original, given) = (max(100), [max(125), max(175)]);
    let mut world = World::new(policy(200), given[1]);
    world.guard.adopt(&reading("/a", 160, given[1]), original, &given);
    assert_eq!((world.guard.given(), world.guard.holds("/a")), (75 * MIB, true));
    world.go((0.0, 20.0), 10_000, |t, l| reading("/a", rise(t, 160, 5.0, 174), l));
    assert_eq!((world.raises(), world.reasons("hold").len()), (0, 1), "it had its two: {:#?}", world.done);
    world.go((20.0, 32.0), 10_000, |_, l| reading("/a", 30, l));
    assert_eq!((world.limits, world.guard.given()), (original, 0), "{:#?}", world.done);
}

#[test]
fn both_limits_of_v2_rise_and_go_back_together() {
    let limits = Limits { high: 80 * MIB, max: 100 * MIB };
    let mut world = World::new(policy(100), limits);
    world.go((0.0, 8.0), 10_000, |t, l| reading("/a", rise(t, 20, 20.0, 110).min(l.high / MIB), l));
    assert!(world.limits.high > 110 * MIB && world.limits.max >= world.limits.high, "{:?}", world.limits);
    world.go((8.0, 17.0), 10_000, |_, l| reading("/a", 30, l));
    assert_ne!(world.limits, limits, "not calm for long enough");
    world.go((17.0, 19.0), 10_000, |_, l| reading("/a", 30, l));
    assert_eq!((world.limits, world.guard.given()), (limits, 0));
    assert!(world.reasons("restore")[0].contains("calm for 10 s"), "{:?}", world.done);
    world.go((19.0, 60.0), 10_000, |_, l| reading("/a", 30, l));
    assert_eq!(world.reasons("restore").len(), 1);
}

#[test]
fn at_the_end_only_what_fits_goes_back() {
    for (now, back) in [(90, true), (120, false)] {
        let mut world = World::new(policy(100), max(100));
        world.go((0.0, 6.0), 10_000, |t, l| reading("/a", rise(t, 20, 20.0, 130), l));
        let actions = world.guard.leave(&[reading("/a", now, world.limits)]);
        assert_eq!(actions.len(), 1);
        assert_eq!(actions[0].kind == ActionKind::Restore { from: world.limits, to: max(100) }, back, "{actions:?}");
        assert!(back || actions[0].reason.contains("would kill it"), "{actions:?}");
        assert!(world.guard.leave(&[reading("/a", now, world.limits)]).is_empty());
    }
}

#[test]
fn a_limit_that_somebody_else_sets_is_theirs() {
    let mut world = World::new(policy(100), max(100));
    world.go((0.0, 6.0), 10_000, |t, l| reading("/a", rise(t, 20, 20.0, 130), l));
    assert!(world.guard.given() > 0);
    // Docker writes the limit that it got before: for a moment that is no other hand.
    let old = Reading { settling: true, ..reading("/a", 60, max(111)) };
    world.guard.look(6_100_000, &[old], 10_000 * MIB);
    assert!(world.guard.given() > 0);
    world.guard.look(6_200_000, &[reading("/a", 60, max(500))], 10_000 * MIB);
    assert_eq!(world.guard.given(), 0);
    assert!(world.guard.leave(&[reading("/a", 60, max(500))]).is_empty());
}

#[test]
fn another_cgroup_of_the_path_begins_anew_and_one_that_is_gone_gives_its_share_back() {
    let mut world = World::new(policy(100), max(100));
    world.go((0.0, 6.0), 10_000, |t, l| reading("/a", rise(t, 20, 20.0, 130), l));
    assert!(world.guard.given() > 0);
    world.guard.look(6_100_000, &[Reading { id: 2, ..reading("/a", 1, world.limits) }], 10_000 * MIB);
    assert_eq!(world.guard.given(), 0);
    let mut world = World::new(policy(100), max(100));
    world.go((0.0, 6.0), 10_000, |t, l| reading("/a", rise(t, 20, 20.0, 130), l));
    world.guard.look(6_100_000, &[], 10_000 * MIB);
    assert_eq!(world.guard.given(), 0);
}

#[test]
fn what_failed_was_not_given_and_is_not_tried_at_once() {
    let mut guard = Guard::new(policy(100));
    let mut raises = Vec::new();
    for n in 0..200 {
        let now = n * 100_000;
        for action in guard.look(now, &[reading("/a", 98, max(100))], 10_000 * MIB) {
            let ActionKind::Raise { from, .. } = action.kind else { continue };
            guard.failed(now, "/a", from);
            raises.push(n);
        }
    }
    assert_eq!((raises.len(), guard.given(), guard.holds("/a")), (1, 0, false), "{raises:?}");
}

#[test]
fn a_dry_run_says_once_what_it_would_do() {
    let at = |t: f64, l: Limits| reading("/a", rise(t, 20, 20.0, 100), l);
    let mut dry = World::new(Policy { apply: false, ..policy(100) }, max(100));
    dry.go((0.0, 20.0), 10_000, at);
    let mut wet = World::new(policy(100), max(100));
    wet.go((0.0, 20.0), 10_000, at);
    assert_eq!(dry.limits, max(100));
    assert!(dry.raises() > 0);
    assert_eq!(dry.done, wet.done);
}

/// A cgroup with a limit, removed at the end.
struct Cage(PathBuf, &'static str);

impl Cage {
    fn make(name: &str) -> Option<Cage> {
        let layout = Layout::detect().map_err(|error| eprintln!("SKIPPED guard: {error}")).ok()?;
        let folder = layout.memory.join(name);
        let limit = if layout.version == Version::V2 { "memory.max" } else { "memory.limit_in_bytes" };
        let made = fs::create_dir(&folder).and_then(|()| fs::write(folder.join(limit), "48M"));
        made.map_err(|error| eprintln!("SKIPPED guard: make the cgroup {}: {error}", folder.display())).ok()?;
        Some(Cage(folder, limit))
    }

    fn limit(&self) -> u64 {
        fs::read_to_string(self.0.join(self.1)).unwrap().trim().parse().unwrap()
    }

    /// Rises by 25 MiB a second to 80 MiB in it, and stays a moment.
    fn rise(&self) -> ExitStatus {
        let script = "echo $$ > \"$0\" && exec \"$1\" demo --leak 80 --hold 1";
        let mut child = Command::new("sh");
        child.args(["-c", script]).arg(self.0.join("cgroup.procs")).arg(env!("CARGO_BIN_EXE_sampler"));
        child.status().unwrap()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        for _ in 0..20 {
            if fs::remove_dir(&self.0).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Starts a guard, and waits until it looks.
fn start(name: &str, out: &Path, more: &[&str]) -> Child {
    let segments = || fs::read_dir(out.join("journal")).map_or(0, Iterator::count);
    let before = segments();
    let mut guard = Command::new(env!("CARGO_BIN_EXE_sampler"));
    guard.args(["guard", "--no-protect", "--probe", "off", "--budget", "64M", "--reserve", "16M", "--cgroup", name]);
    let guard = guard.args(more).arg("--out").arg(out).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while segments() <= before {
        assert!(begun.elapsed() < Duration::from_secs(30), "the guard did not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
    guard
}

/// Guards a rise; gives how it ended, the limit then and after the guard has ended, and the guard's events.
fn guarded(cage: &Cage, name: &str, out: &Path, more: &[&str]) -> (ExitStatus, u64, u64, Vec<Value>) {
    let guard = start(name, out, more);
    let status = cage.rise();
    let raised = cage.limit();
    let pid = rustix::process::Pid::from_child(&guard);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(guard.wait_with_output().unwrap().status.success());
    let export = ["export", "--table", "events", "--format", "jsonl"];
    let export = Command::new(env!("CARGO_BIN_EXE_sampler")).args(export).arg(out).output().unwrap();
    let events = String::from_utf8(export.stdout).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let events: Vec<Value> = events.filter(|event| event["kind"] == "guard").collect();
    (status, raised, cage.limit(), events)
}

#[test]
fn a_real_cgroup_lives_with_the_guard_and_is_killed_beside_a_dry_run() {
    let name = format!("sampler-test-guard-{}", std::process::id());
    let Some(cage) = Cage::make(&name) else { return };
    let path = format!("/{name}");
    let before = cage.limit();
    let dir = tempfile::tempdir().unwrap();
    let of = |events: &[Value], action: &str| -> Vec<Value> {
        events.iter().filter(|event| event["action"] == action).cloned().collect()
    };

    let (status, raised, after, events) = guarded(&cage, &path, &dir.path().join("dry"), &[]);
    assert!(!status.success(), "without an acting guard it is killed");
    assert_eq!((raised, after), (before, before), "a dry run writes nothing");
    let event = of(&events, "raise");
    assert!(!event.is_empty() && event.iter().all(|event| event["applied"] == false), "{events:#?}");

    let (status, raised, after, events) = guarded(&cage, &path, &dir.path().join("wet"), &["--apply"]);
    assert!(status.success(), "with the guard it lives: {status} {events:#?}");
    assert!(raised >= 80 * MIB && raised <= before + 64 * MIB, "{raised}");
    assert_eq!(after, before, "the limit goes back at the end");
    let done = of(&events, "raise");
    assert!(done.iter().all(|event| event["applied"] == true && event["cgroup"] == path.as_str()), "{events:#?}");
    assert_eq!(done.first().unwrap()["from"]["max"], before);
    assert_eq!(done.last().unwrap()["to"]["max"], raised, "the last raise is recorded");
    let back = of(&events, "restore");
    assert_eq!((back.len(), &back[0]["to"]["max"]), (1, &before.into()), "{events:#?}");
    assert_eq!(of(&events, "begin").len(), 1);
}

#[test]
fn the_next_guard_sets_back_what_a_killed_one_has_raised() {
    let name = format!("sampler-test-guard-killed-{}", std::process::id());
    let Some(cage) = Cage::make(&name) else { return };
    let path = format!("/{name}");
    let before = cage.limit();
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("guard.json");
    let mut guard = start(&path, dir.path(), &["--apply"]);
    assert!(cage.rise().success());
    guard.kill().unwrap();
    guard.wait().unwrap();
    assert!(cage.limit() > before && ledger.exists());

    let stop = |guard: Child| {
        rustix::process::kill_process(rustix::process::Pid::from_child(&guard), rustix::process::Signal::TERM).unwrap();
        assert!(guard.wait_with_output().unwrap().status.success());
    };
    stop(start(&path, dir.path(), &[]));
    assert!(cage.limit() > before && ledger.exists(), "a dry run writes nothing");
    let next = start("/another", dir.path(), &["--apply"]);
    let begun = Instant::now();
    while cage.limit() != before {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} is not {before}", cage.limit());
        std::thread::sleep(Duration::from_millis(50));
    }
    stop(next);
    assert!(!ledger.exists());
}
