//! The page by keyboard and mouse, with real events.

use serde_json::{Value, json};

use super::browser::Browser;

/// What was tried, whether it went as it must, and what was seen.
pub type Check = (&'static str, bool, String);

const RANGE: &str = "return plots[0].scales.x.max - plots[0].scales.x.min";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn focus(browser: &Browser, element: &str) -> anyhow::Result<()> {
    browser.run(&format!("{element}.focus()")).map(drop)
}

/// The report by the keyboard.
pub fn keyboard(browser: &Browser) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    // All that can be used can be reached by Tab alone, the link over the head first.
    let mut reached: Vec<String> = Vec::new();
    for _ in 0..600 {
        browser.press(&["Tab"])?;
        let at = browser.run(
            "const e = document.activeElement; if (e === document.body) return null; window.been = window.been || new Set();
             if (been.has(e)) return null; been.add(e); return (e.id || e.className || e.tagName) + '|' + e.tagName",
        )?;
        let Some(at) = at.as_str() else { break };
        reached.push(at.to_owned());
    }
    let missed = browser.run(
        "return [...document.querySelectorAll('a[href], button, select, summary, [tabindex=\"0\"]')]
         .filter((e) => e.checkVisibility() && e.getClientRects().length && !been.has(e)).map((e) => e.outerHTML.slice(0, 80))",
    )?;
    let first = reached.first().cloned().unwrap_or_default();
    let all = first.starts_with("skip") && missed == json!([]) && reached.len() > 30;
    checks.push(("Tab reaches everything", all, format!("{} stops, first {first}, missed {missed}", reached.len())));

    let sort = "document.querySelectorAll('#all thead .sort')[3]";
    focus(browser, sort)?;
    let column = "return [...document.querySelectorAll('#all tbody tr')].map((r) => r.children[3].textContent)";
    browser.press(&["Enter"])?;
    let order = "return document.querySelectorAll('#all thead th')[3].getAttribute('aria-sort')";
    let (down, first) = (browser.run(order)?, browser.run(column)?);
    browser.press(&["Space"])?;
    let (up, second) = (browser.run(order)?, browser.run(column)?);
    let turned =
        first.as_array().zip(second.as_array()).is_some_and(|(a, b)| a.iter().rev().eq(b.iter()) && a.len() > 3);
    let sorted = down == "descending" && up == "ascending" && turned;
    checks.push(("keys sort a table, both ways", sorted, format!("{down} {first}, {up} {second}")));

    let rows = "return document.querySelectorAll('#all tbody tr').length";
    let few = number(&browser.run(rows)?);
    focus(browser, "document.querySelector('#all .tools button')")?;
    browser.press(&["Space"])?;
    let many = number(&browser.run(rows)?);
    checks.push(("a key shows the folded cgroups", few <= 10.0 && many >= 60.0, format!("{few}, then {many}")));

    let rows = "return document.querySelectorAll('#eventlist tbody tr').length";
    let own = number(&browser.run(rows)?);
    focus(browser, "document.querySelector('#eventlist .tools button')")?;
    browser.press(&["Enter"])?;
    let all = number(&browser.run(rows)?);
    browser.press(&["Enter"])?;
    let back = number(&browser.run(rows)?);
    let switched = own > 0.0 && own < 20.0 && all > 60.0 && back == own;
    checks.push((
        "events are those of the incidents until a key asks for all",
        switched,
        format!("{own}, {all}, {back}"),
    ));

    let whole = number(&browser.run(RANGE)?);
    focus(browser, "document.getElementById('chart')")?;
    browser.press(&["ArrowRight", "ArrowRight"])?;
    let value = browser.run("return document.querySelector('#legend .value').textContent")?;
    checks.push((
        "arrows show the values of a time",
        value.as_str().is_some_and(|v| v.contains('B')),
        value.to_string(),
    ));
    browser.press(&["+"])?;
    let near = number(&browser.run(RANGE)?);
    browser.press(&["Escape"])?;
    let far = number(&browser.run(RANGE)?);
    checks.push((
        "keys zoom and come back",
        near < 0.7 * whole && far == whole,
        format!("{whole} s, {near} s, {far} s"),
    ));

    focus(browser, "document.querySelector('#legend button')")?;
    browser.press(&["Space"])?;
    let off = browser
        .run("return [document.activeElement.getAttribute('aria-pressed'), document.activeElement.parentNode.id]")?;
    checks.push(("a key switches a line off, and stays there", off == json!(["false", "legend"]), off.to_string()));

    browser.run("document.querySelectorAll('.incident').forEach((d) => (d.open = false))")?;
    focus(browser, "document.querySelector('#head .links a')")?;
    browser.press(&["Enter"])?;
    let opened = browser.run("return [location.hash, document.querySelector(location.hash).open]")?;
    checks.push(("a sentence leads to its evidence", opened == json!(["#incident-0", true]), opened.to_string()));
    Ok(checks)
}

