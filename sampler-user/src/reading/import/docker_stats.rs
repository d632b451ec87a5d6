//! `docker stats`, `podman stats` and `crictl stats`: tables, rows of a format of one's own, JSON, and the answer of Docker's API.
//!
//! Docker shows usage without inactive page cache, which is the working set, in KiB, MiB and GiB (docker/cli,
//! `cli/command/container/formatter_stats.go`). Podman and crictl print decimal units (`units.HumanSize`).

use crate::model::fields::{FieldId, Table, find};
use crate::reading::import::intake::{Intake, Place, Stop, Target};
use crate::reading::import::size::{Decimal, Prefix, parse};

/// Columns of a table.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<String>,
    prefix: Prefix,
}

/// The head of a table, if it is one.
pub fn head(line: &str) -> Option<Layout> {
    if !line.contains("MEM") && !line.contains("PRIV WORKING SET") {
        return None;
    }
    let columns: Vec<String> = columns(line).into_iter().map(str::to_ascii_uppercase).collect();
    let has = |name: &str| columns.iter().any(|column| column == name);
    let has_usage = has("MEM USAGE / LIMIT") || has("MEM USAGE") || has("PRIV WORKING SET");
    let is_crictl = has("MEM") && has("CONTAINER") && has("INODES");
    if !has_usage && !is_crictl {
        return None;
    }
    // Podman writes NET IO where Docker writes NET I/O.
    let is_decimal = is_crictl || has("NET IO") || has("BLOCK IO") || has("CPU TIME");
    Some(Layout { columns, prefix: if is_decimal { Prefix::Decimal } else { Prefix::Binary } })
}

/// Cells that stand two spaces or a tab apart.
fn columns(line: &str) -> Vec<&str> {
    line.trim().split(['\t']).flat_map(|part| part.split("  ")).map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// Takes a row of a table: the name of the container, if it was one.
pub fn row<'a>(layout: Option<&Layout>, line: &'a str) -> Option<(&'a str, u64, &'a str, Prefix)> {
    let cells = columns(line);
    if let Some(layout) = layout.filter(|layout| layout.columns.len() == cells.len()) {
        let cell = |names: &[&str]| {
            let at = layout.columns.iter().position(|column| names.contains(&column.as_str()))?;
            cells.get(at).copied()
        };
        let usage = cell(&["MEM USAGE / LIMIT", "MEM USAGE", "PRIV WORKING SET", "MEM"])?;
        let id = cell(&["CONTAINER ID", "ID", "CONTAINER"]);
        let name = cell(&["NAME", "NAMES"]).or(id)?;
        return Some((name, life(id.unwrap_or("")), usage, layout.prefix));
    }
    // A format of one's own, or a table whose spaces were squeezed: `web 0.10% 60MiB / 2GiB`.
    let at = line.match_indices('/').map(|(at, _)| at).take(64).find(|at| {
        let before = line[..*at].trim_end().rsplit([' ', '\t', ',', '|', ';']).next().unwrap_or("");
        let after = line[at + 1..].trim_start().split([' ', '\t', ',', '|', ';']).next().unwrap_or("");
        after.ends_with("iB") && before.ends_with('B') && parse(before, Decimal::Point, Prefix::Binary).is_some()
    })?;
    let separators = [' ', '\t', ',', '|', ';'];
    let begin = line[..at].trim_end().rfind(separators).map_or(0, |place| place + 1);
    let after = line[at + 1..].len() - line[at + 1..].trim_start().len() + at + 1;
    let end = line[after..].find(separators).map_or(line.len(), |place| after + place);
    let is_name = |text: &&str| {
        !text.is_empty()
            && !text.ends_with('%')
            && text.chars().any(char::is_alphanumeric)
            && parse(text, Decimal::Point, Prefix::Binary).is_none()
    };
    let mut names = line[..begin].split(separators).chain(line[end..].split(separators)).filter(is_name);
    // The usage alone is of the only container.
    let first = names.next().unwrap_or("");
    // The id stands before the name.
    let is_id = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let name = if is_id(first) { names.next().unwrap_or(first) } else { first };
    Some((name.trim_end_matches(':'), life(if is_id(first) { first } else { "" }), &line[begin..end], Prefix::Binary))
}

