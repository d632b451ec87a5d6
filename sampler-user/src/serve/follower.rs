//! The threads of a recording that is looked at. They hold it weakly: when nobody looks any more, they end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use hyper::body::Bytes;

use crate::journal::follow::Follow;
use crate::model::fields::{FieldId, Table};
use crate::model::units::printable;
use crate::reading::names::Named;
use crate::reading::plots::drawn::{COUNTERS, GAUGES, HOST_COUNTERS, HOST_GAUGES};
use crate::serve::opened::Opened;
use crate::serve::seen::{Seen, TABLES};
use crate::store::JOURNAL;
use crate::store::scan::{Query, Recording};
use crate::store::schema::TableKind;

/// How often the present is shown.
const EACH: Duration = Duration::from_secs(1);
/// How often the journal is read when nobody watches: the overview goes on.
const IDLE: Duration = Duration::from_secs(5);
/// The past is read behind whatever else the machine does.
const NICE: i32 = 10;

/// Begins to read and to follow a recording.
pub fn open(dir: PathBuf) -> Arc<Opened> {
    let journal = dir.join(JOURNAL);
    let opened = Arc::new(Opened::new(dir));
    let weak = Arc::downgrade(&opened);
    let thread = thread::Builder::new().name("serve-present".into()).spawn(move || follow(&weak, &journal));
    match thread {
        Ok(thread) => opened.followed_by(thread.thread().clone()),
        Err(error) => opened.report(Some(format!("start a thread: {error}"))),
    }
    opened
}

fn follow(weak: &Weak<Opened>, journal: &Path) {
    let mut follow = Follow::new(journal.to_owned());
    let mut past = None;
    loop {
        let begun = Instant::now();
        let Some(opened) = weak.upgrade() else { return };
        let read = {
            let mut seen = opened.lock();
            let read = follow.read(&mut *seen, Seen::begin);
            seen.board.tidy();
            read
        };
        opened.report(read.err().map(|error| format!("read {}: {error}", printable(&journal.display().to_string()))));
        if past.is_none() {
            let (weak, since_us) = (weak.clone(), opened.lock().since_us);
            let thread = thread::Builder::new().name("serve-past".into());
            past = Some(thread.spawn(move || read_past(&weak, since_us.unwrap_or(i64::MAX))));
        }
        let is_watched = opened.is_watched();
        if is_watched {
            opened.show(frame(&opened));
        }
        drop(opened);
        let each = if is_watched { EACH } else { IDLE };
        thread::park_timeout(each.saturating_sub(begun.elapsed()));
    }
}

/// What a browser gets: how far the reading is, and the present.
fn frame(opened: &Opened) -> Bytes {
    let progress = serde_json::to_string(&opened.progress()).unwrap_or_default();
    let document = opened.lock().document().unwrap_or_default();
    format!("event: progress\ndata: {progress}\n\nevent: now\ndata: {document}\n\n").into()
}

/// Reads what was recorded before the journal that is followed.
fn read_past(weak: &Weak<Opened>, until_us: i64) {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    let Some(dir) = weak.upgrade().map(|opened| opened.dir().to_owned()) else { return };
    let mut recording = match Recording::open(&dir) {
        Ok(recording) => recording,
        // A recorder that begins has no file yet.
        Err(_) => return weak.upgrade().iter().for_each(|opened| opened.finish()),
    };
    let named = Named::read(&mut recording);
    let (kernel, origins) = (String::new(), recording.origins());
    let origin = origins.last();
    let rows = recording.sealed_rows(TableKind::Wide(Table::Samples));
    if let Some(opened) = weak.upgrade() {
        let mut seen = opened.lock();
        // Of a recording that is followed the board has them already, and newer ones.
        if until_us == i64::MAX {
            seen.board.origin = origin.map(|origin| (origin.host.clone(), origin.wsl.clone())).unwrap_or_default();
            seen.kernel = origin.map_or(kernel, |origin| origin.kernel.clone());
        }
        seen.named = named;
        drop(seen);
        opened.expect(rows.max(1));
    }
    for table in TABLES {
        let (gauges, counters): (&[_], &[_]) =
            if table == Table::Host { (&HOST_GAUGES, &HOST_COUNTERS) } else { (&GAUGES, &COUNTERS) };
        let fields: Vec<FieldId> = gauges.iter().chain(counters).map(|(field, _)| *field).collect();
        // When nobody looks any more, nothing more is read.
        let is_open = |_: &str| weak.strong_count() > 0;
        let query = Query { cgroups: &is_open, time: i64::MIN..until_us, fields: &fields, lags: false };
        recording.series(table, &query, |series| {
            let Some(opened) = weak.upgrade() else { return };
            let path = (table == Table::Samples).then_some(series.subject.cgroup.as_str());
            opened.lock().overview.feed(path, &series);
            if path.is_some() {
                opened.count(series.len() as u64);
            }
        });
    }
    let Some(opened) = weak.upgrade() else { return };
    opened.lock().problems = recording.problems;
    opened.finish();
}
