//! The columns that text formats have before and after the fields.

use sampler::model::recording::Series;
use sampler::model::time::format_us;
use sampler::store::schema::KeyColumn;
use serde_json::{Value, json};

/// Column of what a cgroup is called, in text; the tables of a recording have it in `cgroups`.
pub const NAME: &str = "name";

/// Text has the lag itself: rows of a pass may be far apart in it, or left out.
pub fn name(key: KeyColumn) -> &'static str {
    if key == KeyColumn::Gap { "lag_us" } else { key.name() }
}

/// The value of a key column.
pub fn value(key: KeyColumn, series: &Series, row: usize) -> Value {
    let process = series.subject.process.as_ref();
    match key {
        KeyColumn::Cgroup => json!(series.subject.cgroup),
        KeyColumn::Id => json!(series.subject.id),
        KeyColumn::Pid => json!(process.map(|p| p.pid)),
        KeyColumn::Start => json!(process.map(|p| p.start)),
        KeyColumn::Comm => json!(process.map(|p| &p.comm)),
        KeyColumn::Time => json!(precise(series.time_us[row])),
        KeyColumn::Gap => json!(series.lag_us[row]),
    }
}

/// RFC 3339 with all six digits: an export must not lose what was recorded.
pub fn precise(wall_us: i64) -> String {
    let coarse = format_us(wall_us.div_euclid(1000) * 1000);
    match coarse.strip_suffix('Z') {
        Some(head) => format!("{head}{:03}Z", wall_us.rem_euclid(1000)),
        None => coarse,
    }
}
