//! What the limit of one cgroup should be, between which bounds, and why.

use serde::Serialize;

use crate::advise::demand::{Demand, RECENT_H};
use crate::advise::facts::{Confidence, Facts, Growth, Leak, Pressed};
use crate::advise::profile::Profile;
use crate::advise::server::floors::Floor;
use crate::advise::sizes::{at_least, at_most};
use crate::model::fields::UNLIMITED;
use crate::model::time::format_us;
use crate::model::units::{bytes, micros};

/// What is to be said of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The cgroup leaks: no limit is right.
    Leak,
    /// Its working set does not fit.
    TooLow,
    /// It grows, and was not seen for long enough to know why: watch it.
    Growing,
    /// Most of it was never used.
    TooHigh,
    /// There is none.
    Missing,
    /// It fits.
    Right,
    /// It was not watched for long enough.
    Watch,
}

/// What is advised. Bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// What is to be said of the limit.
    pub state: State,
    /// The limit now; absent when there is none or none was read.
    pub limit: Option<u64>,
    /// What it should be; absent when too little was seen to judge it.
    pub target: Option<u64>,
    /// Below this what was seen does not fit.
    pub lower: Option<u64>,
    /// Above this nothing was ever used.
    pub upper: Option<u64>,
    /// What is usually needed: the reservation.
    pub reservation: Option<u64>,
    /// Highest working set of two days.
    pub peak: Option<u64>,
    /// Highest memory.current, page cache included.
    pub highest: u64,
    /// Highest swap.
    pub swap: u64,
    /// How much this rests on.
    pub confidence: Confidence,
    /// How long it was watched, seconds.
    pub watched_s: f64,
    /// Until when to watch before a limit is advised, RFC 3339; absent where enough was seen.
    pub watch_until: Option<String>,
    /// The least that what it runs needs by its vendor.
    pub floor: Option<Floor>,
    /// Whether it was in trouble: a budget takes from it last.
    pub trouble: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// Memory and swap together are whole MiB.
pub const STEP: u64 = 1 << 20;
/// Room above all that is a part, bytes: what the C library and the kernel keep for themselves.
const ROOM: u64 = 2 << 20;
/// Part of the margin that is there at least: the size that people write above it gives the rest.
const LEAST: f64 = 1.0 / 2.0;
/// Part of the margin that the lower bound keeps.
const LOWER: f64 = 1.0 / 3.0;
/// The upper bound is at least this above the target.
const UPPER: f64 = 1.25;
/// What a cgroup wanted above the limit that killed it was not seen. The autoscaler adds a fifth or 100 MB, whichever is more;
/// 100 MB are the whole of most containers, so it is the half of the limit here, and at least a quarter.
const RAISE: f64 = 1.5;
const RAISE_LEAST: f64 = 1.25;
const RAISE_MOST: f64 = 2.0;

/// Whole MiB.
fn up(bytes: f64) -> u64 {
    (bytes as u64).next_multiple_of(STEP)
}

/// A size that people write.
fn size(bytes: f64) -> u64 {
    at_least(bytes as u64)
}

