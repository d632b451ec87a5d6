//! Series of Prometheus: which metric is which field, and whose series it is.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::containers::runtimes::identify;
use crate::model::fields::{FieldId, Kind, Table, find};
use crate::model::identity::Identity;
use crate::model::units::printable;
use crate::reading::import::intake::{Intake, Place, Stop, Target};
use crate::reading::import::labels::Labels;

/// Metrics and the fields they are, with the factor to our unit. Of cAdvisor (also in the kubelet), of the kubelet's
/// `/metrics/resource`, of cgroup exporters, process-exporter, Telegraf, Docker's daemon and client libraries.
const METRICS: [(&str, Option<FieldId>, f64); 45] = [
    ("container_memory_usage_bytes", Some(FieldId::Current), 1.0),
    ("container_memory_working_set_bytes", None, 1.0),
    ("container_memory_rss", Some(FieldId::Anon), 1.0),
    ("container_memory_cache", Some(FieldId::File), 1.0),
    ("container_memory_swap", Some(FieldId::SwapCurrent), 1.0),
    ("container_swap_usage_bytes", Some(FieldId::SwapCurrent), 1.0),
    ("container_memory_mapped_file", Some(FieldId::FileMapped), 1.0),
    ("container_memory_kernel_usage", Some(FieldId::Kernel), 1.0),
    ("container_memory_total_active_file_bytes", Some(FieldId::ActiveFile), 1.0),
    ("container_memory_total_inactive_file_bytes", Some(FieldId::InactiveFile), 1.0),
    ("container_memory_max_usage_bytes", Some(FieldId::Peak), 1.0),
    ("container_memory_failcnt", Some(FieldId::EventsMax), 1.0),
    ("container_spec_memory_limit_bytes", Some(FieldId::Max), 1.0),
    ("container_spec_memory_swap_limit_bytes", Some(FieldId::SwapMax), 1.0),
    ("container_oom_events_total", Some(FieldId::EventsOomKill), 1.0),
    ("container_cpu_usage_seconds_total", Some(FieldId::CpuUsage), 1e6),
    ("container_pressure_memory_waiting_seconds_total", Some(FieldId::PressureSome), 1e6),
    ("container_pressure_memory_stalled_seconds_total", Some(FieldId::PressureFull), 1e6),
    ("container_threads", Some(FieldId::PidsCurrent), 1.0),
    ("container_memory_failures_total", Some(FieldId::Pgfault), 1.0),
    ("pod_memory_working_set_bytes", None, 1.0),
    ("pod_swap_usage_bytes", Some(FieldId::SwapCurrent), 1.0),
    ("node_memory_working_set_bytes", None, 1.0),
    ("node_swap_usage_bytes", Some(FieldId::SwapCurrent), 1.0),
    ("kube_pod_container_resource_limits", Some(FieldId::Max), 1.0),
    ("kube_pod_container_resource_limits_memory_bytes", Some(FieldId::Max), 1.0),
    ("cgroup_memory_used_bytes", Some(FieldId::Current), 1.0),
    ("cgroup_memory_usage_bytes", Some(FieldId::Current), 1.0),
    ("cgroup_memory_current_bytes", Some(FieldId::Current), 1.0),
    ("cgroup_memory_rss_bytes", Some(FieldId::Anon), 1.0),
    ("cgroup_memory_cache_bytes", Some(FieldId::File), 1.0),
    ("cgroup_memory_total_bytes", Some(FieldId::Max), 1.0),
    ("cgroup_memory_fail_count", Some(FieldId::EventsMax), 1.0),
    ("cgroup_memory_swap_bytes", Some(FieldId::SwapCurrent), 1.0),
    ("cgroup_oom_kill_total", Some(FieldId::EventsOomKill), 1.0),
    ("namedprocess_namegroup_memory_bytes", Some(FieldId::Current), 1.0),
    ("process_resident_memory_bytes", Some(FieldId::Current), 1.0),
    ("docker_container_mem_usage", Some(FieldId::Current), 1.0),
    ("docker_container_mem_usage_bytes", Some(FieldId::Current), 1.0),
    ("docker_container_mem_limit", Some(FieldId::Max), 1.0),
    ("docker_container_mem_rss", Some(FieldId::Anon), 1.0),
    ("docker_container_mem_cache", Some(FieldId::File), 1.0),
    ("engine_daemon_engine_memory_bytes", Some(FieldId::MemTotal), 1.0),
    ("systemd_unit_memory_bytes", Some(FieldId::Current), 1.0),
    ("node_memory_Cached_bytes", Some(FieldId::Cached), 1.0),
];

