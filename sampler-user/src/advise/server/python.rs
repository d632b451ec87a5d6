//! Python behind gunicorn, uvicorn or Celery: each worker holds all of the program, so their number goes with the limit and with
//! what one was seen to hold. Gunicorn's own advice (twice the processors and one) looks at processors only.

use crate::advise::server::seen::{Seen, Server, Setting};

pub const SERVER: Server = Server {
    name: "Python",
    is: |seen| {
        seen.runs(&["gunicorn", "uvicorn", "celery", "hypercorn", "uwsgi", "python", "python3"])
            || seen.is_image(&["python"])
            || seen.environment.contains_key("WEB_CONCURRENCY")
    },
    settings,
};

/// Part of the limit that workers may fill.
const PART: f64 = 0.8;

fn settings(seen: &Seen) -> Vec<Setting> {
    let one = seen.processes.iter().map(|(_, bytes)| *bytes).max().filter(|bytes| *bytes > 0);
    // What a worker holds was not seen: no number is better than a guess.
    let Some(one) = one else { return Vec::new() };
    let most = ((seen.limit as f64 * PART) as u64 / one).max(1);
    let now = seen
        .variable("WEB_CONCURRENCY")
        .or_else(|| seen.option("workers"))
        .or_else(|| seen.option("w"))
        .filter(|now| now.parse::<u64>().is_ok());
    vec![Setting {
        key: "WEB_CONCURRENCY".into(),
        value: most.to_string(),
        line: format!("environment: WEB_CONCURRENCY={most}"),
        because: format!("one process held {}", crate::model::units::bytes(one)),
        out_of_proportion: now.as_deref().and_then(|now| now.parse::<u64>().ok()).is_some_and(|now| now > most),
        seen: now,
    }]
}
