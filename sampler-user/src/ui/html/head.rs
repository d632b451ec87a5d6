//! What happened and what to do, in one sentence, and the four figures below it.

use serde::Serialize;

use crate::analysis::incident::grown_part::GrownPart;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::verdict::sure;
use crate::analysis::incident::{Incident, Owner};
use crate::model::units::{bytes, time_of_day};
use crate::reading::analysis::Analysis;
use crate::reading::plots::set::Machine;
use crate::ui::html::findings::{Finding, Tone};
use crate::ui::text::analysis::duration;

/// A recording shorter than this does not exclude a leak, seconds.
const SHORT_S: f64 = 600.0;
/// Parts of the machine's memory that are little and very little.
const LITTLE: f64 = 0.2;
const VERY_LITTLE: f64 = 0.1;

/// The first words of a page. Names are in backticks, and hostile.
#[derive(Debug, Default, Serialize)]
pub struct Head {
    /// How grave it is.
    pub tone: Tone,
    /// The kind of it, in a word or two.
    pub label: String,
    /// What happened.
    pub sentence: String,
    /// What to do.
    pub advice: Option<String>,
    /// The line that does it.
    pub setting: Option<String>,
    /// Where the evidence is, and what else happened.
    pub links: Vec<Link>,
    /// Whether memory of several cgroups came to one limit, so that their sum is what matters.
    pub is_sum: bool,
}

/// A link within the page.
#[derive(Debug, PartialEq, Serialize)]
pub struct Link {
    /// Its words.
    pub text: String,
    /// The element it leads to; of a cgroup its path.
    pub to: Target,
}

/// Where a link leads.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A section, by its id.
    Section(&'static str),
    /// The page of an incident.
    Incident(usize),
    /// A cgroup, by its path.
    Cgroup(String),
}

/// A figure.
#[derive(Debug, Serialize)]
pub struct Card {
    /// Of what.
    pub title: &'static str,
    /// The figure.
    pub value: String,
    /// What it means.
    pub words: String,
    /// How grave it is.
    pub tone: Tone,
    /// Its evidence.
    pub to: Option<Target>,
}

/// What a recording holds.
pub struct Seen<'a> {
    /// The analysis.
    pub analysis: &'a Analysis,
    /// Its findings, in their order.
    pub findings: &'a [Finding],
    /// The incidents that are explained, the gravest first.
    pub incidents: &'a [Incident],
    /// Incidents in all.
    pub count: usize,
    /// Processes that the OOM killer killed, and in how many cgroups.
    pub kills: (u64, usize),
    /// The least that the machine had left.
    pub machine: Option<Machine>,
}

fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

