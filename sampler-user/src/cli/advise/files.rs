//! What advice writes: the override of a Compose file, drop-ins, and the text of a `.wslconfig`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sampler::advise::compose::matching::{NamedCgroup, services};
use sampler::advise::compose::overriding::{self, ServiceLimits};
use sampler::advise::compose::project::Sources;
use sampler::advise::compose::{File, Placement, Service};
use sampler::advise::limit::State;
use sampler::advise::systemd::{DropIn, drop_in, unit};
use sampler::advise::wslconfig::{self, Wanted};
use sampler::advise::{Container, Machine, stagger};
use sampler::analysis::groups::{Group, GroupKind};
use sampler::model::units::printable;
use sampler::model::wslconfig::{Config, Kind, Problem, Value};
use serde::Serialize;

use crate::cli::whole_file::write_whole;

/// The first line of what is ours, so that it may be written again.
const OURS: &str = "# Memory limits from measured use, by `sampler advise`.";

/// The user's Compose project.
pub struct Compose {
    /// Its files, in order.
    pub files: Vec<PathBuf>,
    /// What they say.
    pub project: File,
}

/// The files that Compose takes of a folder, each the first of its names that is there.
const FOUND: [[&str; 4]; 2] = [
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"],
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.override.yaml"],
];

/// The Compose files among what was given: a folder stands for those that Compose finds there.
fn compose_files(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = |names: &[&str; 4]| names.iter().map(|name| path.join(name)).find(|path| path.is_file());
        let main = found(&FOUND[0])
            .with_context(|| format!("find a Compose file in {}: give it by its name", path.display()))?;
        files.push(main);
        files.extend(found(&FOUND[1]));
    }
    Ok(files)
}

/// No Compose file is larger, bytes.
const COMPOSE: u64 = 8 << 20;

/// Reads the user's Compose project and finds its services among the containers.
pub fn read_compose(given: &[PathBuf], env_files: &[PathBuf], containers: &mut [Container]) -> anyhow::Result<Compose> {
    let files = compose_files(given)?;
    let read = |path: &Path| {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(COMPOSE).read_to_end(&mut bytes).map(|_| bytes)
    };
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let sources = Sources {
        files: files.clone(),
        directory: None,
        env_files: env_files.to_vec(),
        variables: variables.collect(),
        read: &read,
    };
    let project = File::load(&sources).context("read the Compose project")?;
    let first = &files[0];
    let whole = fs::canonicalize(first).unwrap_or_else(|_| first.clone());
    let folder = whole.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let known: Vec<NamedCgroup<'_>> =
        containers.iter().map(|container| NamedCgroup { path: &container.path, who: container.who.as_ref() }).collect();
    let found: Vec<Option<String>> =
        services(&project, folder.as_deref(), &known).into_iter().map(|service| service.map(str::to_owned)).collect();
    containers.iter_mut().zip(found).for_each(|(container, service)| container.service = service);
    Ok(Compose { files, project })
}

/// A service as the project resolves it.
#[derive(Debug, Serialize)]
pub struct OfService {
    /// Its name.
    pub name: String,
    /// Its limit, bytes; absent without one.
    pub limit_bytes: Option<u64>,
    /// Where the limit is, or has to be written.
    pub place: Placement,
    /// What is reserved, bytes.
    pub reservation_bytes: Option<u64>,
    /// How many containers of it run, where the project says so.
    pub replicas: Option<u64>,
    /// Its profiles.
    pub profiles: Vec<String>,
}

/// The override, and what it does not cover.
#[derive(Debug, Serialize)]
pub struct Override {
    /// The user's file, the first of several.
    pub of: PathBuf,
    /// All of them.
    pub files: Vec<PathBuf>,
    /// The services, as the files resolve them.
    pub services: Vec<OfService>,
    /// What is to be said of the files: variables that are not set, parts that are elsewhere.
    pub remarks: Vec<String>,
    /// Where it was written; absent when it was only shown.
    pub written: Option<PathBuf>,
    /// Its text.
    pub text: String,
    /// Services that were not recorded.
    pub not_recorded: Vec<String>,
}

