//! Findings as plain text.

pub mod analysis;
pub mod page;
pub mod style;
pub mod table;
