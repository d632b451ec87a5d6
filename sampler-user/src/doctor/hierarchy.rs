//! Checks of the hierarchy that holds memory: which it is, whether the kernel was told to go without, whether it is passed down,
//! and whether stalls are accounted. What a kernel is too old for is not advised.

use crate::doctor::host::State::{Blocks, Good, Lacks, Note};
use crate::doctor::host::{Host, Look};
use crate::doctor::wsl;
use crate::kernel::cgroupfs::layout::{Layout, Version};
use crate::model::units::printable;

/// The first kernel whose cgroup v2 has memory, and the first with PSI.
const V2: (u32, u32) = (4, 5);
const PSI: (u32, u32) = (4, 20);

/// Whether the kernel has no cgroup v2 to go to.
fn has_no_v2(host: &Host) -> bool {
    host.kernel_is_before(V2)
}

/// Whether there is no way from v1 to v2.
pub fn stays_on_v1(host: &Host) -> bool {
    has_no_v2(host) || has_old_systemd(host)
}

pub fn cgroups(host: &Host) -> Look {
    match &host.layout {
        Ok(layout) if layout.version == Version::V2 && host.has("sys/fs/cgroup/wsl-user") => {
            (Good, "v2, distros below /wsl-user: \"the VM is full\" is a hit of its limit".into(), None)
        }
        Ok(layout) => match layout.version {
            Version::V2 => (Good, format!("v2 at {}", layout.memory.display()), None),
            Version::V1 => {
                let old = match (has_no_v2(host), has_old_systemd(host)) {
                    (true, _) => "; this kernel has no cgroup v2",
                    (false, true) => "; the systemd of this system is too old for cgroup v2",
                    (false, false) => "",
                };
                let what = format!(
                    "memory on v1 at {}: no memory.high, no events with descendants, no private peak{old}",
                    layout.memory.display()
                );
                (Note, what, to_v2(host))
            }
        },
        Err(_) => without(host),
    }
}

/// Whether it is a system with systemd 219, which knows no cgroup v2 whatever the kernel: Red Hat 7 and its like, Amazon Linux 2.
fn has_old_systemd(host: &Host) -> bool {
    let text = host.text("etc/os-release").unwrap_or_default();
    let get = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim_matches('"'));
    let version = get("VERSION_ID=").unwrap_or_default();
    match get("ID=").unwrap_or_default() {
        "amzn" => version == "2",
        "rhel" | "centos" | "ol" | "scientific" => matches!(version.split('.').next(), Some("6" | "7")),
        _ => false,
    }
}

/// The way from v1 to v2, where the kernel has one.
fn to_v2(host: &Host) -> Option<&'static str> {
    if stays_on_v1(host) {
        return None;
    }
    Some(match (host.is_wsl(), host.has("run/openrc") || host.has("etc/rc.conf")) {
        (true, _) => {
            "in .wslconfig: [wsl2] kernelCommandLine=cgroup_no_v1=all, then `wsl --shutdown`; or `wsl --update`"
        }
        (false, true) => "in /etc/rc.conf: rc_cgroup_mode=\"unified\", then boot again",
        (false, false) => "boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all",
    })
}

/// Whether the machine is a Raspberry Pi, whose firmware writes the kernel's command line.
fn is_pi(host: &Host) -> bool {
    let models = ["proc/device-tree/model", "sys/firmware/devicetree/base/model"];
    let release = host.text("proc/sys/kernel/osrelease").unwrap_or_default();
    let kernels = ["-rpi", "+rpt", "-v6+", "-v7+", "-v7l+", "-v8+", "-v8-16k+", "-raspi"];
    models.iter().filter_map(|path| host.text(path)).any(|model| model.contains("Raspberry Pi"))
        || ["boot/firmware/cmdline.txt", "boot/cmdline.txt"].iter().any(|path| host.has(path))
        || kernels.iter().any(|kernel| release.contains(kernel))
}