/// What is to be said of a project, in words.
fn remarks(project: &File) -> Vec<String> {
    let missing = &project.missing;
    let required = missing.required.iter().map(|(name, words)| {
        format!("Compose refuses the project until the variable {} is set: {}", printable(name), printable(words))
    });
    let unset: Vec<String> = missing.unset.iter().map(|name| printable(name)).collect();
    let unset = (!unset.is_empty()).then(|| format!("not set, so empty: {}", unset.join(", ")));
    let invalid =
        missing.invalid.iter().map(|text| format!("`{}` is no template: a $ is written twice", printable(text)));
    let unread = project.unread.iter().map(|path| format!("{} is elsewhere and was not read", printable(path)));
    required.chain(unset).chain(invalid).chain(unread).collect()
}

/// Makes the override. Of several containers of one service the one that needs most counts.
pub fn override_of(compose: &Compose, containers: &[Container], groups: &[Group]) -> Override {
    let file = &compose.project;
    let intervals = health_intervals(file, containers, groups);
    let mut limits: BTreeMap<&str, ServiceLimits> = BTreeMap::new();
    for container in containers {
        let Some(service) = container.service.as_deref() else { continue };
        let new = ServiceLimits {
            service: service.to_owned(),
            limit: container.after,
            reservation: container.advice.reservation,
            with_swap: container.after.map(|limit| container.with_swap(limit)),
            interval: intervals.get(service).copied(),
            because: container.advice.reasons.clone(),
        };
        match limits.get(service) {
            Some(known) if known.limit >= new.limit => {}
            _ => drop(limits.insert(service, new)),
        }
    }
    let list: Vec<ServiceLimits> = limits.into_values().collect();
    let recorded = |name: &String| !list.iter().any(|limits| limits.service == *name);
    let paths: Vec<String> = compose.files.iter().map(|path| path.display().to_string()).collect();
    let of_service = |service: &Service| OfService {
        name: service.name.clone(),
        limit_bytes: service.limit,
        place: service.placement,
        reservation_bytes: service.reservation,
        replicas: service.replicas,
        profiles: service.profiles.clone(),
    };
    Override {
        of: compose.files[0].clone(),
        files: compose.files.clone(),
        services: file.services.iter().map(of_service).collect(),
        remarks: remarks(file),
        written: None,
        text: overriding::text(file, &paths.iter().map(String::as_str).collect::<Vec<_>>(), &list),
        not_recorded: file.services.iter().map(|service| service.name.clone()).filter(recorded).collect(),
    }
}

/// New intervals for services whose health checks run in step.
fn health_intervals<'a>(file: &File, containers: &'a [Container], groups: &[Group]) -> BTreeMap<&'a str, Duration> {
    let mut intervals = BTreeMap::new();
    for group in groups.iter().filter(|group| group.kind == GroupKind::Periodic) {
        let member = |path: &String| containers.iter().find(|c| c.path == *path)?.service.as_deref();
        let checked = |service: &&str| file.service(service).is_some_and(|service| service.health.is_some());
        let mut services: Vec<&str> = group.members.iter().filter_map(member).filter(checked).collect();
        services.dedup();
        if services.len() < 2 {
            continue;
        }
        let own = services.iter().filter_map(|name| file.service(name)?.health?.interval).map(|i| i.as_secs_f64());
        let period = own.fold(group.period_s.unwrap_or(0.0), f64::max);
        let count = services.len();
        intervals.extend(services.into_iter().zip(stagger::intervals(period, count)));
    }
    intervals
}

