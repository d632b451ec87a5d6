//! OpenMetrics text of the board, with the names that cAdvisor gives the same things, so that dashboards and rules fit.

use std::fmt::Write;

use crate::analysis::account;
use crate::live::board::{Board, Cgroup};
use crate::model::fields::{FieldId, UNLIMITED};
use crate::model::identity::Identity;
use crate::model::memory;
use crate::model::paths::raw_byte;

/// Content type of what [`render`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a family is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MetricType {
    /// Its samples end in `_total`.
    Counter,
    Gauge,
}

/// A family: name, kind, unit that the name ends in, help, and its value for a cgroup in that unit.
struct Family {
    name: &'static str,
    kind: MetricType,
    unit: &'static str,
    help: &'static str,
    value: fn(&Cgroup) -> Option<f64>,
}

fn whole(cgroup: &Cgroup, id: FieldId) -> Option<f64> {
    cgroup.get(id).map(|value| value as f64)
}

fn limit(cgroup: &Cgroup, id: FieldId) -> Option<f64> {
    // cAdvisor has 0 for no limit; infinity says it without a special case.
    cgroup.get(id).map(|value| if value == UNLIMITED { f64::INFINITY } else { value as f64 })
}

fn seconds(cgroup: &Cgroup, id: FieldId) -> Option<f64> {
    cgroup.get(id).map(|us| us as f64 / 1e6)
}

const CGROUPS: [Family; 15] = [
    Family {
        name: "container_memory_usage_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Memory in use, page cache included",
        value: |c| whole(c, FieldId::Current),
    },
    Family {
        name: "container_memory_working_set_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Memory in use less inactive page cache",
        value: |c| Some(memory::kubernetes_working_set(|field| c.get(field))? as f64),
    },
    Family {
        name: "container_memory_rss",
        kind: MetricType::Gauge,
        unit: "",
        help: "Anonymous memory, bytes",
        value: |c| whole(c, FieldId::Anon),
    },
    Family {
        name: "container_memory_cache",
        kind: MetricType::Gauge,
        unit: "",
        help: "Page cache, bytes",
        value: |c| whole(c, FieldId::File),
    },
    Family {
        name: "container_memory_swap",
        kind: MetricType::Gauge,
        unit: "",
        help: "Swap in use, bytes",
        value: |c| whole(c, FieldId::SwapCurrent),
    },
    Family {
        name: "container_memory_kernel_usage",
        kind: MetricType::Gauge,
        unit: "",
        help: "Kernel memory, bytes",
        value: |c| whole(c, FieldId::Kernel),
    },
    Family {
        name: "container_memory_max_usage_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Highest memory in use so far",
        value: |c| whole(c, FieldId::Peak),
    },
    Family {
        name: "container_spec_memory_limit_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Hard limit",
        value: |c| limit(c, FieldId::Max),
    },
    Family {
        name: "container_memory_failcnt",
        kind: MetricType::Counter,
        unit: "",
        help: "Charges that hit the limit",
        value: |c| whole(c, FieldId::EventsMax),
    },
    Family {
        name: "container_oom_events",
        kind: MetricType::Counter,
        unit: "",
        help: "Processes killed by the OOM killer",
        value: |c| whole(c, FieldId::EventsOomKill),
    },
    Family {
        name: "container_pressure_memory_waiting_seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        help: "Time in which some task waited for memory",
        value: |c| seconds(c, FieldId::PressureSome),
    },
    Family {
        name: "container_pressure_memory_stalled_seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        help: "Time in which all tasks waited for memory",
        value: |c| seconds(c, FieldId::PressureFull),
    },
    Family {
        name: "container_cpu_usage_seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        help: "CPU time used",
        value: |c| seconds(c, FieldId::CpuUsage),
    },
    Family {
        name: "container_processes",
        kind: MetricType::Gauge,
        unit: "",
        help: "Tasks",
        value: |c| whole(c, FieldId::PidsCurrent),
    },
    Family {
        name: "container_last_seen",
        kind: MetricType::Gauge,
        unit: "",
        help: "When it was sampled last, seconds since 1970",
        value: |c| Some(c.time_us as f64 / 1e6),
    },
];

