//! The findings of recordings, and of the findings of many.

use std::path::{Path, PathBuf};

use sampler::analysis::fleet::{Fleet, Merge};
use sampler::model::findings::{IncidentRow, LifeRow, RecordingRow, Row};
use sampler::model::problem::Problem;
use sampler::reading::analysis::{Analysis, analyze};
use sampler::reading::findings::FindingRows;
use sampler::store;
use sampler::store::findings::{files_of, read, write};
use sampler::ui::progress;

use crate::cli::excerpt::Excerpt;
use crate::cli::output::say;

/// Analyses recordings; with `out`, also writes the findings as rows below that folder.
pub fn of_paths(paths: &[PathBuf], part: &Excerpt, out: Option<&Path>) -> anyhow::Result<Analysis> {
    let selection = part.selection()?;
    let mut rows = out.map(|_| FindingRows::default());
    let analysis = analyze(paths, &|path| selection.wants(path), &part.range(), &mut progress::rows, rows.as_mut())?;
    if let (Some(out), Some(rows)) = (out, rows) {
        let files = write(out, &rows.lives)?.len() + write(out, &rows.recordings)?.len();
        say(&format!("wrote to {}: lives {}, files {files}", out.display(), rows.lives.len()));
    }
    Ok(analysis)
}

/// Writes incidents as rows.
pub fn write_incidents(out: &Path, rows: &[IncidentRow]) -> anyhow::Result<()> {
    let files = write(out, rows)?.len();
    say(&format!("wrote to {}: incidents {}, files {files}", out.display(), rows.len()));
    Ok(())
}

/// Merges the findings below folders, or in files. What cannot be read is a problem of its file alone.
pub fn merge(paths: &[PathBuf]) -> anyhow::Result<(Fleet, Vec<Problem>)> {
    let (mut merge, mut problems, mut found) = (Merge::default(), Vec::new(), 0);
    for path in paths {
        let before = found;
        let mut rows = 0;
        found += each::<LifeRow>(path, &mut problems, |row| {
            merge.life(&row);
            rows += 1;
        });
        found += each::<RecordingRow>(path, &mut problems, |row| merge.recording(row));
        found += each::<IncidentRow>(path, &mut problems, |row| merge.incident(row));
        progress::rows(rows);
        if found == before {
            return Err(store::Error::NoFindings { path: path.clone() }.into());
        }
    }
    Ok((merge.finish(), problems))
}

/// Gives the rows of a table to `take`; the number of its files.
fn each<R: Row>(path: &Path, problems: &mut Vec<Problem>, mut take: impl FnMut(R)) -> usize {
    let files = files_of::<R>(path);
    files.iter().for_each(|file| read(file, problems, &mut take));
    files.len()
}
