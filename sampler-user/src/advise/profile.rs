//! What a budget is for: how much room a limit leaves above what was seen.

use serde::Serialize;

/// A profile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Part of the minutes, weighted by their age, that must fit.
    pub quantile: f64,
    /// Whether the highest of the last 48 hours must fit too.
    pub peak: bool,
    /// Headroom above it, as a part.
    pub margin: f64,
}

/// The profiles; the first is the usual one.
pub const TABLE: [Profile; 3] = [
    Profile {
        name: "full",
        about: "all services under load at the same time: the highest of two days fits, with 15 % of room (as the Vertical Pod Autoscaler has it)",
        quantile: 0.99,
        peak: true,
        margin: 0.15,
    },
    Profile {
        name: "development",
        about: "one person at work: the highest of two days fits, with 8 % of room",
        quantile: 0.95,
        peak: true,
        margin: 0.08,
    },
    Profile {
        name: "test",
        about: "short runs that may be repeated: nine of ten minutes fit; what needs more is killed, and the machine is not",
        quantile: 0.90,
        peak: false,
        margin: 0.08,
    },
];

impl Profile {
    /// The profile of a name.
    pub fn named(name: &str) -> Option<Profile> {
        TABLE.into_iter().find(|profile| profile.name == name)
    }
}