/// No hierarchy has memory: why, as far as files say.
fn without(host: &Host) -> Look {
    const PI: &str = "put cgroup_enable=memory at the end of the one line of /boot/firmware/cmdline.txt (/boot/cmdline.txt before Debian 12) and boot again: the firmware writes cgroup_disable=memory in front, which cannot be removed, and what comes later counts";
    const GRUB: &str = "take cgroup_disable=memory off the kernel's command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub) and boot again";
    const ENABLE: &str = "boot with cgroup_enable=memory on the kernel's command line";
    if !host.has("proc/self/mounts") {
        return (Note, "not known: /proc/self/mounts cannot be read".into(), None);
    }
    let line = host.text("proc/cmdline").unwrap_or_default();
    let is_told = line.split_whitespace().any(|word| {
        word.strip_prefix("cgroup_disable=").is_some_and(|list| list.split(',').any(|name| name == "memory"))
    });
    let table = host.text("proc/cgroups").unwrap_or_default();
    let enabled = table.lines().find(|line| line.starts_with("memory\t") || line.starts_with("memory "));
    let is_off = enabled.is_some_and(|line| line.split_whitespace().nth(3) == Some("0"));
    if is_told || is_off {
        let by = if is_told { "by cgroup_disable=memory on the kernel's command line" } else { "in /proc/cgroups" };
        let fix = match (is_pi(host), is_told) {
            (true, _) => PI,
            (false, true) => GRUB,
            (false, false) => ENABLE,
        };
        return (Blocks, format!("the memory controller is switched off {by}: no cgroup has memory files"), Some(fix));
    }
    let mounts = host.text("proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| point.to_owned())
    });
    let Some(point) = mounted else {
        let fix = match has_no_v2(host) {
            true => "mount -t cgroup -o memory memory /sys/fs/cgroup/memory",
            false => "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        };
        return (Blocks, "no hierarchy with the memory controller is mounted".into(), Some(fix));
    };
    let place = printable(&point);
    match host.text(&format!("{}/cgroup.controllers", point.trim_start_matches('/'))) {
        None => (
            Note,
            format!("v2 at {place}; not known whether it has memory: its cgroup.controllers cannot be read"),
            None,
        ),
        Some(there) => (
            Blocks,
            format!(
                "v2 at {place} without the memory controller; it has {}",
                if there.is_empty() { "none".into() } else { printable(&there) }
            ),
            Some(
                "memory has to be in the cgroup.subtree_control of each cgroup above; in a container: --cgroupns=host; else boot with cgroup_no_v1=all",
            ),
        ),
    }
}

pub fn accounting(host: &Host) -> Look {
    let layout: &Layout = match &host.layout {
        Ok(layout) => layout,
        Err(_) => return (Note, "not known without a memory hierarchy, see cgroups".into(), None),
    };
    if layout.version == Version::V1 {
        return (Good, "each cgroup of the memory hierarchy is accounted".into(), None);
    }
    let point = layout.memory.to_string_lossy();
    let Some(below) = host.text(&format!("{}/cgroup.subtree_control", point.trim_start_matches('/'))) else {
        let what = format!("not known: {}/cgroup.subtree_control cannot be read", printable(&point));
        return (Note, what, None);
    };
    match below.split_whitespace().any(|word| word == "memory") {
        true => (Good, "the memory controller is on below the root".into(), None),
        false => (
            Lacks,
            "the memory controller is off below the root (cgroup.subtree_control): cgroups have no memory files".into(),
            Some(match host.has("run/systemd/system") {
                true => {
                    "echo +memory > /sys/fs/cgroup/cgroup.subtree_control; with systemd: DefaultMemoryAccounting=yes"
                }
                false => {
                    "echo +memory > /sys/fs/cgroup/cgroup.subtree_control at each boot; with OpenRC: rc_cgroup_controllers=\"memory\" in /etc/rc.conf and the service cgroups"
                }
            }),
        ),
    }
}

pub fn pressure(host: &Host) -> Look {
    const FIX: &str = "boot with psi=1; a kernel built without CONFIG_PSI cannot";
    const OLD: &str = "a kernel since 4.20: this one cannot";
    if host.text("proc/pressure/memory").is_some_and(|text| text.starts_with("some ")) {
        return (Good, "the kernel accounts stalls for memory".into(), None);
    }
    if host.is_wsl() {
        return wsl::no_pressure(host);
    }
    // Red Hat's 4.18 has it.
    let release = host.text("proc/sys/kernel/osrelease").unwrap_or_default();
    let is_old = host.kernel_is_before(PSI) && !release.contains(".el8");
    let what = "no /proc/pressure/memory: stalls are known from the probe, reclaim and refaults only";
    (Lacks, what.into(), Some(if is_old { OLD } else { FIX }))
}