impl Seen<'_> {
    /// Findings that matter and are a leak.
    fn leaks(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|one| one.shown && one.pace.is_some())
    }

    /// The gravest incident; a process that ended by itself is less than a leak.
    fn lead(&self) -> Option<&Incident> {
        let lead = self.incidents.first()?;
        (lead.kind != IncidentKind::Death || self.leaks().next().is_none()).then_some(lead)
    }

    /// What happened and what to do.
    pub fn head(&self) -> Head {
        let mut head = match (self.lead(), self.leaks().next()) {
            (Some(incident), _) => of_incident(incident, 0),
            (None, Some(leak)) => self.leaking(leak),
            (None, None) => self.quiet(),
        };
        let more = self.count - usize::from(self.lead().is_some()).min(self.count);
        let leaks: Vec<&Finding> = self.leaks().collect();
        if more > 0 {
            let other = if self.lead().is_some() { "other incident" } else { "incident" };
            let text = counted(more, other, &format!("{other}s"));
            head.links.push(Link { text, to: Target::Section("incidents") });
        }
        if let (Some(first), true) = (leaks.first(), self.lead().is_some()) {
            let text = match leaks.len() {
                1 => format!("1 leak: {}", first.name),
                count => format!("{count} leaks"),
            };
            let one = Target::Cgroup(first.path.clone());
            head.links.push(Link { text, to: if leaks.len() == 1 { one } else { Target::Section("containers") } });
        }
        if !self.analysis.problems.is_empty() {
            head.sentence += " Part of the recording could not be read: there may be more.";
        }
        head
    }

    fn leaking(&self, leak: &Finding) -> Head {
        let cgroup = self.analysis.cgroups.iter().find(|cgroup| cgroup.path == leak.path);
        let part = cgroup.and_then(|cgroup| cgroup.verdict.component).map_or(GrownPart::Unknown, GrownPart::from);
        let pace = bytes(leak.pace.unwrap_or(0.0).max(0.0) as u64);
        let left = leak.left_s.map_or_else(String::new, |left| format!(" and is full in {}", duration(left)));
        Head {
            tone: Tone::Bad,
            label: "Leak".into(),
            sentence: format!("`{}` leaks {pace} of {} a minute{left}.", leak.name, part.name()),
            advice: Some(format!("Find the leak: look for {}. A higher limit only postpones it.", part.look_for())),
            links: vec![Link { text: "Why this is a leak".into(), to: Target::Cgroup(leak.path.clone()) }],
            ..Head::default()
        }
    }

    /// Nobody was killed, and nothing leaks.
    fn quiet(&self) -> Head {
        let first = self.findings.iter().find(|one| one.shown && one.tone != Tone::Calm);
        let span = duration(self.analysis.span_s);
        if let Some(one) = first {
            let remark = one.remarks.first().map_or_else(String::new, |remark| format!(": {remark}"));
            return Head {
                tone: Tone::Warn,
                label: one.state.clone(),
                sentence: format!("`{}` is short of memory{remark}.", one.name),
                advice: Some("Give it more room, or its neighbours limits: sampler advise proposes both.".into()),
                links: vec![Link { text: "Its memory".into(), to: Target::Cgroup(one.path.clone()) }],
                ..Head::default()
            };
        }
        let (label, sentence) = if self.analysis.cgroups.is_empty() {
            ("No verdict", "No cgroup was recorded for long enough to judge it.".to_owned())
        } else if self.analysis.span_s < SHORT_S {
            (
                "No verdict yet",
                format!("Nothing was killed or short of memory; {span} are too short to exclude a leak."),
            )
        } else if !self.analysis.problems.is_empty() {
            (
                "No all-clear",
                format!("In what could be read of {span}, nothing was killed, leaked or was short of memory."),
            )
        } else {
            ("Calm", format!("In {span} nothing was killed, nothing leaked, and nothing was short of memory."))
        };
        Head { label: label.into(), sentence, ..Head::default() }
    }

    /// Kills, leaks, pressure, and what the machine had left.
    pub fn cards(&self) -> Vec<Card> {
        vec![self.kills_card(), self.leaks_card(), self.pressure_card(), self.machine_card()]
    }

    fn kills_card(&self) -> Card {
        let (kills, cgroups) = self.kills;
        let others = self.incidents.iter().filter(|one| one.kind != IncidentKind::OomKill).count();
        let words = match (kills, others) {
            (0, 0) => "nothing was killed or crashed".into(),
            (0, _) => "of the OOM killer; see the other incidents".into(),
            _ => format!("in {}", counted(cgroups, "container or cgroup", "containers or cgroups")),
        };
        let value = if kills == 0 { "none".into() } else { kills.to_string() };
        let tone = if kills > 0 { Tone::Bad } else { Tone::Calm };
        Card { title: "OOM kills", value, words, tone, to: (self.count > 0).then_some(Target::Section("incidents")) }
    }

    fn leaks_card(&self) -> Card {
        let title = "Leaks";
        let leaks: Vec<&Finding> = self.leaks().collect();
        let Some(first) = leaks.first() else {
            let short = self.analysis.span_s < SHORT_S;
            let words = if short { "so far; a slow leak takes longer to show" } else { "no growth without an end" };
            return Card { title, value: "none".into(), words: words.into(), tone: Tone::Calm, to: None };
        };
        let pace = bytes(first.pace.unwrap_or(0.0).max(0.0) as u64);
        let words = match first.left_s {
            Some(left) => format!("{}: full in {}", first.name, duration(left)),
            None => format!("{}: +{pace}/min", first.name),
        };
        let to = Some(Target::Cgroup(first.path.clone()));
        Card { title, value: leaks.len().to_string(), words, tone: Tone::Bad, to }
    }

    fn pressure_card(&self) -> Card {
        let title = "Pressure";
        let worst = self
            .findings
            .iter()
            .filter(|one| one.shown && one.stalled_s >= 1.0)
            .max_by(|a, b| a.stalled_s.total_cmp(&b.stalled_s));
        let to = (!self.analysis.pressure.is_empty()).then_some(Target::Section("pressure"));
        let Some(worst) = worst else {
            let words = "nothing waited a second for memory".into();
            return Card { title, value: "none".into(), words, tone: Tone::Calm, to };
        };
        let words = format!("{} waited for memory", worst.name);
        Card { title, value: duration(worst.stalled_s), words, tone: Tone::Warn, to }
    }

    fn machine_card(&self) -> Card {
        let title = "Machine headroom";
        let Some(Machine { total, least, at_us }) = self.machine else {
            return Card { title, value: "unknown".into(), words: "not recorded".into(), tone: Tone::Calm, to: None };
        };
        let part = least as f64 / total.max(1) as f64;
        let tone = match part {
            part if part < VERY_LITTLE => Tone::Bad,
            part if part < LITTLE => Tone::Warn,
            _ => Tone::Calm,
        };
        let words = format!("of {} at least, {}", bytes(total), time_of_day(at_us));
        Card { title, value: bytes(least), words, tone, to: Some(Target::Section("memory")) }
    }
}