const HOST: [Family; 11] = [
    Family {
        name: "machine_memory_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Memory of the machine or of the WSL2 VM",
        value: |c| whole(c, FieldId::MemTotal),
    },
    Family {
        name: "machine_memory_available_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Memory available without swapping",
        value: |c| whole(c, FieldId::MemAvailable),
    },
    Family {
        name: "machine_swap_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Swap",
        value: |c| whole(c, FieldId::SwapTotal),
    },
    Family {
        name: "machine_swap_free_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Swap that is free",
        value: |c| whole(c, FieldId::SwapFree),
    },
    Family {
        name: "machine_oom_kills",
        kind: MetricType::Counter,
        unit: "",
        help: "Processes killed by any OOM killer since boot",
        value: |c| whole(c, FieldId::VmOomKill),
    },
    Family {
        name: "machine_pressure_memory_waiting_seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        help: "Time in which some task of the machine waited for memory",
        value: |c| seconds(c, FieldId::HostPressureSome),
    },
    Family {
        name: "sampler_cpu_seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        help: "CPU time of the recorder",
        value: |c| seconds(c, FieldId::AgentCpu),
    },
    Family {
        name: "sampler_sampling_cpu_seconds",
        kind: MetricType::Counter,
        unit: "seconds",
        help: "CPU time of its sampling threads",
        value: |c| seconds(c, FieldId::AgentSamplingCpu),
    },
    Family {
        name: "sampler_resident_memory_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Resident memory of the recorder",
        value: |c| whole(c, FieldId::AgentRss),
    },
    Family {
        name: "sampler_missed_ticks",
        kind: MetricType::Counter,
        unit: "",
        help: "Ticks that came too late to be kept",
        value: |c| whole(c, FieldId::AgentMissedTicks),
    },
    Family {
        name: "sampler_lost_passes",
        kind: MetricType::Counter,
        unit: "",
        help: "Passes that were taken but lost",
        value: |c| whole(c, FieldId::AgentLostPasses),
    },
];

/// The whole document.
pub fn render(board: &Board) -> String {
    let mut out = String::new();
    let live: Vec<(String, &Cgroup)> = board
        .cgroups
        .iter()
        .filter(|(_, cgroup)| !cgroup.gone && cgroup.latest.mask != 0)
        .map(|(path, cgroup)| (labels(path, board.who(path).as_ref()), cgroup))
        .collect();
    for family in &CGROUPS {
        head(&mut out, family);
        for (labels, cgroup) in &live {
            sample(&mut out, family, labels, (family.value)(cgroup));
        }
    }
    for family in &HOST {
        head(&mut out, family);
        sample(&mut out, family, "", (family.value)(&board.host));
    }
    account(&mut out, board);
    out.push_str("# EOF\n");
    out
}

/// Where all of the machine's memory is: the kinds add up to its total.
fn account(out: &mut String, board: &Board) {
    let family = Family {
        name: "sampler_machine_memory_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Memory of the machine by kind; the kinds add up to machine_memory_bytes",
        value: |_| None,
    };
    head(out, &family);
    let Some(account) = board.account() else { return };
    for kind in account::Kind::ALL {
        sample(out, &family, &format!("{{kind=\"{}\"}}", kind.name()), Some(account.bytes(kind) as f64));
    }
}

fn head(out: &mut String, family: &Family) {
    let kind = if family.kind == MetricType::Counter { "counter" } else { "gauge" };
    let _ = writeln!(out, "# TYPE {} {kind}", family.name);
    if !family.unit.is_empty() {
        let _ = writeln!(out, "# UNIT {} {}", family.name, family.unit);
    }
    let _ = writeln!(out, "# HELP {} {}", family.name, family.help);
}

