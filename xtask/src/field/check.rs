//! What was reported against what is true: one line for each truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use super::kernel::{Kill, Seen};
use super::reports::{Reported, count, names, pids};
use super::truth::Truth;

/// A kill and a death are reported within this time, seconds.
const SOON: f64 = 3.0;
/// The alert of a restart loop speaks again within this time, seconds.
const AGAIN: f64 = 300.0;
/// A command that reads may take this long before the suite goes on without it.
const PATIENCE: Duration = Duration::from_secs(240);

/// What the commands say of the recording once it has ended.
pub struct Said {
    all: Value,
    list: Value,
    analyze: Value,
    advise: Value,
    info: Value,
}

impl Said {
    /// Asks them, and says how long each took.
    pub fn of(sampler: &Path, out: &Path, socket: &Path) -> anyhow::Result<Said> {
        let socket = socket.display().to_string();
        Ok(Said {
            all: ask(sampler, out, &["postmortem", "--all", "--json"])?,
            list: ask(sampler, out, &["postmortem", "--list", "--json"])?,
            analyze: ask(sampler, out, &["analyze", "--json"])?,
            advise: ask(sampler, out, &["advise", "--json", "--docker-socket", &socket])?,
            info: ask(sampler, out, &["info", "--json"])?,
        })
    }
}

/// A command's JSON; nothing when it fails or takes too long, which the checks show.
fn ask(sampler: &Path, out: &Path, words: &[&str]) -> anyhow::Result<Value> {
    let begun = Instant::now();
    let name = format!("{}-{}.json", words[0], words[1].trim_start_matches('-'));
    let path = out.with_file_name(name);
    let file = std::fs::File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let mut command = Command::new(sampler);
    command.arg(words[0]).arg(out).args(&words[1..]).stdin(Stdio::null()).stdout(file);
    let mut child = command.spawn().context("start sampler")?;
    while child.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            println!("note {} took over {} s and was ended", words[..2].join(" "), PATIENCE.as_secs());
            child.kill()?;
            child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("note {} took {:.1} s", words[..2].join(" "), begun.elapsed().as_secs_f64());
    Ok(serde_json::from_slice(&std::fs::read(&path)?).unwrap_or_default())
}

/// Services that alone have victims of a name.
pub fn by_name(truths: &[Truth]) -> BTreeMap<String, String> {
    let of = |name: &str| truths.iter().filter(|truth| truth.victim.as_deref() == Some(name)).count();
    let alone = truths.iter().filter_map(|truth| {
        let name = truth.victim.as_deref().filter(|name| of(name) == 1)?;
        Some((name.to_owned(), truth.service.clone()))
    });
    alone.collect()
}

/// The lines, counted.
#[derive(Default)]
pub struct Lines {
    pub passed: usize,
    pub failed: usize,
}

impl Lines {
    /// One truth.
    pub fn line(&mut self, who: &str, what: &str, holds: bool, seen: impl AsRef<str>) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        println!("{:<6} {who:<9} {what}: {}", if holds { "ok" } else { "FAILED" }, seen.as_ref());
    }
}

/// Everything that is known at the end.
pub struct End<'a> {
    pub truths: &'a [Truth],
    pub seen: &'a Seen,
    pub reported: &'a Reported,
    pub said: &'a Said,
}

/// Checks each truth.
pub fn check(end: &End<'_>, lines: &mut Lines) {
    let by_name = by_name(end.truths);
    let mut kills: BTreeMap<&str, Vec<&Kill>> = BTreeMap::new();
    for kill in &end.seen.kills {
        let service = end.seen.service_of_kill(kill, &by_name);
        if let Some(truth) = service.and_then(|service| end.truths.iter().find(|truth| truth.service == service)) {
            kills.entry(&truth.service).or_default().push(kill);
        }
    }
    let none = Vec::new();
    for truth in end.truths {
        let one = Service { truth, kills: kills.get(truth.service.as_str()).unwrap_or(&none), end };
        one.happened(lines);
        if !one.kills.is_empty() {
            one.told_once_and_soon(lines);
            one.explained(lines);
        }
        one.deaths(lines);
        if truth.is_loop {
            one.looped(lines);
        }
        if truth.healthy {
            one.left_alone(lines);
        }
    }
    pages_apart(end, &kills, lines);
}

