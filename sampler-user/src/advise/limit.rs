//! What the limit of one cgroup should be, between which bounds, and why.

use serde::Serialize;

use crate::advise::demand::{Demand, RECENT_H};
use crate::advise::facts::{Confidence, Facts, Leak, Pressed};
use crate::advise::profile::Profile;
use crate::model::fields::UNLIMITED;
use crate::model::units::{bytes, micros};

/// What is to be said of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// There is none.
    Missing,
    /// Its working set does not fit.
    TooLow,
    /// Most of it was never used.
    TooHigh,
    /// It fits.
    Right,
    /// The cgroup leaks: no limit is right.
    Leak,
}

/// What is advised. Bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// What is to be said of the limit.
    pub state: State,
    /// The limit now; absent when there is none or none was read.
    pub limit: Option<u64>,
    /// What it should be; absent when nothing was seen to tell it by.
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
    /// Whether it was in trouble: a budget takes from it last.
    pub trouble: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// Limits are whole MiB.
pub const STEP: u64 = 1 << 20;
/// Headroom above all that is a part, bytes: what the C library and the kernel keep for themselves.
const FLOOR: u64 = 2 << 20;
/// No limit is lower: Docker refuses less than 6 MiB.
const LEAST: u64 = 8 << 20;
/// Headroom that the lower bound keeps of the margin.
const LOWER: f64 = 1.0 / 3.0;
/// The upper bound is at least this above the target.
const UPPER: f64 = 1.25;
/// What a cgroup wanted above the limit that killed it was not seen. The autoscaler adds a fifth or 100 MB, whichever is more;
/// 100 MB are the whole of most containers, so it is the half of the limit here, and at least a quarter.
const RAISE: f64 = 1.5;
const RAISE_LEAST: f64 = 1.25;
const RAISE_MOST: f64 = 2.0;

fn up(bytes: f64) -> u64 {
    (bytes as u64).next_multiple_of(STEP).max(LEAST)
}

/// Advises the limit of one cgroup.
pub fn advise(facts: &Facts, profile: &Profile) -> Advice {
    let demand = &facts.demand;
    let limit = demand.limit().filter(|limit| *limit != UNLIMITED);
    let confidence = Confidence::of(demand.span_s());
    let mut advice = Advice {
        state: State::Right,
        limit,
        target: None,
        lower: None,
        upper: None,
        reservation: demand.faded(0.5).map(|usual| up(usual.min(demand.recent_peak().unwrap_or(usual)) as f64)),
        peak: demand.recent_peak(),
        highest: demand.highest(),
        swap: demand.swap(),
        confidence,
        trouble: false,
        reasons: Vec::new(),
    };
    let Some(needs) = needs(demand, profile) else {
        advice.reasons.push("no row of it says how much it holds".into());
        return advice;
    };
    let margin = profile.margin * confidence.widens();
    let wanted = up(needs as f64 * (1.0 + margin) + FLOOR as f64);
    let lower = up(needs as f64 * (1.0 + LOWER * margin) + FLOOR as f64).min(wanted);
    let upper = up((wanted as f64 * UPPER).max(demand.highest() as f64 * (1.0 + margin)));
    (advice.target, advice.lower, advice.upper) = (Some(wanted), Some(lower), Some(upper));
    if let Some(leak) = &facts.leak {
        leaks(&mut advice, leak);
    } else if let Some(killed_at) = facts.killed_at.iter().max().copied() {
        raise(&mut advice, killed_at);
    } else if let (Some(pressed), Some(limit), true) = (facts.pressed, limit, facts.other_kills.is_empty()) {
        press(&mut advice, pressed, limit);
    } else {
        judge(&mut advice, demand.hits(), !facts.other_kills.is_empty());
    }
    if facts.leak.is_none() {
        advice.reasons.push(format!(
            "its working set was {} at most{}, {:.0} % and {} are room{}",
            bytes(needs),
            if profile.peak {
                format!(" in {RECENT_H} h")
            } else {
                format!(" in {:.0} % of the minutes", 100.0 * profile.quantile)
            },
            100.0 * margin,
            bytes(FLOOR),
            match confidence {
                Confidence::High => String::new(),
                _ => format!("; only {} were seen", micros((demand.span_s() * 1e6) as u64)),
            }
        ));
    }
    if facts.leak.is_none() || limit.is_some() {
        advice.reasons.extend(facts.other_kills.iter().map(|kill| {
            let instead = kill.instead.as_ref().map_or_else(String::new, |what| format!(": {what}"));
            format!("it was OOM-killed because of {}, which a higher limit does not mend{instead}", kill.cause)
        }));
    }
    // What is usual is below what is allowed.
    advice.reservation = advice.reservation.zip(advice.target).map(|(usual, target)| usual.min(target));
    advice
}

