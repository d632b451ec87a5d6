//! Generated documents.

use std::fs;
use std::process::Command;

use crate::sh;

/// Writes `docs/fields.md` from the field table, and `docs/findings.md` from the tables of findings.
pub fn run() -> anyhow::Result<()> {
    for (name, options) in [("fields", &["--markdown"][..]), ("findings", &["--findings", "--markdown"])] {
        let text = sh::read(Command::new(sh::sampler()?).arg("fields").args(options))?;
        fs::write(sh::root().join(format!("sampler-user/docs/{name}.md")), text)?;
    }
    Ok(())
}