/// One service of the field at the end.
struct Service<'a> {
    truth: &'a Truth,
    kills: &'a [&'a Kill],
    end: &'a End<'a>,
}

impl Service<'_> {
    fn line(&self, lines: &mut Lines, what: &str, holds: bool, seen: impl AsRef<str>) {
        lines.line(&self.truth.service, what, holds, seen);
    }

    /// That the story took place, which says nothing of the program.
    fn happened(&self, lines: &mut Lines) {
        let (least, most) = self.truth.kills;
        let count = self.kills.len();
        let ends = self.end.seen.of(&self.truth.service).flat_map(|container| &container.ends);
        let codes: BTreeSet<i64> = ends.map(|(_, code)| *code).collect();
        let as_true = self.truth.exit.is_none_or(|exit| codes.iter().eq([&exit]));
        let victims: BTreeSet<&str> = self.kills.iter().map(|kill| kill.comm.as_str()).collect();
        let right = self.truth.victim.as_deref().is_none_or(|name| victims.iter().all(|victim| *victim == name));
        let counted = self.end.seen.counted(&self.truth.service);
        let agrees = counted.is_none_or(|counted| counted == count as u64);
        let peak = self.end.seen.peak(&self.truth.service);
        let full = self.truth.at_limit.is_none_or(|limit| peak >= limit - limit / 20);
        let holds = (least..=most).contains(&count) && as_true && right && agrees && full;
        let counted = counted.map_or_else(String::new, |counted| format!(", {counted} by the counter"));
        let peak = peak >> 20;
        let seen = format!("{count} kills of {victims:?} by the log{counted}, exits {codes:?}, {peak} MiB at most");
        self.line(lines, "the story took place", holds, seen);
    }

    fn told_once_and_soon(&self, lines: &mut Lines) {
        let reported = self.end.reported;
        let times = |pid: i64| reported.events.iter().filter(move |(of, _)| *of == pid).map(|(_, at)| *at);
        let once = self.kills.iter().filter(|kill| times(kill.pid).count() == 1).count();
        let twice = self.kills.iter().filter(|kill| times(kill.pid).count() > 1).count();
        let all = self.kills.len();
        self.line(lines, "each kill is an event, once", once == all, format!("{once} of {all}, {twice} more often"));
        let event = |kill: &Kill| times(kill.pid).next();
        self.soon(lines, "event", self.kills, event);
        // A storm is counted; its first kill is reported as any other.
        let single = if self.truth.storm { &self.kills[..1] } else { self.kills };
        self.soon(lines, "--list", single, |kill| reported.listed.get(&kill.pid).copied());
        self.soon(lines, "page", single, |kill| reported.pages.get(&kill.pid).copied());
        self.soon(lines, "hook", single, |kill| reported.hooks.get(&kill.pid).copied());
        let of_alert = if self.truth.is_loop { &self.kills[..1] } else { single };
        let alert = |kill: &Kill| {
            let alerts = self.alerts().map(|(at, _)| *at);
            alerts.filter(|at| *at >= kill.at - 0.5).min_by(f64::total_cmp)
        };
        self.soon(lines, "alert", of_alert, alert);
    }

    fn soon(&self, lines: &mut Lines, by: &str, kills: &[&Kill], at: impl Fn(&Kill) -> Option<f64>) {
        let late: Vec<Option<f64>> = kills.iter().map(|kill| at(kill).map(|at| at - kill.at)).collect();
        let soon = late.iter().flatten().filter(|late| **late <= SOON).count();
        let never = late.iter().filter(|late| late.is_none()).count();
        let worst = late.iter().flatten().copied().fold(0.0, f64::max);
        let seen = format!("{soon} of {}, {never} not at all, the others {worst:.1} s at most", kills.len());
        self.line(lines, &format!("{by} within 3 s of each kill"), soon == kills.len(), seen);
    }

    /// Alert lines about the service.
    fn alerts(&self) -> impl Iterator<Item = &(f64, String)> {
        let seen = self.end.seen;
        let ours = move |line: &str| {
            names(line, &self.truth.service)
                || seen.of(&self.truth.service).any(|container| line.contains(&container.id))
        };
        self.end.reported.alerts.iter().filter(move |(_, line)| ours(line))
    }

    /// Incidents whose victims are these.
    fn incidents(&self, kills: &[&Kill]) -> Vec<Option<&Value>> {
        let all = self.end.said.all["incidents"].as_array().map_or(&[][..], Vec::as_slice);
        kills.iter().map(|kill| all.iter().find(|incident| pids(incident).contains(&kill.pid))).collect()
    }

    fn explained(&self, lines: &mut Lines) {
        let mut incidents = self.incidents(self.kills);
        if self.truth.storm {
            // Each page once: it may name the first of many.
            incidents.dedup_by_key(|incident| incident.map(std::ptr::from_ref));
            incidents.retain(Option::is_some);
        }
        let all = incidents.len();
        let limit = |incident: &&Value| {
            let limit = &incident["limit"];
            let place = self.truth.limit_cgroup.as_deref().is_none_or(|want| {
                let path = limit["cgroup"].as_str().unwrap_or_default();
                matches_path(want, path) && (!want.contains('*') || self.is_ours(path))
            });
            let owner = self.truth.owner.as_deref().is_none_or(|owner| limit["owner"] == owner);
            place && owner && self.truth.limit.is_none_or(|bytes| limit["limit"].as_u64() == Some(bytes))
        };
        let right = incidents.iter().flatten().filter(|incident| limit(incident)).count();
        let seen = tally(&incidents, |incident| {
            format!("{} {} of {}", incident["limit"]["owner"], incident["limit"]["limit"], incident["limit"]["cgroup"])
        });
        self.line(lines, "post-mortem: limit and owner", right == all && all > 0, format!("{right} of {all}: {seen}"));
        self.own_values(&incidents, lines);
        if let Some(cause) = &self.truth.cause {
            let judged = incidents.get(self.truth.cause_from - 1..).unwrap_or_default();
            let right = judged.iter().flatten().filter(|incident| incident["cause"] == cause.as_str()).count();
            let seen = tally(&incidents, |incident| incident["cause"].to_string());
            let what = format!("post-mortem: cause {cause}");
            self.line(lines, &what, right == judged.len(), format!("{right} of {}: {seen}", judged.len()));
        }
        let listed = count(&self.end.said.list, &self.truth.service, "oom-kill");
        let kills = self.kills.len();
        self.line(lines, "the list at the end counts them", listed == kills, format!("{listed} of {kills}"));
    }

    /// The limit and the memory of a cgroup are its own, however briefly it lived.
    fn own_values(&self, incidents: &[Option<&Value>], lines: &mut Lines) {
        let (Some(limit), Some(place)) = (self.truth.limit, self.truth.limit_cgroup.as_deref()) else { return };
        let cgroups = self.end.said.info["cgroups"].as_array().into_iter().flatten();
        let at = |path: &str| matches_path(place, path) && (!place.contains('*') || self.is_ours(path));
        let limits: BTreeSet<Option<u64>> =
            cgroups.filter(|c| c["path"].as_str().is_some_and(at)).map(|c| c["limit_bytes"].as_u64()).collect();
        self.line(lines, "info: its limit", limits.iter().eq([&Some(limit)]), format!("{limits:?}"));
        let own = |incident: &&Value| {
            let timeline = &incident["timeline"];
            let points =
                ["minute", "second"].into_iter().flat_map(|part| timeline[part].as_array().into_iter().flatten());
            let values: Vec<u64> = points.filter_map(|point| point["suspect"].as_u64()).collect();
            // Right at the limit the kernel lets some pages pass.
            !values.is_empty() && values.iter().all(|value| *value <= limit + limit / 50)
        };
        let (right, all) = (incidents.iter().flatten().filter(|incident| own(incident)).count(), incidents.len());
        self.line(lines, "page: its timeline is its own", right == all && all > 0, format!("{right} of {all}"));
    }

    fn is_ours(&self, path: &str) -> bool {
        self.end.seen.service_of(path) == Some(&self.truth.service)
    }

    /// Incidents of a kind `death` about the service.
    fn deaths(&self, lines: &mut Lines) {
        let of = |incident: &&Value| {
            let mut paths = vec![&incident["limit"]["cgroup"], &incident["suspect"]];
            paths.extend(incident["victims"].as_array().into_iter().flatten().map(|victim| &victim["cgroup"]));
            paths.into_iter().filter_map(Value::as_str).any(|path| self.is_ours(path))
        };
        let all = self.end.said.all["incidents"].as_array().into_iter().flatten();
        let deaths: Vec<&Value> = all.filter(|incident| incident["kind"] == "death").filter(of).collect();
        let verdicts: Vec<&str> = deaths.iter().filter_map(|death| death["verdict"].as_str()).collect();
        let want = self.truth.deaths;
        let what = if want == 0 { "no death is reported" } else { "the death is reported, once" };
        self.line(lines, what, deaths.len() == want, format!("{} of {want} {verdicts:?}", deaths.len()));
        if want == 0 {
            return;
        }
        let says = |word: &str| !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.contains(word));
        for word in &self.truth.says {
            self.line(lines, &format!("its verdict has {word:?}"), says(word), format!("{verdicts:?}"));
        }
        if !self.truth.sender.is_empty() && self.end.reported.probe {
            let named = self.truth.sender.iter().any(|sender| says(sender));
            self.line(lines, "its verdict names the sender", named, format!("{:?} in {verdicts:?}", self.truth.sender));
        }
        let ends: Vec<f64> =
            self.end.seen.of(&self.truth.service).flat_map(|container| &container.ends).map(|(at, _)| *at).collect();
        let listed = self.end.reported.deaths_listed.get(&self.truth.service).map_or(&[][..], Vec::as_slice);
        let late: Vec<f64> = ends.iter().zip(listed).map(|(end, listed)| listed - end).collect();
        let soon = late.iter().filter(|late| **late <= SOON).count();
        self.line(lines, "--list within 3 s of the death", soon == want, format!("{soon} of {want}: {late:.1?} s"));
    }

    /// Every command has the same cause, and the alert goes on.
    fn looped(&self, lines: &mut Lines) {
        let analyzed = self.end.said.analyze["cgroups"].as_array().into_iter().flatten();
        let verdicts: Vec<&Value> = analyzed
            .filter(|c| c["path"].as_str().is_some_and(|path| self.is_ours(path)))
            .map(|c| &c["verdict"])
            .collect();
        let cause = self.truth.cause.as_deref().unwrap_or("leak");
        let same = !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == cause);
        self.line(lines, &format!("analyze: {cause}"), same, format!("{verdicts:?}"));
        let state = self.advised();
        self.line(lines, &format!("advise: {cause}"), state == cause, state.to_string());
        // While it goes on; the recording ends some time after the last kill.
        let mut times: Vec<f64> = self.alerts().map(|(at, _)| *at).collect();
        let Some(first) = self.kills.first().map(|kill| kill.at) else { return };
        let last = self.kills.last().map_or(first, |kill| kill.at);
        if last - first > AGAIN {
            times.retain(|at| *at >= first - 0.5);
            times.push(last);
            let gap = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
            let seen = format!("{} lines, {gap:.0} s apart at most", times.len() - 1);
            self.line(lines, "its alert speaks every 5 min", gap <= AGAIN + SOON, seen);
            let (at, line) = self.alerts().last().cloned().unwrap_or_default();
            let so_far = self.kills.iter().filter(|kill| kill.at <= at).count();
            let numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<usize>().ok());
            let counts = numbers.into_iter().any(|number| number + 1 == so_far || number == so_far);
            self.line(lines, "its alert counts", counts, format!("{so_far} kills: {line}"));
        }
    }

    fn advised(&self) -> Value {
        let containers = self.end.said.advise["containers"].as_array().into_iter().flatten();
        let ours = containers.filter(|c| c["path"].as_str().is_some_and(|path| self.is_ours(path)));
        ours.map(|container| container["state"].clone()).next_back().unwrap_or_default()
    }

    /// Nobody says anything bad about it.
    fn left_alone(&self, lines: &mut Lines) {
        let listed = ["oom-kill", "death"].map(|kind| count(&self.end.said.list, &self.truth.service, kind));
        self.line(lines, "healthy: no incident", listed == [0, 0], format!("{listed:?} kills and deaths"));
        let alerts: Vec<&str> = self.alerts().map(|(_, line)| line.as_str()).collect();
        self.line(lines, "healthy: no alert", alerts.is_empty(), format!("{alerts:?}"));
        let analyzed = self.end.said.analyze["cgroups"].as_array().into_iter().flatten();
        let leaks =
            analyzed.filter(|c| c["path"].as_str().is_some_and(|path| self.is_ours(path)) && c["verdict"] == "leak");
        let leaks = leaks.count();
        let state = self.advised();
        let harmless = leaks == 0 && state != "leak" && state != "too-low";
        self.line(lines, "healthy: no verdict of harm", harmless, format!("advise {state}, analyze {leaks} leaks"));
        if let Some(other) = &self.truth.rows_as {
            let rows = |service: &str| -> u64 {
                let cgroups = self.end.said.info["cgroups"].as_array().into_iter().flatten();
                let of = cgroups
                    .filter(|c| c["path"].as_str().and_then(|path| self.end.seen.service_of(path)) == Some(service));
                of.filter_map(|cgroup| cgroup["rows"].as_u64()).sum()
            };
            let (own, at_rest) = (rows(&self.truth.service), rows(other));
            let holds = own > 0 && own as f64 <= 1.1 * at_rest as f64;
            self.line(lines, &format!("as many rows as {other}"), holds, format!("{own}, {other} {at_rest}"));
        }
    }
}

