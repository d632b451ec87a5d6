//! The word that JSON has for a value of an enum.

use serde::Serialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

/// The word for a value that serializes as a string, such as `limit-too-low`; empty for anything else.
///
/// ```
/// use sampler::analysis::leak::detectors::Class;
/// assert_eq!(sampler::model::word::word(&Class::WarmUp), "warm-up");
/// ```
pub fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The value of a word; `None` of a word that no value has.
///
/// ```
/// use sampler::analysis::leak::detectors::Class;
/// assert_eq!(sampler::model::word::value("warm-up"), Some(Class::WarmUp));
/// assert_eq!(sampler::model::word::value::<Class>("rust"), None);
/// ```
pub fn value<T: DeserializeOwned>(word: &str) -> Option<T> {
    let word: StrDeserializer<'_, Error> = word.into_deserializer();
    T::deserialize(word).ok()
}
