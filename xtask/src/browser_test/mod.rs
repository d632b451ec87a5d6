//! The HTML pages in headless Chromium: how they look at three widths in light and dark, what axe-core finds, what keyboard and mouse
//! do, and that they ask nobody for anything.

mod axe;
mod browser;
#[path = "../../../sampler-user/tests/support/field.rs"]
mod field;
mod keys;
mod looks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use self::browser::Browser;
use self::looks::{MOST, THEMES, WINDOWS};
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make the screenshots the references; look at them first
    #[arg(long)]
    bless: bool,
    /// Make the screenshot the one of the documentation
    #[arg(long)]
    keep: bool,
}

/// The incident whose page is looked at.
const INCIDENT: &str = "data/recordings/sibling";

/// What breaks a page without breaking its text; and what must not count as broken.
const BROKEN: [(&str, &str); 3] = [
    ("no style of its own", "document.querySelectorAll('style').forEach((s) => s.remove())"),
    (
        "the cards in one column",
        "document.head.append(Object.assign(document.createElement('style'), { textContent: '#cards { display: block !important } .card { margin: 12px 0 }' }))",
    ),
    ("no chart", "document.getElementById('chart').remove()"),
];
const OTHER_FONT: &str = "document.head.append(Object.assign(document.createElement('style'), { textContent: '* { font-family: serif !important }' }))";

/// Counts what failed.
#[derive(Default)]
struct Verdict {
    failed: u32,
}

