//! The findings of recordings.

use std::path::PathBuf;

use sampler::model::word::word;
use sampler::reading::analysis::{Analysis, analyze};
use sampler::ui::{progress, text};

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

/// Analyses recordings.
pub fn of_paths(paths: &[PathBuf], part: &Excerpt) -> anyhow::Result<Analysis> {
    let selection = part.selection()?;
    analyze(paths, &|path| selection.wants(path), &part.range(), &mut progress::rows)
}