/// The working set that must fit.
fn needs(demand: &Demand, profile: &Profile) -> Option<u64> {
    let (recent, faded) = (demand.recent_peak()?, demand.faded(profile.quantile)?);
    // The end of a bucket is up to 5 % above all that is in it.
    let faded = if faded as f64 <= recent as f64 * 1.06 + STEP as f64 { faded.min(recent) } else { faded };
    Some(if profile.peak { recent.max(faded) } else { faded })
}

fn leaks(advice: &mut Advice, leak: &Leak) {
    advice.state = State::Leak;
    advice.trouble = true;
    let pace = leak.bytes_per_s.filter(|pace| *pace > 0.0);
    let at = pace.map_or_else(String::new, |pace| format!(" at {} a minute", bytes((pace * 60.0) as u64)));
    match advice.limit {
        Some(limit) => {
            (advice.target, advice.lower, advice.upper) = (Some(limit), Some(limit), Some(limit));
            let left = leak.time_to_limit_s.filter(|left| left.is_finite()).map_or_else(
                || "it reaches any limit".into(),
                |left| format!("it reaches its limit in {}", micros((left * 1e6) as u64)),
            );
            advice.reasons.push(format!("it leaks{at}: {left}; more room only postpones that, so the limit stays"));
        }
        None => advice.reasons.push(format!(
            "it leaks{at} and has no limit: one at what it held makes sure that it is killed itself and not a neighbour; find the leak"
        )),
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
    advice.target = at_least(RAISE, advice.target);
    advice.lower = at_least(RAISE_LEAST, advice.lower);
    advice.upper = at_least(RAISE_MOST, advice.target);
    advice.reasons.push(format!(
        "it was OOM-killed for its working set at {}; what it wanted above that was not seen: half as much again, and watch it",
        bytes(killed_at)
    ));
}

fn press(advice: &mut Advice, pressed: Pressed, limit: u64) {
    (advice.state, advice.trouble) = (State::TooLow, true);
    advice.target = advice.target.max(Some(up(limit as f64 * RAISE_LEAST)));
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
    } else if limit > upper {
        advice.state = State::TooHigh;
        let used = 100.0 * advice.highest as f64 / limit as f64;
        advice.reasons.push(format!("it never used more than {used:.0} % of its limit"));
    } else {
        advice.state = State::Right;
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

    fn told(facts: &Facts, profile: &Profile) -> (State, Option<u64>) {
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
            (100, 200, None, 30, State::Missing, 232),
            (100, 200, Some(200), 30, State::TooLow, 232),
            (100, 200, Some(220), 30, State::Right, 220),
            (100, 200, Some(280), 30, State::Right, 280),
            (100, 200, Some(1024), 30, State::TooHigh, 232),
            // Less was seen: more room.
            (100, 200, None, 3, State::Missing, 235),
            (100, 200, None, 0, State::Missing, 238),
            (1, 1, None, 30, State::Missing, 8),
        ] {
            let facts = facts(size, peak, limit, hours);
            assert_eq!(told(&facts, &TABLE[0]), (state, Some(target)), "{size} {peak} {limit:?} {hours}");
        }
        assert_eq!(told(&Facts::default(), &TABLE[0]), (State::Right, None), "nothing seen, nothing said");
    }

    #[test]
    fn a_profile_says_how_much_room_there_is() {
        let facts = facts(100, 200, None, 30);
        let targets: Vec<_> = TABLE.iter().map(|profile| told(&facts, profile).1.unwrap()).collect();
        assert_eq!(targets[..2], [232, 218]);
        assert!((110..120).contains(&targets[2]), "a test need not fit its peak: {targets:?}");
    }

    #[test]
    fn an_old_spike_is_no_reason_and_a_recent_one_is() {
        let mut old = facts(100, 900, None, 0);
        let later = facts(100, 100, None, 80);
        assert_eq!(told(&old, &TABLE[0]).1, Some(1064));
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
        assert_eq!(told(&old, &TABLE[0]).1, told(&later, &TABLE[0]).1);
    }

    #[test]
    fn a_leak_is_never_answered_with_more() {
        let mut leak = facts(100, 127, Some(128), 30);
        leak.leak = Some(Leak { bytes_per_s: Some(1000.0), time_to_limit_s: Some(7200.0) });
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
        assert_eq!(told(&free, &TABLE[0]), (State::Leak, Some(149)));
    }

    #[test]
    fn a_kill_for_the_working_set_raises_and_another_does_not() {
        let mut killed = facts(60, 96, Some(96), 1);
        killed.killed_at = vec![96 * MIB];
        assert_eq!(told(&killed, &TABLE[0]), (State::TooLow, Some(144)));
        let mut since = facts(60, 100, Some(150), 1);
        since.killed_at = vec![96 * MIB];
        assert_eq!(told(&since, &TABLE[0]), (State::Right, Some(150)), "it was raised already");
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
}
