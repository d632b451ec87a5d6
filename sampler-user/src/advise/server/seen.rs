//! What is seen of a container, and how a server and its settings are described.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::advise::image::repository;

/// What is seen of a container.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Image, as the runtime or the Compose file has it.
    pub image: Option<String>,
    /// Names of its processes and the most anonymous memory of each, bytes.
    pub processes: Vec<(String, u64)>,
    /// Environment, where the Compose file has it.
    pub environment: BTreeMap<String, String>,
    /// Entrypoint and command, where the Compose file has them.
    pub command: Vec<String>,
    /// The limit it will have, bytes.
    pub limit: u64,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// What it is called.
    pub key: String,
    /// What was seen; absent when it was not.
    pub seen: Option<String>,
    /// What goes with the limit.
    pub value: String,
    /// The line that sets it.
    pub line: String,
    /// Why.
    pub because: String,
    /// Whether what was seen (or what holds without a setting) does not go with the limit.
    pub out_of_proportion: bool,
}

/// A server.
pub struct Server {
    /// Its name.
    pub name: &'static str,
    /// Whether this is one.
    pub is: fn(&Seen) -> bool,
    /// Its settings for the limit.
    pub settings: fn(&Seen) -> Vec<Setting>,
}

impl Seen {
    /// Whether the image is one of these repositories, whoever made it: `bitnami/redis` is `redis`.
    pub(super) fn is_image(&self, names: &[&str]) -> bool {
        let last = self.image.as_deref().map(|image| repository(image).rsplit('/').next().unwrap_or_default());
        last.is_some_and(|last| names.contains(&last))
    }

    /// Whether a process has one of these names.
    pub(super) fn runs(&self, names: &[&str]) -> bool {
        self.processes.iter().any(|(name, _)| names.contains(&name.as_str()))
            || self.command.first().is_some_and(|first| names.contains(&first.rsplit('/').next().unwrap_or_default()))
    }

    /// The value of an option in the command: `-c key=value`, `--key value`, `--key=value`, `key=value`.
    pub(super) fn option(&self, key: &str) -> Option<String> {
        for (at, word) in self.command.iter().enumerate() {
            let bare = word.trim_start_matches('-');
            let (name, value) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, self.command.get(at + 1).cloned()),
            };
            if name.eq_ignore_ascii_case(key) {
                return value;
            }
        }
        None
    }

    pub(super) fn variable(&self, key: &str) -> Option<String> {
        self.environment.get(key).cloned()
    }
}

/// Whole MiB of a part of the limit, at least one.
pub(super) fn part(limit: u64, part: f64) -> u64 {
    (((limit as f64 * part) as u64) >> 20).max(1)
}

/// A size as servers write it: `64MB`, `100mb`, `2g`, `8kB`.
pub(super) fn size(text: &str) -> Option<u64> {
    crate::model::units::parse_bytes(text).ok().filter(|bytes| *bytes != crate::model::fields::UNLIMITED)
}