/// A number for the life of a container, from its id: another container of the same name is another life.
pub fn life(id: &str) -> u64 {
    u64::from_str_radix(id.get(..12).unwrap_or(""), 16).unwrap_or(0)
}

/// Whether a cell is usage and limit.
pub fn is_usage_and_limit(cell: &str) -> bool {
    let size = |text: &str| parse(text, Decimal::Point, Prefix::Binary).is_some_and(|size| size.unit.is_some());
    cell.split_once('/').is_some_and(|(usage, limit)| size(usage) && size(limit))
}

/// Takes `60MiB / 2GiB`. Returns whether the container ran: one that does not shows nothing, or 0 of 0.
pub fn usage_and_limit(place: &Place<'_>, cell: &str, prefix: Prefix, intake: &mut Intake<'_>) -> Result<bool, Stop> {
    let (usage, limit) = cell.split_once('/').unwrap_or((cell, ""));
    let bytes = |text: &str| {
        let size = parse(text, Decimal::Point, prefix)?;
        Some(size.number * size.unit.unwrap_or(1.0))
    };
    let (Some(usage), limit_bytes) = (bytes(usage), bytes(limit)) else { return Ok(false) };
    if usage == 0.0 && limit_bytes == Some(0.0) {
        return Ok(false);
    }
    intake.put(place, Target::WorkingSet, usage)?;
    if let Some(value) = limit_bytes.filter(|value| *value > 0.0) {
        if is_set(limit, prefix) {
            intake.put(place, Target::Field(FieldId::Max.field()), value)?;
        } else {
            intake.notes.remark(format!(
                "a limit of {} is no round number: it is taken as the machine's memory, which is no limit of a container",
                crate::model::units::printable(limit.trim())
            ));
        }
    }
    Ok(true)
}

/// Whether a limit is one that somebody set: without one the machine's memory is shown, which is no round number.
fn is_set(limit: &str, prefix: Prefix) -> bool {
    let Some(size) = parse(limit, Decimal::Point, prefix) else { return false };
    let Some(unit) = size.unit else { return true };
    let is_whole = |number: f64, step: f64| (number / step - (number / step).round()).abs() < 1e-6;
    // 31.2GiB is more often what is left of 32 than what somebody chose.
    let is_round =
        is_whole(size.number, 0.5) || size.number < 10.0 && (is_whole(size.number, 0.1) || is_whole(size.number, 0.25));
    if is_round {
        return true;
    }
    // 2 GB are shown as 1.863GiB; four digits are shown.
    let bytes = size.number * unit;
    let error = 10f64.powf(size.number.log10().floor() - 3.0) * unit / 2.0;
    let step = if bytes < 1e10 { 1e8 } else { 1e9 };
    let nearest = (bytes / step).round() * step;
    prefix == Prefix::Binary && nearest > 0.0 && (bytes - nearest).abs() <= error
}

/// Takes an object of `--format json`, or of Docker's API; `None` if it is neither.
pub fn record(record: &[(String, String)], now_us: Option<i64>, intake: &mut Intake<'_>) -> Option<Result<(), Stop>> {
    let get = |name: &str| record.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(usage) = get("memory_stats.usage") {
        return Some(engine(record, usage, get, intake));
    }
    let usage = get("MemUsage")
        .or(get("mem_usage"))
        .or(get("MemUsageBytes"))
        .filter(|usage| usage.contains('/') || *usage == "--")?;
    let prefix = if get("MemUsage").is_some() && get("MemPerc").is_some() { Prefix::Binary } else { Prefix::Decimal };
    let id = get("ID").or(get("id")).or(get("Container")).unwrap_or("");
    let name = get("Name").or(get("name")).filter(|name| !name.is_empty() && *name != "--").unwrap_or(id);
    let time = ["time", "timestamp", "ts", "date", "Time", "Timestamp", "@timestamp"].into_iter().find_map(get);
    let time_us = match time.and_then(|text| crate::reading::import::time::whole(text, None)) {
        Some(crate::reading::import::time::Stamp::Instant(us)) => Some(us),
        Some(crate::reading::import::time::Stamp::Local(local)) => {
            match crate::reading::import::clock::local_us(local, intake) {
                Ok(us) => Some(us),
                Err(stop) => return Some(Err(stop)),
            }
        }
        _ => now_us,
    }?;
    intake.notes.formats.insert("docker stats");
    let place = Place { who: name, life: life(id), time_us };
    Some(usage_and_limit(&place, usage, prefix, intake).map(drop))
}

