//! The merge of findings as a person reads it.

use std::fmt::Write;

use crate::analysis::fleet::{Fleet, Kind, Outlier, Unit, Version};
use crate::analysis::leak::detectors::Class;
use crate::model::units::{bytes, printable};
use crate::ui::text::style::{Style, wrap};

/// Workloads that leak, and lines of anything else, without `all`.
const LEAKS: usize = 20;
const FEW: usize = 5;
/// Where the words behind the first one of a line begin.
const WORD: usize = 14;

/// What leaks, hosts that differ, what advice would save, incidents, and what could not be read.
pub fn words(fleet: &Fleet, all: bool, style: Style) -> String {
    let mut out = String::new();
    let mut line = |word: &str, colour: &str, text: &str| {
        if word.is_empty() {
            out += &style.paragraph(text, WORD);
            return;
        }
        let whole = format!("{word:<WORD$}{text}");
        let wrapped = wrap(&whole, style.width, WORD);
        let _ = writeln!(out, "{}", wrapped.replacen(word, &style.paint(colour, word), 1));
    };
    let time = match (&fleet.from, &fleet.to) {
        (Some(from), Some(to)) => format!(", {} to {}", minute(from), minute(to)),
        _ => String::new(),
    };
    let size = format!(
        "{} of {}, {} on {}{time}",
        count(fleet.lives, "life", "lives"),
        count(fleet.workloads.iter().filter(|unit| unit.kind == Kind::Workload).count(), "workload", "workloads"),
        count(fleet.recordings, "recording", "recordings"),
        count(fleet.hosts, "host", "hosts"),
    );
    line("fleet", "", &size);
    let leaks: Vec<&Unit> = fleet.workloads.iter().filter(|unit| unit.verdict == Class::Leak).collect();
    let most = |few: usize| if all { usize::MAX } else { few };
    for unit in leaks.iter().take(most(LEAKS)) {
        for version in unit.versions.iter().filter(|version| version.verdict == Class::Leak) {
            line("leak", "1;31", &leak(unit, version));
        }
        for evidence in &unit.evidence {
            line("", "", &printable(evidence));
        }
    }
    more(&mut line, leaks.len(), most(LEAKS), "workloads that leak");
    let judged = fleet.workloads.iter().filter(|unit| unit.verdict != Class::Undetermined).count();
    if leaks.is_empty() && judged > 0 && fleet.unread.is_empty() {
        line("no leak", "", &format!("in {} of several lives", count(judged, "workload", "workloads")));
    } else if leaks.is_empty() && judged > 0 {
        line(
            "no leak",
            "",
            &format!("in what could be read of {}, which is no all-clear", count(judged, "workload", "workloads")),
        );
    } else if judged == 0 {
        line("unknown", "", "no workload has two lives that were watched for long enough");
    }
    if fleet.leaking_alone > 0 {
        let lives = count(fleet.leaking_alone, "life is", "lives are");
        let text = "called a leak where most of the same version are not, or where there is no other: `analyze` of their hosts shows them";
        line("alone", "33", &format!("{lives} {text}"));
    }
    for one in fleet.outliers.iter().take(most(FEW)) {
        line("outlier", "33", &outlier(one));
    }
    more(&mut line, fleet.outliers.len(), most(FEW), "outliers");
    let savings = &fleet.savings;
    if savings.containers > 0 {
        let mut text = format!(
            "{} less and {} more than the {} of {} with advice",
            bytes(savings.less_bytes),
            bytes(savings.more_bytes),
            bytes(savings.limits_bytes),
            count(savings.containers, "limit", "limits"),
        );
        let top: Vec<String> = savings
            .workloads
            .iter()
            .take(3)
            .map(|one| format!("{} {}", printable(&one.workload), bytes(one.less_bytes)))
            .collect();
        if !top.is_empty() {
            let _ = write!(text, "; most of it: {}", top.join(", "));
        }
        line("limits", "", &text);
    }
    for one in fleet.incidents.iter().take(most(FEW)) {
        let who = one.workload.as_deref().map_or_else(|| "no workload".into(), printable);
        let text = format!(
            "{} of {who}: {}, {} killed on {}",
            count(one.incidents as usize, "incident", "incidents"),
            printable(&one.cause),
            count(one.kills as usize, "process", "processes"),
            count(one.hosts, "host", "hosts"),
        );
        line("incidents", "", &text);
    }
    more(&mut line, fleet.incidents.len(), most(FEW), "kinds of incidents");
    for one in fleet.unread.iter().take(most(FEW)) {
        let first = one.problems.lines().next().unwrap_or_default();
        let text = format!("{} from {}: {}", printable(&one.host), minute(&one.from), printable(first));
        line("problem", "33", &text);
    }
    more(&mut line, fleet.unread.len(), most(FEW), "recordings with parts that could not be read");
    if fleet.tested > 0 {
        let text = format!(
            "{} of workloads were asked; of what is called a leak here at most {:.0} % is chance, in the mean (Benjamini and Hochberg)",
            count(fleet.tested, "version", "versions"),
            100.0 * fleet.false_discovery
        );
        line("asked", "", &text);
    }
    out
}