impl Verdict {
    fn check(&mut self, what: &str, holds: bool, detail: &str) {
        self.failed += u32::from(!holds);
        println!("{} {what}: {detail}", if holds { "ok  " } else { "FAIL" });
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    sh::install(&[("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("curl", "curl"), ("npm", "npm")])?;
    let home = sh::target().join("page");
    fs::create_dir_all(&home)?;
    let pages = write_pages(&home)?;
    let axe = axe::script()?;
    let browser = Browser::start(&home)?;
    // What the browser shows before, it asks of itself.
    browser.ask("POST", "/url", &json!({"url": "about:blank"}))?;
    browser.entries("performance")?;
    let mut verdict = Verdict::default();
    for (name, file) in &pages {
        let address = format!("file://{}", file.display());
        for size in WINDOWS {
            for theme in THEMES {
                look(&browser, &mut verdict, &axe, args, name, &address, size, theme)?;
            }
        }
        paper(&browser, &mut verdict, &address)?;
        let bytes = fs::metadata(file)?.len();
        verdict.check(&format!("{name} is small"), bytes < 5 << 20, &format!("{bytes} bytes"));
    }
    let report = format!("file://{}", pages[0].1.display());
    for checks in [keys::keyboard, keys::mouse] {
        browser.open(&report, WINDOWS[0], "light")?;
        checks(&browser)?.iter().for_each(|(what, holds, detail)| verdict.check(what, *holds, detail));
    }
    broken(&browser, &mut verdict, &report)?;
    silent(&browser, &mut verdict, &pages)?;
    if args.keep {
        browser.open(&report, (1200, 1180), "light")?;
        looks::save(&browser.screenshot()?, &sh::root().join("sampler-user/docs/report.png"))?;
    }
    println!("screenshots in {}", home.display());
    if verdict.failed > 0 {
        bail!("{} checks failed", verdict.failed);
    }
    Ok(())
}

/// The report of a busy machine, and the page of one incident.
fn write_pages(home: &Path) -> anyhow::Result<[(&'static str, PathBuf); 2]> {
    let sampler = sh::sampler()?;
    let recording = home.join("recording");
    let _ = fs::remove_dir_all(&recording);
    fs::create_dir_all(&recording)?;
    field::write(&recording);
    let (report, incident) = (home.join("report.html"), home.join("incident.html"));
    sh::run(Command::new(&sampler).arg("report").arg(&recording).arg("--html").arg(&report))?;
    sh::run(Command::new(&sampler).arg("postmortem").arg(sh::root().join(INCIDENT)).arg("--html").arg(&incident))?;
    Ok([("report", report), ("incident", incident)])
}

#[expect(clippy::too_many_arguments, reason = "one page in one window")]
fn look(
    browser: &Browser,
    verdict: &mut Verdict,
    axe: &str,
    args: &Args,
    page: &str,
    address: &str,
    size: (u32, u32),
    theme: &str,
) -> anyhow::Result<()> {
    let what = format!("{page} at {} px, {theme}", size.0);
    browser.open(address, size, theme)?;
    let head =
        browser.run("return [document.querySelectorAll('h1').length, document.querySelector('h1').textContent]")?;
    let names = head[0] == 1 && head[1].as_str().is_some_and(|text| text.contains("OOM-killed"));
    verdict.check(&format!("{what} names the incident first"), names, &head[1].to_string());
    let fits = browser.run(
        "return [document.documentElement.scrollWidth, innerWidth, getComputedStyle(document.body).backgroundColor]",
    )?;
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    verdict.check(&format!("{what} fits"), number(&fits[0]) <= number(&fits[1]) + 1.0, &fits.to_string());
    let dark = fits[2].as_str().is_some_and(|colour| colour == "rgb(15, 18, 21)");
    verdict.check(&format!("{what} has its colours"), dark == (theme == "dark"), &fits[2].to_string());
    let shot = browser.screenshot()?;
    looks::save(&shot, &sh::target().join(format!("page/{page}-{}-{theme}.png", size.0)))?;
    let (grave, checked) = axe::findings(browser, axe)?;
    verdict.check(
        &format!("{what} has no serious finding of axe"),
        grave.is_empty() && checked > 20,
        &format!("{checked} rules; {}", grave.join("; ")),
    );
    let reference = looks::reference(page, size.0, theme);
    if args.bless {
        looks::bless(browser, &shot, &reference)?;
    }
    let part = looks::difference(browser, &shot, &reference)?;
    verdict.check(&format!("{what} looks as approved"), part <= MOST, &format!("{:.1} % differ", 100.0 * part));
    Ok(())
}

/// On paper the page is light and open.
fn paper(browser: &Browser, verdict: &mut Verdict, address: &str) -> anyhow::Result<()> {
    browser.open(address, WINDOWS[0], "dark")?;
    browser.run(
        "window.printed = null; addEventListener('beforeprint', () => { printed = [getComputedStyle(document.documentElement).getPropertyValue('--ink'),
         [...document.querySelectorAll('details')].every((d) => d.open)]; })",
    )?;
    let pdf = browser.devtools("Page.printToPDF", &json!({"printBackground": true}))?;
    let length = pdf["data"].as_str().context("no PDF")?.len();
    let printed = browser.run("return [printed, document.querySelectorAll('details:not([open])').length > 0]")?;
    let holds = printed == json!([["#16191d", true], true]) && length > 20_000;
    verdict.check("prints in light, with everything open", holds, &format!("{printed}, {length} characters"));
    Ok(())
}

/// The comparison of screenshots finds a broken layout, and takes another font for what it is.
fn broken(browser: &Browser, verdict: &mut Verdict, address: &str) -> anyhow::Result<()> {
    for (what, script) in BROKEN {
        let mut least = f64::INFINITY;
        for size in WINDOWS.iter().filter(|(width, _)| *width > 500 || !what.contains("column")) {
            browser.open(address, *size, "light")?;
            browser.run(script)?;
            let shot = browser.screenshot()?;
            least = least.min(looks::difference(browser, &shot, &looks::reference("report", size.0, "light"))?);
        }
        verdict.check(&format!("{what} is seen"), least > MOST, &format!("{:.1} % differ at least", 100.0 * least));
    }
    let mut most = 0.0_f64;
    for size in WINDOWS {
        browser.open(address, size, "light")?;
        browser.run(OTHER_FONT)?;
        let shot = browser.screenshot()?;
        most = most.max(looks::difference(browser, &shot, &looks::reference("report", size.0, "light"))?);
    }
    verdict.check("another font is no other layout", most <= MOST, &format!("{:.1} % differ at most", 100.0 * most));
    Ok(())
}

/// No message on the console, and no request but for the pages themselves.
fn silent(browser: &Browser, verdict: &mut Verdict, pages: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    let errors: Vec<String> = browser.entries("browser")?.iter().map(|entry| entry["message"].to_string()).collect();
    verdict.check("no console message", errors.is_empty(), &errors.join("; "));
    let events = browser.entries("performance")?;
    let asked: Vec<String> = events
        .iter()
        .filter_map(|entry| serde_json::from_str::<Value>(entry["message"].as_str()?).ok())
        .filter(|entry| entry["message"]["method"] == "Network.requestWillBeSent")
        .filter_map(|entry| entry["message"]["params"]["request"]["url"].as_str().map(str::to_owned))
        .collect();
    let is_page = |url: &String| pages.iter().any(|(_, file)| url.contains(&format!("file://{}", file.display())));
    let foreign: Vec<&String> =
        asked.iter().filter(|url| !is_page(url) && !url.starts_with("data:") && *url != "about:blank").collect();
    let detail = format!("{} requests, {foreign:?} of them foreign", asked.len());
    verdict.check("asks for nothing but itself", foreign.is_empty() && !asked.is_empty(), &detail);
    Ok(())
}
