//! What else to change: one line and one function a check, each with what was seen.

use serde::Serialize;

use crate::advise::leftovers::Leftovers;
use crate::advise::server::settings;
use crate::advise::{Container, Machine, compose, image, stagger, wslconfig};
use crate::analysis::groups::{Group, GroupKind};
use crate::model::units::{bytes, printable};

/// What is looked at.
pub struct CheckInput<'a> {
    /// The containers with their limits.
    pub containers: &'a [Container],
    /// Who rises together.
    pub groups: &'a [Group],
    /// The machine.
    pub machine: &'a Machine,
    /// The user's Compose file.
    pub compose: Option<&'a compose::File>,
    /// What Docker keeps, when it could be asked.
    pub leftovers: Option<&'a Leftovers>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckFinding {
    /// The check.
    pub check: &'static str,
    /// Whom it is about; nobody is the machine.
    pub who: Vec<String>,
    /// What was seen.
    pub evidence: String,
    /// What to change.
    pub change: Vec<String>,
}

/// A check.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What it looks for.
    pub about: &'static str,
    /// Looks; without a name, which the table gives.
    look: fn(&CheckInput<'_>) -> Vec<Seen>,
}

/// Whom, what was seen, what to change.
type Seen = (Vec<String>, String, Vec<String>);

/// The checks.
pub static TABLE: [Check; 9] = [
    Check { name: "total", about: "limits that add up to more than the machine has", look: total },
    Check { name: "health-checks", about: "health checks and jobs of many containers in step", look: health_checks },
    Check {
        name: "starts",
        about: "containers that took much of the machine when they were started together",
        look: starts,
    },
    Check { name: "restart-loop", about: "containers that start again and again", look: restart_loop },
    Check { name: "no-swap", about: "a machine without swap", look: no_swap },
    Check { name: "swap-full", about: "swap that was used up", look: swap_full },
    Check {
        name: "settings",
        about: "settings of well-known servers that do not go with the limit",
        look: server_settings,
    },
    Check { name: "image", about: "images that exist in a smaller form", look: images },
    Check { name: "leftovers", about: "what Docker keeps and nobody uses", look: leftovers },
];

/// All findings, in the order of the table.
pub fn run(input: &CheckInput<'_>) -> Vec<CheckFinding> {
    let named = |check: &'static Check| {
        let found = (check.look)(input).into_iter();
        found.map(|(who, evidence, change)| CheckFinding { check: check.name, who, evidence, change })
    };
    TABLE.iter().flat_map(named).collect()
}

/// Part of the memory that is left to the kernel and to what is in no container.
const OUTSIDE: f64 = 0.1;
/// A period above this is a job by the clock, not a health check, seconds.
const PERIOD_S: f64 = 900.0;
/// Part of the machine that containers take together when they are started, to be a reason to start them one by one.
const STARTED: f64 = 0.05;
/// Starts within an hour that are a loop.
const LOOP: usize = 4;

fn total(input: &CheckInput<'_>) -> Vec<Seen> {
    let Some(memory) = input.machine.total else { return Vec::new() };
    let sum: u64 = input.containers.iter().filter(|c| !c.nested).filter_map(Container::expected).sum();
    let room = (memory as f64 * (1.0 - OUTSIDE)) as u64;
    if sum <= room {
        return Vec::new();
    }
    let change = vec![
        format!("fit them into it: sampler advise --budget {}M", room >> 20),
        "or give the machine more (.wslconfig memory= in WSL)".into(),
    ];
    vec![(Vec::new(), format!("the limits add up to {}, the machine has {}", bytes(sum), bytes(memory)), change)]
}

fn health_checks(input: &CheckInput<'_>) -> Vec<Seen> {
    let groups = input.groups.iter().filter(|group| group.kind == GroupKind::Periodic);
    groups
        .filter_map(|group| {
            let period = group.period_s.filter(|period| *period <= PERIOD_S)?;
            let who: Vec<String> = group.members.iter().map(|path| input.title(path)).collect();
            let evidence = format!(
                "{} rise together every {period:.0} s, by {} in all, {} times",
                who.len(),
                bytes(group.rise_bytes),
                group.times
            );
            let plan = stagger::intervals(period, group.members.len());
            let change = who.iter().zip(plan).map(|(who, interval)| {
                format!("{who}: healthcheck: interval: {}s (if a health check is what runs)", interval.as_secs())
            });
            let change = change.collect();
            Some((who, evidence, change))
        })
        .collect()
}

