//! Shows the addresses of recordings in place of the paths of their local copies.

use std::borrow::Cow;
use std::sync::OnceLock;

/// What an address begins with, before `://`; a path may begin with anything else.
pub const SCHEMES: [&str; 7] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "file"];

/// The folder of the copy.
pub static COPY: OnceLock<String> = OnceLock::new();

/// Text for a person or a program, with addresses for the paths of the copy, which is gone when it is read.
pub fn with_addresses(text: &str) -> Cow<'_, str> {
    match COPY.get() {
        Some(copy) if text.contains(copy) => {
            let name = |text: String, scheme| text.replace(&format!("{copy}/{scheme}:/"), &format!("{scheme}://"));
            Cow::Owned(SCHEMES.into_iter().fold(text.to_owned(), name))
        }
        _ => Cow::Borrowed(text),
    }
}
