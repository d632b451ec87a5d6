//! `sampler advise`

mod cleaning;
mod document;
mod files;
mod words;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use sampler::advise::budget::{Claim, Fit, fit};
use sampler::advise::checks::{self, Scene};
use sampler::advise::facts::{Facts, Leak, Pressed};
use sampler::advise::limit::advise;
use sampler::advise::profile::{self, Profile};
use sampler::advise::{Container, docker};
use sampler::analysis::pressure::{Episode, Kind};
use sampler::model::paths::is_below;
use sampler::model::time::format_us;
use sampler::model::units::{parse_bytes, printable};
use sampler::reading::demand::{self, Gathered, Workload};
use sampler::reading::kills::{Killed, kills};

use self::document::{Budget, Document, Totals};
use crate::cli::remote::{EVER, LocalRecordings};

/// Say what the limits should be, from what was measured, and write them down.
///
/// Of each container: whether its limit is missing, too low, too high or right, with target, bounds and reasons. A leak keeps its
/// limit. Nothing is changed on this machine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler advise /var/lib/sampler --compose docker-compose.yml --override limits.yml --budget 2.7G\n  docker compose -f docker-compose.yml -f limits.yml up -d"
)]
pub struct Args {
    /// Recording: its folder or its address (s3://…) [default: where `record` writes]
    path: Option<PathBuf>,
    /// One JSON document (format `sampler.advise.v1`).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    part: crate::cli::excerpt::Excerpt,
    /// Every cgroup without others below and every one with a limit, not only containers.
    #[arg(long)]
    all: bool,
    /// What the limits are for: full (all services under load), development (one person) or test (short runs).
    #[arg(long, default_value = "full", value_parser = named_profile)]
    profile: Profile,
    /// Fit the limits into this, such as 2.7G; says so where they cannot be.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    budget: Option<u64>,
    /// Your Compose file, several times where you give Compose several with -f, or the folder of your project; never written.
    #[arg(long, value_name = "FILE")]
    compose: Vec<PathBuf>,
    /// A file of variables for it, as Compose takes it [default: .env beside the first Compose file]
    #[arg(long, value_name = "FILE", requires = "compose")]
    env_file: Vec<PathBuf>,
    /// Write the override of your Compose file here.
    #[arg(long, value_name = "FILE", requires = "compose")]
    r#override: Option<PathBuf>,
    /// Your .wslconfig: report each line that does nothing, with the line to write, and show a new one that keeps all else.
    #[arg(long, value_name = "FILE")]
    wslconfig: Option<PathBuf>,
    /// Write the new .wslconfig here: yours with memory, swap and autoMemoryReclaim changed, in its encoding.
    #[arg(long, value_name = "FILE")]
    new_wslconfig: Option<PathBuf>,
    /// Write the drop-ins of systemd units below this folder.
    #[arg(long, value_name = "DIR")]
    systemd: Option<PathBuf>,
    /// Run what cleans up after Docker, each after a yes.
    #[arg(long, conflicts_with = "json")]
    apply: bool,
    /// Say yes to each.
    #[arg(long, requires = "apply")]
    yes: bool,
    /// Socket of Docker [default: DOCKER_HOST, else /run/docker.sock, if the recording is of this machine]
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
}

