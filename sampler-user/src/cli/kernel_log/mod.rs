//! The post-mortem of a kernel's log, where nothing was recorded.

mod moments;
mod source;
mod words;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use sampler::analysis::incident::context::IncidentContext;
use sampler::analysis::incident::incident_ref::{IncidentKind, IncidentRef};
use sampler::analysis::incident::{Incident, explain, report};
use sampler::analysis::workloads::key;
use sampler::containers::names::{Roots, from_files};
use sampler::containers::runtimes::identify;
use sampler::kernel::oom::textlog::{Facts, TextLog};
use sampler::model::evidence::{OomKill, WitnessKind};
use sampler::model::identity::Names;
use sampler::model::paths::name;
use sampler::model::recording::Origin;
use sampler::model::time::Anchor;
use sampler::model::units::{micros, printable};
use sampler::ui::html::Report;
use sampler::ui::html::head::{cards_of_incident, of_incident};
use sampler::ui::text::page::{Style, page, paths};
use serde::Serialize;

use crate::cli::incident_list::{FORMAT, Item, Listed, folded};
use crate::cli::kernel_log::words::{all_clear, others};
use crate::cli::output;

pub use source::is_log;

/// What is asked of a log; of none of these the last incident.
pub struct Wanted<'a> {
    /// The incident nearest to a time, microseconds since 1970.
    pub at: Option<i64>,
    /// All incidents.
    pub all: bool,
    /// A line for each.
    pub list: bool,
    /// Restart loops as well.
    pub unfold: bool,
    /// As JSON.
    pub json: bool,
    /// As HTML, into this file.
    pub html: Option<&'a Path>,
    /// With paths.
    pub verbose: bool,
}

/// Kills of one limit that follow each other.
struct Group {
    /// Places of the kills in the log.
    kills: Vec<usize>,
    /// By any clock of the log, microseconds; of the first.
    at_us: i64,
    boot: u32,
    occurrence: IncidentRef,
}

/// A log, and what its cgroups are called on this machine.
struct Log<'a> {
    source: String,
    log: &'a TextLog,
    names: Names,
    groups: Vec<Group>,
}

/// One document.
#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    source: &'static str,
    incidents: Vec<Page<'a>>,
    /// Every kill by the kernel, in the order of the log, whichever incidents were asked for.
    kills: Vec<Kill<'a>>,
    /// Kills beyond these.
    more_kills: u64,
    /// Reports that name no victim.
    no_victim: Vec<words::Ended>,
    /// Kills by programs, which are none of the kernel's.
    userspace: Vec<words::ByProgram<'a>>,
    /// What programs say of OOM kills without the kernel's words.
    mentions: Vec<words::Mention<'a>>,
    /// What a recorder said before the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    last_words: Vec<words::Mention<'a>>,
    log: words::Read<'a>,
    problems: Vec<sampler::model::problem::Problem>,
}

#[derive(Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    incident: Incident,
    kills: Vec<Kill<'a>>,
}

/// A kill with its time.
#[derive(Serialize)]
struct Kill<'a> {
    time: Option<String>,
    time_us: Option<i64>,
    #[serde(flatten)]
    facts: Facts<'a>,
}