/// Advises the limit of one cgroup.
pub fn advise(facts: &Facts, profile: &Profile) -> Advice {
    let demand = &facts.demand;
    let limit = demand.limit().filter(|limit| *limit != UNLIMITED);
    let watched_s = demand.watched_s();
    let is_enough = watched_s >= facts.min_watch_s;
    let confidence = Confidence::of(watched_s);
    let mut advice = Advice {
        state: State::Right,
        limit,
        target: None,
        lower: None,
        upper: None,
        reservation: None,
        peak: demand.recent_peak(),
        highest: demand.highest(),
        swap: demand.swap(),
        confidence,
        watched_s,
        watch_until: None,
        floor: facts.floor,
        trouble: false,
        reasons: Vec::new(),
    };
    let needs = needs(demand, profile);
    let margin = profile.margin * confidence.widens();
    if let Some(needs) = needs {
        let part = |part: f64| needs as f64 * (1.0 + part * margin) + ROOM as f64;
        let target = size(part(LEAST)).max(facts.floor.map_or(0, |floor| floor.bytes));
        let upper = up((target as f64 * UPPER).max(demand.highest() as f64 * (1.0 + margin)));
        (advice.target, advice.lower, advice.upper) = (Some(target), Some(up(part(LOWER)).min(target)), Some(upper));
    }
    let killed_at = facts.killed_at.iter().max().copied();
    let pressed = facts.pressed.filter(|_| facts.other_kills.is_empty()).zip(limit);
    if let Some(leak) = &facts.leak {
        leaks(&mut advice, leak, is_enough);
    } else if let (Some(growth), None) = (facts.growth, killed_at) {
        grows(&mut advice, growth, facts);
    } else if needs.is_none() {
        advice.reasons.push("no row of it says how much it holds".into());
    } else if let Some(killed_at) = killed_at {
        raise(&mut advice, killed_at);
    } else if let Some((pressed, limit)) = pressed {
        press(&mut advice, pressed, limit);
    } else if !is_enough {
        watch(&mut advice, State::Watch, facts);
        advice.reasons.push(format!(
            "it was watched for {}; no limit is advised before {}",
            micros((watched_s * 1e6) as u64),
            micros((facts.min_watch_s * 1e6) as u64)
        ));
    } else {
        judge(&mut advice, demand.hits(), !facts.other_kills.is_empty());
    }
    if let (Some(needs), Some(target), true) = (needs, advice.target, facts.leak.is_none()) {
        advice.reasons.push(format!(
            "its working set was {} at most{}, {:.0} % of room at least{}",
            bytes(needs),
            if profile.peak {
                format!(" in {RECENT_H} h")
            } else {
                format!(" in {:.0} % of the minutes", 100.0 * profile.quantile)
            },
            100.0 * LEAST * margin,
            match confidence {
                Confidence::High => String::new(),
                _ => format!("; only {} were watched", micros((watched_s * 1e6) as u64)),
            }
        ));
        if let Some(floor) = facts.floor.filter(|floor| floor.bytes == target && Some(target) != advice.limit) {
            advice.reasons.push(format!("{} gets {} at least ({})", floor.program, bytes(floor.bytes), floor.source));
        }
    }
    if facts.leak.is_none() || limit.is_some() {
        advice.reasons.extend(facts.other_kills.iter().map(|kill| {
            let instead = kill.instead.as_ref().map_or_else(String::new, |what| format!(": {what}"));
            format!("it was OOM-killed because of {}, which a higher limit does not mend{instead}", kill.cause)
        }));
    }
    // No budget takes more than the floor leaves.
    if let (Some(floor), Some(target)) = (facts.floor, advice.target) {
        advice.lower = advice.lower.map(|lower| lower.max(floor.bytes).min(target));
    }
    // What is usual is below what is allowed.
    let usual = demand.faded(0.5).map(|usual| usual.min(demand.recent_peak().unwrap_or(usual)));
    advice.reservation = advice.target.zip(usual).and_then(|(target, usual)| at_most(usual.min(target)));
    advice
}

/// The working set that must fit.
fn needs(demand: &Demand, profile: &Profile) -> Option<u64> {
    let (recent, faded) = (demand.recent_peak()?, demand.faded(profile.quantile)?);
    // The end of a bucket is up to 5 % above all that is in it.
    let faded = if faded as f64 <= recent as f64 * 1.06 + STEP as f64 { faded.min(recent) } else { faded };
    Some(if profile.peak { recent.max(faded) } else { faded })
}

/// No number yet, and until when to watch.
fn watch(advice: &mut Advice, state: State, facts: &Facts) {
    advice.state = state;
    (advice.target, advice.lower, advice.upper) = (None, None, None);
    let left_s = facts.min_watch_s - advice.watched_s;
    // What was watched for long enough and grows is watched for as long again.
    let left_s = if left_s > 0.0 { left_s } else { facts.min_watch_s };
    let (_, to) = facts.demand.span_us().unwrap_or_default();
    advice.watch_until = (to > 0).then(|| format_us(to.saturating_add((left_s * 1e6) as i64)));
}

fn grows(advice: &mut Advice, growth: Growth, facts: &Facts) {
    watch(advice, State::Growing, facts);
    advice.trouble = growth.killed;
    let pace = growth.bytes_per_s.filter(|pace| *pace > 0.0);
    let at = pace.map_or_else(String::new, |pace| format!(", {} a second", bytes(pace as u64)));
    let until = if growth.killed { "until it was OOM-killed" } else { "to the end" };
    advice.reasons.push(format!(
        "it grew {until}{at}: a leak cannot be distinguished from a start that needs more yet; look at what it does, or double its limit once and watch"
    ));
}

