//! A file that is there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parquet::file::writer::SerializedFileWriter;

use crate::model::fields::Field;
use crate::model::recording::Origin;
use crate::store::error::{Error, at};
use crate::store::schema::{TableKind, properties, schema};

/// A file under a temporary name, which gets its own once it is on the disk.
pub(super) struct AtomicFile {
    pub(super) home: PathBuf,
    pub(super) path: PathBuf,
    pub(super) temporary: PathBuf,
    pub(super) kind: TableKind,
}

impl AtomicFile {
    /// An error in writing it.
    pub(super) fn bad(&self, source: parquet::errors::ParquetError) -> Error {
        Error::Parquet { operation: "write", path: self.temporary.clone(), source }
    }

    /// Begins to write it.
    pub(super) fn create(
        &self,
        origin: &Origin,
        has: impl Fn(&Field) -> bool,
    ) -> Result<SerializedFileWriter<File>, Error> {
        fs::create_dir_all(&self.home).map_err(at("make the folder", &self.home))?;
        let file = File::create(&self.temporary).map_err(at("create", &self.temporary))?;
        let properties = properties(self.kind, origin, has).into();
        SerializedFileWriter::new(file, schema(self.kind), properties).map_err(|source| self.bad(source))
    }

    /// Gives it its name. Returns its size.
    pub(super) fn publish(&self, writer: SerializedFileWriter<File>) -> Result<u64, Error> {
        let file = writer.into_inner().map_err(|source| self.bad(source))?;
        file.sync_all().map_err(at("sync", &self.temporary))?;
        let bytes = file.metadata().map_err(at("read the size of", &self.temporary))?.len();
        fs::rename(&self.temporary, &self.path).map_err(at("name", &self.path))?;
        sync_folder(&self.home).map_err(at("sync the folder", &self.home))?;
        Ok(bytes)
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // The partition folders may be new as well.
    folder.ancestors().take(4).filter(|f| !f.as_os_str().is_empty()).try_for_each(|f| File::open(f)?.sync_all())
}