/// Runs the command on a log.
pub fn run(args: &Wanted<'_>, path: &Path) -> anyhow::Result<ExitCode> {
    let (source, log) = source::read(path)?;
    let coverage = &log.coverage;
    if log.is_empty() && !coverage.has_kernel && (coverage.binary || coverage.first.is_none()) {
        output::say(&format!("sampler: {}", words::not_a_log(&source, coverage)));
        return Ok(ExitCode::from(crate::cli::exit::NO_RECORDING));
    }
    let log = Log::of(source, &log);
    if args.list {
        return log.list(args);
    }
    let wanted: Vec<&Group> = match args.at {
        Some(at) => vec![log.nearest(at)?],
        None if args.all => log.groups.iter().collect(),
        None => log.groups.last().into_iter().collect(),
    };
    let incidents: Vec<Incident> = wanted.iter().map(|group| log.explain(group)).collect();
    if let Some(file) = args.html {
        return log.write(file, incidents);
    }
    let text = if args.json {
        let incidents = incidents.into_iter().zip(&wanted).map(|(incident, group)| {
            let kills = group.kills.iter().map(|at| log.kill(*at)).collect();
            Page { incident, kills }
        });
        let document = Document {
            format: FORMAT,
            source: "kernel-log",
            incidents: incidents.collect(),
            kills: (0..log.log.kills.len()).map(|at| log.kill(at)).collect(),
            more_kills: log.log.more,
            no_victim: log.log.no_victim.iter().map(words::Ended::of).collect(),
            userspace: log.log.by_program.iter().map(words::ByProgram::of).collect(),
            mentions: log.log.mentions.iter().map(words::Mention::of).collect(),
            last_words: log.log.last_words.iter().map(words::Mention::of).collect(),
            log: words::Read::of(&log.source, &log.log.coverage),
            problems: log.problems(),
        };
        serde_json::to_string_pretty(&document).context("write JSON")? + "\n"
    } else {
        log.pages(&incidents, &wanted, args.verbose)
    };
    output::print(&text)?;
    if log.groups.len() > wanted.len() && std::io::stdout().is_terminal() && !args.json {
        output::say(&format!("{} incidents in all: --list, --all, --at TIME", log.groups.len()));
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a> Log<'a> {
    fn of(source: String, log: &'a TextLog) -> Log<'a> {
        let mut names = Names::default();
        let roots = Roots::default();
        let mut paths: BTreeMap<&str, ()> = BTreeMap::new();
        for kill in &log.kills {
            paths.extend(
                [&kill.report.task_memcg, &kill.report.oom_memcg].into_iter().flatten().map(|path| (path.as_str(), ())),
            );
        }
        for path in paths.into_keys() {
            let Some(mut identity) = identify(path) else { continue };
            // Ids of containers are of one container: on another machine no file has them.
            if let Some(recorded) = from_files(&roots, &identity) {
                identity.complete(&recorded);
            }
            names.learn(path, &identity);
        }
        let mut all = Log { source, log, names, groups: Vec::new() };
        for at in 0..log.kills.len() {
            all.place(at);
        }
        all
    }

    /// Puts a kill to those of the same limit right before it, as recordings do, or to a new incident.
    fn place(&mut self, at: usize) {
        let kill = &self.log.kills[at];
        let time = moments::order_us(&kill.when);
        let light = self.oom_kill(at, false);
        let of_head = |group: &Group| kill.head.is_some_and(|head| group.kills.contains(&head));
        let follows = |group: &Group| {
            let Some(time) = time else { return false };
            group.boot == kill.when.boot && group.occurrence.last_us <= time && group.occurrence.takes(time, &light)
        };
        // Later ones are looked at first, and no further than a storm is wide.
        let near = self.groups.len().saturating_sub(256);
        let found = (near..self.groups.len())
            .rev()
            .find(|place| of_head(&self.groups[*place]) || follows(&self.groups[*place]));
        let at_us = time.unwrap_or(i64::MIN);
        match found {
            Some(place) => {
                let group = &mut self.groups[place];
                group.kills.push(at);
                group.occurrence.last_us = group.occurrence.last_us.max(at_us);
            }
            None => self.groups.push(Group {
                kills: vec![at],
                at_us,
                boot: kill.when.boot,
                occurrence: IncidentRef {
                    kind: IncidentKind::OomKill,
                    at_us,
                    kills: vec![(at_us, light)],
                    more: 0,
                    last_us: at_us,
                    afterwards: None,
                    death: None,
                },
            }),
        }
    }

    /// A kill as the recorder would have it, with its report or without.
    fn oom_kill(&self, at: usize, whole: bool) -> OomKill {
        let (facts, kill) = (self.log.facts(at), &self.log.kills[at]);
        OomKill {
            time_ns: 0,
            constraint: facts.constraint,
            victim_cgroup: facts.victim_cgroup.map(str::to_owned),
            limit_cgroup: facts.limit_cgroup.map(str::to_owned),
            victim: Some(kill.report.victim.clone()),
            witnesses: vec![WitnessKind::Kmsg],
            report: whole.then(|| kill.report.clone()),
            probe: None,
            hit: None,
        }
    }

    fn kill(&self, at: usize) -> Kill<'a> {
        let facts = self.log.facts(at);
        let logged = moments::logged(&facts.when);
        Kill { time: (!logged.time.is_empty()).then_some(logged.time), time_us: logged.time_us, facts }
    }

    /// The page of an incident.
    fn explain(&self, group: &Group) -> Incident {
        let at_us = group.at_us.max(0);
        let kills: Vec<(i64, OomKill)> = group.kills.iter().map(|at| (at_us, self.oom_kill(*at, true))).collect();
        let coverage = &self.log.coverage;
        let own = group.kills.iter().find_map(|at| self.log.kills[*at].report.kernel.clone());
        let kernel = own.or_else(|| coverage.kernel.clone()).unwrap_or_else(|| "unknown".into());
        let origin = Origin {
            format: 0,
            host: coverage.host.clone().unwrap_or_else(|| "unknown host".into()),
            boot_id: String::new(),
            wsl: kernel.to_ascii_lowercase().contains("microsoft").then(|| "WSL2".into()),
            kernel,
            hierarchy: String::new(),
            agent: String::new(),
            cpus: 0,
            page_size: 4096,
            interval_us: 0,
            slow_interval_us: 0,
            anchor: Anchor { mono_ns: 0, wall_ns: 0 },
        };
        let mut occurrence = group.occurrence.clone();
        (occurrence.at_us, occurrence.kills) = (at_us, kills);
        let mut context = IncidentContext::new(&occurrence, origin);
        context.names = self.names.clone();
        context.logged = Some(moments::logged(&self.log.kills[group.kills[0]].when));
        report::fill(&mut context);
        explain(&context)
    }

    /// One line of a list.
    fn line(&self, group: &Group) -> String {
        let first = self.log.facts(group.kills[0]);
        let called = |path: &str| {
            let title = self.names.of(path, |_| None).and_then(|who| who.title());
            printable(title.as_deref().unwrap_or(name(path)))
        };
        let cgroup = first.victim_cgroup.map(|path| format!(" in {}", called(path))).unwrap_or_default();
        let more = group.kills.len() - 1;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}OOM kill of {}{cgroup}{more}", self.time_of(group), printable(first.comm))
    }

    /// When, with the spaces behind it.
    fn time_of(&self, group: &Group) -> String {
        let time = moments::logged(&self.log.kills[group.kills[0]].when).time;
        if time.is_empty() { String::new() } else { format!("{time}  ") }
    }

    fn list(&self, args: &Wanted<'_>) -> anyhow::Result<ExitCode> {
        let items: Vec<Item> = self.groups.iter().map(|group| self.item(group)).collect();
        let text = if args.json {
            let listed = self.groups.iter().zip(&items).map(|(group, item)| Listed {
                time: item.time.clone(),
                kind: IncidentKind::OomKill,
                kills: group.kills.len() as u64,
                what: item.line.clone(),
                workload: item.workload.clone(),
            });
            serde_json::to_string_pretty(&listed.collect::<Vec<_>>()).context("write JSON")? + "\n"
        } else {
            let mut text = folded(&items, args.unfold);
            if items.is_empty() {
                text = all_clear(&self.source, self.log) + "\n";
            }
            text + &others(self.log)
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn item(&self, group: &Group) -> Item {
        let facts = self.log.facts(group.kills[0]);
        let path = facts.limit_cgroup.or(facts.victim_cgroup);
        Item {
            at_us: (group.at_us != i64::MIN).then_some(group.at_us),
            time: moments::logged(&facts.when).time,
            line: self.line(group),
            workload: path.map(|path| key(path, self.names.of(path, identify).as_ref())),
        }
    }

    /// The incident that is nearest to a time.
    fn nearest(&self, at: i64) -> anyhow::Result<&Group> {
        let distance = |group: &Group| moments::distance_us(&self.log.kills[group.kills[0]].when, at);
        let timed = self.groups.iter().filter_map(|group| Some((distance(group)?, group)));
        match timed.min_by_key(|(distance, _)| *distance) {
            Some((_, group)) => Ok(group),
            None if self.groups.is_empty() => bail!("{}", all_clear(&self.source, self.log)),
            None => {
                let source = printable(&self.source);
                bail!("{source}: its kills have no time of a clock on the wall; --list and --all show them")
            }
        }
    }

    fn problems(&self) -> Vec<sampler::model::problem::Problem> {
        let what = words::problems(self.log);
        what.into_iter().map(|what| sampler::model::problem::Problem::new(&self.source, what)).collect()
    }

    /// That a workload was killed more than once, which one page does not show.
    fn repeats(&self, group: &Group) -> Option<String> {
        let own = self.item(group).workload?;
        let same: Vec<Item> = self
            .groups
            .iter()
            .map(|group| self.item(group))
            .filter(|item| item.workload.as_ref() == Some(&own))
            .collect();
        let number = same.len();
        let times: Vec<i64> = same.iter().filter_map(|item| item.at_us).collect();
        let span = times.last().zip(times.first()).map_or(0, |(last, first)| last - first);
        let every =
            u64::try_from(span / (number as i64 - 1).max(1)).ok().filter(|every| *every > 0 && times.len() == number);
        let every = every.map(|every| format!(", one every {}", micros(every))).unwrap_or_default();
        (number > 1).then(|| format!("its limit was hit {number} times in this log{every}: --list shows them\n"))
    }

    fn pages(&self, incidents: &[Incident], wanted: &[&Group], verbose: bool) -> String {
        let style = Style::of_terminal();
        let with_repeats = |(incident, group): (&Incident, &&Group)| {
            let paths = if verbose { paths(incident) } else { String::new() };
            let is_accounts = group.kills.iter().all(|at| self.log.kills[*at].by_kubelet);
            let accounts = is_accounts.then(|| words::KUBELET.to_owned());
            let more = [accounts, self.repeats(group)].into_iter().flatten();
            page(incident, style) + &paths + &more.map(|words| format!("\n{words}")).collect::<String>()
        };
        let mut pages: Vec<String> = incidents.iter().zip(wanted).map(with_repeats).collect();
        if incidents.is_empty() {
            pages.push(all_clear(&self.source, self.log) + "\n");
        }
        let others = others(self.log);
        if !others.is_empty() {
            pages.push(others);
        }
        pages.extend(
            words::problems(self.log).iter().map(|what| format!("problem: {}: {what}\n", printable(&self.source))),
        );
        if !incidents.is_empty() {
            pages.push(words::covered(&self.source, self.log) + "\n");
        }
        pages.join("\n")
    }

    fn write(&self, file: &Path, incidents: Vec<Incident>) -> anyhow::Result<ExitCode> {
        if incidents.is_empty() {
            bail!("no page to write: {}", all_clear(&self.source, self.log));
        }
        let others = others(self.log);
        let mut notes: Vec<String> = others.lines().map(str::to_owned).collect();
        notes.extend(words::problems(self.log));
        notes.push(words::covered(&self.source, self.log));
        let first = &incidents[0];
        let report = Report {
            host: first.host.clone(),
            kernel: first.kernel.clone(),
            head: of_incident(first, 0),
            cards: cards_of_incident(first, 0),
            incidents,
            notes,
            ..Report::default()
        };
        crate::cli::report::save(&report, file)?;
        Ok(ExitCode::SUCCESS)
    }
}
