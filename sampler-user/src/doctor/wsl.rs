//! Checks of WSL: its version, its kernel, and the files that configure it.

use serde::Serialize;

use crate::doctor::host::State::{Blocks, Good, Lacks, Note};
use crate::doctor::host::{Host, Look, State};
use crate::kernel::wsl::Wsl;
use crate::model::units::{bytes, printable};
use crate::model::wslconfig::keys::table;
use crate::model::wslconfig::{Config, Encoding, Kind, Value};

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

/// Why there is no PSI. Microsoft's kernel has it built in and off since 6.18, and did not have it at all before 6.6.
pub fn no_pressure(host: &Host) -> Look {
    const LOST: &str = "stalls of containers and of the VM are known from the probe, reclaim and refaults only";
    let asks = |line: &str| line.split_whitespace().any(|word| word == "psi=1");
    let in_force = asks(&host.text("proc/cmdline").unwrap_or_default());
    let line = |file: &Settings| file.config.get("wsl2", "kernelCommandLine").map(ToString::to_string);
    let wanted = of(host, Kind::Wslconfig).iter().filter_map(line).any(|line| asks(&line));
    let (why, fix) = match (in_force, wanted) {
        (true, _) => {
            ("this kernel is built without it, so psi=1 does nothing", "`wsl --update` brings a kernel that has it")
        }
        (false, true) => (
            "kernelCommandLine in .wslconfig asks for psi=1, but this kernel was started without",
            "`wsl --shutdown`, and start it again",
        ),
        (false, false) => (
            "the kernel of WSL leaves it off, or is built without",
            "in .wslconfig: [wsl2] kernelCommandLine=psi=1, then `wsl --shutdown`: how long each container waited for memory is recorded then, and pressure is shown; before kernel 6.6 `wsl --update` first",
        ),
    };
    (Lacks, format!("no /proc/pressure (PSI): {why}; {LOST}"), Some(fix))
}

/// A file that configures WSL, by its path on this host.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Where it is.
    pub path: String,
    /// What it says.
    #[serde(flatten)]
    pub config: Config,
}

impl Settings {
    /// What is to be said of it, by line, in words.
    fn faults(&self) -> Vec<String> {
        let problems = self.config.problems.iter().take(FAULTS);
        let more = self.config.problems.len().saturating_sub(FAULTS);
        let mut all: Vec<String> = problems.map(ToString::to_string).collect();
        if more > 0 {
            all.push(format!("{more} lines more"));
        }
        all
    }
}

/// Faults of one file that are said; the rest are counted.
const FAULTS: usize = 20;

/// The files of this host that configure WSL: the distribution's, then that of each user of Windows.
pub fn settings(host: &Host) -> Vec<Settings> {
    if !host.is_wsl() {
        return Vec::new();
    }
    let read = |path: String, kind| {
        let bytes = host.bytes(&path)?;
        Some(Settings { path: format!("/{path}"), config: Config::read(&bytes, kind) })
    };
    let users = host.list("mnt/c/Users").into_iter();
    let windows = users.map(|user| (format!("mnt/c/Users/{user}/.wslconfig"), Kind::Wslconfig));
    let all = std::iter::once(("etc/wsl.conf".to_owned(), Kind::WslConf)).chain(windows);
    all.filter_map(|(path, kind)| read(path, kind)).collect()
}

fn of(host: &Host, kind: Kind) -> Vec<Settings> {
    settings(host).into_iter().filter(|settings| settings.config.kind == kind).collect()
}

const ENCODE: &str =
    "save it as UTF-8 without a byte order mark (Notepad: Save as, Encoding UTF-8), then `wsl --shutdown`";
const MEND: &str =
    "write these lines anew, then `wsl --shutdown`; `sampler advise --wslconfig FILE` makes a new .wslconfig";

/// How bad what is said of a file is, and the way out.
fn judge(config: &Config) -> (State, Option<&'static str>) {
    match (config.is_faulty(), config.encoding) {
        (true, Encoding::Plain) => (Lacks, Some(MEND)),
        (true, _) if config.effective.is_empty() => (Lacks, Some(ENCODE)),
        (true, _) => (Lacks, Some(MEND)),
        (false, Encoding::Plain) if config.problems.is_empty() => (Good, None),
        (false, Encoding::Plain) => (Note, None),
        (false, _) => (Note, Some(ENCODE)),
    }
}

