//! The user's own files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use sampler::model::units::bytes;

/// The bytes of a file, which is at most `most` bytes large.
pub fn read_file(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let what = || format!("read {}", path.display());
    let mut content = Vec::new();
    File::open(path).with_context(what)?.take(most + 1).read_to_end(&mut content).with_context(what)?;
    if content.len() as u64 > most {
        bail!("read {}: it is larger than {}", path.display(), bytes(most));
    }
    Ok(content)
}
