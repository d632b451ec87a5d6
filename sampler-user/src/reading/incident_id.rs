//! What names one incident in an argument and in a file's name.

use std::str::FromStr;

use crate::analysis::incident::incident_ref::IncidentRef;

/// An incident by its first kill, such as `oom-kill@1764358800123456=/docker/abc`, or a death.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentId {
    /// Whether it is a death that is no OOM kill.
    pub is_death: bool,
    /// When, wall-clock microseconds; the clock of the recording may differ by a little.
    pub at_us: i64,
    /// cgroup of the first victim; empty where it is not known.
    pub cgroup: String,
}

/// The words for its kind.
const KINDS: [&str; 2] = ["oom-kill", "death"];

impl std::fmt::Display for IncidentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}={}", KINDS[usize::from(self.is_death)], self.at_us, self.cgroup)
    }
}

impl FromStr for IncidentId {
    type Err = String;

    fn from_str(text: &str) -> Result<IncidentId, String> {
        let form = "an incident is oom-kill@TIME=CGROUP or death@TIME=CGROUP, the time in microseconds";
        let (kind, rest) = text.split_once('@').ok_or(form)?;
        let is_death = KINDS.iter().position(|known| *known == kind).ok_or(form)? == 1;
        let (at_us, cgroup) = rest.split_once('=').ok_or(form)?;
        let at_us = at_us.parse().map_err(|error| format!("the time {at_us}: {error}"))?;
        Ok(IncidentId { is_death, at_us, cgroup: cgroup.to_owned() })
    }
}

impl IncidentId {
    /// The incident that is meant.
    pub fn find<'a>(&self, all: &'a [IncidentRef]) -> Option<&'a IncidentRef> {
        let is_of = |incident: &&IncidentRef| {
            let victim = incident.kills.first().map(|(_, kill)| &kill.victim_cgroup);
            let death = incident.death.as_ref().map(|death| &death.cgroup);
            let cgroup = if self.is_death { death } else { victim };
            cgroup.is_some_and(|cgroup| cgroup.as_deref().unwrap_or_default() == self.cgroup)
        };
        all.iter().filter(is_of).min_by_key(|incident| incident.at_us.abs_diff(self.at_us))
    }
}
