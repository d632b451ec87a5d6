//! Carries out what the guard's policy decides.

pub mod apply;
pub mod docker;
mod ledger;
pub mod observe;
mod record;
pub mod runner;
mod settle;