/// Labels that say what a value is, not whose.
const OF_THE_METRIC: [&str; 11] =
    ["__name__", "failure_type", "scope", "memtype", "resource", "unit", "le", "quantile", "type", "reason", "uid"];

/// Labels by which two series of the same path are of two machines, or of two collectors.
const OF_THE_PLACE: [&str; 12] = [
    "cluster",
    "node",
    "host",
    "hostname",
    "instance",
    "machine",
    "kubernetes_node",
    "job",
    "prometheus",
    "prometheus_replica",
    "replica",
    "env",
];

/// The field of a metric and the factor to our unit; `None` of metrics that are none of ours.
fn target(name: &str) -> Option<(Target, f64)> {
    if let Some((_, id, factor)) = METRICS.iter().find(|(theirs, _, _)| *theirs == name) {
        return Some((id.map_or(Target::WorkingSet, |id| Target::Field(id.field())), *factor));
    }
    // node_exporter: the names of /proc/meminfo.
    if let Some(key) = name.strip_prefix("node_memory_") {
        let key = format!("meminfo.{}", key.strip_suffix("_bytes").unwrap_or(key));
        return find(Table::Host, &key).map(|field| (Target::Field(field), 1.0));
    }
    // An exporter of cgroup files keeps their names: cgroup_memory_stat_anon_bytes, cgroup_memory_current.
    let key = name.strip_prefix("cgroup_")?;
    let key = key.strip_suffix("_bytes").or(key.strip_suffix("_total")).unwrap_or(key);
    let same = |field: &&'static crate::model::fields::Field| field.name.replace('.', "_") == key;
    crate::model::fields::of(Table::Samples).find(same).map(|field| (Target::Field(field), 1.0))
}