fn named_profile(name: &str) -> Result<Profile, String> {
    let names = || profile::TABLE.map(|profile| profile.name).join(", ");
    Profile::named(name).ok_or_else(|| format!("there is {}", names()))
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let here = LocalRecordings::of(args.path.as_slice(), &EVER)?;
    let selection = args.part.selection()?;
    let time = args.part.range();
    let mut gathered = demand::gather(here.dir(), &|path| selection.wants(path), &time)?;
    let kills = kills(here.dir(), &time, &gathered.named)?;
    let (mut containers, are_containers) = containers(&mut gathered, &kills, args);
    let compose = match args.compose.is_empty() {
        true => None,
        false => Some(files::read_compose(&args.compose, &args.env_file, &mut containers)?),
    };
    let budget = args.budget.map(|asked| spend(&mut containers, asked));
    let is_here = rustix::system::uname().nodename().to_str().is_ok_and(|name| name == gathered.host);
    let ask = is_here || args.apply || args.docker_socket.is_some();
    let leftovers = if ask { cleaning::ask(args.docker_socket.as_deref())? } else { None };
    let scene = Scene {
        containers: &containers,
        groups: &gathered.groups,
        machine: &gathered.machine,
        compose: compose.as_ref().map(|compose| &compose.project),
        leftovers: leftovers.as_ref(),
    };
    let findings = checks::run(&scene);
    let mut document = document(args, &gathered, containers, are_containers, budget);
    document.checks = findings;
    if let Some(compose) = &compose {
        let mut made = files::override_of(compose, &document.containers, &gathered.groups);
        if let Some(target) = &args.r#override {
            files::write_override(&made.text, target, &compose.files)?;
            made.written = Some(target.clone());
        }
        document.compose = Some(made);
    }
    if let Some(folder) = &args.systemd {
        files::write_drop_ins(&document.systemd, folder)?;
    }
    if args.wslconfig.is_some() || args.new_wslconfig.is_some() || gathered.machine.wsl.is_some() {
        let (from, to) = (args.wslconfig.as_deref(), args.new_wslconfig.as_deref());
        let made = files::wsl(from, to, &document.containers, &document.machine)?;
        document.wslconfig = Some(made);
    }
    let text = if args.json {
        serde_json::to_string_pretty(&document).context("write JSON")? + "\n"
    } else {
        words::words(&document)
    };
    crate::cli::output::print(&text)?;
    if args.apply {
        cleaning::apply(leftovers.as_ref(), args.yes, args.docker_socket.as_deref())?;
    }
    let short = document.budget.as_ref().is_some_and(|budget| budget.missing.is_some());
    Ok(if short { ExitCode::from(crate::cli::exit::FAILED) } else { ExitCode::SUCCESS })
}

fn document(
    args: &Args,
    gathered: &Gathered,
    containers: Vec<Container>,
    are_containers: bool,
    budget: Option<Budget>,
) -> Document {
    let spans = || gathered.workloads.values().filter_map(|workload| workload.demand.span_us());
    let (from, to) = (spans().map(|(from, _)| from).min(), spans().map(|(_, to)| to).max());
    Document {
        format: "sampler.advise.v1",
        from: from.map(format_us),
        to: to.map(format_us),
        span_s: from.zip(to).map_or(0.0, |(from, to)| (to - from) as f64 / 1e6),
        profile: args.profile,
        machine: gathered.machine.clone(),
        are_containers,
        totals: Totals::of(&containers),
        budget,
        checks: Vec::new(),
        docker_update: containers.iter().filter_map(docker::update).collect(),
        compose: None,
        systemd: files::drop_ins(&containers),
        wslconfig: None,
        problems: gathered.problems.clone(),
        containers,
    }
}

/// A cgroup that never held more needs no limit, bytes.
const LEAST: u64 = 1 << 20;

/// The containers with their advice, largest first, what is inside of another after it; whether they are containers.
fn containers(all: &mut Gathered, kills: &BTreeMap<String, Killed>, args: &Args) -> (Vec<Container>, bool) {
    let workloads = std::mem::take(&mut all.workloads);
    let is_container = |workload: &Workload| {
        let who = all.named.who(&workload.path);
        who.is_some_and(|who| who.container.is_some() && who.inner.is_none())
    };
    let are_containers = !args.all && workloads.values().any(is_container);
    let is_wanted = |workload: &Workload| {
        if are_containers {
            return is_container(workload);
        }
        let limited = workload.demand.limit().is_some_and(|limit| limit != sampler::model::fields::UNLIMITED);
        let holds = workload.demand.highest() >= LEAST;
        workload.path != "/" && (limited || holds && all.is_leaf(&workload.path))
    };
    let wanted: Vec<&Workload> = workloads.values().filter(|workload| is_wanted(workload)).collect();
    let paths: Vec<&str> = wanted.iter().map(|workload| workload.path.as_str()).collect();
    let nested = |path: &str| paths.iter().any(|other| *other != path && is_below(path, other));
    let mut list: Vec<Container> =
        wanted.iter().map(|workload| container(workload, nested(&workload.path), all, kills, args)).collect();
    let outer: BTreeMap<String, Option<u64>> =
        list.iter().filter(|c| !c.nested).map(|c| (c.path.clone(), c.after)).collect();
    list.sort_by_cached_key(|c| {
        let (top, after) = outer.iter().find(|(path, _)| is_below(&c.path, path)).unwrap_or((&c.path, &c.after));
        (Reverse(*after), top.clone(), c.nested, Reverse(c.after), c.title.clone())
    });
    all.workloads = workloads;
    (list, are_containers)
}

