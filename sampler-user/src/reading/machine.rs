//! A machine at one time of its recording: where its memory was.

use std::collections::HashMap;

use crate::analysis::account::{Account, GivenBack, Look, MEMBER_FIELDS, Machine, Member, Worst, given_back};
use crate::model::event::EventKind;
use crate::model::fields::{self, FieldId, Table};
use crate::model::recording::{Origin, Series, TimedEvent};
use crate::model::sample::Row;
use crate::model::time::format_us;
use crate::reading::names::Named;
use crate::store::scan::{Query, Recording};

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum NoAccount {
    /// The host was not recorded at all.
    #[error("the recording has no readings of the whole machine (/proc/meminfo); only `sampler record` makes them")]
    NoHost,
    /// Nothing was recorded near the time.
    #[error("nothing was recorded at {}; the readings of the machine reach from {} to {}", format_us(*.at_us), format_us(*.from_us), format_us(*.to_us))]
    NotThen {
        /// The time that was asked for.
        at_us: i64,
        /// First reading.
        from_us: i64,
        /// Last reading.
        to_us: i64,
    },
    /// The host's readings lack what an account needs.
    #[error("the readings of the machine at {} lack a part of /proc/meminfo", format_us(*.at_us))]
    NoMeminfo {
        /// The time of the reading.
        at_us: i64,
    },
}

/// Readings of the slow rate that may be missing before the time counts as not recorded.
const PATIENCE: i64 = 10;
/// A cgroup that was not read for so many readings is gone.
const GONE: i64 = 3;

/// The machine at a time, wall-clock microseconds; at the end of the recording without one.
pub fn machine_at(recording: &mut Recording, at_us: Option<i64>) -> Result<Machine, NoAccount> {
    let origins = recording.origins();
    let wanted = at_us.unwrap_or(i64::MAX);
    let began = |origin: &Origin| (origin.anchor.wall_ns / 1000) as i64 <= wanted;
    let origin = origins.iter().rev().find(|origin| began(origin)).or(origins.first());
    let page_size = origin.map_or(4096, |origin| origin.page_size);
    let step_us = origin.map_or(1_000_000, |origin| origin.slow_interval_us.max(1_000_000) as i64);

    let mut host = Host::default();
    let of_host = Query { cgroups: &|_| true, time: i64::MIN..i64::MAX, fields: &[], lags: false };
    recording.series(Table::Host, &of_host, |series| host.take(&series, wanted, page_size));
    let Some(from_us) = host.from_us else { return Err(NoAccount::NoHost) };
    let then = host.at_us.unwrap_or(from_us);
    if let Some(at_us) = at_us
        && (host.at_us.is_none() || at_us - then > PATIENCE * step_us)
    {
        return Err(NoAccount::NotThen { at_us, from_us, to_us: host.to_us });
    }

    let events = recording.events(i64::MIN..i64::MAX);
    let mut named = Named::default();
    named.learn(&events);
    let (members, proactive) = members(recording, &named, then, step_us);
    let look = Look {
        time_us: then,
        host: origin.map(|origin| origin.host.clone()).unwrap_or_default(),
        wsl: origin.and_then(|origin| origin.wsl.clone()),
        page_size,
        row: host.row,
        members,
        details: newest_details(&events, then),
    };
    let mut machine = Machine::of(look).ok_or(NoAccount::NoMeminfo { at_us: then })?;
    machine.worst = host.worst;
    machine.given_back = match host.whole {
        Some(series) => given_back(&series, &proactive, page_size),
        None => GivenBack::default(),
    };
    Ok(machine)
}

/// What the rows of the host show.
struct Host {
    from_us: Option<i64>,
    to_us: i64,
    /// The reading that was wanted.
    at_us: Option<i64>,
    row: Row,
    worst: Option<Worst>,
    /// The little that is needed of all rows.
    whole: Option<Series>,
}

impl Default for Host {
    fn default() -> Host {
        Host { from_us: None, to_us: i64::MIN, at_us: None, row: Row::new(0), worst: None, whole: None }
    }
}

