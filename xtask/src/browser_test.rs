//! The HTML report in headless Chromium, by WebDriver: it renders, zooms and toggles, says no error, and asks nobody for anything.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recording to show.
    #[arg(long, default_value = "data/recordings/cache-not-at-fault")]
    recording: String,
    /// Keep the screenshot as the one of the documentation.
    #[arg(long)]
    keep: bool,
}

/// Without what Chromium asks of the network by itself.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1400",
];
const PORT: u16 = 9517;

/// The browser; ended with it.
struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    fn start(home: &Path) -> anyhow::Result<Browser> {
        let log = fs::File::create(home.join("chromedriver.log"))?;
        let driver = Command::new("/usr/bin/chromedriver")
            .arg(format!("--port={PORT}"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start chromedriver")?;
        let mut browser = Browser { driver, session: String::new() };
        let begun = Instant::now();
        while browser.ask("GET", "/status", &Value::Null).is_err() {
            if begun.elapsed() > Duration::from_secs(20) {
                bail!("chromedriver does not answer");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let profile = home.join("profile");
        let _ = fs::remove_dir_all(&profile);
        let flags: Vec<String> = FLAGS
            .iter()
            .map(|flag| (*flag).to_owned())
            .chain([format!("--user-data-dir={}", profile.display())])
            .collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made = browser.ask("POST", "/session", &wanted)?;
        browser.session = format!("/session/{}", made["sessionId"].as_str().context("no session")?);
        Ok(browser)
    }

    /// One request of the WebDriver protocol.
    fn ask(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "60", "-X", method]).stderr(Stdio::null());
        if method == "POST" {
            curl.args(["-H", "content-type: application/json", "--data-binary", &body.to_string()]);
        }
        let text = sh::read(curl.arg(format!("http://127.0.0.1:{PORT}{}{path}", self.session)))?;
        let answer: Value = serde_json::from_str(&text).with_context(|| format!("chromedriver said {text}"))?;
        if !answer["value"]["error"].is_null() {
            bail!("{path}: {}", answer["value"]["message"]);
        }
        Ok(answer["value"].clone())
    }

    /// Runs JavaScript in the page.
    fn run(&self, script: &str) -> anyhow::Result<Value> {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    fn devtools(&self, command: &str, parameters: &Value) -> anyhow::Result<Value> {
        self.ask("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    fn screenshot(&self, file: &Path) -> anyhow::Result<()> {
        let image = self.ask("GET", "/screenshot", &Value::Null)?;
        let draft = file.with_extension("base64");
        fs::write(&draft, image.as_str().context("no screenshot")?)?;
        sh::run(Command::new("sh").args(["-c", "base64 -d \"$0\" > \"$1\""]).arg(&draft).arg(file))?;
        Ok(fs::remove_file(draft)?)
    }

    fn entries(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let entries = self.ask("POST", "/se/log", &json!({"type": kind}))?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.ask("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    sh::install(&[("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("curl", "curl")])?;
    let home = sh::root().join("target/page");
    fs::create_dir_all(&home)?;
    let sampler = sh::sampler()?;
    let page = home.join("report.html");
    let recording = sh::root().join(&args.recording);
    sh::run(Command::new(sampler).arg("report").arg(recording).arg("--html").arg(&page))?;
    let browser = Browser::start(&home)?;
    let address = format!("file://{}", page.display());
    // What the browser shows before, it asks of itself.
    browser.ask("POST", "/url", &json!({"url": "about:blank"}))?;
    browser.entries("performance")?;
    browser.ask("POST", "/url", &json!({"url": address}))?;

    let mut failed = 0;
    let mut check = |what: &str, holds: bool, detail: String| {
        failed += u32::from(!holds);
        println!("{} {what}: {detail}", if holds { "ok  " } else { "FAIL" });
    };
    let drawn = browser.run(
        "const c = document.querySelector('#memory canvas'); const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
         const seen = new Set(); for (let i = 0; i < p.length; i += 404) seen.add(p[i] << 16 | p[i + 1] << 8 | p[i + 2]);
         return [document.querySelectorAll('canvas').length, seen.size, document.querySelectorAll('.verdict').length]",
    )?;
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    check(
        "draws",
        number(&drawn[0]) >= 2.0 && number(&drawn[1]) > 10.0,
        format!("{} plots, {} colours", drawn[0], drawn[1]),
    );
    check("shows the incident", number(&drawn[2]) >= 1.0, format!("{} verdicts", drawn[2]));
    browser.screenshot(&home.join("light.png"))?;

    let range = "return plots[0].scales.x.max - plots[0].scales.x.min";
    let whole = number(&browser.run(range)?);
    let over = browser.run(
        "const plots = document.querySelector('#plots'); plots.scrollIntoView();
         const r = document.querySelector('#memory .u-over').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]",
    )?;
    let x = |part: f64| (number(&over[0]) + part * number(&over[2])) as i64;
    let y = (number(&over[1]) + 0.5 * number(&over[3])) as i64;
    let step = |part: f64| json!({"type": "pointerMove", "duration": 100, "x": x(part), "y": y});
    let drag = json!({"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": [
        step(0.5), {"type": "pointerDown", "button": 0}, step(0.6), step(0.8), {"type": "pointerUp", "button": 0}, step(0.7)]}]});
    browser.ask("POST", "/actions", &drag)?;
    let zoomed = number(&browser.run(range)?);
    let both = browser.run("return plots.every((p) => p.scales.x.min === plots[0].scales.x.min)")?;
    check(
        "zooms by a drag, all plots together",
        zoomed < 0.4 * whole && both == true,
        format!("{whole:.0} s to {zoomed:.0} s"),
    );
    let shown = browser.run("return document.querySelector('#legend output').textContent")?;
    check("shows the values under the pointer", shown.as_str().is_some_and(|text| !text.is_empty()), shown.to_string());
    browser.screenshot(&home.join("zoomed.png"))?;
    let toggled = browser.run(
        "document.getElementById('whole').click(); const before = plots[0].data[1].some((v) => v > 0);
         document.querySelector('#legend button').click(); return [before, plots[0].data[1].some((v) => v > 0)]",
    )?;
    check("switches a cgroup off", toggled == json!([true, false]), toggled.to_string());
    let parts = browser.run(
        "document.querySelector('#legend button').click(); const s = document.getElementById('subject');
         s.value = recording.incidents[0].suspect; s.dispatchEvent(new Event('change')); return plots[0].series.length",
    )?;
    check("shows the parts of one cgroup", number(&parts) > 4.0, format!("{parts} series"));
    let sets = browser.run(
        // The plots are new, and have their scales a moment later.
        "document.querySelectorAll('#sets button')[1].click();
         return new Promise((done) => setTimeout(() => done(plots[0].scales.x.max - plots[0].scales.x.min), 300))",
    )?;
    check("shows the last minute", (60.0..=70.0).contains(&number(&sets)), format!("{sets} s"));
    browser.screenshot(&home.join("minute.png"))?;

    let narrow = json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true});
    browser.devtools("Emulation.setDeviceMetricsOverride", &narrow)?;
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.devtools("Emulation.setEmulatedMedia", &dark)?;
    browser.ask("POST", "/url", &json!({"url": address}))?;
    let phone = browser.run(
        "return [document.documentElement.scrollWidth, innerWidth, getComputedStyle(document.body).backgroundColor]",
    )?;
    check("fits a phone", number(&phone[0]) <= number(&phone[1]) + 1.0, phone.to_string());
    check("is dark where that is wanted", phone[2] == "rgb(20, 23, 26)", phone[2].to_string());
    browser.screenshot(&home.join("phone.png"))?;

    let errors: Vec<String> = browser.entries("browser")?.iter().map(|entry| entry["message"].to_string()).collect();
    check("no console message", errors.is_empty(), errors.join("; "));
    let events = browser.entries("performance")?;
    let asked: Vec<String> = events
        .iter()
        .filter_map(|entry| serde_json::from_str::<Value>(entry["message"].as_str()?).ok())
        .filter(|entry| entry["message"]["method"] == "Network.requestWillBeSent")
        .filter_map(|entry| entry["message"]["params"]["request"]["url"].as_str().map(str::to_owned))
        .collect();
    let foreign: Vec<&String> = asked.iter().filter(|url| **url != address && !url.starts_with("data:")).collect();
    check(
        "asks for nothing but itself",
        foreign.is_empty() && !asked.is_empty(),
        format!("{} requests {foreign:?}", asked.len()),
    );
    let bytes = fs::metadata(&page)?.len();
    check("is small", bytes < 5 << 20, format!("{bytes} bytes"));
    if args.keep {
        fs::copy(home.join("light.png"), sh::root().join("sampler-user/docs/report.png"))?;
    }
    println!("screenshots in {}", home.display());
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}
