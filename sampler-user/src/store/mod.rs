//! The store: sealed segments as plain Parquet, one folder a table, partitioned for an engine that reads many hosts.
//!
//! ```text
//! DIR/journal/<stem>.journal                              what is not sealed yet
//! DIR/<table>/host=<host>/date=<day>/<stem>.parquet       tables: samples, host, processes, cgroups, events
//! ```
//! A segment and the files made of it share their stem, so a reader knows which of the two to read, and neither a crash of the
//! sealer nor sealing twice loses or doubles a row.

mod atomic_file;
pub mod batch;
mod digest;
mod error;
pub mod findings;
mod layout;
pub mod retention;
pub mod scan;
pub mod schema;
pub mod seal;
mod verified_file;

pub use self::error::{Error, at};
pub use self::layout::{JOURNAL, LOCK, is_recording, partition_of, stem_of};
pub use self::verified_file::open_bounded;
