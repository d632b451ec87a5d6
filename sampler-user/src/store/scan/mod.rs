//! Reads a recording: sealed files and the journal that is not sealed yet, as one.

pub(super) mod columns;
mod decoded_column;
mod dictionary;
mod encoding;
mod group;
mod group_reader;
mod prune;
mod query;
mod recording;
mod row_filter;
mod runs;
pub(super) mod sealed_file;

pub use self::query::Query;
pub use self::recording::Recording;
