//! What did not work, in a sentence. The library's own ones hold the requests and the pages of answers.

use std::io;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};
use sampler::model::units::printable;
use sampler::store;

use crate::cli::remote::copy::provider;

/// Characters of an answer that are shown.
const MOST: usize = 300;

/// An error of an operation on what is at an address.
pub fn failure(operation: &'static str, address: &str, error: Error) -> store::Error {
    let text = error.to_string();
    let names = provider::names(address);
    let code = code(&text).map(|code| format!(" ({})", printable(code))).unwrap_or_default();
    let (kind, what) = match status(&error, &text) {
        _ if asks_the_machine(&text) => {
            (io::ErrorKind::PermissionDenied, format!("there is no key; it is taken from {}", names.key))
        }
        Some(404) => (io::ErrorKind::NotFound, format!("there is no such bucket or object{code}")),
        Some(401 | 403) => {
            (io::ErrorKind::PermissionDenied, format!("refused{code}; the key is taken from {}", names.key))
        }
        _ => match reached(&error) {
            Some((kind, why)) => {
                (kind, format!("its server was not reached: {}; {} names it", short(&why), names.server))
            }
            None => (io::ErrorKind::Other, short(&text)),
        },
    };
    store::Error::Io { operation, path: printable(address).into(), source: io::Error::new(kind, what) }
}

/// Of HTTP. The library has kinds for it, but not for lists.
fn status(error: &Error, text: &str) -> Option<u16> {
    match error {
        Error::NotFound { .. } => Some(404),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Some(403),
        _ => text.split_once("status code: ")?.1.get(..3)?.parse().ok(),
    }
}

/// The word that all three have for what is wrong, in XML.
fn code(text: &str) -> Option<&str> {
    text.split_once("<Code>")?.1.split_once("</Code>").map(|(code, _)| code)
}

/// Without a key the library asks the cloud's machine that it may run on.
fn asks_the_machine(text: &str) -> bool {
    ["//169.254.169.254/", "//metadata.google.internal/", "//metadata/"].iter().any(|server| text.contains(server))
}

/// Why there was no answer.
fn reached(error: &Error) -> Option<(io::ErrorKind, String)> {
    let causes = || anyhow::Chain::new(error);
    let kind = causes().find_map(|cause| Some(cause.downcast_ref::<HttpError>()?.kind()))?;
    let kind = match kind {
        HttpErrorKind::Timeout => io::ErrorKind::TimedOut,
        HttpErrorKind::Connect => io::ErrorKind::NotConnected,
        _ => io::ErrorKind::Other,
    };
    Some((kind, causes().last()?.to_string()))
}

fn short(text: &str) -> String {
    let shown: String = printable(text).chars().take(MOST + 1).collect();
    match shown.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}…", &shown[..cut]),
        None => shown,
    }
}