fn container(
    workload: &Workload,
    nested: bool,
    all: &Gathered,
    kills: &BTreeMap<String, Killed>,
    args: &Args,
) -> Container {
    let path = &workload.path;
    let killed = kills.get(&demand::key(&all.named, path));
    // A leak in it, seen by the analysis or by a post-mortem.
    let leak = match (all.leak_in(path), killed.is_some_and(|killed| killed.leaks)) {
        (Some(verdict), _) => {
            Some(Leak { bytes_per_s: verdict.rate_bytes_per_s, time_to_limit_s: verdict.time_to_limit_s })
        }
        (None, true) => {
            let verdict = all.verdicts.get(path);
            Some(Leak { bytes_per_s: verdict.and_then(|v| v.rate_bytes_per_s), time_to_limit_s: None })
        }
        (None, false) => None,
    };
    let facts = Facts {
        demand: workload.demand.clone(),
        leak,
        killed_at: killed.map(|killed| killed.at.clone()).unwrap_or_default(),
        other_kills: killed.map(|killed| killed.other.clone()).unwrap_or_default(),
        pressed: all.episodes.get(path).and_then(|episodes| pressed(episodes)),
    };
    let advice = advise(&facts, &args.profile);
    let who = all.named.who(path);
    let title =
        who.as_ref().and_then(|who| who.title()).unwrap_or_else(|| sampler::model::paths::name(path).to_owned());
    Container {
        path: path.clone(),
        title: printable(&title),
        who,
        service: None,
        nested,
        after: advice.target,
        advice,
        starts_in_an_hour: demand::most_in_an_hour(&workload.starts),
        kills: killed.map_or(0, |killed| killed.victims),
        processes: workload.processes.iter().map(|(name, most)| (name.clone(), *most)).collect(),
        machine_swaps: all.machine.swap_total.is_some_and(|swap| swap > 0),
    }
}

/// Least time that tasks waited at the limit to be a reason for more, seconds.
const STALL_S: f64 = 1.0;

/// Stalls at the limit: what is needed did not fit, and was read or swapped in again.
fn pressed(episodes: &[Episode]) -> Option<Pressed> {
    let hard = |episode: &&Episode| {
        let felt = matches!(episode.kind, Kind::Thrashing | Kind::SwapStorm)
            || episode.kind == Kind::Stall && episode.stall_s.is_some_and(|stall| stall >= STALL_S);
        felt && episode.limit_hits > 0
    };
    episodes.iter().filter(hard).fold(None, |sum: Option<Pressed>, episode| {
        let sum = sum.unwrap_or(Pressed { hits: 0, stall_s: None });
        let stall_s = episode.stall_s.map(|stall| stall + sum.stall_s.unwrap_or(0.0)).or(sum.stall_s);
        Some(Pressed { hits: sum.hits + episode.limit_hits, stall_s })
    })
}

/// Fits the limits into a budget; where they do not fit they stay as they are.
fn spend(containers: &mut [Container], asked: u64) -> Budget {
    let counted = |container: &Container| !container.nested && container.after.is_some();
    let claims: Vec<Claim> = containers
        .iter()
        .filter(|container| counted(container))
        .map(|container| Claim {
            target: container.after.unwrap_or(0),
            lower: container.advice.lower.or(container.after).unwrap_or(0),
            trouble: container.advice.trouble,
        })
        .collect();
    let needed = claims.iter().map(|claim| claim.lower).fold(0, u64::saturating_add);
    match fit(&claims, asked) {
        Fit::Fits { limits, spare } => {
            let mut limits = limits.into_iter();
            for container in containers.iter_mut().filter(|container| counted(container)) {
                container.after = limits.next();
            }
            Budget { asked, needed, missing: None, spare: Some(spare) }
        }
        Fit::Short { missing, .. } => Budget { asked, needed, missing: Some(missing), spare: None },
    }
}