fn starts(input: &CheckInput<'_>) -> Vec<Seen> {
    let Some(machine) = input.machine.total else { return Vec::new() };
    let groups = input.groups.iter().filter(|group| group.kind == GroupKind::Start);
    groups
        .filter_map(|group| {
            // Nobody starts the cgroups of a login or of a unit in an order of their own.
            let is_container = |c: &&Container| c.who.as_ref().is_some_and(|who| who.container.is_some());
            let of = |path: &String| input.containers.iter().find(|c| c.path == *path).filter(is_container);
            let members: Vec<&Container> = group.members.iter().filter_map(of).collect();
            let held = members.iter().fold(0, |sum: u64, c| sum.saturating_add(c.advice.highest));
            let took = group.rise_bytes.min(held);
            if members.len() < 2 || (took as f64) < STARTED * machine as f64 {
                return None;
            }
            let who: Vec<String> = members.iter().map(|c| c.title.clone()).collect();
            let evidence = format!(
                "{} were started within {:.0} s and took {} together",
                who.len(),
                (group.time_us.1 - group.time_us.0) as f64 / 1e6,
                bytes(took)
            );
            let change = vec![
                "start one after the other: depends_on with condition: service_healthy in Compose, After= in systemd"
                    .into(),
            ];
            Some((who, evidence, change))
        })
        .collect()
}

fn restart_loop(input: &CheckInput<'_>) -> Vec<Seen> {
    let often = |container: &&Container| container.starts_in_an_hour >= LOOP;
    input
        .containers
        .iter()
        .filter(often)
        .map(|container| {
            let kills = match container.kills {
                0 => String::new(),
                kills => format!(", {kills} processes of it were OOM-killed"),
            };
            let evidence = format!("it was started {} times within an hour{kills}", container.starts_in_an_hour);
            let change = vec![
                "look why it ends: docker logs, and `sampler postmortem` of the last kill".into(),
                "restart: on-failure:5 instead of always, so that it does not go on for ever".into(),
            ];
            (vec![container.title.clone()], evidence, change)
        })
        .collect()
}

fn no_swap(input: &CheckInput<'_>) -> Vec<Seen> {
    if input.machine.swap_total != Some(0) {
        return Vec::new();
    }
    let size = input.machine.total.map_or(1 << 30, |total| (total / 4).next_multiple_of(1 << 30));
    let set = if input.machine.wsl.is_some() {
        format!(".wslconfig: [wsl2] swap={}GB", size >> 30)
    } else {
        format!(
            "fallocate -l {0}G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
            size >> 30
        )
    };
    vec![(Vec::new(), format!("the machine has no swap. {}", wslconfig::NO_SWAP), vec![set])]
}

fn swap_full(input: &CheckInput<'_>) -> Vec<Seen> {
    let machine = input.machine;
    let (Some(total), Some(free)) = (machine.swap_total.filter(|total| *total > 0), machine.swap_free_least) else {
        return Vec::new();
    };
    if free > total / 20 {
        return Vec::new();
    }
    let most = input.containers.iter().filter(|c| c.advice.swap > 0).max_by_key(|c| c.advice.swap);
    let who: Vec<String> = most.map(|c| c.title.clone()).into_iter().collect();
    let by = most.map_or_else(String::new, |c| format!("; {} had most of it, {}", c.title, bytes(c.advice.swap)));
    let change = vec![
        "lower limits above keep what does not fit from filling it; memswap_limit bounds the part of one container"
            .into(),
    ];
    vec![(who, format!("of {} of swap {} were left{by}", bytes(total), bytes(free)), change)]
}

