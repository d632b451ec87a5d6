//! What of a recording is read.

use std::ops::Range;

use crate::model::fields::FieldId;

/// Which rows and columns of a table.
pub struct Query<'a> {
    /// Which cgroups, by path.
    pub cgroups: &'a dyn Fn(&str) -> bool,
    /// Times, wall-clock microseconds.
    pub time: Range<i64>,
    /// Fields; empty is all.
    pub fields: &'a [FieldId],
    /// Whether it matters when within its pass a row was read. Each such time rests on the rows before it, so without them
    /// the row groups of other cgroups are not read at all.
    pub lags: bool,
}

impl Query<'_> {
    /// Everything.
    pub fn all() -> Query<'static> {
        Query { cgroups: &|_| true, time: i64::MIN..i64::MAX, fields: &[], lags: true }
    }
}
