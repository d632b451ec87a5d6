//! The merge on made findings whose truth is known.

use super::*;
use crate::analysis::leak::detectors::Class;
use crate::model::findings::cell::Moment;
use crate::model::findings::{LifeRow, RecordingRow};
use crate::model::time::format_us;

const MIB: f64 = 1048576.0;
const DAY_US: i64 = 86_400_000_000;

/// Numbers as from dice, the same at each run.
struct Dice(u64);

impl Dice {
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.even() * n as f64) as usize
    }
}

fn life(host: usize, workload: &str, version: &str, day: i64, class: &str, growth_mib: f64) -> LifeRow {
    LifeRow {
        host: format!("host-{host:04}"),
        boot_id: "boot".into(),
        cgroup: format!("/docker/{workload}"),
        cgroup_id: 7,
        workload: Some(workload.into()),
        name: Some(workload.into()),
        container: Some(workload.into()),
        image_name: Some(format!("shop/{workload}")),
        version: Some(version.into()),
        leaf: true,
        first_seen: Moment(day * DAY_US),
        last_seen: Moment((day + 1) * DAY_US - 1_000_000),
        ended: "runs".into(),
        rows: 864_000,
        verdict: Some(class.into()),
        rate: (class == "leak").then_some(growth_mib * MIB / 43_200.0),
        level_bytes: Some(100.0 * MIB),
        growth_bytes: Some(growth_mib * MIB),
        noise_bytes: Some(MIB),
        own_limit_bytes: Some(512 << 20),
        advised_bytes: Some(256 << 20),
        advice: Some("too-high".into()),
        ..LifeRow::default()
    }
}

/// 300 hosts: `api` 1.42 on each fifth leaks but for one of twenty; each other workload errs once in twenty; five hosts wait.
fn fleet() -> Vec<LifeRow> {
    let mut dice = Dice(1);
    let mut rows = Vec::new();
    for host in 0..300 {
        for at in 0..12 {
            let name = format!("service-{at}");
            let class =
                if dice.even() < 0.05 { "leak" } else { ["steady", "load", "cache", "sawtooth"][dice.below(4)] };
            rows.push(life(host, &name, "7", 20_000, class, 4.0 * dice.even() - 2.0));
        }
        let (version, leaks) = if host % 5 == 0 { ("1.42", dice.even() < 0.95) } else { ("1.41", false) };
        let (class, growth) = if leaks { ("leak", 36.0 + 2.0 * dice.even()) } else { ("steady", dice.even() - 0.5) };
        rows.push(life(host, "api", version, 20_000, class, growth));
        if host % 5 == 0 {
            rows.push(life(host, "api", "1.41", 19_999, "steady", dice.even() - 0.5));
            rows.last_mut().unwrap().cgroup_id = 6;
        }
    }
    for row in &mut rows {
        row.stalled_s = dice.even();
        if ["host-0013", "host-0077", "host-0123", "host-0200", "host-0299"].contains(&row.host.as_str()) {
            row.stalled_s += 500.0;
        }
    }
    rows
}

fn merged<'a>(rows: impl IntoIterator<Item = &'a LifeRow>) -> Fleet {
    let mut merge = Merge::default();
    rows.into_iter().for_each(|row| merge.life(row));
    merge.finish()
}

#[test]
fn a_version_that_leaks_is_found_with_its_roll_out_and_nothing_else_is() {
    let found = merged(&fleet());
    let leaks: Vec<&Unit> = found.workloads.iter().filter(|unit| unit.verdict == Class::Leak).collect();
    assert_eq!(leaks.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["api"]);
    let [old, new] = leaks[0].versions.as_slice() else { panic!("{:?}", leaks[0].versions) };
    assert_eq!((old.version.as_str(), old.verdict, old.leaking), ("1.41", Class::Steady, 0));
    assert_eq!((new.version.as_str(), new.verdict, new.hosts), ("1.42", Class::Leak, 60));
    assert!((55..=60).contains(&new.leaking_hosts) && new.q.unwrap() < 1e-20, "{new:?}");
    let rate = new.rate_bytes_per_s.unwrap() * 43_200.0 / MIB;
    assert!((36.0..38.0).contains(&rate), "{rate}");
    assert_eq!((new.versus.as_deref(), new.versus_p.unwrap() < 1e-20), (Some("1.41"), true));
    assert_eq!(new.rolled_out.as_deref(), Some(format_us(20_000 * DAY_US).as_str()));
    assert_eq!(old.rolled_out, None, "nobody saw what was before it");
    let hosts: Vec<&str> = found.outliers.iter().map(|one| one.host.as_str()).collect();
    assert_eq!(hosts, ["host-0013", "host-0077", "host-0123", "host-0200", "host-0299"]);
    assert!(found.outliers.iter().all(|one| one.in_what == "waiting"));
    assert_eq!(found.savings.containers, 300 * 13, "the last life of each container");
    assert_eq!(found.savings.less_bytes, 300 * 13 * (256 << 20));
}

