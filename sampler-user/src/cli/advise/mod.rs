//! `sampler advise`

mod cleaning;
mod document;
mod files;
mod table;
mod words;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use sampler::advise::budget::{Claim, Fit, fit};
use sampler::advise::checks::{self, CheckInput};
use sampler::advise::facts::{Facts, Growth, Leak, Pressed};
use sampler::advise::limit::advise;
use sampler::advise::profile::{self, Profile};
use sampler::advise::server::Seen;
use sampler::advise::server::floors::floor;
use sampler::advise::{Container, compose, docker};
use sampler::analysis::leak::detectors::Class;
use sampler::model::paths::{is_below, is_leaf};
use sampler::model::time::format_us;
use sampler::model::units::{parse_bytes, parse_duration, printable};
use sampler::reading::demand::{self, Gathered, Workload};
use sampler::reading::kills::{Killed, kills};

use self::document::{Budget, Document, Totals};
use crate::cli::remote::{EVER, LocalRecordings};

/// Say what the limits should be, from what was measured, and write them down.
///
/// Of each container: whether its limit is missing, too low, too high or right, before and after; --why gives the reasons. A leak
/// keeps its limit. What was watched for less than an hour gets the time until which to watch, unless it was killed. Nothing is
/// changed on this machine.
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
    /// Why: the reasons for each limit, its bounds, and every command.
    #[arg(long, conflicts_with = "json")]
    why: bool,
    /// Advise no limit of what was watched for less, unless it was killed.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    min_watch: Duration,
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
    let kills = kills(here.dir(), &time, &gathered.named, &mut gathered.problems)?;
    let (mut containers, are_containers) = containers(&mut gathered, &kills, args);
    let compose = match args.compose.is_empty() {
        true => None,
        false => Some(files::read_compose(&args.compose, &args.env_file, &mut containers)?),
    };
    if let Some(compose) = &compose {
        for container in containers.iter_mut().filter(|container| container.service.is_some()) {
            set_by_image(container, &gathered, &kills, args, &compose.project);
        }
    }
    sort(&mut containers);
    let budget = args.budget.map(|asked| spend(&mut containers, asked));
    let is_here = rustix::system::uname().nodename().to_str().is_ok_and(|name| name == gathered.host);
    let ask = is_here || args.apply || args.docker_socket.is_some();
    let leftovers = if ask { cleaning::ask(args.docker_socket.as_deref())? } else { None };
    let scene = CheckInput {
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
        let mut made = files::override_of(compose, &to_override(&document.containers), &gathered.groups);
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
        // What has no new limit keeps the one it has.
        let mut expected = document.containers.clone();
        expected.iter_mut().for_each(|container| container.after = container.expected());
        let made = files::wsl(from, to, &expected, &document.machine)?;
        document.wslconfig = Some(made);
    }
    let text = if args.json {
        serde_json::to_string_pretty(&document).context("write JSON")? + "\n"
    } else {
        words::words(&document, args.why)
    };
    crate::cli::output::print(&text)?;
    if args.apply {
        cleaning::apply(leftovers.as_ref(), args.yes, args.docker_socket.as_deref())?;
    }
    let short = document.budget.as_ref().is_some_and(|budget| budget.missing.is_some());
    Ok(if short { ExitCode::from(crate::cli::exit::FAILED) } else { crate::cli::exit::of(&document.problems) })
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

/// The containers with their advice; whether they are containers.
fn containers(all: &mut Gathered, kills: &BTreeMap<String, Killed>, args: &Args) -> (Vec<Container>, bool) {
    let workloads = std::mem::take(&mut all.workloads);
    let is_container = |workload: &Workload| {
        let who = all.named.who(&workload.path);
        who.is_some_and(|who| who.is_container())
    };
    let are_containers = !args.all && workloads.values().any(is_container);
    let is_wanted = |workload: &Workload| {
        if are_containers {
            return is_container(workload);
        }
        let limited = workload.demand.limit().is_some_and(|limit| limit != sampler::model::fields::UNLIMITED);
        let holds = workload.demand.highest() >= LEAST;
        workload.path != "/" && (limited || holds && is_leaf(&all.paths, &workload.path))
    };
    let wanted: Vec<&Workload> = workloads.values().filter(|workload| is_wanted(workload)).collect();
    let paths: Vec<&str> = wanted.iter().map(|workload| workload.path.as_str()).collect();
    let nested = |path: &str| paths.iter().any(|other| *other != path && is_below(path, other));
    let list = wanted.iter().map(|workload| container(workload, nested(&workload.path), all, kills, args)).collect();
    all.workloads = workloads;
    (list, are_containers)
}

/// What was in trouble first, then by size; what is inside of another after it.
fn sort(list: &mut [Container]) {
    let rank = |c: &Container| (c.advice.state, Reverse(c.expected()), Reverse(c.advice.highest));
    let outer: BTreeMap<String, _> = list.iter().filter(|c| !c.nested).map(|c| (c.path.clone(), rank(c))).collect();
    list.sort_by_cached_key(|c| {
        let own = rank(c);
        let (top, first) = outer.iter().find(|(path, _)| is_below(&c.path, path)).unwrap_or((&c.path, &own));
        (*first, top.clone(), c.nested, own, c.title.clone())
    });
}

