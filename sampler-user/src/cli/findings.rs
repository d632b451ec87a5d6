//! The findings of recordings.

use std::path::PathBuf;

use sampler::reading::analysis::{Analysis, analyze};
use sampler::ui::progress;

use crate::cli::excerpt::Excerpt;

/// Analyses recordings.
pub fn of_paths(paths: &[PathBuf], part: &Excerpt) -> anyhow::Result<Analysis> {
    let selection = part.selection()?;
    analyze(paths, &|path| selection.wants(path), &part.range(), &mut progress::rows)
}
