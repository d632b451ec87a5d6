//! Carries out what the guard's policy decides.

pub mod apply;
pub mod docker;
pub mod observe;
mod record;
pub mod runner;