/// `shop/api: image shop/api:1.42 leaks 3.1 MiB/h on 212 of 220 hosts, …`.
fn leak(unit: &Unit, version: &Version) -> String {
    let named = |version: &str| match (&unit.image, version) {
        (Some(image), "") => format!("image {}", printable(image)),
        (Some(image), version) if version.starts_with('@') => {
            format!("image {}{}", printable(image), printable(version))
        }
        (Some(image), version) => format!("image {}:{}", printable(image), printable(version)),
        (None, "") => "it".to_owned(),
        (None, version) => format!("version {}", printable(version)),
    };
    let pace = version
        .rate_bytes_per_s
        .map_or_else(String::new, |rate| format!(" {}/h", bytes((rate * 3600.0).max(0.0) as u64)));
    let mut text = format!("{}: {} leaks{pace} on ", printable(&unit.name), named(&version.version));
    let _ = match version.leaking_hosts {
        // Slower than a life: no host shows it alone.
        0 => write!(text, "{}, in all together", count(version.hosts, "host", "hosts")),
        leaking => write!(text, "{leaking} of {}", count(version.hosts, "host", "hosts")),
    };
    let other = version.versus.as_ref().and_then(|name| unit.versions.iter().find(|other| other.version == *name));
    if let Some(other) = other {
        let _ = write!(text, "; {} on ", named(&other.version));
        let _ = match other.leaking_hosts {
            0 => write!(text, "none of {}", count(other.hosts, "host", "hosts")),
            leaking => write!(text, "{leaking} of {}", count(other.hosts, "host", "hosts")),
        };
    }
    if let Some(since) = &version.rolled_out {
        let _ = write!(text, "; since the roll-out of {}", minute(since));
    }
    if version.kills > 0 {
        let _ = write!(text, "; {}", count(version.kills as usize, "OOM kill", "OOM kills"));
    }
    text
}

fn outlier(one: &Outlier) -> String {
    let what = match one.in_what {
        "waiting" => "its containers wait for memory longer",
        "noise" => "the memory of its containers is more uneven",
        "size" => "its containers hold more",
        _ => "its containers are killed more often",
    };
    format!(
        "{}: {what} than the same ones elsewhere (mean rank {:.0} % of {})",
        printable(&one.host),
        100.0 * one.mean_rank,
        count(one.lives, "life", "lives")
    )
}

fn more(line: &mut impl FnMut(&str, &str, &str), of: usize, shown: usize, what: &str) {
    if of > shown {
        line("", "", &format!("{} more {what}; --all shows them", of - shown));
    }
}

fn count(n: usize, one: &str, several: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { several })
}

/// `2026-03-14 09:30`.
fn minute(time: &str) -> String {
    time.chars().take(16).collect::<String>().replace('T', " ")
}
