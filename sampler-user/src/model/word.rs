//! The word that JSON has for a value of an enum.

use serde::Serialize;

/// The word for a value that serializes as a string, such as `limit-too-low`; empty for anything else.
///
/// ```
/// use sampler::analysis::leak::detectors::Class;
/// assert_eq!(sampler::model::word::word(&Class::WarmUp), "warm-up");
/// ```
pub fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
