//! The table of checks.

use crate::doctor::host::State::{Good, Lacks, Note};
use crate::doctor::host::{Check, Host, Look};
use crate::doctor::{around, hierarchy, wsl};

/// All checks, from the ground up.
pub static CHECKS: [Check; 23] = [
    check("kernel", "which kernel runs", kernel),
    of_wsl("wsl", "which WSL it is, and whether its kernel is of today", wsl::version),
    check("cgroups", "which hierarchy holds memory", hierarchy::cgroups),
    check("accounting", "whether cgroups have the memory controller", hierarchy::accounting),
    check("pressure", "whether the kernel accounts stalls (PSI)", hierarchy::pressure),
    check("swap", "whether there is swap", around::swap),
    check("oom", "what the kernel does when memory ends", around::oom),
    check("descriptors", "whether each file of each cgroup can be kept open", descriptors),
    check("log", "whether the kernel's reports of OOM kills can be read", log),
    check("capabilities", "which rights the process has", capabilities),
    check("types", "whether the kernel tells its types (BTF), which the probe needs", types),
    check("lockdown", "whether the kernel keeps its memory from programs", lockdown),
    check("kprobes", "whether functions of the kernel can be probed", kprobes),
    check("tracefs", "whether tracepoints can be found by their files", tracefs),
    check("probe", "what of the eBPF probe the kernel takes", probe),
    check("guard", "what the guard can do here", around::guard),
    check("docker", "whether Docker can be asked for names and told of limits", around::docker),
    check("compose", "whether what `advise` writes for Compose can be checked", around::compose),
    check("systemd", "whether `install` can make a service", around::systemd),
    check("disk", "whether there is room for recordings", around::disk),
    of_wsl("wsl.conf", "how this distribution is configured", wsl::conf),
    of_wsl(".wslconfig", "how the VM is configured, and whether that is in force", wsl::config),
    of_wsl("reclaim", "whether WSL takes memory back by itself (autoMemoryReclaim)", wsl::reclaim),
];

const fn check(name: &'static str, about: &'static str, look: fn(&Host) -> Look) -> Check {
    Check { name, about, of_wsl: false, look }
}

const fn of_wsl(name: &'static str, about: &'static str, look: fn(&Host) -> Look) -> Check {
    Check { name, about, of_wsl: true, look }
}

