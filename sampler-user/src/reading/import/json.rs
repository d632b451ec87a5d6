//! Documents of JSON, read as a stream: answers of Prometheus with or without their envelope, objects of `docker stats` and
//! `below`, and rows of any program. One series or object is held at a time.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::reading::import::bounded::Guard;
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::labels::Labels;
use crate::reading::import::prometheus::Reader;
use crate::reading::import::records::{Columns, Dialect};

/// Cells an object may have at most; the rest is not looked at.
const MOST_CELLS: usize = 1024;
/// Values a series may have at most: Prometheus itself gives 11,000.
const MOST_VALUES: usize = 1 << 20;
/// Longest text of a cell or label that is kept, bytes; longer ones are no names.
const MOST_TEXT: usize = 4096;
/// Labels of a series, and forms of objects that are remembered.
const MOST_LABELS: usize = 256;

/// Reads documents until the end.
pub fn read(bytes: impl Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let mut documents = Documents::default();
    let guarded = BufReader::with_capacity(64 << 10, Guard::new(bytes));
    let mut deserializer = serde_json::Deserializer::from_reader(guarded);
    loop {
        let context = RefCell::new((&mut documents, &mut *intake, None));
        let result = Node { at: &context, path: "", cells: None }.deserialize(&mut deserializer);
        let (.., stop) = context.into_inner();
        match (result, stop) {
            (_, Some(stop)) => return Err(stop),
            (Err(error), None) if error.is_eof() && documents.any => {
                if documents.is_open {
                    intake.notes.remark("the last document of JSON is cut off: what came before it is kept");
                }
                return documents.finish();
            }
            (Err(error), None) => return Err(wrong(&error)),
            (Ok(_), None) => (documents.any, documents.is_open) = (true, false),
        }
    }
}

/// Reads one document of a log.
pub fn document(text: &str, documents: &mut Documents, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let context = RefCell::new((documents, &mut *intake, None));
    let result = Node { at: &context, path: "", cells: None }.deserialize(&mut deserializer);
    let (.., stop) = context.into_inner();
    match (result, stop) {
        (_, Some(stop)) => Err(stop),
        (Err(error), None) => Err(wrong(&error)),
        (Ok(_), None) => Ok(()),
    }
}

/// What is said of a document that is none.
pub(super) fn wrong(error: &serde_json::Error) -> Stop {
    Stop::new(format!("it begins as JSON and is none, or is cut off: {error}"))
}

/// What is remembered from document to document.
#[derive(Default)]
pub struct Documents {
    series: Reader,
    columns: HashMap<Vec<String>, Option<Columns>>,
    /// Whether a document was read, and whether one has begun since.
    any: bool,
    is_open: bool,
    /// Whether any object was a row, and why the first that was not is none.
    has_rows: bool,
    refused: Option<Stop>,
    /// The time of objects that have none.
    pub now_us: Option<i64>,
}

impl Documents {
    fn series(&mut self, labels: &Labels, points: &[(i64, f64)], intake: &mut Intake<'_>) -> Result<(), Stop> {
        self.series.series(labels, points, intake)
    }

    /// An object that is no series.
    pub(super) fn record(&mut self, cells: &[(String, String)], intake: &mut Intake<'_>) -> Result<(), Stop> {
        if let Some(done) = crate::reading::import::docker_stats::record(cells, self.now_us, intake) {
            return done;
        }
        // A container that shows nothing, or a machine's summary: no row.
        if cells.len() < 2 && self.now_us.is_none() {
            return Ok(());
        }
        let names: Vec<String> = cells.iter().map(|(name, _)| name.clone()).collect();
        if !self.columns.contains_key(&names) && self.columns.len() < MOST_LABELS {
            let sample = [cells.iter().map(|(_, value)| value.clone()).collect()];
            // An object inside of another may be no row, as disks beside memory: one that is a row is enough.
            let columns = match Columns::of(&names, &sample, Dialect::default(), self.now_us.is_some(), intake) {
                Ok(columns) => Some(columns),
                Err(stop) => {
                    self.refused.get_or_insert(stop);
                    None
                }
            };
            self.columns.insert(names.clone(), columns);
        }
        let Some(Some(columns)) = self.columns.get(&names) else { return Ok(()) };
        self.has_rows = true;
        intake.notes.formats.insert("json");
        let row: Vec<Cow<'_, str>> = cells.iter().map(|(_, value)| Cow::Borrowed(value.as_str())).collect();
        columns.row(&row, self.now_us, intake).map(drop)
    }
}