/// What an incident was, and what to do; `at` is its place on the page.
pub fn of_incident(incident: &Incident, at: usize) -> Head {
    let first = incident.advice.first();
    let (tone, label) = match incident.kind {
        IncidentKind::OomKill => (Tone::Bad, "OOM kill"),
        IncidentKind::AbruptEnd => (Tone::Bad, "Abrupt end"),
        IncidentKind::Death => (Tone::Warn, "No OOM kill"),
    };
    Head {
        tone,
        label: label.into(),
        sentence: incident.verdict.clone(),
        advice: first.map(|advice| advice.what.clone()),
        setting: first.and_then(|advice| advice.setting.clone()),
        links: vec![Link { text: "Why".into(), to: Target::Incident(at) }],
        is_sum: matches!(incident.limit.owner, Owner::Ancestor | Owner::Machine | Owner::WslUser),
    }
}

/// What decides one incident: its limit, its cause, who was killed, and what the machine had left.
pub fn cards_of_incident(incident: &Incident, at: usize) -> Vec<Card> {
    let to = || Some(Target::Incident(at));
    let mut cards = Vec::new();
    let whose = match incident.limit.owner {
        Owner::Own => "the victim's own".into(),
        Owner::Ancestor => format!("of {}, above the victim", incident.called(incident.limit.cgroup.as_deref())),
        Owner::WslUser => "of all WSL distributions".into(),
        Owner::Machine => "the machine's memory".into(),
        Owner::Unknown => "nobody saw it".into(),
    };
    if incident.kind != IncidentKind::Death {
        let value = incident.limit.limit.map_or_else(|| "unknown".into(), bytes);
        cards.push(Card { title: "Limit", value, words: whose, tone: Tone::Calm, to: to() });
    }
    let confidence = format!("confidence {} ({:.0} %)", sure(incident.confidence), 100.0 * incident.confidence);
    cards.push(Card { title: "Cause", value: incident.cause.word(), words: confidence, tone: Tone::Bad, to: to() });
    if let Some(first) = incident.victims.first() {
        let count = incident.victims.len() as u64 + incident.more_victims;
        let who = first.comm.clone().unwrap_or_else(|| "a process".into());
        let place =
            first.cgroup.as_deref().map_or_else(String::new, |path| format!(" in {}", incident.called(Some(path))));
        let value = if count == 1 { "1 process".into() } else { format!("{count} processes") };
        cards.push(Card { title: "Killed", value, words: format!("{who}{place}"), tone: Tone::Bad, to: to() });
    }
    let machine = &incident.machine;
    if let (Some(total), Some(available)) = (machine.total, machine.available) {
        let part = available as f64 / total.max(1) as f64;
        let tone = if part < VERY_LITTLE { Tone::Bad } else { Tone::Calm };
        let words = format!("of {} available then", bytes(total));
        cards.push(Card { title: "Machine headroom", value: bytes(available), words, tone, to: to() });
    }
    cards
}
