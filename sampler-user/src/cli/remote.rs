//! Recordings in object storage (feature `object-store`): what is asked for is copied to a folder of its own, one object after the
//! other, and goes away at the end of the command.

use std::ffi::{OsStr, OsString};

/// Beginnings of an address. A path may hold anything else.
const SCHEMES: [&str; 5] = ["s3://", "gs://", "az://", "abfs://", "file://"];
/// Commands that read a recording.
const READERS: [&str; 6] = ["analyze", "postmortem", "report", "info", "export", "advise"];

/// Arguments with the folder of a copy in place of each address. The copies last as long as this.
pub struct Here {
    /// The arguments.
    pub arguments: Vec<OsString>,
    #[cfg(feature = "object-store")]
    _copies: Vec<tempfile::TempDir>,
}

/// Copies what the arguments of a command that reads have addresses of; `None` when they have none.
pub fn fetched(arguments: Vec<OsString>) -> anyhow::Result<Option<Here>> {
    let reads = arguments.get(1).and_then(|word| word.to_str()).is_some_and(|word| READERS.contains(&word));
    let addresses: Vec<String> = arguments.iter().filter_map(|word| address(word)).map(str::to_owned).collect();
    if !reads || addresses.is_empty() {
        return Ok(None);
    }
    copied(arguments, &addresses).map(Some)
}

fn address(word: &OsStr) -> Option<&str> {
    word.to_str().filter(|text| SCHEMES.iter().any(|scheme| text.starts_with(scheme)))
}

#[cfg(not(feature = "object-store"))]
fn copied(_: Vec<OsString>, addresses: &[String]) -> anyhow::Result<Here> {
    anyhow::bail!(
        "open {}: this sampler was built without object storage; build it with `cargo build --release --features object-store`, or \
         copy the recording to a folder",
        sampler::units::printable(&addresses.join(", "))
    )
}

#[cfg(feature = "object-store")]
fn copied(mut arguments: Vec<OsString>, addresses: &[String]) -> anyhow::Result<Here> {
    let copies = addresses.iter().map(|address| copy::of(address)).collect::<anyhow::Result<Vec<_>>>()?;
    let places = arguments.iter_mut().filter(|word| address(word).is_some());
    places.zip(&copies).for_each(|(word, copy)| *word = copy.path().into());
    Ok(Here { arguments, _copies: copies })
}

#[cfg(feature = "object-store")]
mod copy {
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use anyhow::{Context, ensure};
    use futures_util::TryStreamExt;
    use object_store::{ObjectStoreExt, parse_url_opts};
    use sampler::units::printable;

    /// Tables of a recording, and its journal.
    const PARTS: [&str; 6] = ["samples", "host", "processes", "cgroups", "events", "journal"];

    /// A folder with the recording, or the file of one, at an address.
    pub fn of(address: &str) -> anyhow::Result<tempfile::TempDir> {
        let shown = printable(address);
        let url = url::Url::parse(address).with_context(|| format!("read the address {shown}"))?;
        // Keys, regions and endpoints are in the environment, by the names that each provider's own tools have.
        let options =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let (store, root) = parse_url_opts(&url, options.map(|(name, value)| (name.to_ascii_lowercase(), value)))
            .with_context(|| {
                format!("open {shown}; its key and region come from the environment (AWS_…, GOOGLE_…, AZURE_…)")
            })?;
        let folder = tempfile::tempdir().context("make a folder for the copy; TMPDIR may name one with room")?;
        let copy = async {
            let mut listed = store.list(Some(&root));
            let mut files = 0;
            while let Some(object) = listed.try_next().await.with_context(|| format!("list {shown}"))? {
                let below = object.location.prefix_match(&root).into_iter().flatten();
                let below: PathBuf = below.map(|part| part.as_ref().to_owned()).collect();
                let Some(to) = place(&below) else { continue };
                let to = folder.path().join(to);
                if let Some(parent) = to.parent() {
                    std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
                }
                let mut file = std::fs::File::create(&to).with_context(|| format!("make {}", to.display()))?;
                let what = || format!("read {} of {shown}", printable(object.location.as_ref()));
                let mut bytes = store.get(&object.location).await.with_context(what)?.into_stream();
                while let Some(piece) = bytes.try_next().await.with_context(what)? {
                    file.write_all(&piece)
                        .with_context(|| format!("write {}; TMPDIR may name a folder with room", to.display()))?;
                }
                files += 1;
            }
            ensure!(files > 0, "{shown} holds no recording: no samples/….parquet and no journal/….journal below it");
            Ok(())
        };
        crate::cli::agent::runtime()?.block_on(copy)?;
        Ok(folder)
    }

    /// Where an object belongs in the copy, when it is a part of a recording. Its name comes from outside.
    fn place(below: &Path) -> Option<PathBuf> {
        let plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let first = below.components().next()?.as_os_str().to_str()?;
        let suffix = below.extension()?.to_str()?;
        (plain && PARTS.contains(&first) && ["parquet", "journal"].contains(&suffix)).then(|| below.to_owned())
    }
}
