//! The present: the board of all cgroups, alerts over it, and metrics of it.

pub mod alert;
pub mod board;
pub mod metrics;