fn leaks(advice: &mut Advice, leak: &Leak, is_enough: bool) {
    advice.state = State::Leak;
    advice.trouble = true;
    let pace = leak.bytes_per_s.filter(|pace| *pace > 0.0);
    let at = pace.map_or_else(String::new, |pace| format!(" at {} a minute", bytes((pace * 60.0) as u64)));
    match advice.limit {
        Some(limit) => {
            (advice.target, advice.lower, advice.upper) = (Some(limit), Some(limit), Some(limit));
            let end = leak.end().unwrap_or_else(|| "reaches any limit".into());
            advice.reasons.push(format!("it leaks{at}: it {end}; more room only postpones that, so the limit stays"));
        }
        None => {
            let end = leak.end().map_or_else(String::new, |end| format!(", so that it {end}"));
            advice.reasons.push(format!(
                "it leaks{at} and has no limit{end}: one at what it held makes sure that it is killed itself and not a neighbour; find the leak"
            ));
            if !is_enough {
                (advice.target, advice.lower, advice.upper) = (None, None, None);
            }
        }
    }
}

fn raise(advice: &mut Advice, killed_at: u64) {
    let at_least = |factor: f64, or: Option<u64>| Some(up(killed_at as f64 * factor).max(or.unwrap_or(0)));
    if advice.limit.is_some_and(|limit| limit as f64 >= killed_at as f64 * RAISE_LEAST) {
        advice.reasons.push(format!("it was OOM-killed at {}; its limit is higher since", bytes(killed_at)));
        let limit = advice.limit.unwrap_or(killed_at);
        advice.target = advice.target.max(Some(limit));
        advice.lower = advice.lower.max(at_least(RAISE_LEAST, None)).min(advice.target);
        advice.upper = advice.upper.max(advice.target);
        return;
    }
    (advice.state, advice.trouble) = (State::TooLow, true);
    advice.target = advice.target.max(Some(size(killed_at as f64 * RAISE)));
    advice.lower = at_least(RAISE_LEAST, advice.lower).min(advice.target);
    advice.upper = at_least(RAISE_MOST, advice.target);
    advice.reasons.push(format!(
        "it was OOM-killed for its working set at {}; what it wanted above that was not seen: half as much again, and watch it",
        bytes(killed_at)
    ));
}

fn press(advice: &mut Advice, pressed: Pressed, limit: u64) {
    (advice.state, advice.trouble) = (State::TooLow, true);
    advice.target = advice.target.max(Some(size(limit as f64 * RAISE_LEAST)));
    advice.lower = advice.lower.max(Some(up(limit as f64)));
    advice.upper = advice.upper.max(Some(up(limit as f64 * RAISE_MOST)));
    let stalled =
        pressed.stall_s.map_or_else(String::new, |s| format!(" and waited {} for memory", micros((s * 1e6) as u64)));
    advice.reasons.push(format!("it hit its limit of {} {} times{stalled}", bytes(limit), pressed.hits));
}

