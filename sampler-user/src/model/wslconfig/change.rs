//! A key to set.

/// A key to set.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its section.
    pub section: &'static str,
    /// Its name.
    pub key: &'static str,
    /// What it is to say.
    pub value: String,
    /// Why, as a comment above it.
    pub because: String,
}
