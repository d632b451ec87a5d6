//! Restart loops of made-up lives.

use crate::analysis::lives::*;

const MIB: f64 = 1024.0 * 1024.0;
const S: i64 = 1_000_000;

/// Lives one after the other, each from its points (second, MiB) to a kill at its own limit of MiB.
fn restart_loop(lives: &[Vec<(f64, f64)>], limit: u64) -> Option<Loop> {
    let mut all = Lives::default();
    let mut at = 1_000 * S;
    for life in lives {
        all.begin(at);
        for (second, mib) in life {
            all.level(at + (second * 1e6) as i64, (mib * MIB) as u64, Some(limit << 20));
        }
        at += (life.last().unwrap().0 * 1e6) as i64 + 200_000;
        all.kill(at, Some(limit << 20));
        all.end(at + 300_000);
        at += S;
    }
    all.restart_loop()
}

/// Each tenth of a second of `span` seconds.
fn life(span: f64, mib: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    (0..(span * 10.0) as usize).map(|n| (n as f64 / 10.0, mib(n as f64 / 10.0))).collect()
}

#[test]
fn a_leak_that_a_kill_cuts_every_14_or_130_seconds_is_a_leak_from_the_second_life_on() {
    for (span, limit) in [(14.0, 96.0), (130.0, 160.0)] {
        for n in 2..=9 {
            let jitter = |n: usize| 1.0 + 0.1 * (n % 3) as f64;
            let one = |n: usize| life(span * jitter(n), |t| 8.0 + (limit - 8.0) * t / (span * jitter(n)));
            let lives: Vec<_> = (0..n).map(one).collect();
            let found = restart_loop(&lives, limit as u64).unwrap();
            assert!(found.leaks(), "{n} lives of {span} s: {found:?}");
            let want = (limit - 8.0) * MIB / (span * 1.1);
            assert!((found.rate_bytes_per_s.unwrap() / want - 1.0).abs() < 0.15, "{found:?}");
            assert_eq!((found.kills, found.lives), (n as u64, n));
            assert!(n > 2 || found.confidence < 0.8, "two lives are not sure: {found:?}");
            assert!(found.confidence >= 0.5);
        }
    }
    let one = life(130.0, |t| 8.0 + 152.0 * t / 130.0);
    assert_eq!(restart_loop(std::slice::from_ref(&one), 160), None, "one life is no loop");
    let sure = |span: f64| {
        let one = life(span, |t| 8.0 + 152.0 * t / span);
        restart_loop(&vec![one; 12], 160).unwrap().confidence
    };
    assert!(sure(130.0) > 0.9 && sure(14.0) < 0.8, "short lives may be starts");
}

#[test]
fn what_is_killed_at_each_start_needs_more_or_leaks_and_nobody_knows_which() {
    let found = restart_loop(&vec![life(2.5, |t| 5.0 + 36.0 * t); 8], 96).unwrap();
    assert!(found.brief && !found.leaks() && found.confidence < 0.6, "{found:?}");
    assert!(found.evidence().contains("cannot be distinguished"), "{}", found.evidence());
}

#[test]
fn a_steep_start_and_a_level_is_no_leak_and_neither_is_a_jump() {
    let stands = restart_loop(&vec![life(40.0, |t| (45.0 * t).min(93.0)); 6], 96).unwrap();
    assert_eq!((stands.course, stands.leaks()), (Some(Course::Stands), false));
    let jumps = restart_loop(&vec![life(60.0, |t| if t < 58.0 { 20.0 } else { 90.0 }); 6], 96).unwrap();
    assert_eq!(jumps.course, Some(Course::Jumps), "{jumps:?}");
    let flattens = restart_loop(&vec![life(60.0, |t| 95.0 * (1.0 - (-t / 12.0).exp())); 6], 96).unwrap();
    assert_eq!(flattens.course, Some(Course::Flattens), "{flattens:?}");
    // The limit was full at the kill, although the last reading before it does not show it.
    let unseen = restart_loop(&vec![life(60.0, |_| 20.0); 6], 96).unwrap();
    assert_eq!(unseen.course, Some(Course::Jumps), "{unseen:?}");
}

#[test]
fn lives_that_differ_have_nothing_in_common() {
    let at = |pace: f64| life(80.0 / pace, |t| 10.0 + pace * t);
    let found = restart_loop(&[at(0.5), at(5.0), at(1.0), at(6.0)], 96).unwrap();
    assert_eq!((found.course, found.confidence), (None, 0.0), "{found:?}");
    let mut most = vec![life(40.0, |t| 10.0 + 2.0 * t); 9];
    most.push(life(40.0, |t| if t < 38.0 { 20.0 } else { 90.0 }));
    assert!(restart_loop(&most, 96).unwrap().leaks(), "one of ten may go its own way");
}

#[test]
fn kills_in_a_cgroup_that_stays_full_divide_no_life() {
    let mut storm = Lives::default();
    for n in 0..200 {
        storm.level(n * 300_000, 100 << 20, Some(100 << 20));
        storm.kill(n * 300_000 + 1, Some(100 << 20));
    }
    assert_eq!(storm.restart_loop(), None, "one moment that never pauses");
    let mut worker = Lives::default();
    for n in 0..8i64 {
        for t in 0..20 {
            worker.level((n * 21 + t) * S, ((30 + 6 * t) as u64) << 20, Some(150 << 20));
        }
        worker.kill((n * 21 + 20) * S, Some(150 << 20));
    }
    let found = worker.restart_loop().unwrap();
    assert!(found.leaks() && found.lives == 8, "a worker is made again while its server lives: {found:?}");
    assert!(worker.past().all(|life| life.start_bytes < Some(60 << 20)), "{:?}", worker.past().next());
}

#[test]
fn a_loop_is_bounded_and_old_kills_are_another() {
    let many = restart_loop(&vec![life(14.0, |t| 8.0 + 6.0 * t); 100], 96).unwrap();
    assert_eq!((many.kills, many.lives), (100, MOST));
    let mut lives = Lives::default();
    for time in [0, 20 * S, 40 * S, 40 * S + GAP_US + 1] {
        lives.kill(time, None);
    }
    assert_eq!(lives.restart_loop(), None);
    lives.kill(80 * S + GAP_US, None);
    let found = lives.restart_loop().unwrap();
    assert_eq!((found.kills, found.course), (2, None), "kills alone are counted");
    let of = |at| loop_of(&[], &[0, 20 * S, 40 * S, 40 * S + GAP_US + 1, 60 * S + GAP_US], at).unwrap();
    assert_eq!((of(20 * S).kills, of(20 * S).of), (2, 3));
    assert_eq!((of(60 * S + GAP_US).kills, of(60 * S + GAP_US).of), (2, 2));
}

#[test]
fn a_loop_in_words() {
    let lives = vec![life(130.0, |t| 8.0 + 68.0 * t / 60.0); 14];
    let found = restart_loop(&lives, 160).unwrap();
    let words = found.words();
    assert!(words.starts_with("14th OOM kill since 00:"), "{words}");
    assert!(
        words.contains("one every 2.2 min; each life leaks ") && words.ends_with("MiB/min from its start"),
        "{words}"
    );
    for (n, want) in [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (12, "12th"), (21, "21st"), (104, "104th")] {
        assert_eq!(ordinal(n), want);
    }
}
