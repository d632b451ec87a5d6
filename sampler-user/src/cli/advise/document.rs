//! The document `sampler.advise.v1`.

use sampler::advise::checks::CheckFinding;
use sampler::advise::profile::Profile;
use sampler::advise::systemd::DropIn;
use sampler::advise::{Container, Machine};
use sampler::model::problem::Problem;
use serde::Serialize;

use crate::cli::advise::files;

/// All that is said.
#[derive(Debug, Serialize)]
pub struct Document {
    pub format: &'static str,
    pub from: Option<String>,
    pub to: Option<String>,
    pub span_s: f64,
    pub profile: Profile,
    pub machine: Machine,
    /// Whether the list is of containers.
    pub are_containers: bool,
    pub containers: Vec<Container>,
    pub totals: Totals,
    pub budget: Option<Budget>,
    pub checks: Vec<CheckFinding>,
    pub docker_update: Vec<String>,
    pub compose: Option<files::Override>,
    pub systemd: Vec<DropIn>,
    pub wslconfig: Option<files::Wsl>,
    pub problems: Vec<Problem>,
}

/// Sums over what is in no other of the list. Bytes.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// Limits there are.
    pub before: u64,
    /// How many have none.
    pub unlimited: usize,
    /// Limits there will be: those that are advised, and those that stay.
    pub after: u64,
    /// Of those that had a limit.
    pub after_where_limited: u64,
}

impl Totals {
    /// Sums them up.
    pub fn of(containers: &[Container]) -> Totals {
        let mut totals = Totals::default();
        for container in containers.iter().filter(|container| !container.nested) {
            let after = container.expected().unwrap_or(0);
            totals.after = totals.after.saturating_add(after);
            match container.advice.limit {
                Some(limit) => {
                    totals.before = totals.before.saturating_add(limit);
                    totals.after_where_limited = totals.after_where_limited.saturating_add(after);
                }
                None => totals.unlimited += 1,
            }
        }
        totals
    }
}

/// How limits and budget go together. Bytes.
#[derive(Debug, Serialize)]
pub struct Budget {
    pub asked: u64,
    pub needed: u64,
    pub missing: Option<u64>,
    pub spare: Option<u64>,
}
