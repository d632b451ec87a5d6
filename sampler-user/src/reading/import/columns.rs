//! What the name of a column means: a time, a part of who it is, a field with its unit, or nothing of ours.

use crate::model::fields::{FieldId, Table, find};
use crate::reading::import::intake::Target;
use crate::reading::import::size::{Prefix, unit};
use crate::reading::import::time::Epoch;

/// What a column holds.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// A time: since 1970 in this unit where the name says so.
    Time(Option<Epoch>),
    /// A time since some start.
    Elapsed,
    /// The cgroup.
    Cgroup,
    /// A part of who it is: the lower the number, the further in front.
    Who(u8),
    /// Number of a process: it distinguishes those of one name.
    Pid,
    /// Name of what a value of a long table is.
    Metric,
    /// Value of a long table.
    Value,
    /// A field.
    Field {
        /// Which.
        target: Target,
        /// Of several for one field the highest is taken.
        rank: u8,
        /// Bytes in its unit, where the name says so.
        unit: Option<f64>,
        /// Whether the name is the field's own, whose unit is known.
        exact: bool,
    },
    /// Usage and limit in one: `60MiB / 2GiB`.
    UsageAndLimit,
}

/// Why a column is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// A percentage is no size.
    Percent,
    /// Known, and none of ours.
    NotOurs,
    /// No field has this name.
    NoField,
}