/// What a series is: a field, a part of a metric that is none, or unknown.
enum Found {
    Target(Target, f64),
    NotOurs(&'static str),
    Unknown,
}

fn found(name: &str, labels: &Labels) -> Found {
    // The name of a recording rule has the metric between colons: level:metric:operations.
    let part = name.split(':').find_map(target);
    let Some((mut target, factor)) = target(name).or(part) else { return Found::Unknown };
    let label = |name: &str| labels.get(name).map(String::as_str);
    if name.contains("memory_failures_total") {
        match (label("failure_type"), label("scope")) {
            (Some("pgfault"), Some("hierarchy") | None) => {}
            (Some("pgmajfault"), Some("hierarchy") | None) => target = Target::Field(FieldId::Pgmajfault.field()),
            _ => return Found::NotOurs("faults of the container alone: those with its descendants are taken"),
        }
    } else if name.starts_with("namedprocess_") {
        match label("memtype") {
            Some("resident") => {}
            Some("swapped") => target = Target::Field(FieldId::SwapCurrent.field()),
            _ => return Found::NotOurs("only resident and swapped memory is taken"),
        }
    } else if name.starts_with("kube_pod_container_resource_limits") && label("resource").is_some_and(|r| r != "memory")
    {
        return Found::NotOurs("a limit of something else than memory");
    }
    Found::Target(target, factor)
}

/// A metric with its labels as text, `name{label="value"}`: its field, and whose it is where labels say so.
pub fn metric(text: &str) -> Option<(Target, Option<String>)> {
    let text = text.trim();
    let (name, labels) = match text.find('{') {
        Some(at) => (text[..at].trim(), crate::reading::import::labels::labels(&text[at..])?.0),
        None => (text, Labels::new()),
    };
    match found(name, &labels) {
        Found::Target(target, 1.0) => Some((target, who(&labels))),
        _ => None,
    }
}

/// Whose series it is by its labels: the cgroup's path, the names of Kubernetes, or a name.
fn who(labels: &Labels) -> Option<String> {
    let label = |name: &str| labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(path) = label("id").or(label("cgroup")).or(label("container_id").filter(|id| id.starts_with('/'))) {
        return Some(path.to_owned());
    }
    pod(labels).or_else(|| {
        [
            "name",
            "groupname",
            "container_name",
            "container",
            "container_label_com_docker_compose_service",
            "service",
            "app",
        ]
        .into_iter()
        .find_map(label)
        .map(str::to_owned)
    })
}

/// The names of Kubernetes, in the form of a path.
fn pod(labels: &Labels) -> Option<String> {
    let label = |names: [&str; 3]| {
        names.into_iter().find_map(|name| labels.get(name)).map(String::as_str).filter(|v| !v.is_empty())
    };
    let pod = label(["pod", "pod_name", "exported_pod"])?;
    let namespace = label(["namespace", "exported_namespace", "kubernetes_namespace"]);
    let container = label(["container", "container_name", "exported_container"]);
    let parts: Vec<&str> = [namespace, Some(pod), container].into_iter().flatten().collect();
    Some(format!("/{}", parts.join("/")))
}

/// What a container is called by the labels of cAdvisor, which stand beside its path.
fn identity(path: &str, labels: &Labels) -> Option<Identity> {
    let mut identity = identify(path).filter(|identity| identity.container.is_some())?;
    let label = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
    // Docker's own labels, with `_` for what is no letter.
    let docker = labels.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("container_label_")?;
        let is_dotted = ["com_docker_", "io_podman_compose_"].iter().any(|prefix| name.starts_with(prefix));
        Some((if is_dotted { name.replace('_', ".") } else { name.to_owned() }, value.clone()))
    });
    identity.label(docker);
    (identity.namespace, identity.pod) = (label("namespace"), label("pod"));
    // The container of a pod has a name, and an id where Docker has its name.
    identity.name = match identity.pod {
        Some(_) => label("container"),
        None => label("name"),
    }
    .filter(|name| Some(name) != identity.container.as_ref())
    .or(identity.name);
    identity.image = label("image").or(identity.image);
    (identity.name.is_some() || identity.pod.is_some()).then_some(identity)
}

/// Takes series after series of one file.
#[derive(Default)]
pub struct Reader {
    /// The labels of the place of each name that came, the first time.
    places: HashMap<String, Vec<(String, String)>>,
    /// Paths of the containers of pods: limits of kube-state-metrics know only the pod.
    paths: HashMap<String, String>,
    /// Labels of the first series of a name and field, as hashes, and names that were made of labels.
    used: HashMap<u64, u64>,
    variants: HashSet<String>,
    /// Series that have no name.
    unnamed: bool,
    /// Paths whose labels said what they are called.
    named: HashSet<String>,
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Most names that are remembered: those behind them are taken as they are.
const MOST_NAMES: usize = 200_000;

impl Reader {
    /// Takes a series: its labels, and its values by time in microseconds since 1970.
    pub fn series(&mut self, labels: &Labels, points: &[(i64, f64)], intake: &mut Intake<'_>) -> Result<(), Stop> {
        intake.notes.formats.insert("prometheus");
        if points.is_empty() {
            return Ok(());
        }
        let Some(name) = labels.get("__name__").map(String::as_str) else {
            return self.unnamed(labels, points, intake);
        };
        let mapped = intake.options.mapped(name).map(|ours| (ours, crate::reading::import::columns::ours(ours)));
        let (target, factor) = match mapped {
            Some((_, Some(crate::reading::import::columns::Meaning::Field { target, .. }))) => {
                (target, intake.options.unit_of(name).unwrap_or(1.0))
            }
            Some((ours, _)) => return Err(Stop::new(format!("--map {name}={ours}: no field has the name `{ours}`"))),
            None => match found(name, labels) {
                Found::Target(target, factor) => (target, factor),
                Found::NotOurs(why) => {
                    intake.notes.leave_out(name, why);
                    return Ok(());
                }
                Found::Unknown => {
                    let shown = printable(name);
                    intake.notes.leave_out(name, format!("no field has this name (--map {shown}=FIELD)"));
                    return Ok(());
                }
            },
        };
        intake.notes.took(name, target, if target.is_size() { "bytes" } else { "as it is" }, mapped.is_some());
        let who = self.place(name, labels, target, intake);
        if self.named.len() < MOST_NAMES
            && !self.named.contains(&who)
            && let Some(identity) = identity(&who, labels)
        {
            intake.sink.named(&who, identity);
            self.named.insert(who.clone());
        }
        self.put(&who, target, factor, points, intake)
    }

