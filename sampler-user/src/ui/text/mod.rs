//! Findings as plain text.

pub mod page;
