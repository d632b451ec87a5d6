//! The keys that Microsoft documents for `.wslconfig` (learn.microsoft.com/windows/wsl/wsl-config, "Main WSL settings" and
//! "Experimental settings"), and those that WSL's own source reads besides.

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// `6GB`, `512MB`; also 0 and plain bytes.
    Size,
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Count,
    /// A Windows path with doubled backslashes, or any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Takes {
    /// Whether WSL takes a value.
    pub fn accepts(self, value: &str) -> bool {
        match self {
            Takes::Size => {
                let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                let unit = value[digits.len()..].to_ascii_uppercase();
                let is_unit = ["", "B", "K", "KB", "M", "MB", "G", "GB", "T", "TB"].contains(&&*unit);
                digits.parse::<u64>().is_ok() && !digits.starts_with('+') && is_unit
            }
            Takes::Truth => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            Takes::Count => value.parse::<u64>().is_ok() && !value.starts_with('+'),
            Takes::Text => !value.is_empty() && !value.chars().any(char::is_control),
            Takes::Word(words) => words.iter().any(|word| word.eq_ignore_ascii_case(value)),
        }
    }

    /// What it takes, in words.
    pub fn words(self) -> String {
        match self {
            Takes::Size => "a whole number with MB or GB (6GB)".into(),
            Takes::Truth => "true or false".into(),
            Takes::Count => "a whole number".into(),
            Takes::Text => "a text, and a path with doubled backslashes".into(),
            Takes::Word(words) => words.join(", "),
        }
    }
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its section.
    pub section: &'static str,
    /// Its name; WSL does not tell capitals from others.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it does, and what holds without it.
    pub about: &'static str,
}

const fn wsl2(name: &'static str, takes: Takes, about: &'static str) -> Key {
    Key { section: "wsl2", name, takes, about }
}

const fn experimental(name: &'static str, takes: Takes, about: &'static str) -> Key {
    Key { section: "experimental", name, takes, about }
}

const NETWORKING: Takes = Takes::Word(&["none", "nat", "bridged", "mirrored", "virtioproxy"]);

/// The keys.
pub const TABLE: [Key; 39] = [
    wsl2("memory", Takes::Size, "All memory of the virtual machine; half of Windows' without it."),
    wsl2("swap", Takes::Size, "Swap of the virtual machine; a quarter of its memory without it."),
    wsl2("swapFile", Takes::Text, "Where the swap is on Windows."),
    wsl2("processors", Takes::Count, "Processors; all without it."),
    wsl2("kernel", Takes::Text, "A kernel of your own."),
    wsl2("kernelModules", Takes::Text, "Modules of a kernel of your own."),
    wsl2("kernelCommandLine", Takes::Text, "Words for the kernel."),
    wsl2("localhostForwarding", Takes::Truth, "Whether Windows reaches ports of WSL at localhost; true."),
    wsl2("safeMode", Takes::Truth, "For repair: most functions are off; false."),
    wsl2("guiApplications", Takes::Truth, "Windows of Linux programs; true."),
    wsl2("debugConsole", Takes::Truth, "The kernel's console in a window; false."),
    wsl2("maxCrashDumpCount", Takes::Count, "Dumps that are kept; 10."),
    wsl2("crashDumpFolder", Takes::Text, "Where dumps go."),
    wsl2("nestedVirtualization", Takes::Truth, "Virtual machines in WSL; true."),
    wsl2("vmIdleTimeout", Takes::Count, "Milliseconds until an idle machine ends; 60000."),
    wsl2("kernelBootTimeout", Takes::Count, "Milliseconds the kernel may take to boot; 30000."),
    wsl2("dnsProxy", Takes::Truth, "NAT mode: whether names are asked of Windows; true."),
    wsl2("networkingMode", NETWORKING, "How WSL is connected; NAT."),
    wsl2("firewall", Takes::Truth, "Whether Windows' firewall filters WSL; true."),
    wsl2("dnsTunneling", Takes::Truth, "How names are asked of Windows; true."),
    wsl2("autoProxy", Takes::Truth, "Whether Windows' proxy is used; true."),
    wsl2("defaultVhdSize", Takes::Size, "Most that the disk of a new distribution grows to; 1 TB."),
    wsl2("gpuSupport", Takes::Truth, "Whether Linux sees the graphics card; true."),
    wsl2("hardwarePerformanceCounters", Takes::Truth, "Whether the processor's counters are seen; true."),
    wsl2(
        "isolateDistroCgroup",
        Takes::Truth,
        "Whether each distribution has a cgroup of its own, in WSL 2.9.8 and later; true.",
    ),
    wsl2(
        "pageReporting",
        Takes::Truth,
        "Whether free memory is given back to Windows at once; true. WSL reads it no longer.",
    ),
    experimental(
        "autoMemoryReclaim",
        Takes::Word(&["disabled", "gradual", "dropCache"]),
        "How cached memory goes back to Windows when the machine is idle: gradual by and by, dropCache at once, disabled never.",
    ),
    experimental(
        "sparseVhd",
        Takes::Truth,
        "Whether new disks give space back; false. Newer versions refuse it because data was lost.",
    ),
    experimental("useWindowsDnsCache", Takes::Truth, "Whether Windows' cache of names is used; false."),
    experimental("bestEffortDnsParsing", Takes::Truth, "Whether odd names are asked too; false."),
    experimental("dnsTunnelingIpAddress", Takes::Text, "Address of the tunnel for names; 10.255.255.254."),
    experimental("initialAutoProxyTimeout", Takes::Count, "Milliseconds to wait for Windows' proxy; 1000."),
    experimental("ignoredPorts", Takes::Text, "Mirrored mode: ports of Linux that Windows may use too."),
    experimental(
        "hostAddressLoopback",
        Takes::Truth,
        "Mirrored mode: whether all addresses of Windows are reached; false.",
    ),
    experimental("networkingMode", NETWORKING, "As under [wsl2]; here is its older place."),
    experimental("firewall", Takes::Truth, "As under [wsl2]."),
    experimental("dnsTunneling", Takes::Truth, "As under [wsl2]."),
    experimental("autoProxy", Takes::Truth, "As under [wsl2]."),
    Key {
        section: "general",
        name: "instanceIdleTimeout",
        takes: Takes::Count,
        about: "Milliseconds until an idle distribution ends; 15000.",
    },
];
