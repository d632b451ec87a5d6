//! The live corpus: a recording, and corpus.json beside it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use sampler::analysis::leak::detectors::Class;
use sampler::model::fields::{FieldId, Table};
use sampler::model::recording::Series;
use sampler::store::scan::{Query, Recording};
use serde_json::Value;

use super::case::{Case, Truth};

/// Traces of a part (`tune`, `test`, or all).
pub fn load(folder: &Path, part: Option<&str>) -> anyhow::Result<Vec<Case>> {
    let path = folder.join("corpus.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("read {}; `cargo xtask corpus` makes it", path.display()))?;
    let document: Value = serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    if document["format"] != "sampler.corpus.v1" {
        bail!("{} has a format that is not known: {}", path.display(), document["format"]);
    }
    let mut series: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    let mut recording = Recording::open(folder)?;
    recording.series(Table::Samples, &Query::all(), |one| {
        series.entry(one.subject.cgroup.clone()).or_default().push(one);
    });
    for problem in &recording.problems {
        println!("problem {}: {}", problem.source, problem.what);
    }
    let mut cases = Vec::new();
    for truth in document["traces"].as_array().into_iter().flatten() {
        if part.is_none_or(|part| truth["part"] == part) {
            cases.push(case(truth, &mut series).with_context(|| format!("read {}", truth["name"]))?);
        }
    }
    Ok(cases)
}

fn case(truth: &Value, series: &mut BTreeMap<String, Vec<Series>>) -> anyhow::Result<Case> {
    let text = |key: &str| truth[key].as_str().with_context(|| format!("no `{key}`"));
    let time = |key: &str| truth[key].as_i64().with_context(|| format!("no `{key}`"));
    let (begin_us, end_us) = (time("begin_us")?, time("end_us")?);
    let span = (end_us - begin_us) as f64;
    let part_of = |us: i64| (us - begin_us) as f64 / span;
    let mut rows = series.remove(text("cgroup")?).context("the recording does not have it")?;
    rows.sort_by_key(|one| one.time_us.first().copied());
    let list = |key: &str| truth[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let rate = truth["rate_bytes_per_s"].as_f64();
    let limit = truth["limit_bytes"].as_f64().unwrap_or(f64::INFINITY);
    let onset = truth["onset_us"].as_i64().map_or(0.0, part_of);
    Ok(Case {
        name: text("name")?.to_owned(),
        mechanism: text("mechanism")?.to_owned(),
        truth: Truth {
            class: class(text("class")?)?,
            also: list("also").map(|word| class(&word)).collect::<Result<_, _>>()?,
            components: list("components").collect(),
            rate,
            onset,
            oom: if truth["killed"] == true { Some(1.0) } else { rate.and_then(|rate| full(&rows, limit, rate, span)) },
            about: mean_pace(&rows, begin_us + (onset * span) as i64).and_then(|rate| full(&rows, limit, rate, span)),
            limit,
        },
        series: rows,
        begin_us,
        end_us,
    })
}

/// Bytes a second that a program gained from a moment to its end, where what it was made to lose is no number of bytes.
fn mean_pace(rows: &[Series], from_us: i64) -> Option<f64> {
    let id = FieldId::Current.field();
    let seen = rows.iter().flat_map(|one| Some(one.column(id)?.iter().map(|(row, v)| (one.time_us[row], v)))).flatten();
    let seen: Vec<(i64, u64)> = seen.filter(|(time_us, _)| *time_us >= from_us).collect();
    let ((from_us, first), (to_us, last)) = (*seen.first()?, *seen.last()?);
    Some((last as f64 - first as f64) / ((to_us - from_us) as f64 / 1e6)).filter(|pace| *pace > 0.0)
}

/// When it would be full, as a part of the span.
fn full(rows: &[Series], limit: f64, rate: f64, span_us: f64) -> Option<f64> {
    let column = rows.last()?.column(FieldId::Current.field())?;
    let left_s = (limit - *column.values.last()? as f64) / rate;
    left_s.is_finite().then_some(1.0 + left_s * 1e6 / span_us)
}

fn class(word: &str) -> anyhow::Result<Class> {
    serde_json::from_value(Value::from(word)).with_context(|| format!("no class `{word}`"))
}
