//! What is known of an OOM kill.
#![allow(missing_docs)]
pub type OomReport = serde_json::Value;
pub type OomKill = serde_json::Value;
