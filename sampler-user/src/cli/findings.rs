//! The findings of recordings, read with progress on the terminal.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use sampler::model::word::word;
use sampler::reading::analysis::{Analysis, analyze};
use sampler::ui::text;

use crate::cli::excerpt::Excerpt;

/// The findings of a recording for a report, what is urgent first.
pub fn for_report(dir: &std::path::Path, part: &Excerpt) -> anyhow::Result<Vec<sampler::ui::html::Finding>> {
    let analysis = of_paths(&[dir.to_owned()], part)?;
    let list = text::analysis::sorted(&analysis);
    Ok(list
        .into_iter()
        .map(|cgroup| sampler::ui::html::Finding {
            path: cgroup.path.clone(),
            class: word(&cgroup.verdict.verdict),
            words: text::analysis::in_a_line(cgroup),
            evidence: cgroup.verdict.evidence.clone(),
        })
        .collect())
}

/// Analyses recordings, with progress on a terminal.
pub fn of_paths(paths: &[PathBuf], part: &Excerpt) -> anyhow::Result<Analysis> {
    let selection = part.selection()?;
    let mut progress = Progress { rows: 0, shown: std::io::stderr().is_terminal() };
    let analysis = analyze(paths, &|path| selection.wants(path), &part.range(), &mut |rows| progress.add(rows))?;
    progress.end();
    Ok(analysis)
}

/// Rows so far, in one line of a terminal.
struct Progress {
    rows: u64,
    shown: bool,
}

impl Progress {
    fn add(&mut self, rows: u64) {
        let before = self.rows / 1_000_000;
        self.rows += rows;
        if self.shown && self.rows / 1_000_000 > before {
            let _ = write!(std::io::stderr(), "\rsampler: {} million rows", self.rows / 1_000_000);
        }
    }

    fn end(&self) {
        if self.shown && self.rows >= 1_000_000 {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
