//! Where a machine's memory is, as text.

use crate::analysis::account::{Account, GivenBack, Kind, Machine, Windows};
use crate::model::details::MemoryDetails;
use crate::model::time::format_us;
use crate::model::units::{bytes, count, micros, printable, time_of_day};
use crate::ui::text::style::Style;
use crate::ui::text::table::{Row, table};

/// Parts that are smaller than this part of the total are summed up.
const SMALL: u64 = 1000;
/// Holders and names that are shown unless all are wanted.
const MOST: usize = 12;
/// Names behind a part.
const NAMES: usize = 4;

/// The page of a machine. `all` shows each part and each holder.
pub fn page(machine: &Machine, all: bool, style: Style) -> String {
    let mut out = head(machine, style);
    out += &table(&parts(machine, all), style);
    if machine.account.overlap > 0 {
        let text = format!(
            "{} are counted twice: the kernel's counters are read one after the other.",
            bytes(machine.account.overlap)
        );
        out += &style.paragraph(&text, 0);
    }
    if !machine.account.not_read.is_empty() {
        let names = machine.account.not_read.join(", ");
        out += &style.paragraph(&format!("Not read, so not explained: {names}."), 0);
    }
    if let Some(worst) = machine.worst.filter(|worst| worst.accounts > 1) {
        let text = format!(
            "In {} accounts of this recording at most {:.1} % was not explained (at {}).",
            count(worst.accounts),
            worst.error * 100.0,
            time_of_day(worst.time_us)
        );
        out += &style.paragraph(&text, 0);
    }
    out += &holders(machine, all, style);
    if let Some(details) = &machine.details {
        out += &files(machine, details, all, style);
    }
    if let Some(windows) = &machine.windows {
        out += &of_windows(windows, style);
    }
    out += &given_back(&machine.given_back, machine.wsl.is_some(), style);
    out
}

/// The account in a line: what matters to a person, in a few sums.
pub fn in_a_line(account: &Account) -> String {
    let sum = |kinds: &[Kind]| bytes(kinds.iter().map(|kind| account.bytes(*kind)).sum());
    let kernel: u64 = account.parts.iter().filter(|part| part.kind.is_kernel()).map(|part| part.bytes).sum();
    let free: u64 = account.parts.iter().filter(|part| part.kind.is_free()).map(|part| part.bytes).sum();
    let huge = match account.bytes(Kind::HugePages).saturating_add(account.bytes(Kind::HugePagesFree)) {
        0 => String::new(),
        size => format!(", huge pages {}", bytes(size)),
    };
    format!(
        "processes {}, tmpfs {}, cache {}, kernel {}{huge}, free {}, rest {}",
        sum(&[Kind::Processes]),
        sum(&[Kind::SharedMemory]),
        sum(&[Kind::PageCache, Kind::SlabReclaimable, Kind::KernelReclaimable]),
        bytes(kernel),
        bytes(free),
        sum(&[Kind::Unexplained])
    )
}

fn head(machine: &Machine, style: Style) -> String {
    let what = machine.wsl.as_deref().map_or_else(String::new, |wsl| format!(", a VM of {}", printable(wsl)));
    let available = machine.available.map_or_else(String::new, |left| format!(", {} available", bytes(left)));
    let title = format!("{}{what}: {} of memory{available}", printable(&machine.host), bytes(machine.account.total));
    let mut out = format!("{}\n{}", style.paint("1", &title), format_us(machine.time_us));
    if let Some(swap) = machine.swap {
        let zswapped =
            swap.zswapped.map_or_else(String::new, |size| format!(", {} of it compressed in memory", bytes(size)));
        out += &format!("; {} of {} swap in use{zswapped}", bytes(swap.used), bytes(swap.total));
    }
    out + "\n\n"
}

/// A line with its part of the total.
fn line(name: String, size: u64, total: u64, remarks: Vec<String>) -> Row {
    let part = format!("{:.1} %", size as f64 * 100.0 / total.max(1) as f64);
    Row { name, figures: vec![bytes(size), part], remarks, ..Row::default() }
}

