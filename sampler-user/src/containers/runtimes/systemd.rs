//! systemd: the last part of the path is a unit, and its name says who it is.

use crate::containers::runtimes::place::Place;
use crate::containers::runtimes::table::claimants;
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "systemd";

const KINDS: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// A unit that no container runtime has; a folder below one (`.../user@0.service/app`) belongs to the unit.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    if is_unit(place.leaf) && claimants(place).next().is_none() {
        return Some(Identity::named(NAME, &unescape(place.leaf)));
    }
    let at = place.above.iter().rposition(|part| is_unit(part) && !part.ends_with(".slice"))?;
    let inner = place.above[at + 1..].iter().chain([&place.leaf]).copied().collect::<Vec<_>>().join("/");
    Some(Identity { inner: Some(inner), ..Identity::named(NAME, &unescape(place.above[at])) })
}

fn is_unit(name: &str) -> bool {
    KINDS.iter().any(|kind| name.len() > kind.len() && name.ends_with(kind))
}

/// `\xNN` in the names of units is a byte.
pub fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let byte = match after {
            [b'x', high, low, ..] if first == b'\\' => {
                let digit = |b: u8| char::from(b).to_digit(16);
                digit(*high).zip(digit(*low)).map(|(high, low)| (high * 16 + low) as u8)
            }
            _ => None,
        };
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
