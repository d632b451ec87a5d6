//! Findings of a recording: joins the store and the analysis.

pub mod import;
pub mod incident_id;
pub mod incidents;
pub mod names;
pub mod restart_loops;
pub mod summary;