    /// A series without a name is what an expression gives: what it is nobody says but who asked.
    fn unnamed(&mut self, labels: &Labels, points: &[(i64, f64)], intake: &mut Intake<'_>) -> Result<(), Stop> {
        let mapped = intake.options.mapped("value").and_then(crate::reading::import::columns::ours);
        let Some(crate::reading::import::columns::Meaning::Field { target, .. }) = mapped else {
            return Err(Stop::needs(
                "a series has no name: the query was an expression such as sum(...), whose answer does not say what it is; \
                 if it is memory in use, map it to `current`, if it is anonymous memory (rss), to `anon`",
                ["--map", "value=current"],
            ));
        };
        if !self.unnamed {
            self.unnamed = true;
            intake.notes.took("value", target, "bytes", true);
        }
        let factor = intake.options.unit_of("value").unwrap_or(1.0);
        let named = who(labels).or_else(|| {
            let parts: Vec<String> =
                labels.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={v}")).collect();
            (!parts.is_empty()).then(|| parts.join(","))
        });
        let base = named.unwrap_or_else(|| intake.options.stem.clone());
        let who = self.apart(base, labels, target);
        self.put(&who, target, factor, points, intake)
    }

    fn place(&mut self, name: &str, labels: &Labels, target: Target, intake: &mut Intake<'_>) -> String {
        if matches!(target, Target::Field(field) if field.table == Table::Host) {
            return String::new();
        }
        let by_label =
            intake.options.maps.iter().find(|(_, ours)| ours == "cgroup").and_then(|(theirs, _)| labels.get(theirs));
        if let Some(who) = by_label {
            return who.clone();
        }
        if name.starts_with("node_") {
            return self.apart(crate::reading::import::free::MACHINE.to_owned(), labels, target);
        }
        let base = who(labels).unwrap_or_else(|| {
            let place = ["instance", "job"].into_iter().find_map(|label| labels.get(label));
            place.cloned().unwrap_or_else(|| intake.options.stem.clone())
        });
        let is_limit = name.starts_with("kube_");
        match pod(labels) {
            // The limit of a container, by kube-state-metrics, belongs to the container's path.
            Some(pod) if is_limit => self.paths.get(&pod).cloned().unwrap_or(pod),
            Some(pod) if base != pod && labels.get("container").is_some_and(|c| !c.is_empty() && c != "POD") => {
                if self.paths.len() < MOST_NAMES && !self.paths.contains_key(&pod) && !self.places.contains_key(&pod) {
                    intake.sink.rename(&pod, &base);
                    self.paths.insert(pod, base.clone());
                }
                self.apart(base, labels, target)
            }
            _ if is_limit => base,
            _ => self.apart(base, labels, target),
        }
    }