fn server_settings(input: &CheckInput<'_>) -> Vec<Seen> {
    let of = |container: &Container| {
        // Settings go with a new limit; those of a limit that stays are the user's.
        if !container.is_advised() {
            return None;
        }
        let seen = container.seen(input.compose);
        let (server, settings) = settings(&seen)?;
        let wrong: Vec<_> = settings.into_iter().filter(|setting| setting.out_of_proportion).collect();
        if wrong.is_empty() {
            return None;
        }
        let limit = bytes(seen.limit);
        let shown = |setting: &crate::advise::server::Setting| match &setting.seen {
            Some(now) => format!("{} is {}", setting.key, printable(now)),
            None => format!("{} was not seen to be set", setting.key),
        };
        let list: Vec<String> = wrong.iter().map(shown).collect();
        let evidence = format!("{server} with {limit}: {}", list.join(", "));
        let change = wrong.iter().map(|setting| format!("{} ({})", setting.line, setting.because)).collect();
        Some((vec![container.title.clone()], evidence, change))
    };
    input.containers.iter().filter_map(of).collect()
}

fn images(input: &CheckInput<'_>) -> Vec<Seen> {
    let of = |container: &Container| {
        let image = container.seen(input.compose).image?;
        let slim = image::slim(&image)?;
        let evidence = format!("its image is {}; a smaller one saves disk, little memory", printable(&image));
        Some((vec![container.title.clone()], evidence, vec![format!("image: {slim}")]))
    };
    input.containers.iter().filter_map(of).collect()
}

fn leftovers(input: &CheckInput<'_>) -> Vec<Seen> {
    let list = input.leftovers.map_or_else(Vec::new, Leftovers::cleanings);
    list.into_iter()
        .map(|cleaning| (Vec::new(), format!("{}: disk, not memory", cleaning.what), vec![cleaning.command.join(" ")]))
        .collect()
}

