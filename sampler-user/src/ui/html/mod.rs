//! One self-contained HTML file of a recording: plots, incidents, findings. It opens offline and asks nobody for anything.

pub mod findings;
pub mod head;
mod parts;
pub mod served;

use serde::Serialize;

use self::findings::{Finding, Pressed};
use self::head::{Card, Head};
use crate::analysis::incident::Incident;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::paths::raw_byte;
use crate::reading::plots::set::{Mark, Set};

/// Version of the form of a report as JSON.
pub const FORMAT: &str = "sampler.report.v1";

/// What the file shows. Texts are hostile: the page sets them as text, never as markup.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The machine.
    pub host: String,
    /// Its kernel.
    pub kernel: String,
    /// First and last time, microseconds since 1970.
    pub span_us: Option<(i64, i64)>,
    /// What happened and what to do, first of all.
    pub head: Head,
    /// Kills, leaks, pressure and headroom, or what decides an incident.
    pub cards: Vec<Card>,
    /// The plots: of the whole time, and of the minute of each incident.
    pub sets: Vec<Set>,
    /// Events on the axis of the plots.
    pub marks: Vec<Mark>,
    /// Pages of the incidents, the gravest first.
    pub incidents: Vec<Incident>,
    /// All incidents, a line each.
    pub list: Vec<Listed>,
    /// What the analysis says of each cgroup, what matters first.
    pub findings: Vec<Finding>,
    /// How many of them are folded, in words.
    pub folded: Option<String>,
    /// Times of pressure, the worst first.
    pub pressure: Vec<Pressed>,
    /// What rises together.
    pub together: Vec<String>,
    /// What could not be read, and what was left out.
    pub notes: Vec<String>,
}

/// An incident in the list of all.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// Its kind.
    pub kind: IncidentKind,
    /// Who was hit.
    pub who: String,
    /// How, where that is more than the kind says.
    pub how: Option<String>,
    /// Which of the pages explains it.
    pub page: Option<usize>,
}

/// The whole file.
pub fn html(report: &Report) -> Result<String, serde_json::Error> {
    let parts = [
        ("<!--sections-->", parts::SECTIONS.to_owned()),
        ("/*style*/", parts::STYLE.to_owned()),
        ("/*plots*/", parts::PLOTS.to_owned()),
        ("/*page*/", concat!(parts::script!(), include_str!("page/report.js")).to_owned()),
        ("/*recording*/", document(report)?),
    ];
    let mut page = include_str!("page/page.html").to_owned();
    // Last the recording, so that nothing in it can stand for another part.
    for (mark, part) in parts {
        page = page.replacen(mark, &part, 1);
    }
    Ok(page)
}

/// The report as JSON that cannot end the element it stands in. Bytes of names that are not UTF-8 are shown as everywhere, `\xff`.
pub fn document(report: &Report) -> Result<String, serde_json::Error> {
    let mut json = serde_json::to_string(report)?;
    if json.chars().any(|c| raw_byte(c).is_some()) {
        let shown = |c: char| raw_byte(c).map_or_else(|| c.to_string(), |byte| format!("\\\\x{byte:02x}"));
        json = json.chars().map(shown).collect();
    }
    Ok(json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::plots::set::{Columns, Plot};

    #[test]
    fn a_hostile_name_stays_text() {
        let path = "/a</script><script>alert(1)</script><!-- /*page*/".to_owned();
        let plot = Plot { path: path.clone(), name: path.clone(), is_above: false, columns: Columns::new() };
        let report = Report { sets: vec![Set { cgroups: vec![plot], ..Set::default() }], ..Report::default() };
        let page = html(&report).unwrap();
        assert_eq!(page.matches("</script>").count(), 3, "the three of the page itself");
        assert!(!page.contains("<script>alert") && !page.contains("<!-- /*page*/"));
        let json = page.split("id=\"recording\">").nth(1).unwrap().split("</script>").next().unwrap();
        let back: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(back["sets"][0]["cgroups"][0]["path"], path, "and is the same for who reads it");
        assert!(page.contains("default-src 'none'") && !page.contains("http://") && !page.contains("src=\"http"));
    }
}
