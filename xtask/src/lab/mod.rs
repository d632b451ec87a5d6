//! The lab: corpora with known truths, and how good the analysis is on them.

pub mod corpus;
pub mod eval;
pub mod healthy_recordings;
pub mod replay;