/// The report by the mouse.
pub fn mouse(browser: &Browser) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    let drawn = browser.run(
        "const c = document.querySelector('#chart canvas'); const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
         const seen = new Set(); for (let i = 0; i < p.length; i += 404) seen.add(p[i] << 16 | p[i + 1] << 8 | p[i + 2]);
         return [document.querySelectorAll('canvas').length, seen.size, document.querySelectorAll('.multiple svg .line').length]",
    )?;
    let draws = number(&drawn[0]) >= 1.0 && number(&drawn[1]) > 10.0 && number(&drawn[2]) >= 8.0;
    checks.push(("draws", draws, format!("{} plots, {} colours, {} small ones", drawn[0], drawn[1], drawn[2])));
    let whole = number(&browser.run(RANGE)?);
    let over = browser.run(
        "document.querySelector('#memory').scrollIntoView();
         const r = document.querySelector('#chart .u-over').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]",
    )?;
    let x = |part: f64| (number(&over[0]) + part * number(&over[2])) as i64;
    let y = (number(&over[1]) + 0.5 * number(&over[3])) as i64;
    let step = |part: f64| json!({"type": "pointerMove", "duration": 100, "x": x(part), "y": y});
    let drag = json!({"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": [
        step(0.5), {"type": "pointerDown", "button": 0}, step(0.6), step(0.8), {"type": "pointerUp", "button": 0}, step(0.7)]}]});
    browser.ask("POST", "/actions", &drag)?;
    let zoomed = number(&browser.run(RANGE)?);
    let all = browser.run("return plots.every((p) => p.scales.x.min === plots[0].scales.x.min)")?;
    checks.push((
        "a drag zooms, all plots together",
        zoomed < 0.4 * whole && all == true,
        format!("{whole} s to {zoomed} s"),
    ));
    let value = browser.run("return document.querySelector('#legend .value').textContent")?;
    checks.push(("the pointer shows values", value.as_str().is_some_and(|v| !v.is_empty()), value.to_string()));
    let toggled = browser.run(
        "document.getElementById('whole').click(); const before = plots[0].data[2].some((v) => v > 0);
         document.querySelectorAll('#legend button')[1].click(); return [before, plots[0].data[2].some((v) => v > 0)]",
    )?;
    checks.push(("a click switches a line off", toggled == json!([true, false]), toggled.to_string()));
    let sum = browser.run(
        "document.querySelectorAll('#modes button')[1].click(); const d = plots[0].data;
         return Math.max(...d[d.length - 1].map((v) => v || 0)) >= Math.max(...d[1].map((v) => v || 0))",
    )?;
    checks.push(("memory is drawn as a sum", sum == true, sum.to_string()));
    let parts = browser
        .run("document.querySelector('.multiple .spark').click(); return [plots[0].series.length, subject.value]")?;
    let shown = number(&parts[0]) >= 3.0 && parts[1].as_str().is_some_and(|path| path.starts_with("/docker/"));
    checks.push(("a small chart opens the parts of its cgroup", shown, parts.to_string()));
    let lives = browser.run(
        "const one = recording.incidents[0], life = { from_us: one.time_us - 9e6, to_us: one.time_us - 5e6, start_bytes: 1e6, end_bytes: 5e7, rate_bytes_per_s: 1e6, ended: 'oom-kill' };
         one.loop = {}; one.lives = [life, life, { ...life, to_us: one.time_us }]; incidents();
         return [...document.querySelectorAll('#incident-0-lives tbody tr')].map((row) => row.children.length)",
    )?;
    checks.push(("draws the lives of a restart loop", lives == json!([6, 6, 6]), lives.to_string()));
    let minute = browser.run(
        // The plots are new, and have their scales a moment later.
        "const s = document.getElementById('set'); s.value = 1; s.dispatchEvent(new Event('change'));
         return new Promise((done) => setTimeout(() => done(plots[0].scales.x.max - plots[0].scales.x.min), 300))",
    )?;
    checks.push(("shows the last minute", (60.0..=70.0).contains(&number(&minute)), format!("{minute} s")));
    Ok(checks)
}
