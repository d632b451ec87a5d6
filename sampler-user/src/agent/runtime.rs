//! The asynchronous runtime of the slow work: one thread.

use anyhow::Context;

/// A single-threaded runtime: everything here waits, nothing computes.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the async runtime")
}