/// The list for an override, which holds what is advised and no more: a service keeps what it has unless one of its containers
/// is to get another limit, and then the one that needs most counts.
fn to_override(list: &[Container]) -> Vec<Container> {
    let mut list = list.to_vec();
    let changed: BTreeSet<Option<String>> = list.iter().filter(|c| c.is_advised()).map(|c| c.service.clone()).collect();
    for container in &mut list {
        container.after = container.expected().filter(|_| changed.contains(&container.service));
    }
    list
}

/// Advises a container again, by the image of its service, where that says more than what was recorded of it.
fn set_by_image(
    container: &mut Container,
    all: &Gathered,
    kills: &BTreeMap<String, Killed>,
    args: &Args,
    project: &compose::File,
) {
    let floor = floor(&container.seen(Some(project)));
    let key = demand::limited(&all.named, &container.path);
    if let Some(workload) = all.workloads.get(&key).filter(|_| floor != container.advice.floor) {
        container.advice = advise(&Facts { floor, ..facts(workload, all, kills, args) }, &args.profile);
        container.after = container.advice.target;
    }
}

/// What is known of a workload.
fn facts(workload: &Workload, all: &Gathered, kills: &BTreeMap<String, Killed>, args: &Args) -> Facts {
    let path = &workload.path;
    let killed = kills.get(&demand::limited(&all.named, path));
    let min_watch_s = args.min_watch.as_secs_f64();
    let verdict = all.verdicts.get(path);
    let bytes_per_s = verdict.and_then(|verdict| verdict.rate_bytes_per_s);
    // A leak in it, seen by the analysis, in its lives or by a post-mortem.
    let by_lives = all.loops.of_path(path).filter(|restarts| restarts.leaks());
    let leak = match (all.leak_in(path), by_lives, killed.is_some_and(|killed| killed.leaks)) {
        (Some(verdict), ..) => Some(Leak {
            bytes_per_s: verdict.rate_bytes_per_s,
            time_to_limit_s: verdict.time_to_limit_s,
            limit_owner: verdict.limit_owner.clone().filter(|owner| owner != path),
        }),
        (None, Some(restarts), _) => Some(Leak { bytes_per_s: restarts.rate_bytes_per_s, ..Leak::default() }),
        (None, None, true) => Some(Leak { bytes_per_s, ..Leak::default() }),
        (None, None, false) => None,
    };
    let pressed = all.episodes.get(path).and_then(|episodes| Pressed::of(episodes));
    let watched_s = workload.demand.watched_s();
    let rose = bytes_per_s.is_none_or(|pace| pace * watched_s > ROSE * workload.demand.highest() as f64);
    let is_unknown = verdict.is_none_or(|verdict| verdict.verdict == Class::Undetermined);
    let growth = if killed.is_some_and(|killed| killed.grows) {
        Some(Growth { killed: true, bytes_per_s })
    } else {
        let is_one = pressed.is_some() && watched_s < min_watch_s && is_unknown && rose;
        is_one.then_some(Growth { killed: false, bytes_per_s })
    };
    Facts {
        demand: workload.demand.clone(),
        leak,
        growth,
        killed_at: killed.map(|killed| killed.at.clone()).unwrap_or_default(),
        other_kills: killed.map(|killed| killed.other.clone()).unwrap_or_default(),
        pressed,
        floor: None,
        min_watch_s,
    }
}

/// Part of what was held that came while it was watched, to be a growth.
const ROSE: f64 = 0.2;

fn container(
    workload: &Workload,
    nested: bool,
    all: &Gathered,
    kills: &BTreeMap<String, Killed>,
    args: &Args,
) -> Container {
    let path = &workload.path;
    let killed = kills.get(&demand::limited(&all.named, path));
    let who = all.named.who(path);
    let title =
        who.as_ref().and_then(|who| who.title()).unwrap_or_else(|| sampler::model::paths::name(path).to_owned());
    let processes = workload.processes.iter().map(|(name, most)| (name.clone(), *most)).collect();
    let image = who.as_ref().and_then(|who| who.image.clone());
    let seen = Seen { image, processes, ..Seen::default() };
    let advice = advise(&Facts { floor: floor(&seen), ..facts(workload, all, kills, args) }, &args.profile);
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
        processes: seen.processes,
        machine_swaps: all.machine.swap_total.is_some_and(|swap| swap > 0),
    }
}

/// Fits the limits into a budget; where they do not fit they stay as they are. What gets no new limit takes what it has.
fn spend(containers: &mut [Container], asked: u64) -> Budget {
    let counted = |container: &Container| !container.nested && container.expected().is_some();
    let claim = |container: &Container| {
        let expected = container.expected().unwrap_or(0);
        let lower = container.after.and(container.advice.lower).unwrap_or(expected);
        Claim { target: expected, lower, trouble: container.advice.trouble }
    };
    let claims: Vec<Claim> = containers.iter().filter(|container| counted(container)).map(claim).collect();
    let needed = claims.iter().map(|claim| claim.lower).fold(0, u64::saturating_add);
    match fit(&claims, asked) {
        Fit::Fits { limits, spare } => {
            let mut limits = limits.into_iter();
            for container in containers.iter_mut().filter(|container| counted(container)) {
                let fitted = limits.next();
                container.after = container.after.and(fitted);
            }
            Budget { asked, needed, missing: None, spare: Some(spare) }
        }
        Fit::Short { missing, .. } => Budget { asked, needed, missing: Some(missing), spare: None },
    }
}