/// What Docker's API answers to `/containers/ID/stats`.
fn engine<'a>(
    record: &[(String, String)],
    usage: &str,
    get: impl Fn(&str) -> Option<&'a str>,
    intake: &mut Intake<'_>,
) -> Result<(), Stop> {
    intake.notes.formats.insert("docker api");
    let Some(crate::reading::import::time::Stamp::Instant(time_us)) =
        get("read").and_then(|text| crate::reading::import::time::whole(text, None))
    else {
        intake.notes.unread_lines += 1;
        return Ok(());
    };
    // Of a container that does not run it is the year 1.
    if !crate::reading::import::intake::is_plausible(time_us) {
        return Ok(());
    }
    let id = get("id").unwrap_or("");
    let name = get("name").map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
    let name = name.or(Some(id).filter(|id| !id.is_empty())).map_or_else(|| intake.options.stem.clone(), str::to_owned);
    let place = Place { who: &name, life: life(id), time_us };
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    intake.put(&place, Target::Field(FieldId::Current.field()), number(usage))?;
    let is_v1 = get("memory_stats.stats.total_rss").is_some();
    for (key, value) in record {
        let Some(key) = key.strip_prefix("memory_stats.") else { continue };
        let field = match key.strip_prefix("stats.") {
            None if key == "limit" => Some(FieldId::Max.field()),
            None if key == "failcnt" => Some(FieldId::EventsMax.field()),
            None => None,
            Some("total_rss") => Some(FieldId::Anon.field()),
            Some("total_cache") => Some(FieldId::File.field()),
            Some(stat) if is_v1 => stat.strip_prefix("total_").and_then(|stat| find(Table::Samples, stat)),
            Some(stat) => find(Table::Samples, stat).filter(|field| field.name.starts_with("memory.stat.")),
        };
        if let Some(field) = field {
            intake.put(&place, Target::Field(field), number(value))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_by_their_head_and_without_one() {
        let layout =
            head("CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT     MEM %     NET I/O   BLOCK I/O         PIDS")
                .unwrap();
        let line = "0123456789ab   glances   3.10%     60.0MiB / 7.628GiB   0.77%     0B / 0B   12.3MB / 4.1kB   9";
        let want = Some(("glances", 0x0123_4567_89ab, "60.0MiB / 7.628GiB", Prefix::Binary));
        assert_eq!(row(Some(&layout), line), want);
        assert_eq!(
            row(Some(&layout), &line.split_whitespace().collect::<Vec<_>>().join(" ")),
            want,
            "spaces were squeezed"
        );
        assert_eq!(row(None, "web\t0.10%\t60MiB / 2GiB"), Some(("web", 0, "60MiB / 2GiB", Prefix::Binary)));
        assert_eq!(row(None, "web,1kB / 0B,60MiB / 2GiB").unwrap().2, "60MiB / 2GiB", "not the network's");
        assert_eq!(row(None, "nothing / here"), None);
        let podman = head("ID            NAME   CPU %   MEM USAGE / LIMIT  MEM %   NET IO   BLOCK IO   PIDS").unwrap();
        assert_eq!(podman.prefix, Prefix::Decimal);
    }

    #[test]
    fn the_machines_memory_is_no_limit() {
        for (limit, set) in [
            ("512MiB", true),
            ("1.5GiB", true),
            ("2GiB", true),
            ("1.863GiB", true),
            ("953.7MiB", true),
            ("7.628GiB", false),
            ("15.53GiB", false),
            ("1.95GiB", false),
            ("31.2GiB", false),
            ("12.5GiB", true),
        ] {
            assert_eq!(is_set(limit, Prefix::Binary), set, "{limit}");
        }
        assert!(is_set("512MB", Prefix::Decimal) && !is_set("8.243GB", Prefix::Decimal));
    }
}
