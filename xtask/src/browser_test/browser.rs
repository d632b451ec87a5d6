//! Headless Chromium by WebDriver.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

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
    "--hide-scrollbars",
];
const PORT: u16 = 9517;

/// The browser; ended with it.
pub struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    /// Starts it, with its files below `home`.
    pub fn start(home: &Path) -> anyhow::Result<Browser> {
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
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "60", "-X", method]).stderr(Stdio::null());
        if method == "POST" {
            curl.args(["-H", "content-type: application/json", "-H", "expect:", "--data-binary", "@-"]);
        }
        curl.arg(format!("http://127.0.0.1:{PORT}{}{path}", self.session)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut curl = curl.spawn().context("start curl")?;
        // A script may be longer than an argument.
        curl.stdin.take().context("no pipe to curl")?.write_all(body.to_string().as_bytes())?;
        let output = curl.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let shown: String = text.chars().take(300).collect();
        let answer: Value = serde_json::from_str(&text).with_context(|| format!("chromedriver answered {shown}"))?;
        if !answer["value"]["error"].is_null() {
            bail!("{path}: {}", answer["value"]["message"]);
        }
        Ok(answer["value"].clone())
    }

    /// Runs JavaScript in the page.
    pub fn run(&self, script: &str) -> anyhow::Result<Value> {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// One command of the DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> anyhow::Result<Value> {
        self.ask("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// What the window shows: a PNG in base64.
    pub fn screenshot(&self) -> anyhow::Result<String> {
        let image = self.ask("GET", "/screenshot", &Value::Null)?;
        Ok(image.as_str().context("no screenshot")?.to_owned())
    }

    /// Loads a page in a window of this width and height, in light or dark.
    pub fn open(&self, address: &str, (width, height): (u32, u32), theme: &str) -> anyhow::Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", &size)?;
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.devtools("Emulation.setEmulatedMedia", &features)?;
        self.ask("POST", "/url", &json!({"url": address}))?;
        Ok(())
    }

    /// Presses and releases keys one after the other, as a person does; a name such as `Tab` is one key.
    pub fn press(&self, keys: &[&str]) -> anyhow::Result<()> {
        let code = |key: &str| match key {
            "Tab" => "\u{e004}".to_owned(),
            "Enter" => "\u{e007}".to_owned(),
            "Escape" => "\u{e00c}".to_owned(),
            "Space" => " ".to_owned(),
            "ArrowLeft" => "\u{e012}".to_owned(),
            "ArrowRight" => "\u{e014}".to_owned(),
            other => other.to_owned(),
        };
        let actions: Vec<Value> = keys
            .iter()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": code(key)}), json!({"type": "keyUp", "value": code(key)})]
            })
            .collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.ask("POST", "/actions", &body)?;
        Ok(())
    }

    /// The entries of a log since the last look.
    pub fn entries(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
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