impl Documents {
    /// Nothing follows. Where no object was a row, the reason is what stops.
    pub fn finish(&mut self) -> Result<(), Stop> {
        self.refused.take().filter(|_| !self.has_rows).map_or(Ok(()), Err)
    }
}

/// What a value turned out to be.
enum Value {
    /// A number, a word or a text.
    Scalar(String),
    /// `[time, "value"]`.
    Pair(String, String),
    /// Anything else, which is taken care of.
    Done,
}

type Context<'c, 'b> = RefCell<(&'c mut Documents, &'c mut Intake<'b>, Option<Stop>)>;

/// Any value at a path of names.
struct Node<'n, 'c, 'b> {
    at: &'n Context<'c, 'b>,
    path: &'n str,
    /// Cells of the object that it is a part of.
    cells: Option<&'n mut Vec<(String, String)>>,
}

/// The deserializer has to end; the reason is kept beside it.
fn stopped<E: serde::de::Error>(at: &Context<'_, '_>, stop: Stop) -> E {
    at.borrow_mut().2 = Some(stop);
    E::custom("stopped")
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar(String::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.at.borrow_mut().0.is_open = true;
        let (mut first, mut second, mut count) = (None, None, 0u64);
        while let Some(value) = seq.next_element_seed(Node { at: self.at, path: "", cells: None })? {
            count += 1;
            match (value, count) {
                (Value::Scalar(text), 1) => first = Some(text),
                (Value::Scalar(text), 2) => second = Some(text),
                _ => {}
            }
        }
        Ok(match (first, second, count) {
            (Some(time), Some(value), 2) => Value::Pair(time, value),
            _ => Value::Done,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut own = Vec::new();
        let is_part = self.cells.is_some();
        let (at, base) = (self.at, self.path);
        at.borrow_mut().0.is_open = true;
        let cells = self.cells.unwrap_or(&mut own);
        let mut object = Object::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                long if long.len() > MOST_TEXT / 16 => drop(map.next_value::<IgnoredAny>()?),
                "metric" => match map.next_value_seed(Metric)? {
                    Ok(labels) => object.labels = Some(labels),
                    Err(text) => cells.push((key, text)),
                },
                "values" | "value" | "timestamps" => {
                    let mut values = Values::default();
                    map.next_value_seed(&mut values)?;
                    match (key.as_str(), values.scalar.take()) {
                        (_, Some(text)) => cells.push((key, text)),
                        ("timestamps", None) => object.times = values.flat,
                        _ => object.values = values,
                    }
                }
                "histogram" | "histograms" => {
                    map.next_value::<IgnoredAny>()?;
                    let stop = Stop::new(
                        "it has native histograms, which are no sizes: query a gauge such as container_memory_rss",
                    );
                    return Err(stopped(at, stop));
                }
                _ => {
                    let path = if base.is_empty() { key.clone() } else { format!("{}.{key}", base) };
                    // What stands in an object is a part of it; in an array, it is an object of its own.
                    let part = if cells.len() < MOST_CELLS { Some(&mut *cells) } else { None };
                    let value = map.next_value_seed(Node { at, path: &path, cells: part })?;
                    match value {
                        Value::Scalar(text) if cells.len() < MOST_CELLS && text.len() <= MOST_TEXT => {
                            cells.push((path, text))
                        }
                        Value::Pair(time, value) if key == "result" => {
                            let point = (time.parse::<f64>(), value.parse::<f64>());
                            if let (Ok(time), Ok(value)) = point {
                                object.labels = Some(Labels::new());
                                object.values.pairs.push(((time * 1e6).round() as i64, value));
                            }
                        }
                        _ if key == "result" || key == "children" => object.is_envelope |= key == "result",
                        _ => {}
                    }
                }
            }
        }
        end(at, object, cells, is_part).map_err(|stop| stopped(at, stop)).map(|()| Value::Done)
    }
}

