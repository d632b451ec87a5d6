//! What advice writes: the override of a Compose file, drop-ins, and the text of a `.wslconfig`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sampler::advise::compose::File;
use sampler::advise::compose::matching::{Known, services};
use sampler::advise::compose::overriding::{self, Limits};
use sampler::advise::limit::State;
use sampler::advise::systemd::{DropIn, drop_in, unit};
use sampler::advise::wslconfig::{self, Wanted};
use sampler::advise::{Container, Machine, stagger};
use sampler::analysis::groups::{Group, Kind};
use sampler::wslconfig::{Config, Kind as Of, Problem, Value};
use serde::Serialize;

/// The first line of what is ours, so that it may be written again.
const OURS: &str = "# Memory limits from measured use, by `sampler advise`.";

/// Reads the user's Compose file and finds its services among the containers.
pub fn read_compose(path: &Path, containers: &mut [Container]) -> anyhow::Result<File> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let file = File::read(&bytes).with_context(|| format!("read {}", path.display()))?;
    let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = whole.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let known: Vec<Known<'_>> =
        containers.iter().map(|container| Known { path: &container.path, who: container.who.as_ref() }).collect();
    let found: Vec<Option<String>> =
        services(&file, folder.as_deref(), &known).into_iter().map(|service| service.map(str::to_owned)).collect();
    containers.iter_mut().zip(found).for_each(|(container, service)| container.service = service);
    Ok(file)
}

/// The override, and what it does not cover.
#[derive(Debug, Serialize)]
pub struct Override {
    /// The user's file.
    pub of: PathBuf,
    /// Where it was written; absent when it was only shown.
    pub written: Option<PathBuf>,
    /// Its text.
    pub text: String,
    /// Services that were not recorded.
    pub not_recorded: Vec<String>,
}

/// Makes the override. Of several containers of one service the one that needs most counts.
pub fn override_of(path: &Path, file: &File, containers: &[Container], groups: &[Group]) -> Override {
    let intervals = health_intervals(file, containers, groups);
    let mut limits: BTreeMap<&str, Limits> = BTreeMap::new();
    for container in containers {
        let Some(service) = container.service.as_deref() else { continue };
        let new = Limits {
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
    let list: Vec<Limits> = limits.into_values().collect();
    let recorded = |name: &String| !list.iter().any(|limits| limits.service == *name);
    Override {
        of: path.to_owned(),
        written: None,
        text: overriding::text(file, &path.display().to_string(), &list),
        not_recorded: file.services.iter().map(|service| service.name.clone()).filter(recorded).collect(),
    }
}

/// New intervals for services whose health checks run in step.
fn health_intervals<'a>(file: &File, containers: &'a [Container], groups: &[Group]) -> BTreeMap<&'a str, Duration> {
    let mut intervals = BTreeMap::new();
    for group in groups.iter().filter(|group| group.kind == Kind::Periodic) {
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
pub fn write_override(text: &str, path: &Path, user: &Path) -> anyhow::Result<()> {
    let same = fs::canonicalize(path).is_ok_and(|path| fs::canonicalize(user).is_ok_and(|user| user == path));
    match fs::read_to_string(path) {
        _ if same => bail!("--override {} is your own file: give another name", path.display()),
        Ok(old) if !old.starts_with(OURS) => {
            bail!("{} is there and is no override of `sampler advise`: give another name", path.display())
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("read {}", path.display()))
        }
        _ => fs::write(path, text).with_context(|| format!("write {}", path.display())),
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
        fs::write(&path, &drop_in.text).with_context(|| format!("write {}", path.display()))?;
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
    let bytes = is_there.map(|path| super::super::read_file(path, LARGEST)).transpose()?.unwrap_or_default();
    let kind = path.map_or(Of::Wslconfig, |path| Of::of(&path.to_string_lossy()));
    let old = Config::read(&bytes, kind);
    let counted = || containers.iter().filter(|container| !container.nested);
    let limits = counted().filter_map(|container| container.after).fold(0, u64::saturating_add);
    let held = counted().filter_map(|container| container.advice.peak).fold(0, u64::saturating_add);
    let outside = machine.used_most.map_or(0, |used| used.saturating_sub(held)).max(OUTSIDE);
    let wanted = wslconfig::wanted(limits, outside, &machine.kernel);
    // A distribution's wsl.conf does not say how large the machine is.
    let base = if kind == Of::WslConf { Config::default() } else { old.clone() };
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
    let what = || format!("write {}: it must not be there yet, since yours is never written over", path.display());
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path).with_context(what)?;
    std::io::Write::write_all(&mut file, bytes).with_context(|| format!("write {}", path.display()))
}

/// The word for a state, as a person reads it.
pub fn state(state: State) -> &'static str {
    match state {
        State::Missing => "missing",
        State::TooLow => "too low",
        State::TooHigh => "too high",
        State::Right => "right",
        State::Leak => "leak",
    }
}
