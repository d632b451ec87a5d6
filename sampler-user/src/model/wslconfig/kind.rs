//! Which of the two files it is.

use serde::Serialize;

/// Which of the two files it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// Windows' `%UserProfile%\.wslconfig`: an invalid line is skipped.
    #[serde(rename = ".wslconfig")]
    Wslconfig,
    /// A distribution's `/etc/wsl.conf`: an invalid line ends the reading.
    #[serde(rename = "wsl.conf")]
    WslConf,
}

impl Kind {
    /// By the name of a file.
    pub fn of(name: &str) -> Kind {
        if name.to_ascii_lowercase().ends_with(".conf") { Kind::WslConf } else { Kind::Wslconfig }
    }

    /// What the file is called.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Wslconfig => ".wslconfig",
            Kind::WslConf => "wsl.conf",
        }
    }

    pub(super) fn other(self) -> Kind {
        match self {
            Kind::Wslconfig => Kind::WslConf,
            Kind::WslConf => Kind::Wslconfig,
        }
    }
}
