//! What a cell of a table of findings may hold.

/// What the cells of a column hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// 64 bits.
    Int,
    /// 64 bits.
    Float,
    /// True or false.
    Bool,
    /// Wall-clock time, microseconds since 1970.
    Time,
}

impl Kind {
    /// The word for it in the documentation.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Int => "integer",
            Kind::Float => "double",
            Kind::Bool => "boolean",
            Kind::Time => "timestamp",
        }
    }
}

/// The value of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a text.
    Text(String),
    /// Of an integer or a time.
    Int(i64),
    /// Of a double.
    Float(f64),
    /// Of a boolean.
    Bool(bool),
}

/// A moment, wall-clock microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

/// A type of a column.
pub trait Cell: Sized {
    /// What it holds.
    const KIND: Kind;
    /// Whether it has a value in each row.
    const REQUIRED: bool = true;
    /// Its value.
    fn value(&self) -> Option<Value>;
    /// From its value.
    fn of(value: Option<Value>) -> Option<Self>;
}

macro_rules! cells {
    ($($type:ty, $kind:ident: $own:ident => $value:expr, $pattern:pat => $back:expr;)+) => {
        $(impl Cell for $type {
            const KIND: Kind = Kind::$kind;

            fn value(&self) -> Option<Value> {
                let $own = self;
                Some($value)
            }

            fn of(value: Option<Value>) -> Option<Self> {
                match value {
                    Some($pattern) => Some($back),
                    _ => None,
                }
            }
        })+
    };
}

cells! {
    String, Text: own => Value::Text(own.clone()), Value::Text(text) => text;
    // What is above half of 2^64 is a limit that nobody has.
    u64, Int: own => Value::Int(i64::try_from(*own).unwrap_or(i64::MAX)), Value::Int(number) => u64::try_from(number).unwrap_or(0);
    f64, Float: own => Value::Float(*own), Value::Float(number) => number;
    bool, Bool: own => Value::Bool(*own), Value::Bool(yes) => yes;
    Moment, Time: own => Value::Int(own.0), Value::Int(micros) => Moment(micros);
}

impl<T: Cell> Cell for Option<T> {
    const KIND: Kind = T::KIND;
    const REQUIRED: bool = false;

    fn value(&self) -> Option<Value> {
        self.as_ref().and_then(T::value)
    }

    fn of(value: Option<Value>) -> Option<Self> {
        Some(value.and_then(|value| T::of(Some(value))))
    }
}
