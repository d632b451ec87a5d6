//! The keys that WSL reads: those of `.wslconfig` (`WslCoreConfig.cpp`) and of `wsl.conf` (`WslDistributionConfig.cpp`), documented
//! or not.

use crate::model::wslconfig::kind::Kind;
use crate::model::wslconfig::value::Takes;

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its sections: the one to write, and an older one that is read too.
    pub sections: &'static [&'static str],
    /// Its name; WSL ignores the case of letters.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// The version of WSL that has it first, where that is known.
    pub since: Option<&'static str>,
    /// What it does, and what holds without it.
    pub about: &'static str,
}

impl Key {
    /// Whether WSL looks this key up by a name, `section.key`.
    pub fn is(&self, name: &str) -> bool {
        name.split_once('.').is_some_and(|(section, key)| self.name.eq_ignore_ascii_case(key) && self.is_under(section))
    }

    /// Whether it is read in a section.
    pub fn is_under(&self, section: &str) -> bool {
        self.sections.iter().any(|own| own.eq_ignore_ascii_case(section))
    }

    /// The section to write it in.
    pub fn section(&self) -> &'static str {
        self.sections[0]
    }
}

/// The keys of a file.
pub fn table(kind: Kind) -> &'static [Key] {
    match kind {
        Kind::Wslconfig => &WSLCONFIG,
        Kind::WslConf => &WSL_CONF,
    }
}

/// Keys that WSL had, or that are documented without being read: nothing comes of them.
pub const GONE: [(&str, &str); 3] = [
    ("wsl2.pageReporting", "free memory is always given back in a WSL of today"),
    ("experimental.useWindowsDnsCache", "it came to nothing with another way to ask Windows for names"),
    ("wsl2.useWindowsDnsCache", "it came to nothing with another way to ask Windows for names"),
];

const fn key(sections: &'static [&'static str], name: &'static str, takes: Takes, about: &'static str) -> Key {
    Key { sections, name, takes, since: None, about }
}

const fn since(key: Key, version: &'static str) -> Key {
    Key { since: Some(version), ..key }
}

const fn wsl2(name: &'static str, takes: Takes, about: &'static str) -> Key {
    key(&["wsl2"], name, takes, about)
}

const fn experimental(name: &'static str, takes: Takes, about: &'static str) -> Key {
    key(&["experimental"], name, takes, about)
}

/// A key that left `[experimental]`, which is still read.
const fn both(name: &'static str, takes: Takes, about: &'static str) -> Key {
    since(key(&["wsl2", "experimental"], name, takes, about), "2.0.0")
}

const NETWORKING: Takes = Takes::Word(&["None", "Nat", "Bridged", "Mirrored", "Consomme", "VirtioProxy"]);
const RECLAIM: Takes = Takes::Word(&["Gradual", "DropCache", "Disabled"]);

use Takes::{Address, Mac, Path, Ports, Size, Text, Truth, Whole, Word};

static WSLCONFIG: [Key; 55] = [
    wsl2("memory", Size, "All memory of the virtual machine; half of Windows' without it."),
    wsl2("swap", Size, "Swap of the virtual machine; a quarter of its memory without it."),
    wsl2("swapFile", Path, "Where the swap is on Windows."),
    wsl2("processors", Whole, "Processors; all without it."),
    wsl2("kernel", Path, "A kernel of your own."),
    wsl2("kernelModules", Path, "Modules of a kernel of your own."),
    wsl2("kernelCommandLine", Text, "Words for the kernel."),
    wsl2("localhostForwarding", Truth, "Whether Windows reaches ports of WSL at localhost; true."),
    since(wsl2("safeMode", Truth, "For repair: most functions are off; false."), "0.66.2"),
    wsl2("guiApplications", Truth, "Windows of Linux programs; true."),
    wsl2("debugConsole", Truth, "The kernel's console in a window; false."),
    wsl2("debugConsoleLogFile", Path, "A file for what the kernel's console shows."),
    wsl2("earlyBootLogging", Truth, "Whether the kernel's first lines are shown; false."),
    wsl2("maxCrashDumpCount", Whole, "Dumps that are kept; 10."),
    wsl2("crashDumpFolder", Path, "Where dumps go."),
    wsl2("nestedVirtualization", Truth, "Virtual machines in WSL; true."),
    wsl2("vmIdleTimeout", Whole, "Milliseconds until an idle machine ends, -1 for never; 60000."),
    wsl2("kernelBootTimeout", Whole, "Milliseconds the kernel may take to boot."),
    wsl2("kernelDebugPort", Whole, "A port for the kernel's debugger."),
    wsl2("distributionStartTimeout", Whole, "Milliseconds a distribution may take to start; 60000."),
    wsl2("mountDeviceTimeout", Whole, "Milliseconds a disk may take to come; 5000."),
    wsl2("dnsProxy", Truth, "NAT mode: whether names are asked of Windows; true."),
    wsl2("vmSwitch", Text, "Bridged mode: the switch of Hyper-V."),
    wsl2("macAddress", Mac, "Bridged mode: the machine's address."),
    wsl2("dhcp", Truth, "Bridged mode: whether an address is asked for; true."),
    wsl2("dhcpTimeout", Whole, "Milliseconds to wait for one; 5000."),
    wsl2("ipv6", Truth, "Whether IPv6 is on; false."),
    both("networkingMode", NETWORKING, "How WSL is connected; NAT."),
    both("firewall", Truth, "Whether Windows' firewall filters WSL; true."),
    both("dnsTunneling", Truth, "How names are asked of Windows; true."),
    both("autoProxy", Truth, "Whether Windows' proxy is used; true."),
    wsl2("defaultVhdSize", Size, "Most that the disk of a new distribution grows to; 1 TB."),
    wsl2("gpuSupport", Truth, "Whether Linux sees the graphics card; true."),
    wsl2("hardwarePerformanceCounters", Truth, "Whether the processor's counters are seen; true."),
    wsl2("hostFileSystemAccess", Truth, "Whether Linux sees the drives of Windows; true."),
    wsl2("systemDistro", Path, "A system distribution of your own."),
    wsl2("telemetry", Truth, "Whether WSL reports to Microsoft."),
    wsl2("virtio", Truth, "Whether virtio devices are used."),
    wsl2("virtio9p", Truth, "Whether drives come by 9P over virtio; false."),
    wsl2("virtiofs", Truth, "Whether drives come by virtiofs; false."),
    wsl2("loadKernelModules", Text, "Modules to load at the start, with commas between them."),
    wsl2("loadDefaultKernelModules", Truth, "Whether tun, ip_tables and br_netfilter are loaded; true."),
    since(wsl2("isolateDistroCgroup", Truth, "Whether each distribution has a cgroup of its own; true."), "2.9.8"),
    since(
        experimental(
            "autoMemoryReclaim",
            RECLAIM,
            "How cached memory goes back to Windows when the machine is idle: gradual by and by, dropCache at once, disabled never.",
        ),
        "2.0.0",
    ),
    since(
        experimental(
            "sparseVhd",
            Truth,
            "Whether new disks give space back; false. Newer versions refuse it because data was lost.",
        ),
        "2.0.0",
    ),
    since(experimental("bestEffortDnsParsing", Truth, "Whether odd names are asked too; false."), "2.0.0"),
    since(experimental("dnsTunnelingIpAddress", Address, "Address of the tunnel for names; 10.255.255.254."), "2.0.0"),
    since(experimental("initialAutoProxyTimeout", Whole, "Milliseconds to wait for Windows' proxy; 1000."), "2.0.0"),
    since(experimental("ignoredPorts", Ports, "Mirrored mode: ports of Linux that Windows may use too."), "2.0.0"),
    since(
        experimental(
            "hostAddressLoopback",
            Truth,
            "Mirrored mode: whether all addresses of Windows are reached; false.",
        ),
        "2.0.0",
    ),
    experimental("setVersionDebug", Truth, "Whether a change of a distribution's version is logged; false."),
    experimental("swiotlb", Size, "Memory for the copies that devices need."),
    experimental("virtioFsAggregateShares", Truth, "Whether drives share one virtiofs device; true."),
    key(&["general"], "distributionInstallPath", Path, "Where new distributions are put."),
    key(
        &["general"],
        "instanceIdleTimeout",
        Whole,
        "Milliseconds until an idle distribution ends, -1 for never; 15000.",
    ),
];