pub fn conf(host: &Host) -> Look {
    let Some(file) = of(host, Kind::WslConf).pop() else {
        return (
            Good,
            "no /etc/wsl.conf: systemd as the distribution has it, cgroup v2 where the kernel has it".into(),
            None,
        );
    };
    let config = &file.config;
    let show = |section: &str, key: &str| Some(format!("{key}={}", printable(&config.get(section, key)?.to_string())));
    let facts = [show("boot", "systemd"), show("automount", "cgroups"), show("boot", "command")];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    let what = if facts.is_empty() { "nothing of it matters here".to_owned() } else { facts.join(", ") };
    let (state, fix) = judge(config);
    if state != Good {
        return (state, format!("{what}; {}", file.faults().join("; ")), fix);
    }
    if config.get("automount", "cgroups") == Some(&Value::Word("v1")) {
        return (Note, what, Some("without [automount] cgroups=v1 memory is on cgroup v2, which tells more"));
    }
    if config.get("boot", "systemd") == Some(&Value::Truth(true)) && !host.has("run/systemd/system") {
        return (Lacks, format!("{what}, but systemd does not run"), Some("`wsl --shutdown`, and start it again"));
    }
    (Good, what, None)
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
    let all = of(host, Kind::Wslconfig);
    if all.is_empty() {
        let total = total.map_or(String::new(), |total| format!(", here {}", bytes(total)));
        let what = format!("no user has one: half of the memory of Windows{total}, and swap of a quarter of it");
        return (Note, what, Some("`sampler advise` writes one from what was measured"));
    }
    let mut facts = Vec::new();
    let mut worst = (Good, None);
    for file in &all {
        let (name, config) = (printable(&file.path), &file.config);
        let show = |key: &str| Some(format!("{key}={}", printable(&config.get("wsl2", key)?.to_string())));
        let shown: Vec<String> = ["memory", "swap", "kernelCommandLine"].into_iter().filter_map(show).collect();
        let shown = if shown.is_empty() { "no limit of memory".to_owned() } else { shown.join(", ") };
        let (state, fix) = judge(config);
        let new = newer(config, host.wsl_version.as_deref());
        let said = file.faults().into_iter().chain(new).map(|fault| format!("; {fault}")).collect::<String>();
        // Of several users it may be the file of another one.
        let unlike = unlike(config, total).map_or(String::new(), |total| format!(", but the VM has {}", bytes(total)));
        let own = match (unlike.is_empty(), all.len()) {
            (false, 1) if state != Lacks => {
                let restart = "it is not in force: `wsl --shutdown`";
                (Lacks, Some(if config.encoding == Encoding::Plain { restart } else { ENCODE }))
            }
            _ => (state, fix),
        };
        worst = if own.0 > worst.0 { own } else { worst };
        facts.push(format!("{name}: {shown}{unlike}{said}"));
    }
    (worst.0, facts.join("; "), worst.1)
}

/// Keys that a version of WSL, where it is known, does not have yet.
fn newer(config: &Config, version: Option<&str>) -> Vec<String> {
    let numbers = |text: &str| text.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    let Some(version) = version else { return Vec::new() };
    let keys = config.effective.keys().filter_map(|name| table(config.kind).iter().find(|key| key.is(name)));
    let needs =
        keys.filter_map(|key| Some((key.name, key.since?))).filter(|(_, since)| numbers(since) > numbers(version));
    needs.map(|(name, since)| format!("{name} needs WSL {since}, this is {}", printable(version))).collect()
}

/// The memory of the VM, bytes, where it is not what a file asks for. The kernel keeps some of it for itself.
fn unlike(config: &Config, total: Option<u64>) -> Option<u64> {
    let Some(Value::Size(wanted)) = config.get("wsl2", "memory") else { return None };
    // WSL gives no less.
    let wanted = (*wanted).max(256 << 20);
    total.filter(|total| *total > wanted || *total < wanted / 10 * 8)
}

/// Whether and how WSL takes memory back by itself.
pub fn reclaim(host: &Host) -> Look {
    let all = of(host, Kind::Wslconfig);
    let set = all.iter().find_map(|file| file.config.get("experimental", "autoMemoryReclaim"));
    match set {
        Some(Value::Word("Gradual")) => (
            Note,
            "gradual: idle, it takes memory of all cgroups back in small steps, in older versions to swap too".into(),
            None,
        ),
        Some(Value::Word("Disabled")) => (
            Note,
            "disabled: Windows does not get memory back that was only cache".into(),
            Some("in .wslconfig: [experimental] autoMemoryReclaim=dropCache"),
        ),
        Some(_) => (Good, "dropCache: idle, it drops the page cache in one go".into(), None),
        None => (Good, "not set: dropCache in a WSL of today, disabled in older ones".into(), None),
    }
}
