//! The merge of findings: workloads over lives, days and hosts.
//!
//! It is given rows, in any order and from any number of files, and its result is the same for each order and split: rows are put in
//! order, what was given twice counts once, and the pieces of a life that goes on over several recordings are joined before anything is
//! counted.
//!
//! *What is believed.* Each version of each workload is asked two questions, whether more of its lives are called a leak than
//! detectors err by chance ([`FALSE_LEAK`]), and whether more of its lives rise than fall, which shows leaks that are slower than
//! one life. The smaller of the two p-values, doubled, is that of the version, and over all versions the false discoveries are held at
//! [`DISCOVERY`](crate::analysis::chance::DISCOVERY) (Benjamini and Hochberg). That is of chance alone: what the detectors mistake
//! each time (`docs/evaluation.md`) is the same on each host.

mod life;
mod merge;
mod outlier;
mod savings;
mod unit;

pub use self::life::FleetLife;
pub use self::merge::{Fleet, Incidents, Merge, Unread};
pub use self::outlier::Outlier;
pub use self::savings::{Saving, Savings};
pub use self::unit::{FALSE_LEAK, Kind, Unit, Version};

#[cfg(test)]
mod tests;