#[test]
fn the_result_does_not_depend_on_how_the_work_was_split() {
    let rows = fleet();
    let whole = merged(&rows);
    let mut dice = Dice(9);
    for _ in 0..5 {
        let mut shuffled: Vec<&LifeRow> = rows.iter().collect();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, dice.below(at + 1));
        }
        // A part of the jobs ran twice.
        let twice: Vec<&LifeRow> = shuffled.iter().copied().take(dice.below(rows.len())).collect();
        assert_eq!(merged(shuffled.into_iter().chain(twice)), whole);
    }
}

#[test]
fn a_leak_that_is_slower_than_a_day_shows_in_many_lives() {
    let mut dice = Dice(3);
    let mut slow = |drift: f64| -> Vec<LifeRow> {
        let each = (0..40).flat_map(|host| (0..3).map(move |day| (host, day)));
        each.map(|(host, day)| {
            let mut row = life(host, "slow", "1", 20_000 + day, "steady", drift + 4.0 * dice.even() - 2.0);
            row.cgroup_id = day as u64;
            row
        })
        .collect()
    };
    let (leaks, walks) = (merged(&slow(4.0)), merged(&slow(0.0)));
    assert_eq!(leaks.workloads[0].verdict, Class::Leak, "{:?}", leaks.workloads[0]);
    assert_eq!(leaks.workloads[0].versions[0].leaking, 0, "none of them shows it alone");
    assert_eq!(walks.workloads[0].verdict, Class::Steady, "{:?}", walks.workloads[0]);
}

#[test]
fn pieces_of_a_life_are_one_life_and_a_restart_loop_is_one_witness() {
    let days: Vec<LifeRow> = (0..5).map(|day| life(1, "web", "1", 20_000 + day, "leak", 9.0)).collect();
    let found = merged(&days);
    assert_eq!((found.lives, found.workloads[0].versions[0].lives), (1, 1));
    assert_eq!(found.workloads[0].verdict, Class::Undetermined, "one life is no workload");
    assert_eq!(found.leaking_alone, 1, "and no all-clear");
    let mut killed: Vec<LifeRow> = days.clone();
    killed.iter_mut().for_each(|row| {
        (row.ended, row.kills, row.loop_kills) = ("oom-kill".into(), 1, Some(5));
    });
    let found = merged(&killed);
    assert_eq!((found.lives, found.workloads[0].versions[0].lives, found.workloads[0].versions[0].kills), (5, 1, 5));
}

#[test]
fn the_sum_of_other_cgroups_and_a_part_of_a_container_are_no_workloads() {
    let mut rows: Vec<LifeRow> = (0..20).map(|host| life(host, "web", "1", 20_000, "leak", 9.0)).collect();
    rows.extend(rows.clone().into_iter().map(|row| LifeRow {
        cgroup: "/docker".into(),
        workload: Some("/docker".into()),
        container: None,
        leaf: false,
        ..row
    }));
    rows.extend(rows.clone().into_iter().take(20).map(|row| LifeRow {
        cgroup: "/docker/web/job".into(),
        workload: Some("web:job".into()),
        inner: Some("job".into()),
        ..row
    }));
    let found = merged(&rows);
    assert_eq!(found.workloads.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["web"]);
    assert_eq!(found.nameless, 40);
}

#[test]
fn containers_of_other_names_are_compared_by_their_image() {
    let mut rows: Vec<LifeRow> = Vec::new();
    for host in 0..30 {
        let mut row = life(host, &format!("api-on-{host}"), "3", 20_000, "leak", 9.0);
        row.image_name = Some("shop/api".into());
        rows.push(row);
    }
    let found = merged(&rows);
    let first = &found.workloads[0];
    assert_eq!((first.kind, first.name.as_str(), first.verdict), (Kind::Image, "shop/api", Class::Leak));
    assert_eq!(first.versions[0].leaking_hosts, 30);
}

#[test]
fn what_could_not_be_read_is_listed() {
    let mut merge = Merge::default();
    for (host, unread) in [("a", 0), ("b", 2)] {
        let row =
            RecordingRow { host: host.into(), unread, problems: Some("x: cut".into()), ..RecordingRow::default() };
        merge.recording(row.clone());
        merge.recording(row);
    }
    let found = merge.finish();
    assert_eq!((found.hosts, found.recordings, found.unread.len()), (2, 2, 1));
    assert_eq!((found.unread[0].host.as_str(), found.unread[0].parts), ("b", 2));
    assert_eq!((found.from, found.workloads.len(), found.tested), (None, 0, 0));
}
