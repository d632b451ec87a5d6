//! What is true of a service of the field: `data/field/truth/SERVICE.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// The truth of one service.
#[derive(Debug)]
pub struct Truth {
    /// The service of the Compose file.
    pub service: String,
    /// Least and most OOM kills: that what should happen did. How many there were, the kernel counts.
    pub kills: (usize, usize),
    /// Only in the long form.
    pub long: bool,
    /// Name of each victim.
    pub victim: Option<String>,
    /// Exit code of the container's main process, each time.
    pub exit: Option<i64>,
    /// Whose limit is hit, where it is, and how many bytes it has.
    pub owner: Option<String>,
    pub limit_cgroup: Option<String>,
    pub limit: Option<u64>,
    /// The cause of each kill, from this one on.
    pub cause: Option<String>,
    pub cause_from: usize,
    /// A restart loop: each command has the same cause for it, and its alert lines go on.
    pub is_loop: bool,
    /// Kills that never pause: they are counted, and the first of them is reported by itself.
    pub storm: bool,
    /// Deaths that are no OOM kill, the words of their verdict, and who sent the signal: one of these.
    pub deaths: usize,
    pub says: Vec<String>,
    pub sender: Vec<String>,
    /// Nothing may be said against it.
    pub healthy: bool,
    /// It stands at this limit, bytes, by itself.
    pub at_limit: Option<u64>,
    /// It costs no more rows than this service, which is at rest.
    pub rows_as: Option<String>,
}

impl Truth {
    /// Reads the truth of a service.
    pub fn read(folder: &Path, service: &str) -> anyhow::Result<Truth> {
        let path = folder.join(format!("{service}.toml"));
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut keys = pairs(&text).with_context(|| format!("read {}", path.display()))?;
        let mut take = |key: &str| keys.remove(key);
        let word = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        let words = |value: Option<Value>| -> Vec<String> {
            value
                .as_ref()
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|w| word(Some(w.clone())))
                .collect()
        };
        let number = |value: Option<Value>| value.as_ref().and_then(Value::as_u64);
        let is = |value: Option<Value>| value.as_ref().and_then(Value::as_bool).unwrap_or(false);
        let kills = take("kills").context("no `kills`")?;
        let bound = |at: usize| kills[at].as_u64().map(|bound| bound as usize).context("`kills` is [least, most]");
        take("happened").context("no `happened`")?;
        let truth = Truth {
            service: service.to_owned(),
            kills: (bound(0)?, bound(1)?),
            long: is(take("long")),
            victim: word(take("victim")),
            exit: take("exit").and_then(|value| value.as_i64()),
            owner: word(take("owner")),
            limit_cgroup: word(take("limit_cgroup")),
            limit: number(take("limit")),
            cause: word(take("cause")),
            cause_from: number(take("cause_from")).unwrap_or(1) as usize,
            is_loop: is(take("loop")),
            storm: is(take("storm")),
            deaths: number(take("deaths")).unwrap_or(0) as usize,
            says: words(take("says")),
            sender: words(take("sender")),
            healthy: is(take("healthy")),
            at_limit: number(take("at_limit")),
            rows_as: word(take("rows_as")),
        };
        match keys.pop_first() {
            None => Ok(truth),
            Some((key, _)) => anyhow::bail!("{} has `{key}`, which nothing looks at", path.display()),
        }
    }
}

/// `key = value` lines whose values are written as JSON has them, which TOML has as well.
fn pairs(text: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (key, value) = line.split_once(" = ").with_context(|| format!("`{line}` is no `key = value`"))?;
            Ok((key.to_owned(), serde_json::from_str(value).with_context(|| format!("read `{line}`"))?))
        })
        .collect()
}
