//! Without the feature `object-store`.

use std::ops::Range;
use std::path::PathBuf;

use sampler::model::units::printable;

/// No copy.
#[derive(Default)]
pub struct Copy {}

impl Copy {
    /// Says what it takes.
    pub fn of(&mut self, address: &str, _: &Range<i64>) -> anyhow::Result<PathBuf> {
        anyhow::bail!(
            "open {}: this sampler was built without object storage; build it with `cargo build --release --features \
             object-store`, or copy the recording to a folder",
            printable(address)
        )
    }
}
