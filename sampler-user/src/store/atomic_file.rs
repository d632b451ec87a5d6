//! A file that is there whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

use crate::store::digest;
use crate::store::error::{Error, at};

/// A file under a temporary name, which gets its own once it is on the disk.
pub(super) struct AtomicFile {
    pub(super) home: PathBuf,
    pub(super) path: PathBuf,
    pub(super) temporary: PathBuf,
}

impl AtomicFile {
    /// An error in writing it.
    pub(super) fn bad(&self, source: parquet::errors::ParquetError) -> Error {
        Error::Write { path: self.path.clone(), source }
    }

    /// Begins to write it.
    pub(super) fn create(
        &self,
        schema: TypePtr,
        properties: WriterProperties,
    ) -> Result<SerializedFileWriter<File>, Error> {
        let folder = DirBuilder::new().recursive(true).mode(0o750).create(&self.home);
        folder.map_err(at("make the folder", &self.home))?;
        // What an earlier try has left is its own file, and never a link to another.
        let _ = fs::remove_file(&self.temporary);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o640).open(&self.temporary);
        let file = file.map_err(at("create", &self.temporary))?;
        SerializedFileWriter::new(file, schema, properties.into()).map_err(|source| self.bad(source))
    }

    /// Gives it its name. Returns its size.
    pub(super) fn publish(&self, mut writer: SerializedFileWriter<File>) -> Result<u64, Error> {
        writer.flush().map_err(at("write", &self.temporary))?;
        let pairs = digest::pairs(writer.inner(), writer.flushed_row_groups());
        for pair in pairs.map_err(at("read back", &self.temporary))? {
            writer.append_key_value_metadata(pair);
        }
        let file = writer.into_inner().map_err(|source| self.bad(source))?;
        digest::finish(&file).map_err(at("write", &self.temporary))?;
        file.sync_all().map_err(at("sync", &self.temporary))?;
        let bytes = file.metadata().map_err(at("read the size of", &self.temporary))?.len();
        fs::rename(&self.temporary, &self.path).map_err(at("name", &self.path))?;
        sync_folder(&self.home).map_err(at("sync the folder", &self.home))?;
        Ok(bytes)
    }
}

/// A draft that was not published goes.
impl Drop for AtomicFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // The partition folders may be new as well.
    folder.ancestors().take(4).filter(|f| !f.as_os_str().is_empty()).try_for_each(|f| File::open(f)?.sync_all())
}