fn parts(machine: &Machine, all: bool) -> Vec<Row> {
    let total = machine.account.total;
    let (mut used, mut free) = (Vec::new(), Vec::new());
    let (mut small, mut sums) = ((0u64, 0u64), [0u64, 0u64]);
    for part in machine.account.parts.iter().filter(|part| part.kind != Kind::Unexplained) {
        let (list, sum) = if part.kind.is_free() { (&mut free, 1) } else { (&mut used, 0) };
        sums[sum] += part.bytes;
        if sum == 0 && !all && part.bytes < total / SMALL {
            small = (small.0 + 1, small.1 + part.bytes);
            continue;
        }
        let words = part.kind.words();
        let words = if part.kind.is_free() { words.trim_start_matches("free, ") } else { words };
        list.push(line(format!("  {words}"), part.bytes, total, remarks(machine, part.kind)));
    }
    if small.0 > 0 {
        used.push(line(format!("  {} smaller parts", small.0), small.1, total, vec!["--all shows them".into()]));
    }
    let mut rows = vec![line("in use".into(), sums[0], total, Vec::new())];
    rows.append(&mut used);
    rows.push(line("free".into(), sums[1], total, Vec::new()));
    rows.append(&mut free);
    let left = machine.account.unexplained();
    rows.push(line("not explained".into(), left, total, vec!["pages of drivers, a balloon".into()]));
    rows
}

/// What is behind a part, by name.
fn remarks(machine: &Machine, kind: Kind) -> Vec<String> {
    let details = machine.details.clone().unwrap_or_default();
    let mut all: Vec<String> = Vec::new();
    match kind {
        Kind::Processes => {
            all.extend(largest(machine.holders.list.iter().map(|holder| (printable(&holder.name), holder.anon))))
        }
        Kind::PageCache => {
            all.extend(
                machine.dirty.filter(|size| *size > 0).map(|size| format!("{} to be written first", bytes(size))),
            );
            let cache = machine.holders.list.iter().filter_map(|holder| Some((printable(&holder.name), holder.cache?)));
            all.extend(largest(cache));
        }
        Kind::SharedMemory => {
            let of = |cgroup: &Option<String>| {
                cgroup.as_deref().map_or_else(String::new, |path| format!(" of {}", called(machine, path)))
            };
            let mounts = details.mounts.iter();
            all.extend(largest(
                mounts.map(|mount| (format!("{}{}", printable(&mount.path), of(&mount.cgroup)), mount.bytes)),
            ));
        }
        Kind::SlabReclaimable | Kind::SlabUnreclaimable => {
            let wanted = kind == Kind::SlabReclaimable;
            let caches = details.slab.iter().filter(|cache| cache.reclaimable == Some(wanted));
            all.extend(largest(caches.map(|cache| (printable(&cache.name), cache.bytes))));
        }
        Kind::FreeLarge => all.push("2 MiB and more; a VM returns them".into()),
        Kind::FreeSmall => all.push("compaction makes larger ones".into()),
        _ => {}
    }
    all
}

/// The largest of named sizes.
fn largest(named: impl Iterator<Item = (String, u64)>) -> Vec<String> {
    let mut all: Vec<(String, u64)> = named.filter(|(_, size)| *size >= 1 << 20).collect();
    all.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    all.iter().take(NAMES).map(|(name, size)| format!("{name} {}", bytes(*size))).collect()
}

/// What the holder of a cgroup is called.
fn called(machine: &Machine, path: &str) -> String {
    let of = machine.holders.list.iter().filter(|holder| {
        path == holder.path || path.strip_prefix(holder.path.as_str()).is_some_and(|rest| rest.starts_with('/'))
    });
    of.max_by_key(|holder| holder.path.len()).map_or_else(|| printable(path), |holder| printable(&holder.name))
}

fn holders(machine: &Machine, all: bool, style: Style) -> String {
    let list = &machine.holders.list;
    if list.is_empty() {
        return String::new();
    }
    let shown = if all { list.len() } else { MOST.min(list.len()) };
    let title = |text: &str| text.to_owned();
    let mut rows = vec![Row {
        figures: vec![title("held"), title("reclaimable")],
        remarks: vec![title("held as")],
        ..Row::default()
    }];
    for holder in &list[..shown] {
        let parts = [
            ("processes", Some(holder.anon)),
            ("shared", holder.shmem),
            ("kernel", holder.kernel),
            ("in swap", holder.swap),
        ];
        let parts = parts.into_iter().filter_map(|(name, size)| Some((name, size.filter(|size| *size >= 1 << 20)?)));
        rows.push(Row {
            name: printable(&holder.name),
            figures: vec![bytes(holder.held), bytes(holder.reclaimable)],
            remarks: parts.map(|(name, size)| format!("{name} {}", bytes(size))).collect(),
            ..Row::default()
        });
    }
    let mut out = format!("\n{}\n{}", style.paint("1", "Who holds it"), table(&rows, style));
    if shown < list.len() {
        out += &style.paragraph(&format!("and {} more; --all shows them", list.len() - shown), 0);
    }
    if let Some(removed) = machine.holders.removed.filter(|removed| *removed > 0) {
        let most =
            machine.holders.removed_at_most.map_or_else(String::new, |most| format!(", at most {}", bytes(most)));
        let cgroups = if removed == 1 { "cgroup that was removed holds" } else { "cgroups that were removed hold" };
        out += &style.paragraph(&format!("{} {cgroups} memory still{most}.", count(removed)), 0);
    }
    out
}