/// The words of a name, in lower case: `MemUsage (MiB)` is mem, usage, mib.
pub fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = name.chars().take(200).collect();
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        let next = chars.get(at + 1);
        let rises = before.is_some_and(|b| b.is_lowercase() && c.is_uppercase());
        // CPUPerc: the last capital begins a word.
        let ends_capitals =
            before.is_some_and(char::is_uppercase) && c.is_uppercase() && next.is_some_and(|n| n.is_lowercase());
        // MiB, KiB and kB are one word.
        let is_unit = matches!(word.as_str(), "k" | "m" | "g" | "t" | "ki" | "mi" | "gi" | "ti") && c == 'B';
        if !c.is_alphanumeric() && c != '%' || (rises || ends_capitals) && !is_unit {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if c.is_alphanumeric() || c == '%' {
            word.extend(c.to_lowercase());
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// A name that --map gives: a field, `cgroup`, or a time.
pub fn ours(name: &str) -> Option<Meaning> {
    Some(match name {
        "ts_ns" => Meaning::Time(Some(Epoch::Nanos)),
        "ts_us" => Meaning::Time(Some(Epoch::Micros)),
        "ts_ms" => Meaning::Time(Some(Epoch::Millis)),
        "ts_s" | "ts" => Meaning::Time(Some(Epoch::Seconds)),
        "time" => Meaning::Time(None),
        "cgroup" => Meaning::Cgroup,
        "working_set" => Meaning::Field { target: Target::WorkingSet, rank: 9, unit: None, exact: true },
        _ => Meaning::Field { target: Target::Field(find(Table::Samples, name)?), rank: 9, unit: None, exact: true },
    })
}

/// Words that name a percentage.
fn is_percent(words: &[String]) -> bool {
    let percent = |word: &String| {
        word.contains('%') || matches!(word.as_str(), "percent" | "pct" | "perc" | "percentage" | "ratio")
    };
    words.iter().any(percent)
}

/// Takes the words that name a unit of size off the end, or off the front.
fn take_unit(words: &mut Vec<String>, prefix: Prefix) -> Option<f64> {
    let is_unit = |word: &String| if word.len() >= 2 || word == "b" { unit(word, prefix) } else { None };
    let at = words.iter().rposition(|word| is_unit(word).is_some())?;
    let found = is_unit(&words[at]);
    words.remove(at);
    // "in MB"
    words.retain(|word| !matches!(word.as_str(), "in"));
    found
}

/// What a column of this name holds.
pub fn meaning(name: &str, prefix: Prefix) -> Result<Meaning, Unknown> {
    let name = name.trim();
    // `min` and `high` are also what statistics call their columns.
    if let Some(meaning) = ours(name).filter(|_| !matches!(name, "min" | "low" | "high" | "time" | "ts")) {
        return Ok(meaning);
    }
    // The title of `below dump cgroup`; of others it is the machine's memory.
    if name == "Mem Total" {
        let target = Target::Field(FieldId::Current.field());
        return Ok(Meaning::Field { target, rank: 8, unit: None, exact: true });
    }
    let mut words = words(name);
    if is_percent(&words) {
        return Err(Unknown::Percent);
    }
    if let Some(meaning) = time(&words) {
        return Ok(meaning);
    }
    if let Some(meaning) = who(&words) {
        return Ok(meaning);
    }
    let unit = take_unit(&mut words, prefix);
    let text = words.join(" ");
    let field =
        |id: FieldId, rank: u8| Ok(Meaning::Field { target: Target::Field(id.field()), rank, unit, exact: false });
    match text.as_str() {
        "" if unit.is_some() => field(FieldId::Current, 1),
        "value" => Ok(Meaning::Value),
        "metric" | "field" | "measurement" | "series" | "metric name" => Ok(Meaning::Metric),
        "mem usage limit" | "memory usage limit" => Ok(Meaning::UsageAndLimit),
        "usage" | "mem usage" | "memory usage" | "memory current" | "mem current" | "memory stats usage"
        | "mem total usage" => field(FieldId::Current, 8),
        "working set" | "memory working set" | "workingset" | "wss" | "container memory working set" => {
            Ok(Meaning::Field { target: Target::WorkingSet, rank: 7, unit, exact: false })
        }
        "mem used" | "memory used" | "used mem" | "used memory" | "used" => field(FieldId::Current, 6),
        "rss"
        | "mem rss"
        | "memory rss"
        | "rss mem"
        | "rss memory"
        | "resident"
        | "resident memory"
        | "resident set size"
        | "res"
        | "rsz"
        | "rssize"
        | "vmrss"
        | "vm rss"
        | "real"
        | "working set size"
        | "process resident memory"
        | "resident size"
        | "memory info rss"
        | "resident set"
        | "max rss"
        | "process rss" => field(FieldId::Current, 5),
        "mem" | "memory" | "container memory" | "ram" | "memory size" | "mem size" | "memory consumption"
        | "process memory" | "size" | "mem consumption" | "ram usage" | "ram used" | "current memory"
        | "pod memory" | "memory value" => field(FieldId::Current, 4),
        "anon" | "mem anon" | "memory anon" | "memory stats stats anon" => field(FieldId::Anon, 6),
        "total rss" | "memory stats stats total rss" => field(FieldId::Anon, 5),
        "cache"
        | "mem cache"
        | "memory cache"
        | "page cache"
        | "pagecache"
        | "mem file"
        | "total cache"
        | "memory stats stats cache"
        | "memory stats stats file" => field(FieldId::File, 5),
        "swap" | "mem swap" | "swap used" | "used swap" | "swap usage" | "memory swap" | "vm swap" | "vmswap" => {
            field(FieldId::SwapCurrent, 5)
        }
        "limit" | "mem limit" | "memory limit" | "memory stats limit" | "memory max" | "mem max" => {
            field(FieldId::Max, 5)
        }
        "max usage"
        | "mem max usage"
        | "memory max usage"
        | "memory stats max usage"
        | "vmhwm"
        | "vm hwm"
        | "memory peak" => field(FieldId::Peak, 5),
        "failcnt" | "memory failcnt" | "memory stats failcnt" => field(FieldId::EventsMax, 5),
        "inactive file" | "memory stats stats inactive file" => field(FieldId::InactiveFile, 5),
        "active file" | "memory stats stats active file" => field(FieldId::ActiveFile, 5),
        "mem shmem" | "memory stats stats shmem" => field(FieldId::Shmem, 5),
        "mem sock" => field(FieldId::Sock, 5),
        "mem slab" | "memory stats stats slab" => field(FieldId::Slab, 5),
        "kernel stack" => field(FieldId::KernelStack, 5),
        "slab reclaimable" => field(FieldId::SlabReclaimable, 5),
        "slab unreclaimable" => field(FieldId::SlabUnreclaimable, 5),
        "threads" | "num threads" | "nlwp" => Err(Unknown::NotOurs),
        "kbmemused" => Ok(Meaning::Field {
            target: Target::Field(FieldId::Current.field()),
            rank: 6,
            unit: Some(1024.0),
            exact: false,
        }),
        "kbcached" => Ok(Meaning::Field {
            target: Target::Field(FieldId::File.field()),
            rank: 5,
            unit: Some(1024.0),
            exact: false,
        }),
        _ => match find(Table::Samples, &words.join("_")) {
            // `anon_mb`, `swap MiB`: the field's name with a unit.
            Some(found) if unit.is_some() && Target::Field(found).is_size() => field(found.id, 7),
            _ if is_foreign(&words) => Err(Unknown::NotOurs),
            _ if words.windows(2).any(|pair| pair == ["working", "set"]) => {
                Ok(Meaning::Field { target: Target::WorkingSet, rank: 5, unit, exact: false })
            }
            // `node app rss`, `pod mem`: whatever stands before it says whose.
            _ if words.iter().any(|word| matches!(word.as_str(), "rss" | "resident")) => field(FieldId::Current, 5),
            _ if unit.is_some() && words.iter().any(|word| matches!(word.as_str(), "mem" | "memory" | "ram")) => {
                field(FieldId::Current, 3)
            }
            _ => Err(Unknown::NoField),
        },
    }
}

/// Memory that no field of a cgroup is, and what is no memory.
fn is_foreign(words: &[String]) -> bool {
    let foreign = |word: &String| {
        matches!(
            word.as_str(),
            "heap"
                | "vsz"
                | "vsize"
                | "virt"
                | "virtual"
                | "vms"
                | "vmem"
                | "free"
                | "available"
                | "total"
                | "pss"
                | "uss"
                | "shr"
                | "shared"
                | "cpu"
                | "net"
                | "block"
                | "io"
                | "disk"
                | "pids"
                | "threads"
                | "load"
                | "external"
                | "arraybuffers"
                | "requests"
                | "latency"
                | "gc"
                | "limit"
                | "peak"
                | "max"
                | "min"
                | "swap"
                | "request"
                | "quota"
                | "cached"
                | "buffers"
                | "growth"
                | "delta"
                | "rate"
                | "diff"
                | "file"
                | "anon"
                | "huge"
        )
    };
    words.iter().any(foreign)
}

fn time(words: &[String]) -> Option<Meaning> {
    let epoch = |word: &str| {
        Some(match word {
            "ns" | "nanos" | "nanoseconds" | "nsec" => Epoch::Nanos,
            "us" | "micros" | "microseconds" | "usec" => Epoch::Micros,
            "ms" | "millis" | "milliseconds" | "msec" => Epoch::Millis,
            "s" | "sec" | "secs" | "seconds" => Epoch::Seconds,
            _ => return None,
        })
    };
    let (unit, rest) = match words {
        [rest @ .., last] if !rest.is_empty() && epoch(last).is_some() => (epoch(last), rest),
        all => (None, all),
    };
    // "Time (UTC)", "local time"
    let rest: Vec<&str> = rest
        .iter()
        .map(String::as_str)
        .filter(|w| !matches!(*w, "utc" | "gmt" | "local" | "iso" | "iso8601"))
        .collect();
    match rest.as_slice() {
        [
            "time" | "timestamp" | "ts" | "date" | "datetime" | "epoch" | "when" | "t" | "unix" | "unixtime" | "clock"
            | "zeit" | "datum" | "zeitstempel" | "uhrzeit",
        ]
        | ["date", "time"]
        | ["time", "stamp"]
        | ["unix", "time" | "timestamp" | "ts"]
        | ["epoch", "time"]
        | ["sample" | "collection" | "event" | "log" | "start", "time"]
        | ["recorded" | "created" | "sampled" | "collected" | "measured", "at"]
        | ["read"] => Some(Meaning::Time(unit)),
        ["elapsed"] | ["elapsed", "time"] | ["uptime"] | ["time", "elapsed"] | ["offset"] => Some(Meaning::Elapsed),
        [] if unit.is_none() && words.len() == 1 && matches!(words[0].as_str(), "utc" | "local") => {
            Some(Meaning::Time(None))
        }
        _ => None,
    }
}

fn who(words: &[String]) -> Option<Meaning> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words.as_slice() {
        ["cgroup" | "cgroups"] | ["cgroup", "path" | "name"] | ["full", "path"] => Meaning::Cgroup,
        ["host" | "hostname" | "node" | "instance" | "server"] | ["host" | "node", "name"] => Meaning::Who(0),
        ["namespace" | "ns"] => Meaning::Who(1),
        ["pod"] | ["pod", "name"] => Meaning::Who(2),
        ["service" | "app" | "application" | "job" | "task" | "unit" | "label"] | ["service" | "app", "name"] => {
            Meaning::Who(3)
        }
        ["container" | "name" | "process" | "comm" | "command" | "cmd" | "procname" | "program" | "cmdline"]
        | ["container" | "process" | "proc" | "command" | "image", "name"]
        | ["names"] => Meaning::Who(4),
        ["id"] | ["container", "id"] => Meaning::Who(5),
        ["pid"] | ["process", "id"] => Meaning::Pid,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(name: &str) -> String {
        match meaning(name, Prefix::Binary) {
            Ok(Meaning::Field { target, unit, .. }) => {
                let unit = unit.map_or_else(String::new, |unit| format!(" x{unit}"));
                let set = if matches!(target, Target::WorkingSet) { " (set)" } else { "" };
                format!("{}{set}{unit}", target.column())
            }
            Ok(other) => format!("{other:?}"),
            Err(why) => format!("{why:?}"),
        }
    }

    #[test]
    fn names_are_understood_in_their_variants() {
        for (name, want) in [
            ("rss_mb", "current x1048576"),
            ("rssMiB", "current x1048576"),
            ("rss_kb", "current x1024"),
            ("RSS (kB)", "current x1024"),
            ("memory_usage_bytes", "current x1"),
            ("Memory [GiB]", "current x1073741824"),
            ("bytes", "current x1"),
            ("anon", "anon"),
            ("anon_mb", "anon x1048576"),
            ("memory.stat.anon", "anon"),
            ("working_set_bytes", "current (set) x1"),
            ("mem_limit", "max"),
            ("heap_mb", "NotOurs"),
            ("vsz", "NotOurs"),
            ("MemPerc", "Percent"),
            ("%MEM", "Percent"),
            ("MEM %", "Percent"),
            ("mem_percent", "Percent"),
            ("colour", "NoField"),
            ("min", "NotOurs"),
            ("MEM USAGE / LIMIT", "UsageAndLimit"),
            ("ts_ns", "Time(Some(Nanos))"),
            ("timestamp_ms", "Time(Some(Millis))"),
            ("Time", "Time(None)"),
            ("Time (UTC)", "Time(None)"),
            ("@timestamp", "Time(None)"),
            ("elapsed_s", "Elapsed"),
            ("container_name", "Who(4)"),
            ("pid", "Pid"),
            ("cgroup", "Cgroup"),
            ("Mem Total", "current"),
            ("mem_total", "NotOurs"),
            ("memory_info.rss", "current"),
            ("process.memory.rss", "current"),
            ("pod_mem_mib", "current x1048576"),
            ("rss_limit_mb", "NotOurs"),
            ("memory_free_mb", "NotOurs"),
            ("kbmemused", "current x1024"),
        ] {
            assert_eq!(taken(name), want, "{name}");
        }
        assert_eq!(words("memoryInfoRSSBytes"), ["memory", "info", "rss", "bytes"]);
        assert_eq!(words("CPUPerc"), ["cpu", "perc"]);
        assert_eq!(words("usedMiB"), ["used", "mib"]);
    }
}