impl Host {
    fn take(&mut self, series: &Series, wanted: i64, page_size: u64) {
        const KEPT: [FieldId; 4] =
            [FieldId::Cached, FieldId::SReclaimable, FieldId::VmDropPagecache, FieldId::VmDropSlab];
        let whole = self.whole.get_or_insert_with(|| Series::new(series.subject.clone(), Table::Host));
        for at in 0..series.len() {
            let time_us = series.time_us[at];
            let get = |field: FieldId| series.column(field.field())?.get(at);
            self.from_us = Some(self.from_us.map_or(time_us, |from| from.min(time_us)));
            self.to_us = self.to_us.max(time_us);
            if let Some(account) = Account::of(get, page_size) {
                self.worst = Some(Worst::with(self.worst, time_us, &account));
            }
            let mut kept = Row::new(0);
            for field in KEPT {
                if let Some(value) = get(field) {
                    kept.put(field.field(), value);
                }
            }
            whole.push(time_us, &kept);
            if time_us <= wanted && self.at_us.is_none_or(|at_us| at_us <= time_us) {
                self.at_us = Some(time_us);
                self.row.mask = 0;
                for field in fields::of(Table::Host) {
                    if let Some(value) = get(field.id) {
                        self.row.put(field, value);
                    }
                }
            }
        }
    }
}

/// The cgroups as they were at a time, and how many pages memory.reclaim had freed of those without a parent, by time.
fn members(recording: &mut Recording, named: &Named, at_us: i64, step_us: i64) -> (Vec<Member>, Vec<(i64, u64)>) {
    let mut newest: HashMap<String, (u64, i64, Row)> = HashMap::new();
    let time = at_us.saturating_sub(PATIENCE * step_us)..at_us.saturating_add(1);
    let query = Query { cgroups: &|_| true, time, fields: &MEMBER_FIELDS, lags: false };
    recording.series(Table::Samples, &query, |series| {
        for at in 0..series.len() {
            let time_us = series.time_us[at];
            let entry = newest.entry(series.subject.cgroup.clone());
            let (id, last, row) = entry.or_insert_with(|| (series.subject.id, i64::MIN, Row::new(0)));
            if *id != series.subject.id {
                if time_us < *last {
                    continue;
                }
                (*id, row.mask) = (series.subject.id, 0);
            }
            *last = time_us.max(*last);
            for field in MEMBER_FIELDS {
                if let Some(value) = series.column(field.field()).and_then(|column| column.get(at)) {
                    row.put(field.field(), value);
                }
            }
        }
    });
    let end = newest.values().map(|(_, last, _)| *last).max().unwrap_or(at_us);
    let mut members: Vec<Member> = newest
        .into_iter()
        .filter(|(_, (_, last, _))| end - last <= GONE * step_us)
        .map(|(path, (_, _, row))| Member { who: named.who(&path), path, row })
        .collect();
    members.sort_by(|a, b| a.path.cmp(&b.path));

    let mut freed: HashMap<i64, u64> = HashMap::new();
    let top = |path: &str| path.rfind('/') == Some(0);
    let query = Query { cgroups: &top, time: i64::MIN..i64::MAX, fields: &[FieldId::PgstealProactive], lags: false };
    recording.series(Table::Samples, &query, |series| {
        let column = series.column(FieldId::PgstealProactive.field());
        for (row, pages) in column.into_iter().flat_map(|column| column.iter()) {
            let sum = freed.entry(series.time_us[row]).or_default();
            *sum = sum.saturating_add(pages);
        }
    });
    let mut freed: Vec<(i64, u64)> = freed.into_iter().collect();
    freed.sort_unstable();
    (members, freed)
}

fn newest_details(events: &[TimedEvent], at_us: i64) -> Option<crate::model::details::MemoryDetails> {
    let before = events.iter().rev().filter(|event| event.time_us <= at_us);
    before.into_iter().find_map(|event| match &event.event.what {
        EventKind::MemoryDetails(details) => Some((**details).clone()),
        _ => None,
    })
}
