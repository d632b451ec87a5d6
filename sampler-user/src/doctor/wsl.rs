//! Checks of WSL: its version, its kernel, and the files that configure it.

use crate::doctor::State::{Blocks, Good, Lacks, Note};
use crate::doctor::{Host, Look};
use crate::kernel::wsl::Wsl;
use crate::model::units::{bytes, parse_bytes, printable};
use crate::model::wslconfig::{Encoding, File};

pub fn version(host: &Host) -> Look {
    if host.wsl() == Some(Wsl::One) {
        return (
            Blocks,
            "WSL 1, which has no Linux kernel, and so no cgroups".into(),
            Some("`wsl --set-version DISTRIBUTION 2` in Windows"),
        );
    }
    let told = host.wsl_version.as_ref().map_or(String::new(), |version| format!(", version {}", printable(version)));
    let release = host.text("proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let kernel = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let apart = if host.has("sys/fs/cgroup/wsl-user") { ", a cgroup for each distribution" } else { "" };
    match kernel {
        (0..=5, _) => (
            Note,
            format!("WSL2{told}, with a kernel of before 6.6"),
            Some("`wsl --update` brings kernel 6.6 or newer, with cgroup v2 and PSI"),
        ),
        _ => (Good, format!("WSL2{told}{apart}"), None),
    }
}

/// A file of the distribution or of Windows, with what speaks against it.
fn fault(file: &File) -> Option<&'static str> {
    match file.encoding {
        Encoding::Plain => None,
        Encoding::Utf8Mark => Some("begins with a byte order mark"),
        Encoding::Utf16 => Some("is UTF-16"),
        Encoding::Other => Some("is no UTF-8"),
    }
}

const ENCODE: &str =
    "save it as UTF-8 without a byte order mark (Notepad: Save as, Encoding UTF-8), then `wsl --shutdown`";

pub fn conf(host: &Host) -> Look {
    let Some(bytes) = host.bytes("etc/wsl.conf") else {
        return (
            Good,
            "no /etc/wsl.conf: systemd as the distribution has it, cgroup v2 where the kernel has it".into(),
            None,
        );
    };
    let file = File::parse(&bytes);
    if let Some(fault) = fault(&file) {
        return (Lacks, format!("/etc/wsl.conf {fault}: WSL may read nothing of it"), Some(ENCODE));
    }
    let show = |section: &str, key: &str| Some(format!("{key}={}", printable(file.get(section, key)?)));
    let facts = [show("boot", "systemd"), show("automount", "cgroups"), show("boot", "command")];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    let what = if facts.is_empty() { "nothing of it matters here".to_owned() } else { facts.join(", ") };
    let is =
        |section: &str, key: &str, value: &str| file.get(section, key).is_some_and(|v| v.eq_ignore_ascii_case(value));
    if is("automount", "cgroups", "v1") {
        return (Note, what, Some("without [automount] cgroups=v1 memory is on cgroup v2, which tells more"));
    }
    if is("boot", "systemd", "true") && !host.has("run/systemd/system") {
        return (Lacks, format!("{what}, but systemd does not run"), Some("`wsl --shutdown`, and start it again"));
    }
    (Good, what, None)
}

/// The `.wslconfig` of each user of Windows.
fn configs(host: &Host) -> Vec<(String, File)> {
    let path = |user: &String| format!("mnt/c/Users/{user}/.wslconfig");
    let users = host.list("mnt/c/Users");
    users.iter().filter_map(|user| Some((user.clone(), File::parse(&host.bytes(&path(user))?)))).collect()
}

pub fn config(host: &Host) -> Look {
    if !host.has("mnt/c/Users") {
        return (
            Note,
            "not seen: the drive of Windows is not at /mnt/c".into(),
            Some("look at %UserProfile%\\.wslconfig in Windows; [automount] in /etc/wsl.conf mounts the drives"),
        );
    }
    let total = host.meminfo("MemTotal:");
    let all = configs(host);
    if all.is_empty() {
        let total = total.map_or(String::new(), |total| format!(", here {}", bytes(total)));
        let what = format!("no user has one: half of the memory of Windows{total}, and swap of a quarter of it");
        return (Note, what, Some("`sampler advise` writes one from what was measured"));
    }
    let mut facts = Vec::new();
    let mut worst = (Good, None);
    for (user, file) in &all {
        let name = format!("/mnt/c/Users/{}/.wslconfig", printable(user));
        if let Some(fault) = fault(file) {
            facts.push(format!("{name} {fault}: WSL has been seen to ignore such a file without a word"));
            worst = (Lacks, Some(ENCODE));
            continue;
        }
        let show = |key: &str| Some(format!("{key}={}", printable(file.get("wsl2", key)?)));
        let shown: Vec<String> = ["memory", "swap", "kernelCommandLine"].into_iter().filter_map(show).collect();
        let shown = if shown.is_empty() { "no limit of memory".to_owned() } else { shown.join(", ") };
        let wanted = file.get("wsl2", "memory").and_then(|size| parse_bytes(size).ok());
        // The kernel keeps some of it for itself.
        let rules = |wanted: u64| total.is_some_and(|total| total <= wanted && total >= wanted / 10 * 8);
        match wanted.filter(|wanted| !rules(*wanted)).zip(total) {
            Some((_, total)) => {
                facts.push(format!("{name}: {shown}, but the VM has {}", bytes(total)));
                // Of several users it may be the file of another one.
                if worst.0 != Lacks && all.len() == 1 {
                    worst =
                        (Lacks, Some("it is not in force: `wsl --shutdown`; the section is [wsl2], the unit MB or GB"));
                }
            }
            None => facts.push(format!("{name}: {shown}")),
        }
    }
    (worst.0, facts.join("; "), worst.1)
}

pub fn reclaim(host: &Host) -> Look {
    let all = configs(host);
    let sections = ["experimental", "wsl2"];
    let told = all
        .iter()
        .filter(|(_, file)| fault(file).is_none())
        .find_map(|(_, file)| sections.iter().find_map(|section| file.get(section, "autoMemoryReclaim")));
    match told.map(str::to_ascii_lowercase).as_deref() {
        Some("gradual") => (
            Note,
            "gradual: idle, it takes memory of all cgroups back in small steps, in older versions to swap too".into(),
            None,
        ),
        Some("dropcache") => (Good, "dropCache: idle, it drops the page cache in one go".into(), None),
        Some("disabled") => (
            Note,
            "disabled: Windows does not get memory back that was only cache".into(),
            Some("in .wslconfig: [experimental] autoMemoryReclaim=dropCache"),
        ),
        Some(other) => (
            Lacks,
            format!("`{}` is no value of autoMemoryReclaim", printable(other)),
            Some("gradual, dropCache or disabled"),
        ),
        None => (Good, "not set: dropCache in a WSL of today, disabled in older ones".into(), None),
    }
}
