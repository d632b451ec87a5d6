//! From series to findings. Pure: no file is opened and no clock is read, so the same recording gives the same findings.

pub mod account;
mod beat;
pub mod chance;
pub mod fleet;
pub mod groups;
pub mod incident;
pub mod judged_life;
pub mod leak;
pub mod limits;
pub mod live;
pub mod lives;
pub mod pressure;
pub mod relevance;
pub mod restart_loops;
pub mod rises;
pub mod survey;
pub mod workloads;
