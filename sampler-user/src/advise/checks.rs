//! What else to change: one line and one function a check, each with what was seen.

use serde::Serialize;

use super::leftovers::Leftovers;
use super::server::settings;
use super::{Container, Machine, compose, image, stagger, wslconfig};
use crate::analysis::groups::{Group, Kind};
use crate::units::{bytes, printable};

/// What is looked at.
pub struct Scene<'a> {
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
pub struct Finding {
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
    look: fn(&Scene<'_>) -> Vec<Seen>,
}

/// Whom, what was seen, what to change.
type Seen = (Vec<String>, String, Vec<String>);

/// The checks.
pub static TABLE: [Check; 9] = [
    Check { name: "total", about: "limits that add up to more than the machine has", look: total },
    Check { name: "health-checks", about: "health checks and jobs of many containers in step", look: health_checks },
    Check { name: "starts", about: "many containers started at the same time", look: starts },
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
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let named = |check: &'static Check| {
        let found = (check.look)(scene).into_iter();
        found.map(|(who, evidence, change)| Finding { check: check.name, who, evidence, change })
    };
    TABLE.iter().flat_map(named).collect()
}

/// Part of the memory that is left to the kernel and to what is in no container.
const OUTSIDE: f64 = 0.1;
/// A period above this is a job by the clock, not a health check, seconds.
const PERIOD_S: f64 = 900.0;
/// Starts within an hour that are a loop.
const LOOP: usize = 4;

fn total(scene: &Scene<'_>) -> Vec<Seen> {
    let Some(memory) = scene.machine.total else { return Vec::new() };
    let sum: u64 = scene.containers.iter().filter(|c| !c.nested).filter_map(|c| c.after).sum();
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

fn health_checks(scene: &Scene<'_>) -> Vec<Seen> {
    let groups = scene.groups.iter().filter(|group| group.kind == Kind::Periodic);
    groups
        .filter_map(|group| {
            let period = group.period_s.filter(|period| *period <= PERIOD_S)?;
            let who: Vec<String> = group.members.iter().map(|path| scene.title(path)).collect();
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

fn starts(scene: &Scene<'_>) -> Vec<Seen> {
    let groups = scene.groups.iter().filter(|group| group.kind == Kind::Start);
    groups
        .map(|group| {
            let who: Vec<String> = group.members.iter().map(|path| scene.title(path)).collect();
            let evidence = format!(
                "{} were started within {:.0} s and took {} together",
                who.len(),
                (group.time_us.1 - group.time_us.0) as f64 / 1e6,
                bytes(group.rise_bytes)
            );
            let change = vec![
                "start one after the other: depends_on with condition: service_healthy in Compose, After= in systemd"
                    .into(),
            ];
            (who, evidence, change)
        })
        .collect()
}

fn restart_loop(scene: &Scene<'_>) -> Vec<Seen> {
    let often = |container: &&Container| container.starts_in_an_hour >= LOOP;
    scene
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

fn no_swap(scene: &Scene<'_>) -> Vec<Seen> {
    if scene.machine.swap_total != Some(0) {
        return Vec::new();
    }
    let size = scene.machine.total.map_or(1 << 30, |total| (total / 4).next_multiple_of(1 << 30));
    let set = if scene.machine.wsl.is_some() {
        format!(".wslconfig: [wsl2] swap={}GB", size >> 30)
    } else {
        format!(
            "fallocate -l {0}G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
            size >> 30
        )
    };
    vec![(Vec::new(), format!("the machine has no swap. {}", wslconfig::NO_SWAP), vec![set])]
}

fn swap_full(scene: &Scene<'_>) -> Vec<Seen> {
    let machine = scene.machine;
    let (Some(total), Some(free)) = (machine.swap_total.filter(|total| *total > 0), machine.swap_free_least) else {
        return Vec::new();
    };
    if free > total / 20 {
        return Vec::new();
    }
    let most = scene.containers.iter().filter(|c| c.advice.swap > 0).max_by_key(|c| c.advice.swap);
    let who: Vec<String> = most.map(|c| c.title.clone()).into_iter().collect();
    let by = most.map_or_else(String::new, |c| format!("; {} had most of it, {}", c.title, bytes(c.advice.swap)));
    let change = vec![
        "lower limits above keep what does not fit from filling it; memswap_limit bounds the part of one container"
            .into(),
    ];
    vec![(who, format!("of {} of swap {} were left{by}", bytes(total), bytes(free)), change)]
}

fn server_settings(scene: &Scene<'_>) -> Vec<Seen> {
    let of = |container: &Container| {
        let mut seen = container.seen(scene.compose);
        seen.limit = container.after?;
        let (server, settings) = settings(&seen)?;
        let wrong: Vec<_> = settings.into_iter().filter(|setting| setting.out_of_proportion).collect();
        let (first, limit) = (wrong.first()?, bytes(seen.limit));
        let told = |setting: &super::server::Setting| match &setting.seen {
            Some(now) => format!("{} is {}", setting.key, printable(now)),
            None => format!("{} was not seen to be set", setting.key),
        };
        let list: Vec<String> = std::iter::once(first).chain(wrong.iter().skip(1)).map(told).collect();
        let evidence = format!("{server} with {limit}: {}", list.join(", "));
        let change = wrong.iter().map(|setting| format!("{} ({})", setting.line, setting.because)).collect();
        Some((vec![container.title.clone()], evidence, change))
    };
    scene.containers.iter().filter_map(of).collect()
}

fn images(scene: &Scene<'_>) -> Vec<Seen> {
    let of = |container: &Container| {
        let image = container.seen(scene.compose).image?;
        let slim = image::slim(&image)?;
        let evidence = format!(
            "its image is {}; a smaller one saves disk and download, and little memory: of an image only mapped pages count",
            printable(&image)
        );
        Some((vec![container.title.clone()], evidence, vec![format!("image: {slim}")]))
    };
    scene.containers.iter().filter_map(of).collect()
}

fn leftovers(scene: &Scene<'_>) -> Vec<Seen> {
    let list = scene.leftovers.map_or_else(Vec::new, Leftovers::cleanings);
    list.into_iter()
        .map(|cleaning| (Vec::new(), format!("{}: disk, not memory", cleaning.what), vec![cleaning.command.join(" ")]))
        .collect()
}

impl Scene<'_> {
    fn title(&self, path: &str) -> String {
        let known = self.containers.iter().find(|container| container.path == path);
        known.map_or_else(|| printable(crate::paths::name(path)), |container| container.title.clone())
    }
}
