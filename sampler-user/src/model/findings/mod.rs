//! Findings as rows: what `analyze --findings` and `postmortem --findings` write and `analyze --merge` reads.
//!
//! Each table is declared once, in a file of its own: the declaration is the row, the schema of its files and its chapter in
//! `docs/findings.md`. Within one [`VERSION`] columns are only added.

pub mod cell;
mod columns;
mod incident;
mod life;
mod recording;

pub use self::cell::{Cell, Kind, Value};
pub use self::columns::{Column, Row, VERSION};
pub use self::incident::IncidentRow;
pub use self::life::LifeRow;
pub use self::recording::RecordingRow;

/// A table for those who describe it.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Name of the table and of its folder.
    pub name: &'static str,
    /// What one row is.
    pub about: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
}

const fn described<R: Row>() -> Described {
    Described { name: R::TABLE, about: R::ABOUT, columns: R::COLUMNS }
}

/// All tables.
pub const TABLES: [Described; 3] = [described::<LifeRow>(), described::<IncidentRow>(), described::<RecordingRow>()];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_cells_and_a_newer_file_may_lack_what_is_optional() {
        let row = LifeRow {
            host: "h".into(),
            kills: 3,
            probability: 0.5,
            rate: Some(1.5),
            onset: Some(cell::Moment(7)),
            alarm: true,
            ..LifeRow::default()
        };
        let at = |name: &str| LifeRow::COLUMNS.iter().position(|column| column.name == name).unwrap();
        assert_eq!(row.cell(at("kills")), Some(Value::Int(3)));
        assert_eq!(row.cell(at("limit_bytes")), None);
        assert_eq!(LifeRow::of(|column| row.cell(column)).unwrap(), row);
        let without = |gone: usize| LifeRow::of(move |column| if column == gone { None } else { row.cell(column) });
        assert_eq!(without(at("host")).unwrap_err(), "host");
        let row = LifeRow { rate: Some(1.0), ..LifeRow::default() };
        let rate = at("rate");
        assert_eq!(LifeRow::of(|column| row.cell(column).filter(|_| column != rate)).unwrap().rate, None);
    }

    #[test]
    fn each_column_has_a_sentence_and_a_name_of_its_own() {
        for table in TABLES {
            let mut names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.columns.len(), "{}", table.name);
            assert!(table.columns.iter().all(|column| column.doc.trim().ends_with('.')), "{}", table.name);
        }
    }
}
