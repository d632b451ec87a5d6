//! The table of recordings.

use crate::model::findings::cell::Moment;
use crate::model::findings::columns::findings;

findings! {
    /// One recording of one host that was analysed, whether or not it holds a life: what a merge counts hosts by, and where it learns what
    /// could not be read.
    RecordingRow in "recordings", by host and first_seen

    /// The machine.
    host: String, "";
    /// First row; 1970 where no row could be read.
    first_seen: Moment, "";
    /// Last row.
    last_seen: Moment, "";
    /// Rows of cgroups that were read.
    rows: u64, "rows";
    /// Lives that were found.
    lives: u64, "lives";
    /// Parts that could not be read.
    unread: u64, "parts";
    /// Which, and why: a line each.
    problems: Option<String>, "";
    /// Version of sampler that made these findings.
    analysed_by: String, "";
}
