//! Generated documents.

use std::fs;
use std::process::Command;

use crate::sh;

/// Writes `docs/fields.md` from the field table.
pub fn run() -> anyhow::Result<()> {
    let text = sh::read(Command::new(sh::sampler()?).args(["fields", "--markdown"]))?;
    fs::write(sh::root().join("sampler-user/docs/fields.md"), text)?;
    Ok(())
}
