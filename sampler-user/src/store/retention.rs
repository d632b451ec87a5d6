//! Retention: old sealed data goes, by age and by size. What is not sealed is never touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::store::layout::stem_of;
use crate::store::schema::TableKind;

/// What may stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Age of the youngest row of what may stay.
    pub keep: Option<Duration>,
    /// Bytes of the whole recording.
    pub max_disk: Option<u64>,
}

impl Retention {
    /// What an agent that records for weeks keeps by default: a week, and at most 2 GiB.
    pub const AGENT: Retention = Retention { keep: Some(Duration::from_secs(7 * 86_400)), max_disk: Some(2 << 30) };
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Segments, by stem.
    pub stems: Vec<String>,
    /// Bytes.
    pub bytes: u64,
}

/// The files of one sealed segment.
#[derive(Debug)]
struct Sealed {
    files: Vec<PathBuf>,
    bytes: u64,
    modified: SystemTime,
}

/// Removes what is too old or too much, oldest first.
pub fn enforce(dir: &Path, retention: &Retention, now: SystemTime) -> Removed {
    let sealed = sealed(dir);
    let mut total: u64 = sealed.values().map(|s| s.bytes).sum::<u64>() + journal_bytes(dir);
    let mut removed = Removed::default();
    for (stem, sealed) in sealed {
        let age = now.duration_since(sealed.modified).unwrap_or_default();
        let old = retention.keep.is_some_and(|keep| age > keep);
        let much = retention.max_disk.is_some_and(|max| total > max);
        if old || much {
            remove(&sealed);
            total -= sealed.bytes;
            removed.bytes += sealed.bytes;
            removed.stems.push(stem);
        }
    }
    removed
}

/// Removes the oldest sealed segment, because the disk is full. Returns whether there was one.
pub fn make_room(dir: &Path) -> bool {
    match sealed(dir).pop_first() {
        Some((_, oldest)) => {
            remove(&oldest);
            true
        }
        None => false,
    }
}

fn remove(sealed: &Sealed) {
    for file in &sealed.files {
        let _ = fs::remove_file(file);
        // The day's folder, then the host's: refused while anything is in them.
        let _ = file.parent().map(fs::remove_dir);
        let _ = file.parent().and_then(Path::parent).map(fs::remove_dir);
    }
}

/// Sealed segments by stem; stems begin with their time, so the first is the oldest.
fn sealed(dir: &Path) -> BTreeMap<String, Sealed> {
    let mut found: BTreeMap<String, Sealed> = BTreeMap::new();
    for kind in TableKind::ALL {
        for (stem, file) in files(&dir.join(kind.name())) {
            let Ok(meta) = fs::metadata(&file) else { continue };
            let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let entry = found.entry(stem).or_insert(Sealed { files: Vec::new(), bytes: 0, modified });
            entry.files.push(file);
            entry.bytes += meta.len();
            entry.modified = entry.modified.max(modified);
        }
    }
    found
}

/// The Parquet files of a table's folder with their stems, sorted.
pub fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let list = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    for host in list(folder) {
        for day in list(&host) {
            for file in list(&day) {
                if file.extension().is_some_and(|ext| ext == "parquet") {
                    found.push((stem_of(&file), file));
                }
            }
        }
    }
    found.sort();
    found
}

fn journal_bytes(dir: &Path) -> u64 {
    let segments = crate::journal::reader::segments(&dir.join(crate::store::layout::JOURNAL)).unwrap_or_default();
    segments.iter().filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(stems: &[(&str, usize)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (stem, bytes) in stems {
            for table in ["samples", "events"] {
                let folder = dir.path().join(table).join("host=h").join(format!("date={stem}"));
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("{stem}.parquet")), vec![0; *bytes]).unwrap();
            }
        }
        fs::create_dir_all(dir.path().join("journal")).unwrap();
        fs::write(dir.path().join("journal/x.journal"), [0; 100]).unwrap();
        dir
    }

    #[test]
    fn the_oldest_goes_first_until_the_rest_fits_and_the_journal_stays() {
        let dir = store(&[("1", 500), ("2", 500), ("3", 500)]);
        let max = Retention { keep: None, max_disk: Some(2200) };
        let removed = enforce(dir.path(), &max, SystemTime::now());
        assert_eq!(removed, Removed { stems: vec!["1".into()], bytes: 1000 });
        assert_eq!(enforce(dir.path(), &max, SystemTime::now()), Removed::default());
        assert!(!dir.path().join("samples/host=h/date=1").exists(), "empty partitions go");
        assert!(make_room(dir.path()) && make_room(dir.path()) && !make_room(dir.path()));
        assert!(dir.path().join("journal/x.journal").exists());
    }

    #[test]
    fn what_is_too_old_goes() {
        let dir = store(&[("1", 5), ("2", 5)]);
        let keep = Retention { keep: Some(Duration::from_secs(3600)), max_disk: None };
        assert_eq!(enforce(dir.path(), &keep, SystemTime::now()), Removed::default());
        let later = SystemTime::now() + Duration::from_secs(7200);
        assert_eq!(enforce(dir.path(), &keep, later).stems, ["1", "2"]);
    }
}
