//! Documents of JSON whose form is a program's own: which it is, by the names in its first bytes. Others are read as series or rows.

mod cadvisor;
mod cri;
mod docker;
mod grafana;
mod graphite;
mod influx;
mod kubelet;
mod metrics_api;
mod pairs;
mod sample;

use std::io::{BufReader, Read};

use serde::de::DeserializeOwned;

use crate::reading::import::bounded::{Budget, Guard};
use crate::reading::import::intake::{Intake, Stop};

pub use self::influx::name as influx_name;

/// A form.
pub struct Form {
    /// Whether these are its first bytes.
    is: fn(&str) -> bool,
    read: fn(&mut dyn Read, &mut Intake<'_>) -> Result<(), Stop>,
}

/// All forms; the first that takes a document has it.
static FORMS: [Form; 9] = [
    Form { is: kubelet::is, read: kubelet::read },
    Form { is: metrics_api::is, read: metrics_api::read },
    Form { is: grafana::is, read: grafana::read },
    Form { is: influx::is, read: influx::read },
    Form { is: cri::is, read: cri::read },
    Form { is: cadvisor::is, read: cadvisor::read },
    Form { is: docker::is, read: docker::read },
    Form { is: graphite::is, read: graphite::read },
    Form { is: pairs::is, read: pairs::read },
];

/// The form of what begins so.
pub fn of(head: &[u8]) -> Option<&'static Form> {
    let head = String::from_utf8_lossy(head);
    FORMS.iter().find(|form| (form.is)(head.trim_start()))
}

impl Form {
    /// Reads documents until the end.
    pub fn read(&self, mut bytes: impl Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
        (self.read)(&mut bytes, intake)
    }
}

/// Whether all of these names are in a text.
fn has(head: &str, names: &[&str]) -> bool {
    names.iter().all(|name| head.contains(&format!("\"{name}\"")))
}

/// The first name of an object.
fn first_name(head: &str) -> &str {
    let inside = head.strip_prefix('{').map_or("", str::trim_start);
    inside.strip_prefix('"').and_then(|name| name.split('"').next()).unwrap_or("")
}

/// Takes the documents of a stream one after the other. Each is held whole, and so bounded.
fn documents<T: DeserializeOwned>(
    bytes: &mut dyn Read,
    intake: &mut Intake<'_>,
    mut take: impl FnMut(T, &mut Intake<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let budget = Budget::default();
    let guarded = BufReader::with_capacity(64 << 10, budget.of(Guard::new(bytes)));
    let mut any = false;
    for document in serde_json::Deserializer::from_reader(guarded).into_iter::<T>() {
        match document {
            Ok(document) => take(document, intake)?,
            Err(error) if error.is_eof() && any => {
                intake.notes.remark("the last document of JSON is cut off: what came before it is kept");
                return Ok(());
            }
            Err(error) => return Err(crate::reading::import::json::wrong(&error)),
        }
        any = true;
        budget.renew();
    }
    Ok(())
}
