//! What a table of findings is: its columns, and a row of them.

use crate::model::findings::cell::{Kind, Value};

/// Version of the tables.
pub const VERSION: u32 = 1;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What its cells hold.
    pub kind: Kind,
    /// Whether each row has a value.
    pub required: bool,
    /// What its values are counted in; empty of names.
    pub unit: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

/// A row of a table of findings.
pub trait Row: Sized {
    /// Name of the table and of its folder.
    const TABLE: &'static str;
    /// What one row is.
    const ABOUT: &'static str;
    /// Its columns, in the order of the file.
    const COLUMNS: &'static [Column];
    /// The host, and the moment whose day is that of the file: microseconds since 1970.
    fn place(&self) -> (&str, i64);
    /// The value of a column.
    fn cell(&self, column: usize) -> Option<Value>;
    /// A row of its cells; the name of the column where one is missing that each row has.
    fn of(cell: impl FnMut(usize) -> Option<Value>) -> Result<Self, &'static str>;
}

/// Declares a table: a line of words and a column each, `name: type, "unit"`.
macro_rules! findings {
    ($(#[doc = $about:literal])+ $row:ident in $table:literal, by $host:ident and $time:ident
        $($(#[doc = $doc:literal])+ $field:ident: $type:ty, $unit:literal;)+) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $row {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $crate::model::findings::columns::Row for $row {
            const TABLE: &'static str = $table;
            const ABOUT: &'static str = concat!($($about),+);
            const COLUMNS: &'static [$crate::model::findings::columns::Column] = &[$(
                $crate::model::findings::columns::Column {
                    name: stringify!($field),
                    kind: <$type as $crate::model::findings::cell::Cell>::KIND,
                    required: <$type as $crate::model::findings::cell::Cell>::REQUIRED,
                    unit: $unit,
                    doc: concat!($($doc),+),
                },
            )+];

            fn place(&self) -> (&str, i64) {
                (&self.$host, self.$time.0)
            }

            fn cell(&self, column: usize) -> Option<$crate::model::findings::cell::Value> {
                use $crate::model::findings::cell::Cell;
                let mut at = 0..;
                $(if at.next() == Some(column) {
                    return self.$field.value();
                })+
                None
            }

            fn of(
                mut cell: impl FnMut(usize) -> Option<$crate::model::findings::cell::Value>,
            ) -> Result<Self, &'static str> {
                use $crate::model::findings::cell::Cell;
                let mut at = 0..;
                Ok($row {
                    $($field: Cell::of(at.next().and_then(&mut cell)).ok_or(stringify!($field))?,)+
                })
            }
        }
    };
}
pub(super) use findings;
