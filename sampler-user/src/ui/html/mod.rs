//! One self-contained HTML file of a recording: plots, incidents, findings. It opens offline and asks nobody for anything.

pub mod bins;
pub mod packed;

use std::collections::BTreeMap;

use serde::Serialize;

use self::packed::Packed;
use crate::analysis::incident::Incident;
use crate::model::paths::raw_byte;

/// What the file shows. Texts are hostile: the page sets them as text, never as markup.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The machine.
    pub host: String,
    /// Its kernel.
    pub kernel: String,
    /// The plots: of the whole time, and of the minute of each incident.
    pub sets: Vec<Set>,
    /// What happened.
    pub marks: Vec<Mark>,
    /// Pages of the incidents.
    pub incidents: Vec<Incident>,
    /// What the analysis says of each cgroup.
    pub findings: Vec<Finding>,
    /// What could not be read, and what was left out.
    pub notes: Vec<String>,
}

/// Plots over one time, all on the same points.
#[derive(Debug, Default, Serialize)]
pub struct Set {
    /// What it is of.
    pub name: String,
    /// First point, microseconds since 1970.
    pub from_us: i64,
    /// Distance of the points, microseconds.
    pub step_us: f64,
    /// Number of points.
    pub points: usize,
    /// The machine: KiB, or microseconds a second, or counts a second, by field.
    pub host: Columns,
    /// The cgroups, largest first.
    pub cgroups: Vec<Plot>,
}

impl Set {
    /// Characters that it takes, about.
    pub fn length(&self) -> usize {
        let columns = self.cgroups.iter().map(|plot| &plot.columns).chain([&self.host]);
        columns.flat_map(|columns| columns.values()).map(|column| column.length() + 16).sum()
    }
}

/// Values by field.
pub type Columns = BTreeMap<&'static str, Packed>;

/// One cgroup in a [`Set`].
#[derive(Debug, Serialize)]
pub struct Plot {
    /// Its path.
    pub path: String,
    /// As people call it.
    pub name: String,
    /// Whether others are below it: it is then their sum.
    pub has_children: bool,
    /// Values.
    pub columns: Columns,
}

/// An event on the time axis.
#[derive(Debug, Serialize)]
pub struct Mark {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// Its kind, as in every format.
    pub kind: &'static str,
    /// The cgroup it is about.
    pub cgroup: Option<String>,
    /// In words.
    pub words: String,
}

/// What the analysis says of a cgroup.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The cgroup.
    pub path: String,
    /// Its class.
    pub class: String,
    /// In one line.
    pub words: String,
    /// Why.
    pub evidence: Vec<String>,
}

/// The whole file.
pub fn html(report: &Report) -> Result<String, serde_json::Error> {
    let parts = [
        ("/*style*/", concat!(include_str!("uPlot.min.css"), include_str!("page.css")).to_owned()),
        ("/*plots*/", include_str!("uPlot.iife.min.js").to_owned()),
        ("/*page*/", include_str!("page.js").to_owned()),
        ("/*recording*/", embedded(report)?),
    ];
    let mut page = include_str!("page.html").to_owned();
    // Last the recording, so that nothing in it can stand for another part.
    for (mark, part) in parts {
        page = page.replacen(mark, &part, 1);
    }
    Ok(page)
}

/// JSON that cannot end the element it stands in. Bytes of names that are not UTF-8 are shown as everywhere, `\xff`.
fn embedded(report: &Report) -> Result<String, serde_json::Error> {
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

    #[test]
    fn a_hostile_name_stays_text() {
        let path = "/a</script><script>alert(1)</script><!-- /*page*/".to_owned();
        let plot = Plot { path: path.clone(), name: path.clone(), has_children: false, columns: Columns::new() };
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
