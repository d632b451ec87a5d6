//! Findings of a recording: joins the store and the analysis.

pub mod analysis;
pub mod demand;
pub mod findings;
pub mod import;
pub mod incident_id;
pub mod incidents;
pub mod kills;
pub mod machine;
pub mod names;
pub mod plots;
pub mod summary;
pub mod survey;