impl CheckInput<'_> {
    fn title(&self, path: &str) -> String {
        let known = self.containers.iter().find(|container| container.path == path);
        known.map_or_else(|| printable(crate::model::paths::name(path)), |container| container.title.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::facts::Facts;
    use crate::advise::{limit, profile};
    use crate::model::identity::Identity;

    const MIB: u64 = 1 << 20;

    fn container(title: &str, after: u64) -> Container {
        Container {
            path: format!("/docker/{title}"),
            title: title.into(),
            who: Some(Identity::container("docker", title)),
            service: None,
            nested: false,
            advice: limit::Advice { highest: 200 * MIB, ..limit::advise(&Facts::default(), &profile::TABLE[0]) },
            after: Some(after * MIB),
            starts_in_an_hour: 1,
            kills: 0,
            processes: Vec::new(),
            machine_swaps: true,
        }
    }

    fn group(kind: GroupKind, period_s: Option<f64>) -> Group {
        let members = vec!["/docker/a".to_owned(), "/docker/b".to_owned(), "/other/c".to_owned()];
        let time_us = (0, 3_000_000);
        Group { kind, members, period_s, phase_s: period_s, times: 9, rise_bytes: 90 * MIB, time_us }
    }

    fn machine(total: u64, swap: Option<(u64, u64)>) -> Machine {
        let (swap_total, swap_free_least) = (swap.map(|(all, _)| all * MIB), swap.map(|(_, free)| free * MIB));
        Machine { total: Some(total * MIB), swap_total, swap_free_least, ..Machine::default() }
    }

    fn found(containers: &[Container], groups: &[Group], machine: &Machine, leftovers: &Leftovers) -> Vec<String> {
        let input = CheckInput { containers, groups, machine, compose: None, leftovers: Some(leftovers) };
        run(&input).into_iter().map(|f| format!("{} {:?} {} {:?}", f.check, f.who, f.evidence, f.change)).collect()
    }

    #[test]
    fn starts_that_took_nothing_or_are_no_containers_need_not_wait() {
        let (machine, none) = (machine(1024, None), Leftovers::default());
        let calm = [container("a", 400), container("b", 400)];
        let start = |rise| [Group { rise_bytes: rise * MIB, ..group(GroupKind::Start, None) }];
        assert_eq!(found(&calm, &start(90), &machine, &none).len(), 1);
        assert!(
            found(&calm, &start(0), &machine, &none).is_empty() && found(&calm, &start(50), &machine, &none).is_empty()
        );
        let mut units = calm.clone();
        units.iter_mut().for_each(|c| c.who = Some(Identity::of("systemd")));
        assert!(found(&units, &start(90), &machine, &none).is_empty());
        assert!(found(&calm[..1], &start(90), &machine, &none).is_empty(), "one container and two cgroups");
    }

    #[test]
    fn settings_of_a_limit_that_stays_are_the_users() {
        let mut java = [container("a", 400)];
        java[0].processes = vec![("java".into(), 1)];
        let (roomy, none) = (machine(1024, None), Leftovers::default());
        assert_eq!(found(&java, &[], &roomy, &none).len(), 1);
        java[0].advice.limit = Some(400 * MIB);
        assert!(found(&java, &[], &roomy, &none).is_empty());
        (java[0].advice.limit, java[0].after) = (Some(300 * MIB), None);
        assert!(found(&java, &[], &roomy, &none).is_empty(), "watched too briefly");
    }

    #[test]
    fn each_check_speaks_of_its_sign_and_is_silent_without() {
        let calm = [container("a", 400), container("b", 400)];
        let (roomy, clean) = (machine(1024, Some((512, 400))), Leftovers::default());
        assert_eq!(found(&calm, &[], &roomy, &clean), Vec::<String>::new());

        let mut looping = calm.clone();
        (looping[1].starts_in_an_hour, looping[1].kills) = (LOOP, 3);
        let mut swapped = calm.clone();
        swapped[0].advice.swap = 300 * MIB;
        let mut java = calm.clone();
        java[0].processes = vec![("java".into(), 1)];
        let mut nested = calm.clone();
        nested[0].after = Some(900 * MIB);
        nested[1].nested = true;
        let some = Leftovers { dangling: (3, MIB), ..clean.clone() };
        let table: [(Vec<String>, &str, &[&str]); 9] = [
            (
                found(&[container("a", 900), container("b", 400)], &[], &roomy, &clean),
                "total",
                &["add up to 1.3 GiB", "--budget 921M"],
            ),
            (
                found(&calm, &[group(GroupKind::Periodic, Some(30.0))], &roomy, &clean),
                "health-checks",
                &["every 30 s", "a: healthcheck: interval: 45s", "c: healthcheck: interval: 55s"],
            ),
            (
                found(&calm, &[group(GroupKind::Start, None)], &roomy, &clean),
                "starts",
                &["within 3 s and took 90 MiB", "service_healthy"],
            ),
            (found(&looping, &[], &roomy, &clean), "restart-loop", &["[\"b\"]", "4 times within an hour, 3 processes"]),
            (found(&calm, &[], &machine(6144, Some((0, 0))), &clean), "no-swap", &["folklore", "fallocate -l 2G"]),
            (
                found(&swapped, &[], &machine(1024, Some((512, 5))), &clean),
                "swap-full",
                &["of 512 MiB of swap 5 MiB", "a had most of it, 300 MiB"],
            ),
            (found(&java, &[], &roomy, &clean), "settings", &["JVM with 400 MiB", "MaxRAMPercentage=70"]),
            (found(&calm, &[], &roomy, &some), "leftovers", &["3 images without a name", "docker image prune"]),
            (found(&nested, &[], &machine(800, Some((512, 400))), &clean), "total", &["add up to 900 MiB"]),
        ];
        for (found, check, parts) in table {
            assert!(found.len() == 1 && found[0].starts_with(check), "{check}: {found:?}");
            assert!(parts.iter().all(|part| found[0].contains(part)), "{parts:?}: {found:?}");
        }
        let weekly = found(&calm, &[group(GroupKind::Periodic, Some(3600.0))], &roomy, &clean);
        assert!(weekly.is_empty(), "a job by the clock is no health check: {weekly:?}");
        assert!(found(&calm, &[], &machine(1024, None), &clean).is_empty(), "swap that was not read is not off");
    }
}