fn judge(advice: &mut Advice, hits: u64, killed: bool) {
    let (Some(target), Some(lower), Some(upper)) = (advice.target, advice.lower, advice.upper) else { return };
    let Some(limit) = advice.limit else {
        advice.state = State::Missing;
        advice.reasons.push("it has no limit of its own: when it grows it takes what others need".into());
        return;
    };
    if limit < lower && killed {
        // What filled it was no working set.
        (advice.target, advice.lower, advice.upper) = (Some(limit), Some(limit), Some(upper.max(limit)));
    } else if limit < lower {
        advice.reasons.push(format!(
            "{} are left of its limit of {}",
            bytes(limit.saturating_sub(advice.peak.unwrap_or(0))),
            bytes(limit)
        ));
        (advice.state, advice.trouble) = (State::TooLow, true);
    } else if limit > upper && target < limit {
        advice.state = State::TooHigh;
        let used = 100.0 * advice.highest as f64 / limit as f64;
        advice.reasons.push(format!("it never used more than {used:.0} % of its limit"));
    } else if let Some(floor) = advice.floor.filter(|floor| limit < floor.bytes) {
        // It fits, so nothing is changed; but nobody should take the number for advice.
        (advice.target, advice.lower, advice.upper) = (None, None, None);
        advice.reasons.push(format!(
            "what it holds fits, but its limit is below the {} that {} needs under work ({})",
            bytes(floor.bytes),
            floor.program,
            floor.source
        ));
    } else {
        advice.target = Some(limit);
        advice.upper = Some(upper.max(target));
    }
    if hits > 0 && limit >= lower && !killed {
        advice
            .reasons
            .push(format!("it hit its limit {hits} times, and only page cache had to go: no reason to raise it"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::advise::facts::OtherKill;
    use crate::advise::profile::TABLE;
    use crate::model::fields::{FieldId, Table};
    use crate::model::recording::{Series, Subject};
    use crate::model::sample::Row;

    const MIB: u64 = 1 << 20;

    /// A cgroup at `size` MiB for `hours` with one minute at `peak`, and a limit of MiB.
    fn facts(size: u64, peak: u64, limit: Option<u64>, hours: u64) -> Facts {
        let subject = Subject { cgroup: "/x".into(), id: 1, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        for minute in 0..hours * 60 + 1 {
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), if minute == hours * 30 { peak } else { size } * MIB);
            row.put(FieldId::Max.field(), limit.map_or(UNLIMITED, |limit| limit * MIB));
            series.push(minute as i64 * 60_000_000, &row);
        }
        let mut demand = Demand::default();
        demand.feed(&series);
        demand.end();
        Facts { demand, ..Facts::default() }
    }

    fn advised(facts: &Facts, profile: &Profile) -> (State, Option<u64>) {
        let advice = advise(facts, profile);
        assert!(!advice.reasons.is_empty());
        if let (Some(lower), Some(target), Some(upper)) = (advice.lower, advice.target, advice.upper) {
            assert!(lower <= target && target <= upper, "{advice:?}");
        }
        (advice.state, advice.target.map(|target| target / MIB))
    }

    #[test]
    fn a_limit_is_missing_too_low_too_high_or_right() {
        for (size, peak, limit, hours, state, target) in [
            (100, 200, None, 60, State::Missing, 224),
            (100, 200, Some(200), 60, State::TooLow, 224),
            (100, 200, Some(220), 60, State::Right, 220),
            (100, 200, Some(280), 60, State::Right, 280),
            (100, 200, Some(1024), 60, State::TooHigh, 224),
            // Less was seen: more room.
            (100, 292, None, 60, State::Missing, 320),
            (100, 292, None, 0, State::Missing, 384),
            (1, 1, None, 60, State::Missing, 16),
        ] {
            let facts = facts(size, peak, limit, hours);
            assert_eq!(advised(&facts, &TABLE[0]), (state, Some(target)), "{size} {peak} {limit:?} {hours}");
        }
        assert_eq!(advised(&Facts::default(), &TABLE[0]), (State::Right, None), "nothing seen, nothing said");
    }

    #[test]
    fn a_profile_says_how_much_room_there_is() {
        let facts = facts(100, 236, None, 60);
        let targets: Vec<_> = TABLE.iter().map(|profile| advised(&facts, profile).1.unwrap()).collect();
        assert_eq!(targets, [256, 256, 112], "a test need not fit its peak");
    }

    #[test]
    fn an_old_spike_is_no_reason_and_a_recent_one_is() {
        let mut old = facts(100, 900, None, 0);
        let later = facts(100, 100, None, 80);
        assert_eq!(advised(&old, &TABLE[0]).1, Some(1024));
        // The same cgroup four days on.
        let subject = Subject { cgroup: "/x".into(), id: 1, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        for minute in 1..4 * 1440i64 {
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), 100 * MIB);
            series.push(minute * 60_000_000, &row);
        }
        old.demand.feed(&series);
        old.demand.end();
        assert_eq!(advised(&old, &TABLE[0]).1, advised(&later, &TABLE[0]).1);
    }

    #[test]
    fn a_leak_is_never_answered_with_more() {
        let mut leak = facts(100, 127, Some(128), 30);
        leak.leak = Some(Leak { bytes_per_s: Some(1000.0), time_to_limit_s: Some(7200.0), limit_owner: None });
        leak.killed_at = vec![128 * MIB];
        leak.pressed = Some(Pressed { hits: 1000, stall_s: Some(9.0) });
        let advice = advise(&leak, &TABLE[0]);
        assert_eq!((advice.state, advice.target, advice.upper), (State::Leak, Some(128 * MIB), Some(128 * MIB)));
        assert!(
            advice.reasons[0].contains("reaches its limit in 2 h") && advice.reasons[0].contains("58.6 KiB a minute"),
            "{advice:?}"
        );
        // Without a limit it gets one, so that it takes nobody with it.
        let mut free = facts(100, 127, None, 30);
        free.leak = Some(Leak::default());
        assert_eq!(advised(&free, &TABLE[0]), (State::Leak, Some(160)));
    }

    #[test]
    fn a_kill_for_the_working_set_raises_and_another_does_not() {
        let mut killed = facts(60, 96, Some(96), 1);
        killed.killed_at = vec![96 * MIB];
        assert_eq!(advised(&killed, &TABLE[0]), (State::TooLow, Some(160)));
        let mut since = facts(60, 100, Some(150), 1);
        since.killed_at = vec![96 * MIB];
        assert_eq!(advised(&since, &TABLE[0]), (State::Right, Some(150)), "it was raised already");
        let mut forks = facts(20, 64, Some(64), 1);
        forks.other_kills = vec![OtherKill { cause: "forks".into(), instead: Some("pids_limit".into()) }];
        forks.pressed = Some(Pressed { hits: 1000, stall_s: Some(9.0) });
        let advice = advise(&forks, &TABLE[0]);
        assert_eq!((advice.state, advice.target), (State::Right, Some(64 * MIB)));
        assert!(advice.reasons.iter().any(|why| why.contains("does not mend: pids_limit")), "{advice:?}");
    }

    #[test]
    fn stalls_at_the_limit_raise_it() {
        let mut pressed = facts(60, 100, Some(128), 30);
        pressed.pressed = Some(Pressed { hits: 40, stall_s: Some(3.0) });
        let advice = advise(&pressed, &TABLE[0]);
        assert_eq!((advice.state, advice.target, advice.trouble), (State::TooLow, Some(160 * MIB), true));
        assert!(advice.reasons[0].contains("40 times and waited 3 s"), "{advice:?}");
    }

    #[test]
    fn a_minute_of_a_healthy_stack_is_no_reason_for_a_limit() {
        for (limit, size) in [(Some(64), 1), (Some(512), 30), (None, 30), (Some(31), 30)] {
            let short = Facts { min_watch_s: 3600.0, ..facts(size, size, limit, 0) };
            let advice = advise(&short, &TABLE[0]);
            assert_eq!((advice.state, advice.target, advice.reservation), (State::Watch, None, None), "{limit:?}");
        }
        let mut begun = Facts { min_watch_s: 3600.0, ..facts(100, 100, Some(512), 0) };
        begun.killed_at = vec![100 * MIB];
        assert_eq!(advised(&begun, &TABLE[0]).1, Some(512), "a kill is a reason, however early");
        let half = Facts { min_watch_s: 7200.0, ..facts(100, 100, Some(512), 1) };
        let shifted = advise(&half, &TABLE[0]);
        assert_eq!(shifted.watch_until.as_deref(), Some("1970-01-01T02:00:00.000Z"));
    }

    #[test]
    fn a_growth_that_was_seen_for_seconds_is_watched_and_not_raised() {
        let mut demo = Facts { min_watch_s: 3600.0, ..facts(10, 64, Some(64), 0) };
        demo.growth = Some(Growth { killed: true, bytes_per_s: Some(3e7) });
        let advice = advise(&demo, &TABLE[0]);
        assert_eq!((advice.state, advice.target, advice.trouble), (State::Growing, None, true));
        assert!(advice.reasons[0].contains("28.6 MiB a second"), "{advice:?}");
        demo.killed_at = vec![64 * MIB];
        assert_eq!(advised(&demo, &TABLE[0]), (State::TooLow, Some(96)), "another kill was of what stood there");
    }

    #[test]
    fn a_day_and_a_half_is_no_daily_rhythm() {
        let of = |hours| advise(&facts(100, 100, None, hours), &TABLE[0]).confidence;
        assert_eq!(
            [of(0), of(1), of(36), of(48)],
            [Confidence::Low, Confidence::Medium, Confidence::Medium, Confidence::High]
        );
    }

    #[test]
    fn a_program_at_rest_gets_what_its_vendor_asks_for() {
        let floor = Some(Floor { program: "PostgreSQL", bytes: 192 * MIB, source: "its manual" });
        for (limit, state, target) in [
            (None, State::Missing, Some(192)),
            (Some(1024), State::TooHigh, Some(192)),
            (Some(200), State::Right, Some(200)),
            (Some(128), State::Right, None),
        ] {
            let facts = Facts { floor, ..facts(30, 30, limit, 60) };
            assert_eq!(advised(&facts, &TABLE[0]), (state, target), "{limit:?}");
            let advice = advise(&facts, &TABLE[0]);
            assert!(advice.lower.is_none_or(|lower| lower >= 192 * MIB), "a budget takes no more: {advice:?}");
        }
    }
}
