//! Copies of recordings in object storage, below one folder that goes away: `s3://bucket/a/b` is at `s3:/bucket/a/b` in it.

mod failure;
mod provider;

use std::cell::Cell;
use std::fs::File;
use std::future::ready;
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use failure::failure;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use sampler::model::findings::{IncidentRow, LifeRow, RecordingRow, Row};
use sampler::model::time::date_of_us;
use sampler::model::units::{bytes, printable};
use sampler::ui::terminal::say;
use sampler::{agent, store};
use tempfile::TempDir;
use url::Url;

use crate::cli::{exit, record};

/// Objects that are fetched at the same time.
const AT_ONCE: usize = 8;
/// Tables with rows of a time. The others are small, and hold what is older than they are asked for.
const WIDE: [&str; 3] = ["samples", "host", "processes"];
const OTHERS: [&str; 6] =
    ["cgroups", "events", store::JOURNAL, LifeRow::TABLE, IncidentRow::TABLE, RecordingRow::TABLE];
const DAY_US: i64 = 86_400_000_000;

/// The copy; empty until something is asked for.
#[derive(Default)]
pub struct Copy {
    folder: Option<TempDir>,
}

impl Copy {
    /// The path of what is at an address, as far as it may have rows of `time`.
    pub fn of(&mut self, address: &str, time: &Range<i64>) -> anyhow::Result<PathBuf> {
        let url = Url::parse(address).with_context(|| format!("read the address {}", printable(address)))?;
        if url.scheme() == "file" {
            return url.to_file_path().map_err(|()| anyhow!("read the address {}: it has a host", printable(address)));
        }
        let (store, root) = provider::open(&url)?;
        let folder = self.folder()?.join(format!("{}:", url.scheme())).join(url.authority());
        let bucket = format!("{}://{}", url.scheme(), url.authority());
        let source = Source { address, bucket, store, root, folder };
        agent::runtime()?.block_on(source.fetch(time))?;
        Ok(source.folder.join(source.root.as_ref()))
    }

    fn folder(&mut self) -> anyhow::Result<&Path> {
        let made = match self.folder.take() {
            Some(made) => made,
            None => {
                let made = tempfile::Builder::new().prefix("sampler-").tempdir();
                let made = made.context("make a folder for the copy; TMPDIR may name where")?;
                let _ = crate::cli::remote::display::COPY.set(made.path().display().to_string());
                leave_nothing(made.path().to_owned())?;
                made
            }
        };
        Ok(self.folder.insert(made).path())
    }
}

/// A signal ends the command and the copy.
fn leave_nothing(folder: PathBuf) -> anyhow::Result<()> {
    let runtime = agent::runtime()?;
    let stopped = runtime.block_on(async { record::stopped(None) })?;
    std::thread::spawn(move || {
        let signal = runtime.block_on(stopped);
        // Twice: an object may be written meanwhile.
        for _ in 0..2 {
            let _ = std::fs::remove_dir_all(&folder);
        }
        say(&format!("sampler: stopped by {signal}; the copy is removed"));
        std::process::exit(exit::FAILED.into());
    });
    Ok(())
}

struct Source<'a> {
    address: &'a str,
    bucket: String,
    store: Box<dyn ObjectStore>,
    root: object_store::path::Path,
    folder: PathBuf,
}

impl Source<'_> {
    async fn fetch(&self, time: &Range<i64>) -> anyhow::Result<()> {
        let objects = self.objects().await.map_err(|error| failure("open", self.address, error))?;
        if objects.is_empty() {
            return Err(store::Error::NoRecording { path: self.address.into() }.into());
        }
        let mut wanted: Vec<_> = objects.iter().filter(|object| may_have_rows(object, time)).collect();
        if wanted.is_empty() {
            // A recording without rows of this time is one.
            wanted.extend(objects.first());
        }
        let progress = Progress::new(wanted.iter().map(|object| object.size).sum());
        let fetched = stream::iter(wanted)
            .map(|object| self.get(object, &progress))
            .buffer_unordered(AT_ONCE)
            .try_for_each(|()| ready(Ok(())))
            .await;
        progress.end();
        fetched
    }

    /// The parts of a recording below the root, or what the root itself names.
    async fn objects(&self) -> object_store::Result<Vec<ObjectMeta>> {
        if self.root.extension().is_some_and(is_part) {
            return Ok(vec![self.store.head(&self.root).await?]);
        }
        let listed = self.store.list(Some(&self.root));
        listed.try_filter(|object| ready(self.belongs(&object.location))).try_collect().await
    }

    fn belongs(&self, location: &object_store::path::Path) -> bool {
        let first = location.prefix_match(&self.root).and_then(|mut below| below.next());
        let of_recording = |name: &str| WIDE.contains(&name) || OTHERS.contains(&name);
        location.extension().is_some_and(is_part) && first.is_some_and(|name| of_recording(name.as_ref()))
    }

    async fn get(&self, object: &ObjectMeta, progress: &Progress) -> anyhow::Result<()> {
        let name = object.location.as_ref();
        let address = format!("{}/{name}", self.bucket);
        let failed = |error| failure("read", &address, error);
        // Who may write into a bucket chooses the names in it, but no `..`: the library takes a list with one for damaged.
        let to = self.folder.join(name);
        let written = |error: std::io::Error| {
            let temporary = std::env::temp_dir();
            let what = format!("copy {} below {}", printable(&address), temporary.display());
            anyhow!(error).context(what + "; TMPDIR may name a folder with more room")
        };
        to.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(written)?;
        let mut file = File::create(&to).map_err(written)?;
        let mut pieces = self.store.get(&object.location).await.map_err(failed)?.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            file.write_all(&piece).map_err(written)?;
            progress.add(piece.len() as u64);
        }
        Ok(())
    }
}

fn is_part(extension: &str) -> bool {
    ["parquet", "journal"].contains(&extension)
}

/// Whether rows of `time` may be in it: the day of its folder is when it begins, and it ends before it is written. A day is
/// left for clocks that differ.
fn may_have_rows(object: &ObjectMeta, time: &Range<i64>) -> bool {
    let parts: Vec<_> = object.location.parts().collect();
    let [.., table, _, day, _] = parts.as_slice() else { return true };
    let Some(day) = day.as_ref().strip_prefix("date=").filter(|_| WIDE.contains(&table.as_ref())) else { return true };
    let begins_later = time.end != i64::MAX && day > date_of_us(time.end).as_str();
    let is_over = time.start != i64::MIN
        && day < date_of_us(time.start).as_str()
        && object.last_modified.timestamp_micros().saturating_add(DAY_US) < time.start;
    !begins_later && !is_over
}

/// What is copied so far, in one line of a terminal.
struct Progress {
    copied: Cell<u64>,
    of: u64,
    shown: bool,
}

impl Progress {
    fn new(of: u64) -> Progress {
        Progress { copied: Cell::new(0), of, shown: std::io::stderr().is_terminal() }
    }

    fn add(&self, copied: u64) {
        let percent = |copied: u64| copied.saturating_mul(100) / self.of.max(1);
        let before = self.copied.replace(self.copied.get() + copied);
        if self.shown && percent(before) < percent(self.copied.get()) {
            let copied = bytes(self.copied.get());
            let _ = write!(std::io::stderr(), "\rsampler: copied {copied} of {}\x1b[K", bytes(self.of));
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