fn files(machine: &Machine, details: &MemoryDetails, all: bool, style: Style) -> String {
    if details.files.is_empty() {
        return String::new();
    }
    let mut files: Vec<_> = details.files.iter().collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    let shown = if all { files.len() } else { MOST.min(files.len()) };
    let rows: Vec<Row> = files[..shown]
        .iter()
        .map(|file| Row {
            name: printable(&file.path),
            figures: vec![bytes(file.bytes)],
            remarks: file
                .files
                .map(|count_of| format!("{} files", count(count_of)))
                .into_iter()
                .chain(file.cgroup.iter().map(|path| called(machine, path)))
                .collect(),
            ..Row::default()
        })
        .collect();
    let mut out =
        format!("\n{}\n{}", style.paint("1", "Files in the page cache, and who has them open"), table(&rows, style));
    if shown < files.len() {
        out += &style.paragraph(&format!("and {} more; --all shows them", files.len() - shown), 0);
    }
    out
}

fn of_windows(windows: &Windows, style: Style) -> String {
    let title = format!("Windows sees about {} as vmmemWSL", bytes(windows.vmmem));
    let mut out = format!("\n{}\n", style.paint("1", &title));
    let mut way = |size: u64, text: &str, command: &str| {
        if size >= 1 << 20 {
            out += &style.paragraph(&format!("{} {text}", bytes(size)), 2);
            if !command.is_empty() {
                out += &format!("    {command}\n");
            }
        }
    };
    way(
        windows.drop_cache.saturating_add(windows.dirty),
        "is page cache and kernel caches. It returns once it is dropped; what is needed again is read from the disk again:",
        "wsl -u root sh -c \"sync; echo 3 > /proc/sys/vm/drop_caches\"",
    );
    let block = format!(
        "is free in pieces below {}, too small to return. Compaction makes larger ones of them, which return by themselves:",
        bytes(windows.block)
    );
    way(windows.compaction, &block, "wsl -u root sh -c \"echo 1 > /proc/sys/vm/compact_memory\"");
    way(
        windows.held,
        "is held by processes, tmpfs and the kernel. It returns when they give it up, and only then.",
        "",
    );
    out
}

fn given_back(back: &GivenBack, is_wsl: bool, style: Style) -> String {
    let mut texts = Vec::new();
    if let Some(last) = back.drops.last() {
        let drops = back.drops.len() as u64 + back.more_drops;
        let times = if drops == 1 { "once".to_owned() } else { format!("{} times, last", count(drops)) };
        let by = if is_wsl { "autoMemoryReclaim=dropCache or somebody" } else { "somebody" };
        texts.push(format!(
            "The caches were dropped on purpose {times} at {}, which freed {}: {by} wrote drop_caches. The fall of the page cache is \
             nobody's pressure.",
            time_of_day(last.time_us),
            bytes(last.freed)
        ));
    }
    if let Some(reclaimed) = back.reclaimed {
        let every =
            back.every_us.map_or_else(String::new, |every| format!(", one each {}", micros(every.max(0) as u64)));
        let by = if is_wsl {
            "autoMemoryReclaim=gradual does so while the VM is idle"
        } else {
            "somebody writes memory.reclaim"
        };
        texts.push(format!(
            "{} were reclaimed on purpose in {} steps{every}: {by}. The staircase of the page cache is nobody's pressure.",
            bytes(reclaimed),
            count(back.steps)
        ));
    }
    if texts.is_empty() {
        return String::new();
    }
    format!("\n{}\n", style.paint("1", "Given back on purpose"))
        + &texts.iter().map(|text| style.paragraph(text, 0)).collect::<String>()
}