fn kernel(host: &Host) -> Look {
    (Good, host.text("proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into()), None)
}

fn descriptors(host: &Host) -> Look {
    let limits = host.text("proc/self/limits").unwrap_or_default();
    let hard = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().nth(1)?.parse::<u64>().ok());
    // Up to 20 files of a cgroup are kept open.
    match hard {
        Some(hard) if hard < 20_000 => (
            Lacks,
            format!("at most {hard} open files: enough for {} cgroups", hard / 20),
            Some("raise the hard limit: ulimit -Hn 65536, or LimitNOFILE=65536 in the unit"),
        ),
        Some(hard) => (Good, format!("up to {hard} open files"), None),
        None => (Note, "the limit of open files cannot be read".into(), None),
    }
}

fn log(host: &Host) -> Look {
    match host.refuses("dev/kmsg") {
        None => (Good, "/dev/kmsg can be read".into(), None),
        Some(error) => (
            Lacks,
            format!("/dev/kmsg: {error}: OOM kills are counted, and their victims are known from the probe alone"),
            Some("run as root, or with CAP_SYSLOG; in a container: --device /dev/kmsg --cap-add SYSLOG"),
        ),
    }
}

fn capabilities(host: &Host) -> Look {
    /// Number, name, and what is lost without it. CAP_SYS_ADMIN stands for the first two.
    const WANTED: [(u32, &str, &str); 6] = [
        (39, "CAP_BPF", "the probe"),
        (38, "CAP_PERFMON", "the probe's sight of kernel memory"),
        (34, "CAP_SYSLOG", "the kernel's log"),
        (24, "CAP_SYS_RESOURCE", "the agent's own protection from the OOM killer"),
        (23, "CAP_SYS_NICE", "its priority"),
        (19, "CAP_SYS_PTRACE", "the mappings of others' processes"),
    ];
    const SYS_ADMIN: u32 = 21;
    /// The first kernel with CAP_BPF and CAP_PERFMON.
    const OWN_CAPABILITIES: (u32, u32) = (5, 8);
    if !host.text("proc/self/status").is_some_and(|status| status.contains("CapEff:")) {
        return (Note, "not known: /proc/self/status cannot be read".into(), None);
    }
    let lacks = WANTED.iter().filter(|(number, ..)| !(host.can(*number) || *number >= 34 && host.can(SYS_ADMIN)));
    // Before these two there was one for all.
    let is_old = host.kernel_is_before(OWN_CAPABILITIES);
    let named = |(number, name, what): &(u32, &str, &str)| match is_old && *number >= 38 {
        true => format!("CAP_SYS_ADMIN ({what})"),
        false => format!("{name} ({what})"),
    };
    let lacks: Vec<String> = lacks.map(named).collect();
    match lacks.is_empty() {
        true => (Good, "all that are of use".into(), None),
        false => (
            Lacks,
            format!("without {}", lacks.join(", ")),
            Some("run as root; a root shell in a container needs --cap-add for each"),
        ),
    }
}

fn types(host: &Host) -> Look {
    if host.has("sys/kernel/btf/vmlinux") {
        return (Good, "/sys/kernel/btf/vmlinux is there".into(), None);
    }
    /// The first kernel that can have it.
    const BTF: (u32, u32) = (5, 4);
    let fix = if host.is_wsl() {
        "`wsl --update`: kernels since 5.15.74 have it"
    } else if host.kernel_is_before(BTF) {
        "a kernel since 5.4, with CONFIG_DEBUG_INFO_BTF: this one cannot"
    } else {
        "a kernel with CONFIG_DEBUG_INFO_BTF"
    };
    (Lacks, "no /sys/kernel/btf/vmlinux: no probe".into(), Some(fix))
}

fn lockdown(host: &Host) -> Look {
    let text = host.text("sys/kernel/security/lockdown").unwrap_or_default();
    match text.split('[').nth(1).and_then(|rest| rest.split(']').next()) {
        Some("confidentiality") => (
            Lacks,
            "confidentiality: no program may read kernel memory, so no probe".into(),
            Some("boot with lockdown=integrity, or without Secure Boot"),
        ),
        Some("integrity") => {
            (Note, "integrity: functions of the kernel cannot be hooked, tracepoints can".into(), None)
        }
        Some(other) => (Good, other.to_owned(), None),
        None => (Note, "not told: securityfs is not mounted, or the kernel has no lockdown".into(), None),
    }
}

fn kprobes(host: &Host) -> Look {
    match host.has("sys/bus/event_source/devices/kprobe/type") {
        true => (Good, "there are".into(), None),
        false => {
            (Note, "this kernel has none: the request that led to a kill is known from the kernel's log".into(), None)
        }
    }
}

fn tracefs(host: &Host) -> Look {
    /// The first kernel with a file system for it alone.
    const TRACEFS: (u32, u32) = (4, 1);
    let places = ["sys/kernel/tracing/events", "sys/kernel/debug/tracing/events"];
    match places.iter().any(|place| host.has(place)) {
        true => (Good, "mounted".into(), None),
        false => (
            Note,
            "not mounted: needed only where the kernel has the old form of the tracepoint mark_victim".into(),
            Some(match host.kernel_is_before(TRACEFS) {
                true => "mount -t debugfs debugfs /sys/kernel/debug",
                false => "mount -t tracefs tracefs /sys/kernel/tracing",
            }),
        ),
    }
}

fn probe(host: &Host) -> Look {
    match &host.probe {
        None => (Note, "not tried".into(), None),
        Some(Err(why)) => {
            (Lacks, why.clone(), Some("the lines above name what is missing; `--probe off` records without it"))
        }
        Some(Ok(parts)) => {
            let there = parts.iter().filter(|part| part.method.is_some()).count();
            let what = format!("{there} of {} parts", parts.len());
            (if parts.iter().any(|part| part.lacks()) { Note } else { Good }, what, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;
    use crate::doctor::examine;

    /// A host laid out by files.
    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let layout =
            crate::kernel::cgroupfs::layout::Layout::from_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", |_| true);
        let host = Host { layout, ..Host::at_root(folder.path()) };
        (folder, host)
    }

    fn look(name: &str, host: &Host) -> crate::doctor::host::Finding {
        examine(host).into_iter().find(|finding| finding.check == name).unwrap()
    }

    #[test]
    fn every_check_has_a_name_of_its_own_and_whatever_lacks_has_words() {
        let names: HashSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(CHECKS.iter().all(|check| !check.about.is_empty()));
        let (_folder, host) = host(&[]);
        for finding in examine(&host) {
            assert!(!finding.what.is_empty(), "{finding:?}");
            let must = !matches!(finding.check, "probe");
            assert!(finding.state < Lacks || !must || finding.fix.is_some(), "a way out: {finding:?}");
        }
    }

    #[test]
    fn an_old_wsl_is_told_what_to_write() {
        let (_folder, host) = host(&[
            ("proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n"),
            ("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n"),
        ]);
        assert_eq!(look("wsl", &host).state, Note);
        let pressure = look("pressure", &host);
        assert_eq!(pressure.state, Lacks);
        assert!(pressure.fix.unwrap().contains("kernelCommandLine=psi=1"));
        assert!(look("types", &host).fix.unwrap().contains("wsl --update"));
        assert_eq!(look("capabilities", &host).state, Good);
    }

    #[test]
    fn an_old_kernel_is_not_advised_what_it_cannot() {
        let (_folder, old) = host(&[
            ("proc/sys/kernel/osrelease", "3.10.0-1160.el7.x86_64\n"),
            ("proc/self/status", "CapEff:\t0000000000000000\n"),
        ]);
        assert!(look("types", &old).fix.unwrap().contains("this one cannot"));
        assert!(look("tracefs", &old).fix.unwrap().contains("debugfs"));
        let capabilities = look("capabilities", &old).what;
        assert!(capabilities.contains("CAP_SYS_ADMIN") && !capabilities.contains("CAP_BPF"), "{capabilities}");
        let (_folder, new) = host(&[
            ("proc/sys/kernel/osrelease", "6.1.0-38-amd64\n"),
            ("proc/self/status", "CapEff:\t0000000000000000\n"),
        ]);
        assert!(!look("types", &new).fix.unwrap().contains("cannot"));
        assert!(look("tracefs", &new).fix.unwrap().contains("tracefs /sys"));
        assert!(look("capabilities", &new).what.contains("CAP_BPF"));
    }

    #[test]
    fn a_locked_host_and_a_small_one_are_seen() {
        let (_folder, host) = host(&[
            ("sys/kernel/security/lockdown", "none integrity [confidentiality]\n"),
            (
                "proc/self/limits",
                "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n",
            ),
            ("proc/self/status", "CapEff:\t0000000000000000\n"),
            ("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
        ]);
        assert_eq!(look("lockdown", &host).state, Lacks);
        assert!(look("descriptors", &host).what.contains("204 cgroups"), "{:?}", look("descriptors", &host));
        assert!(look("capabilities", &host).what.contains("CAP_BPF"));
        assert_eq!(look("pressure", &host).state, Good);
        assert_eq!(look("log", &host).state, Lacks);
    }
}