/// `*` stands for one name.
fn matches_path(pattern: &str, path: &str) -> bool {
    let (want, got): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    want.len() == got.len() && want.iter().zip(got).all(|(want, got)| *want == "*" || *want == got)
}

/// How often each is said, most often first.
fn tally(incidents: &[Option<&Value>], word: impl Fn(&Value) -> String) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for incident in incidents {
        *counts.entry(incident.map_or_else(|| "no page".to_owned(), &word)).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> = counts.iter().take(4).map(|(word, count)| format!("{count}x {word}")).collect();
    words.join(", ")
}

/// No page has kills of two limits.
fn pages_apart(end: &End<'_>, kills: &BTreeMap<&str, Vec<&Kill>>, lines: &mut Lines) {
    // The limit of each victim: the parent that it shares, or its own container.
    let mut limits: BTreeMap<i64, String> = BTreeMap::new();
    for truth in end.truths {
        for kill in kills.get(truth.service.as_str()).into_iter().flatten() {
            let shared = truth.limit_cgroup.clone().filter(|path| !path.contains('*'));
            let own = || kill.cgroup.clone().unwrap_or_else(|| truth.service.clone());
            limits.insert(kill.pid, shared.unwrap_or_else(|| own_container(&own(), end.seen, truth)));
        }
    }
    let incidents = end.said.all["incidents"].as_array().map_or(&[][..], Vec::as_slice);
    let mut mixed = Vec::new();
    let mut pages = 0;
    for incident in incidents {
        let victims = pids(incident);
        let of: BTreeSet<&str> = victims.iter().filter_map(|pid| limits.get(pid).map(String::as_str)).collect();
        pages += usize::from(!of.is_empty());
        if of.len() > 1 {
            mixed.push(format!("{}: {} victims of {} limits", incident["time"], victims.len(), of.len()));
        }
    }
    let seen = format!("{} of {pages} {mixed:?}", mixed.len());
    lines.line("all", "no page has kills of two limits", pages > 0 && mixed.is_empty(), seen);
}

/// One word for the container that a path lies in.
fn own_container(path: &str, seen: &Seen, truth: &Truth) -> String {
    let container = seen.containers.iter().find(|container| path.contains(&container.id));
    container.map_or_else(
        || truth.service.clone(),
        |container| {
            if truth.storm { truth.service.clone() } else { container.id.clone() }
        },
    )
}
