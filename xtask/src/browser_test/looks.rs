//! How the page looks, beside how it looked when a person last approved it.
//!
//! Fonts differ from machine to machine, so no pixel is compared: the window is divided into cells of 12 pixels, and a cell is as it
//! was if its mean colour is found near its place in the reference. How much of the window may differ is between what another font
//! makes and what a broken layout makes; both are tried at each run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::sh;

/// Width and height of the windows.
pub const WINDOWS: [(u32, u32); 3] = [(1440, 1400), (768, 1400), (390, 1400)];
/// Themes.
pub const THEMES: [&str; 2] = ["light", "dark"];
/// Part of the cells that may differ: another font makes 2 % differ, a chart that is missing 6 %.
pub const MOST: f64 = 0.04;

/// A reference is this much smaller than the window.
const SMALLER: u32 = 6;

/// Shrinks a PNG, or compares one with a reference: the part of the cells that differ.
const SCRIPT: &str = r#"
const [shot, reference, smaller, shrink] = arguments;
const load = (data) => new Promise((done, failed) => { const i = new Image(); i.onload = () => done(i); i.onerror = failed; i.src = "data:image/png;base64," + data; });
const pixels = (image) => { const c = document.createElement("canvas"); c.width = image.width; c.height = image.height; const x = c.getContext("2d"); x.drawImage(image, 0, 0); return x.getImageData(0, 0, c.width, c.height); };
const means = (image, cell) => {
  const { data, width, height } = pixels(image), w = Math.floor(width / cell), h = Math.floor(height / cell), out = [];
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    const sum = [0, 0, 0];
    for (let b = 0; b < cell; b++) for (let a = 0; a < cell; a++) { const i = ((y * cell + b) * width + x * cell + a) * 4; for (let k = 0; k < 3; k++) sum[k] += data[i + k]; }
    out.push(sum.map((s) => s / cell / cell));
  }
  return { w, h, out };
};
return (async () => {
  const now = await load(shot);
  if (shrink) {
    const { w, h, out } = means(now, smaller), c = document.createElement("canvas");
    c.width = w; c.height = h;
    const x = c.getContext("2d"), image = x.createImageData(w, h);
    out.forEach((mean, i) => image.data.set([...mean.map(Math.round), 255], i * 4));
    x.putImageData(image, 0, 0);
    return c.toDataURL("image/png").split(",")[1];
  }
  const a = means(now, smaller * 2), b = means(await load(reference), 2);
  if (a.w !== b.w || a.h !== b.h) return 1;
  // What is there now and was not, and what was and is not there now.
  const lost = (from, to) => {
    let count = 0;
    for (let y = 0; y < from.h; y++) for (let x = 0; x < from.w; x++) {
      let least = Infinity;
      for (let v = Math.max(y - 3, 0); v <= Math.min(y + 3, to.h - 1); v++) for (let u = Math.max(x - 2, 0); u <= Math.min(x + 2, to.w - 1); u++)
        least = Math.min(least, Math.max(...from.out[y * from.w + x].map((m, k) => Math.abs(m - to.out[v * to.w + u][k]))));
      if (least > 14) count++;
    }
    return count / (from.w * from.h);
  };
  return Math.max(lost(a, b), lost(b, a));
})()
"#;

fn script(browser: &Browser, shot: &str, reference: &str, shrink: bool) -> anyhow::Result<Value> {
    browser.ask("POST", "/url", &json!({"url": "about:blank"}))?;
    browser.ask("POST", "/execute/sync", &json!({"script": SCRIPT, "args": [shot, reference, SMALLER, shrink]}))
}

/// The reference of a page in a window.
pub fn reference(page: &str, width: u32, theme: &str) -> PathBuf {
    sh::root().join(format!("xtask/src/browser_test/screens/{page}-{width}-{theme}.png"))
}

/// Writes a PNG that is in base64.
pub fn save(image: &str, file: &Path) -> anyhow::Result<()> {
    fs::write(file, decoded(image)?).with_context(|| format!("write {}", file.display()))
}

/// Makes a screenshot the reference.
pub fn bless(browser: &Browser, shot: &str, file: &Path) -> anyhow::Result<()> {
    let small = script(browser, shot, "", true)?;
    save(small.as_str().context("no picture")?, file)
}

/// The part of the cells of a screenshot that differ from the reference.
pub fn difference(browser: &Browser, shot: &str, file: &Path) -> anyhow::Result<f64> {
    let known = fs::read(file)
        .with_context(|| format!("read {}; `cargo xtask browser-test --bless` writes it", file.display()))?;
    script(browser, shot, &encoded(&known), false)?.as_f64().context("no difference")
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0u32, |n, i| n << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * i)) as usize & 63];
            out.push(if i > three.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

fn decoded(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    let (mut number, mut bits) = (0u32, 0);
    for byte in text.bytes().filter(|byte| !b"=\n\r".contains(byte)) {
        let Some(digit) = DIGITS.iter().position(|digit| *digit == byte) else { bail!("no base64") };
        number = (number << 6 | digit as u32) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((number >> bits) as u8);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_comes_back_as_it_was() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37) ^ 0xa5).collect();
            assert_eq!(decoded(&encoded(&bytes)).ok(), Some(bytes));
        }
        assert_eq!(encoded(b"any"), "YW55");
        assert_eq!(encoded(b"an"), "YW4=");
    }
}
