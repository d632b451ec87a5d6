//! Lines of files in `/proc` that were printed again and again: `VmRSS:   1234 kB` of a process, `MemAvailable: 1234 kB`.

use crate::model::fields::{FieldId, Table, find};
use crate::reading::import::intake::Target;
use crate::reading::import::size::{Decimal, Prefix, parse};

/// What a line says: the name, the field and bytes.
pub fn line(line: &str) -> Option<(&str, Target, f64)> {
    let (name, value) = line.trim().split_once(':')?;
    let field = match name {
        "VmRSS" => FieldId::Current.field(),
        // Of smaps_rollup.
        "Rss" => FieldId::Current.field(),
        "Anonymous" => FieldId::Anon.field(),
        "Swap" | "VmSwap" => FieldId::SwapCurrent.field(),
        "VmHWM" => FieldId::Peak.field(),
        "RssAnon" => FieldId::Anon.field(),
        "RssShmem" => FieldId::Shmem.field(),
        _ => find(Table::Host, &format!("meminfo.{name}"))?,
    };
    let size = parse(value, Decimal::Point, Prefix::Binary)?;
    Some((name, Target::Field(field), size.number * size.unit?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_status_and_meminfo_are_fields() {
        let of = |text: &str| line(text).map(|(_, target, bytes)| (target.column(), bytes));
        assert_eq!(of("VmRSS:\t  120000 kB"), Some(("current", 120_000.0 * 1024.0)));
        assert_eq!(of("MemAvailable:   23771712 kB"), Some(("mem_available", 23_771_712.0 * 1024.0)));
        assert_eq!((of("VmPeak: 5 kB"), of("Name: node"), of("VmRSS: x"), of("VmRSS: 5")), (None, None, None, None));
    }
}
