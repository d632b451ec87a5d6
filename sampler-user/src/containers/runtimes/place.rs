//! A cgroup as a runtime sees it, and the forms of ids in its name.

use crate::model::identity::Identity;

/// A cgroup as a runtime looks at it: its own name, and the folders above.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Names of the folders above, outermost first.
    pub above: &'a [&'a str],
    /// Its own name.
    pub leaf: &'a str,
}

impl Place<'_> {
    /// Name of the folder right above.
    pub fn parent(&self) -> Option<&str> {
        self.above.last().copied()
    }
}

/// A runtime.
pub struct Runtime {
    /// Name.
    pub name: &'static str,
    /// Who a cgroup is, if it is this runtime's.
    pub claim: fn(Place<'_>) -> Option<Identity>,
}

/// Whether a text is a container's id of 64 hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The id in `<prefix>-<id>.scope` or `<prefix>-<id>`.
pub fn id_after<'a>(leaf: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = leaf.strip_prefix(prefix)?.strip_prefix('-')?;
    let id = rest.strip_suffix(".scope").unwrap_or(rest);
    is_id(id).then_some(id)
}

/// Whether a text is a UUID.
pub fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &&str| part.bytes().all(|b| b.is_ascii_hexdigit());
    parts.iter().all(is_hex) && parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
}
