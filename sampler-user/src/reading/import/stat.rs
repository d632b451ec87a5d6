//! Lines of memory.stat that were printed again and again: `anon 14409728`, of cgroup v1 `total_rss 14409728`.

use crate::model::fields::{FieldId, Table, find};
use crate::reading::import::intake::Target;

/// What a line says: the name, the field and its value.
pub fn line(line: &str) -> Option<(&str, Target, f64)> {
    let (name, value) = line.trim().split_once(' ')?;
    let is_number = !value.is_empty() && value.len() < 20 && value.bytes().all(|b| b.is_ascii_digit());
    let field = match name {
        _ if !is_number => return None,
        // Of v1 only what holds the cgroups below is like that of v2.
        "total_rss" => FieldId::Anon.field(),
        "total_cache" => FieldId::File.field(),
        name => find(Table::Samples, &format!("memory.stat.{}", name.strip_prefix("total_").unwrap_or(name)))?,
    };
    Some((name, Target::Field(field), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_memory_stat_are_fields() {
        let of = |text: &str| line(text).map(|(_, target, value)| (target.column(), value));
        assert_eq!((of("anon 5"), of("total_rss 6")), (Some(("anon", 5.0)), Some(("anon", 6.0))));
        assert_eq!((of("web 5"), of("anon 5 kB"), of("anon x")), (None, None, None));
    }
}