/// What was found in an object beside its cells.
#[derive(Default)]
struct Object {
    labels: Option<Labels>,
    values: Values,
    times: Vec<f64>,
    is_envelope: bool,
}

/// Labels, or a text of that name.
struct Metric;

impl<'de> DeserializeSeed<'de> for Metric {
    type Value = Result<Labels, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Metric {
    type Value = Result<Labels, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the labels of a series")
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Err(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Err(String::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut labels = Labels::new();
        while let Some((name, value)) = map.next_entry::<String, Option<String>>()? {
            if labels.len() >= MOST_LABELS {
                return Err(serde::de::Error::custom("a series has more than 256 labels"));
            }
            let value = value.unwrap_or_default();
            if name.len() + value.len() <= MOST_TEXT {
                labels.insert(name, value);
            }
        }
        Ok(Ok(labels))
    }
}

/// The values of a series: pairs of time and value, or numbers beside their times; or a value of its own.
#[derive(Default)]
struct Values {
    pairs: Vec<(i64, f64)>,
    flat: Vec<f64>,
    scalar: Option<String>,
    refused: u64,
}

impl Values {
    fn number(&mut self, value: f64) {
        self.flat.push(value);
    }
}

impl<'de> DeserializeSeed<'de> for &mut Values {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// One element of the values: a pair, or a number.
struct Element;

impl<'de> DeserializeSeed<'de> for Element {
    type Value = (Option<f64>, Option<f64>, u8);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = (Option<f64>, Option<f64>, u8);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number or [time, \"value\"]")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok((Some(value as f64), None, 0))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok((Some(value as f64), None, 0))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok((Some(value), None, 0))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok((value.trim().parse().ok(), None, 0))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok((Some(f64::NAN), None, 0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let time = seq.next_element_seed(Element)?.and_then(|(number, ..)| number);
        let value = seq.next_element_seed(Element)?.and_then(|(number, ..)| number);
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok((time, value, 1))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok((None, None, 0))
    }
}

impl<'de> Visitor<'de> for &mut Values {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the values of a series")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar = Some(value.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar = Some(value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar = Some(value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar = Some(value.to_string());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar = Some(value.to_owned());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar = Some(String::new());
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.refused += 1;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some((first, second, is_pair)) = seq.next_element_seed(Element)? {
            if self.pairs.len() + self.flat.len() >= MOST_VALUES {
                return Err(serde::de::Error::custom("a series has more than a million values"));
            }
            match (first, second) {
                (Some(time), Some(value)) if time.is_finite() => self.pairs.push(((time * 1e6).round() as i64, value)),
                (Some(value), None) if is_pair == 0 => self.number(value),
                _ => self.refused += 1,
            }
        }
        Ok(())
    }
}

/// An object is read: a series, an error, an envelope, or a row.
fn end(at: &Context<'_, '_>, object: Object, cells: &[(String, String)], is_part: bool) -> Result<(), Stop> {
    let mut context = at.borrow_mut();
    let (documents, intake, _) = &mut *context;
    if let Some(labels) = object.labels {
        let Values { mut pairs, flat, refused, .. } = object.values;
        intake.notes.refused_values += refused;
        match (flat.as_slice(), object.times.as_slice()) {
            ([time, value], []) => pairs.push(((time * 1e6).round() as i64, *value)),
            // VictoriaMetrics exports times in milliseconds beside the values.
            (values, times) => {
                pairs.extend(times.iter().zip(values).map(|(ms, value)| ((ms * 1e3).round() as i64, *value)))
            }
        }
        return documents.series(&labels, &pairs, intake);
    }
    let get = |name: &str| cells.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if get("status") == Some("error") {
        let shown = |name: &str| crate::model::units::printable(get(name).unwrap_or("unknown"));
        return Err(Stop::new(format!(
            "Prometheus answered with an error, {}: {}",
            shown("errorType"),
            shown("error")
        )));
    }
    let is_answer = object.is_envelope
        || get("status").is_some_and(|s| s == "success")
        || get("resultType").is_some()
        || get("data.resultType").is_some();
    if is_part || is_answer || cells.is_empty() {
        return Ok(());
    }
    documents.record(cells, intake)
}
