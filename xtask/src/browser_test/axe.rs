//! axe-core: what keeps a person with a screen reader, a keyboard or weak eyes from reading the page.

use std::fs;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use super::browser::Browser;
use crate::sh;

/// The checker, from npm.
const PACKAGE: &str = "axe-core@4.14.1";

/// Its script.
pub fn script() -> anyhow::Result<String> {
    let home = sh::target().join("axe");
    let path = home.join("node_modules/axe-core/axe.min.js");
    if !path.exists() {
        fs::create_dir_all(&home)?;
        let npm = ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix"];
        sh::run(Command::new("npm").args(npm).arg(&home).arg(PACKAGE))?;
    }
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// Serious and critical findings of a page with everything open, and how many rules were checked.
pub fn findings(browser: &Browser, script: &str) -> anyhow::Result<(Vec<String>, usize)> {
    browser.run(&format!("{script}; document.querySelectorAll('details').forEach((d) => (d.open = true));"))?;
    let found = browser.run(
        "return axe.run(document, { resultTypes: ['violations'] }).then((r) => [r.passes.length + r.violations.length,
         r.violations.map((v) => [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 120), v.nodes[0].failureSummary])])",
    )?;
    let checked = found[0].as_u64().unwrap_or(0) as usize;
    let all = found[1].as_array().cloned().unwrap_or_default();
    let grave = |one: &&Value| one[0] == "serious" || one[0] == "critical";
    Ok((all.iter().filter(grave).map(Value::to_string).collect(), checked))
}