/// Writes the override, never over a file that is not one.
pub fn write_override(text: &str, path: &Path, users: &[PathBuf]) -> anyhow::Result<()> {
    let is = |path: &Path, user: &PathBuf| fs::canonicalize(user).is_ok_and(|user| user == path);
    let same = fs::canonicalize(path).is_ok_and(|path| users.iter().any(|user| is(&path, user)));
    match fs::read_to_string(path) {
        _ if same => bail!("--override {} is your own file: give another name", path.display()),
        Ok(old) if !old.starts_with(OURS) => {
            bail!("{} is there and is no override of `sampler advise`: give another name", path.display())
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("read {}", path.display()))
        }
        _ => write_whole(path, text.as_bytes()),
    }
}

/// Drop-ins of units whose limit should change.
pub fn drop_ins(containers: &[Container]) -> Vec<DropIn> {
    let of = |container: &Container| {
        let limit = container.after.filter(|limit| Some(*limit) != container.advice.limit)?;
        Some(drop_in(&unit(container.who.as_ref(), &container.path)?, limit))
    };
    containers.iter().filter_map(of).collect()
}

/// Writes drop-ins below a folder.
pub fn write_drop_ins(list: &[DropIn], folder: &Path) -> anyhow::Result<()> {
    for drop_in in list {
        let path = folder.join(&drop_in.path);
        let parent = path.parent().context("a drop-in without a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        write_whole(&path, drop_in.text.as_bytes())?;
    }
    Ok(())
}

/// A `.wslconfig`.
#[derive(Debug, Serialize)]
pub struct Wsl {
    /// What is in force of the one that was given.
    pub effective: BTreeMap<String, Value>,
    /// Its lines that do nothing, from 1.
    pub ineffective: Vec<usize>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// What the new one says.
    pub wanted: Wanted,
    /// The new one.
    pub text: String,
    /// Where it was written; absent when it was only shown.
    pub written: Option<PathBuf>,
}

/// What is used outside of containers at least, bytes: the system's own processes.
const OUTSIDE: u64 = 512 << 20;

/// Reads the user's file, if there is one, makes a new text, and writes it where it is to go.
pub fn wsl(path: Option<&Path>, to: Option<&Path>, containers: &[Container], machine: &Machine) -> anyhow::Result<Wsl> {
    let is_there = path.filter(|path| path.exists());
    let bytes = is_there.map(|path| crate::cli::input::read_file(path, LARGEST)).transpose()?.unwrap_or_default();
    let kind = path.map_or(Kind::Wslconfig, |path| Kind::of(&path.to_string_lossy()));
    let old = Config::read(&bytes, kind);
    let counted = || containers.iter().filter(|container| !container.nested);
    let limits = counted().filter_map(|container| container.after).fold(0, u64::saturating_add);
    let held = counted().filter_map(|container| container.advice.peak).fold(0, u64::saturating_add);
    let outside = machine.used_most.map_or(0, |used| used.saturating_sub(held)).max(OUTSIDE);
    let wanted = wslconfig::wanted(limits, outside, &machine.kernel);
    // A distribution's wsl.conf does not say how large the machine is.
    let base = if kind == Kind::WslConf { Config::default() } else { old.clone() };
    let text = wslconfig::text(&base, &wanted);
    if let Some(to) = to {
        write_new(&base.encode(&text), to)?;
    }
    let Config { effective, ineffective, problems, .. } = old;
    Ok(Wsl { effective, ineffective, problems, wanted, text, written: to.map(Path::to_owned) })
}

/// No file that configures WSL is larger, bytes.
const LARGEST: u64 = 1 << 20;

/// Writes a file that is not there yet.
fn write_new(bytes: &[u8], path: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        bail!("write {}: it must not be there yet, since yours is never written over: it exists", path.display());
    }
    write_whole(path, bytes)
}

/// The word for a state, as a person reads it.
pub fn state(state: State) -> &'static str {
    match state {
        State::Missing => "missing",
        State::TooLow => "too low",
        State::TooHigh => "too high",
        State::Right => "right",
        State::Leak => "leak",
        State::Growing => "growing",
        State::Watch => "watch",
    }
}