    /// Series of one path whose place differs are of two machines, and those of one field whose labels differ are two things: the
    /// later gets what differs behind its name, for all of its fields the same.
    fn apart(&mut self, base: String, labels: &Labels, target: Target) -> String {
        let here: Vec<(&str, &str)> = labels
            .iter()
            .map(|(label, value)| (label.as_str(), value.as_str()))
            .filter(|(label, _)| !OF_THE_METRIC.contains(label))
            .collect();
        let place = |label: &str| OF_THE_PLACE.contains(&label);
        let by_place = self.named_apart(&base, &here, place);
        let by_all = self.named_apart(&by_place, &here, |label| !place(label));
        let key = hash((&by_place, target.column(), matches!(target, Target::WorkingSet)));
        let own = hash(&here);
        if by_all == by_place {
            self.used.entry(key).or_insert(own);
            return by_place;
        }
        // Another field may come from another collector, whose labels differ a little.
        let is_first = self.used.len() >= MOST_NAMES * 8 || *self.used.entry(key).or_insert(own) == own;
        if is_first && !self.variants.contains(&by_all) {
            return by_place;
        }
        if self.variants.len() < MOST_NAMES {
            self.variants.insert(by_all.clone());
        }
        by_all
    }

    /// A name with the labels behind it by which these differ from the first that had the name.
    fn named_apart(&mut self, base: &str, here: &[(&str, &str)], wanted: impl Fn(&str) -> bool) -> String {
        let Some(first) = self.places.get(base) else {
            if self.places.len() < MOST_NAMES {
                let owned = here.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
                self.places.insert(base.to_owned(), owned.collect());
            }
            return base.to_owned();
        };
        let differ: Vec<String> = here
            .iter()
            .filter(|(label, value)| wanted(label) && first.iter().any(|(l, v)| l == label && v != value))
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        if differ.is_empty() { base.to_owned() } else { format!("{base}{{{}}}", differ.join(",")) }
    }

    fn put(
        &self,
        who: &str,
        target: Target,
        factor: f64,
        points: &[(i64, f64)],
        intake: &mut Intake<'_>,
    ) -> Result<(), Stop> {
        let is_limit = matches!(target, Target::Field(field) if field.kind == Kind::Limit);
        for (time_us, value) in points {
            // cAdvisor prints a limit that is not set as 0, on cgroup v1 as almost 2⁶³.
            let is_unset = is_limit && (*value == 0.0 || *value >= 9.2e18);
            let value = if is_unset { f64::INFINITY } else { value * factor };
            intake.put(&Place { who, life: 0, time_us: *time_us }, target, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_fields_and_labels_are_paths() {
        let of = |text: &str| metric(text).map(|(target, who)| (target.column(), who.unwrap_or_default()));
        assert_eq!(of("container_memory_rss{id=\"/docker/a\",name=\"web\"}"), Some(("anon", "/docker/a".into())));
        assert_eq!(
            of("node_namespace_pod_container:container_memory_working_set_bytes"),
            Some(("current", String::new()))
        );
        assert_eq!(
            of("container_memory_cache{namespace=\"n\",pod=\"p\",container=\"c\"}"),
            Some(("file", "/n/p/c".into()))
        );
        assert_eq!(of("cgroup_memory_stat_anon_bytes{cgroup=\"/a\"}"), Some(("anon", "/a".into())));
        assert_eq!(
            of("namedprocess_namegroup_memory_bytes{groupname=\"java\",memtype=\"resident\"}"),
            Some(("current", "java".into()))
        );
        assert_eq!(of("namedprocess_namegroup_memory_bytes{groupname=\"java\",memtype=\"virtual\"}"), None);
        assert_eq!(of("node_memory_MemAvailable_bytes"), Some(("mem_available", String::new())));
        assert_eq!(of("kube_pod_container_resource_limits{resource=\"cpu\"}"), None);
        assert_eq!((of("container_fs_reads_total"), of("web")), (None, None));
    }
}
