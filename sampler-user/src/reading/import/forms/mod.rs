//! Documents of JSON whose form is a program's own: which it is, by the names in its first bytes. Others are read as series or rows.

mod cadvisor;
mod cri;
mod docker;
mod document;
mod grafana;
mod graphite;
mod influx;
mod kubelet;
mod metrics_api;
mod pairs;
mod sample;

use std::io::Read;

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
