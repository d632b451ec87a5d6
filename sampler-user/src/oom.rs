//! OOM kills: the kernel's log as evidence, and the merge of what several witnesses saw.

pub mod bucket;
mod fold;
pub mod kmsg;
pub mod log;
pub mod merge;
pub mod textlog;
