//! The present as one document of JSON.

use serde::Serialize;

use crate::live::board::line::{Line, Machine};
use crate::model::problem::Problem;

/// Version of its form.
pub const FORMAT: &str = "sampler.top.v1";

/// The machine and its cgroups at one time.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The time, RFC 3339.
    pub time: String,
    /// The machine.
    pub machine: &'a Machine,
    /// The cgroups, what matters first.
    pub cgroups: Vec<&'a Line>,
    /// What could not be read.
    #[serde(skip_serializing_if = "<[Problem]>::is_empty")]
    pub problems: &'a [Problem],
}