/// A value that is not known has no sample.
fn sample(out: &mut String, family: &Family, labels: &str, value: Option<f64>) {
    let Some(value) = value else { return };
    let total = if family.kind == MetricType::Counter { "_total" } else { "" };
    let _ = match value {
        v if v == f64::INFINITY => writeln!(out, "{}{total}{labels} +Inf", family.name),
        v => writeln!(out, "{}{total}{labels} {v}", family.name),
    };
}

/// `{id="…",name="…",…}`, as cAdvisor has them.
fn labels(path: &str, who: Option<&Identity>) -> String {
    let mut out = format!("{{id=\"{}\"", escape(path));
    let Some(who) = who else { return out + "}" };
    let mut add = |label: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = write!(out, ",{label}=\"{}\"", escape(value));
        }
    };
    let title = who.title();
    add("name", title.as_deref());
    add("runtime", Some(&who.runtime));
    add("image", who.image.as_deref());
    add("namespace", who.namespace.as_deref());
    add("pod", who.pod.as_deref());
    if who.pod.is_some() {
        add("container", who.name.as_deref());
    }
    add("container_label_com_docker_compose_project", who.project.as_deref());
    add("container_label_com_docker_compose_service", who.service.as_deref());
    out + "}"
}

/// A label's value is hostile: the format's own escapes, and nothing that steers a terminal.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => match raw_byte(c) {
                Some(byte) => out.push_str(&format!("\\\\x{byte:02x}")),
                None => out.push(c),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::board::Depth;
    use crate::model::sample::Row;
    use crate::model::time::Anchor;

    #[test]
    fn hostile_names_stay_within_their_label_and_absent_values_have_no_sample() {
        let mut board =
            Board::new(Depth { step_us: 1, points: 2 }, Anchor { mono_ns: 0, wall_ns: 0 }, ("h".into(), None));
        let mut row = Row::new(1);
        row.put(FieldId::Current.field(), 100);
        row.put(FieldId::InactiveFile.field(), 40);
        row.put(FieldId::Max.field(), UNLIMITED);
        row.put(FieldId::EventsOomKill.field(), 3);
        row.put(FieldId::PressureSome.field(), 1_500_000);
        board.feed(Some(("/x\"} 1\n# EOF\\\u{10ffff}", 1)), 2_000_000, &row);
        let text = render(&board);
        let id = "{id=\"/x\\\"} 1\\n# EOF\\\\\\\\xff\"}";
        for line in [
            format!("container_memory_working_set_bytes{id} 60\n"),
            format!("container_spec_memory_limit_bytes{id} +Inf\n"),
            format!("container_oom_events_total{id} 3\n"),
            format!("container_pressure_memory_waiting_seconds_total{id} 1.5\n"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(!text.contains("container_memory_rss{") && !text.contains("\nmachine_memory_bytes "), "{text}");
        assert!(text.ends_with("# EOF\n") && text.matches("\n# EOF").count() == 1);
    }

    #[test]
    fn the_kinds_of_memory_add_up_to_the_machine() {
        let mut board =
            Board::new(Depth { step_us: 1, points: 2 }, Anchor { mono_ns: 0, wall_ns: 0 }, ("h".into(), None));
        assert!(!render(&board).contains("sampler_machine_memory_bytes{"), "nothing was read");
        let mut row = Row::new(0);
        use FieldId::{AnonPages, Cached, MemFree, MemTotal, SReclaimable, SUnreclaim};
        for (field, value) in
            [(MemTotal, 100), (MemFree, 20), (AnonPages, 30), (Cached, 25), (SReclaimable, 8), (SUnreclaim, 4)]
        {
            row.put(field.field(), value);
        }
        board.feed(None, 1, &row);
        let text = render(&board);
        let of =
            |line: &str| line.strip_prefix("sampler_machine_memory_bytes{")?.rsplit_once(' ')?.1.parse::<u64>().ok();
        assert_eq!(text.lines().filter_map(of).sum::<u64>(), 100);
        assert!(text.contains("sampler_machine_memory_bytes{kind=\"unexplained\"} 13\n"), "{text}");
    }
}
