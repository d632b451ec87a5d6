//! OOM kills: the kernel's log as evidence, and the merge of what several witnesses saw.

pub mod bucket;
mod fold;
pub mod kmsg;
mod ledger;
mod limit_hits;
pub mod log;
pub mod merge;
mod pending;
#[cfg(test)]
mod tests;
pub mod textlog;
pub mod witness;
