//! Findings as plain text.

pub mod analysis;
pub mod fleet;
pub mod machine;
pub mod page;
mod reported;
pub mod style;
pub mod table;