static WSL_CONF: [Key; 25] = [
    key(&["automount"], "enabled", Truth, "Whether the drives of Windows are mounted; true."),
    key(&["automount"], "root", Text, "Where; /mnt/."),
    key(&["automount"], "options", Text, "With which options."),
    key(&["automount"], "mountFsTab", Truth, "Whether /etc/fstab is mounted; true."),
    key(&["automount"], "ldconfig", Truth, "Whether the libraries of the graphics card are found; true."),
    since(key(&["automount"], "cgroups", Word(&["v1", "v2"]), "The version of cgroups; v2."), "2.6.2"),
    key(&["filesystem"], "umask", Whole, "What new files are not allowed."),
    key(&["interop"], "enabled", Truth, "Whether programs of Windows can be started; true."),
    key(&["interop"], "appendWindowsPath", Truth, "Whether PATH has that of Windows; true."),
    key(&["network"], "generateHosts", Truth, "Whether WSL writes /etc/hosts; true."),
    key(&["network"], "generateResolvConf", Truth, "Whether WSL writes /etc/resolv.conf; true."),
    key(&["network"], "hostname", Text, "The name of the host; that of Windows."),
    key(&["time"], "useWindowsTimezone", Truth, "Whether the time zone is that of Windows; true."),
    key(&["fileServer"], "enabled", Truth, "Whether Windows sees the files; true."),
    key(&["fileServer"], "logFile", Text, "The log of the server for that."),
    key(&["fileServer"], "logLevel", Whole, "How much it says."),
    key(&["fileServer"], "logTruncate", Truth, "Whether it begins anew; true."),
    key(&["gpu"], "enabled", Truth, "Whether Linux programs use the graphics card; true."),
    key(&["gpu"], "appendLibPath", Truth, "Whether its libraries are found; true."),
    key(&["user"], "default", Text, "Who logs in."),
    key(&["boot"], "command", Text, "A command that runs at the start."),
    since(key(&["boot"], "systemd", Truth, "Whether systemd runs; as the distribution has it."), "0.67.6"),
    key(&["boot"], "initTimeout", Whole, "Milliseconds systemd may take to start; 10000."),
    key(&["boot"], "protectBinfmt", Truth, "Whether units may change what runs programs of Windows; true."),
    key(&["general"], "guiApplications", Truth, "Windows of Linux programs; true."),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_key_is_there_once_and_has_words() {
        for kind in [Kind::Wslconfig, Kind::WslConf] {
            let mut names = HashSet::new();
            for key in table(kind) {
                assert!(!key.about.is_empty() && !key.takes.words().is_empty(), "{}", key.name);
                for section in key.sections {
                    let name = format!("{section}.{}", key.name).to_lowercase();
                    assert!(key.is(&name) && names.insert(name.clone()), "{name}");
                }
            }
            assert!(GONE.iter().all(|(name, _)| !table(kind).iter().any(|key| key.is(name))));
        }
    }
}
