//! Findings as plain text.

pub mod analysis;
pub mod page;
mod reported;
pub mod style;
