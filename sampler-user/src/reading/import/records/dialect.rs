//! How the cells of a table are written.

use crate::reading::import::size::{Decimal, Prefix};
use crate::reading::import::time::DayFirst;

/// How the cells of a file are written.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Order of the numbers of a date.
    pub day_first: DayFirst,
    /// Decimal mark.
    pub decimal: Decimal,
    /// What MB is.
    pub prefix: Prefix,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect { day_first: None, decimal: Decimal::Auto, prefix: Prefix::Binary }
    }
}
