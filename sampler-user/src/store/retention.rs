//! Retention: old data goes, by age and by size, in the order in which it was written. What is not sealed is only touched
//! where nothing else is left, because it could not be sealed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::journal::order::Place;
use crate::journal::reader::{Segment, segments};
use crate::store::layout::{JOURNAL, stem_of};
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
    /// Segments that were never sealed.
    pub unsealed: Vec<Unsealed>,
}

/// A segment that went before it could be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsealed {
    /// Where it was.
    pub path: PathBuf,
    /// Begin and end of what it held, monotonic nanoseconds.
    pub from_ns: u64,
    /// Its end.
    pub to_ns: u64,
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
            removed.stems.push(stem.stem().to_owned());
        }
    }
    for path in segments(&dir.join(JOURNAL)).unwrap_or_default() {
        if retention.max_disk.is_none_or(|max| total <= max) {
            break;
        }
        let Ok(bytes) = fs::metadata(&path).map(|meta| meta.len()) else { continue };
        let segment = Segment::open(&path).ok();
        // The one that is being written is the newest; it is bounded by its rotation.
        if segment.as_ref().is_some_and(|segment| segment.is_written) || fs::remove_file(&path).is_err() {
            continue;
        }
        total -= bytes.min(total);
        removed.bytes += bytes;
        let (from_ns, to_ns) = segment.map_or((0, 0), |segment| segment.span_ns());
        removed.unsealed.push(Unsealed { path, from_ns, to_ns });
    }
    removed
}

/// Removes the drafts that a sealer which was killed has left of a segment.
pub fn sweep(dir: &Path, stem: &str) {
    let draft = format!(".{stem}.parquet.tmp");
    for folder in TableKind::ALL.into_iter().flat_map(|kind| days(&dir.join(kind.name()))) {
        let _ = fs::remove_file(folder.join(&draft));
    }
}

/// The number of the next segment: above those of all that are sealed.
pub fn next_number(dir: &Path) -> u32 {
    sealed(dir).keys().map(Place::next).max().unwrap_or(0)
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

/// Sealed segments, oldest first.
fn sealed(dir: &Path) -> BTreeMap<Place, Sealed> {
    let mut found: BTreeMap<Place, Sealed> = BTreeMap::new();
    for kind in TableKind::ALL {
        for (stem, file) in files(&dir.join(kind.name())) {
            let Ok(meta) = fs::metadata(&file) else { continue };
            let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let entry = found.entry(Place::of(&stem)).or_insert(Sealed { files: Vec::new(), bytes: 0, modified });
            entry.files.push(file);
            entry.bytes += meta.len();
            entry.modified = entry.modified.max(modified);
        }
    }
    found
}

/// The Parquet files of a table's folder with their stems, sorted.
pub fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let files = days(folder).into_iter().flat_map(|day| list(&day));
    let parquet = files.filter(|file| file.extension().is_some_and(|ext| ext == "parquet"));
    let mut found: Vec<(String, PathBuf)> = parquet.map(|file| (stem_of(&file), file)).collect();
    found.sort();
    found
}

/// The folders of days, of all hosts.
fn days(folder: &Path) -> Vec<PathBuf> {
    list(folder).iter().flat_map(|host| list(host)).collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn journal_bytes(dir: &Path) -> u64 {
    let segments = segments(&dir.join(JOURNAL)).unwrap_or_default();
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
        assert_eq!(removed, Removed { stems: vec!["1".into()], bytes: 1000, unsealed: Vec::new() });
        assert_eq!(enforce(dir.path(), &max, SystemTime::now()), Removed::default());
        assert!(!dir.path().join("samples/host=h/date=1").exists(), "empty partitions go");
        assert!(make_room(dir.path()) && make_room(dir.path()) && !make_room(dir.path()));
        assert!(dir.path().join("journal/x.journal").exists());
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_the_newest_the_oldest() {
        let dir = store(&[("20261124T1300-b-00000000", 500), ("20261124T1200-b-00000001", 500)]);
        assert_eq!(next_number(dir.path()), 2);
        let max = Retention { keep: None, max_disk: Some(1200) };
        assert_eq!(enforce(dir.path(), &max, SystemTime::now()).stems, ["20261124T1300-b-00000000"]);
    }

    #[test]
    fn what_cannot_be_sealed_goes_too_where_nothing_else_is_left_and_drafts_do() {
        let dir = store(&[("1", 500)]);
        for (name, bytes) in [("2", 400), ("3", 400)] {
            fs::write(dir.path().join(format!("journal/{name}.journal")), vec![0; bytes]).unwrap();
        }
        let max = Retention { keep: None, max_disk: Some(450) };
        let removed = enforce(dir.path(), &max, SystemTime::now());
        let names: Vec<_> = removed.unsealed.iter().map(|gone| stem_of(&gone.path)).collect();
        assert_eq!((removed.stems, names), (vec!["1".to_owned()], vec!["2".to_owned(), "3".to_owned()]));
        let draft = dir.path().join("samples/host=h/date=1");
        fs::create_dir_all(&draft).unwrap();
        fs::write(draft.join(".9.parquet.tmp"), "half").unwrap();
        sweep(dir.path(), "9");
        assert!(list(&draft).is_empty());
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
