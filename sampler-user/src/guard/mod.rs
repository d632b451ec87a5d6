//! The guard: keeps cgroups off the limit that would kill them, within a budget. Pure: what was read goes in with its time, what
//! to do comes out with its reason.
//!
//! ```text
//!  unreclaimable memory rises to the limit ──▶ leaks, grows evenly to each new limit, or had its raises? ──▶ budget, machine, limits above ──▶ raise, or hold and say why
//!  calm for a time ──▶ restore        much cache on the way ──▶ reclaim
//! ```

mod action;
mod growth;
mod pace;
pub mod policy;
mod reading;

use std::collections::BTreeMap;

use self::growth::Growth;
use self::pace::Pace;
use self::policy::{Policy, aligned_down, aligned_up};
use crate::model::fields::UNLIMITED;
use crate::model::units::bytes;

pub use action::{Action, ActionKind};
pub use reading::{Above, Limits, Reading};

/// What a cgroup was given.
#[derive(Clone, Copy, Debug)]
struct Held {
    original: Limits,
    given: Limits,
}

/// Why nothing was done.
type Cause = &'static str;

#[derive(Debug)]
struct State {
    id: u64,
    pace: Pace,
    hits: u64,
    held: Option<Held>,
    /// The limit before each raise.
    raised: Vec<u64>,
    growth: Growth,
    /// Whether it has grown to each new limit without a rest.
    grows_evenly: bool,
    /// Nothing is raised before, and nothing reclaimed.
    raise_us: i64,
    reclaim_us: i64,
    calm_us: Option<i64>,
    held_back: Option<(Cause, i64)>,
    seen: bool,
}

impl State {
    fn new(reading: &Reading) -> State {
        State {
            id: reading.id,
            pace: Pace::default(),
            hits: reading.hits,
            held: None,
            raised: Vec::new(),
            growth: Growth::default(),
            grows_evenly: true,
            raise_us: i64::MIN,
            reclaim_us: i64::MIN,
            calm_us: None,
            held_back: None,
            seen: true,
        }
    }
}

/// A danger, in words, and how near it is.
struct Danger {
    rate: f64,
    reason: String,
}

/// All cgroups that are guarded.
#[derive(Debug)]
pub struct Guard {
    policy: Policy,
    states: BTreeMap<String, State>,
}

impl Guard {
    /// A guard that has given nothing yet.
    pub fn new(policy: Policy) -> Guard {
        Guard { policy, states: BTreeMap::new() }
    }

    /// Bytes that limits stand above what they were.
    pub fn given(&self) -> u64 {
        self.helds().map(|(_, held)| held.given.first().saturating_sub(held.original.first())).sum()
    }

    /// Whether a cgroup has been given something.
    pub fn holds(&self, path: &str) -> bool {
        self.states.get(path).is_some_and(|state| state.held.is_some())
    }

    fn helds(&self) -> impl Iterator<Item = (&String, Held)> {
        self.states.iter().filter_map(|(path, state)| Some((path, state.held?)))
    }

    /// Looks at all cgroups as they are at `now_us` (any clock that only rises). `available` is the memory that the machine can
    /// still give, bytes.
    pub fn look(&mut self, now_us: i64, readings: &[Reading], available: u64) -> Vec<Action> {
        self.states.values_mut().for_each(|state| state.seen = false);
        let mut dangers = Vec::new();
        let mut actions = Vec::new();
        for reading in readings {
            let danger = self.take(now_us, reading);
            match danger {
                Some(danger) => dangers.push((reading, danger)),
                None => actions.extend(self.restore(now_us, reading)),
            }
            actions.extend(self.reclaim(now_us, reading));
        }
        // What is gone needs nothing any more: its share of the budget is free.
        self.states.retain(|_, state| state.seen);
        // Memory that was promised, but is not used yet, is spoken for.
        let promised: u64 = readings
            .iter()
            .filter_map(|reading| {
                let held = self.states.get(&reading.path)?.held?;
                Some(held.given.first().saturating_sub(reading.current.max(held.original.first())))
            })
            .sum();
        let mut spare = available.saturating_sub(self.policy.reserve).saturating_sub(promised);
        // The fastest first: the budget may not be enough for all.
        dangers.sort_by(|(_, a), (_, b)| b.rate.total_cmp(&a.rate));
        for (reading, danger) in dangers {
            actions.extend(self.raise(now_us, reading, &danger, &mut spare));
        }
        actions
    }

    /// Takes a reading, and says whether the cgroup is in danger.
    fn take(&mut self, now_us: i64, reading: &Reading) -> Option<Danger> {
        let policy = self.policy;
        let state = self.states.entry(reading.path.clone()).or_insert_with(|| State::new(reading));
        if state.id != reading.id {
            *state = State::new(reading);
        }
        state.seen = true;
        if let Some(held) = state.held {
            let ours = if policy.apply { held.given } else { held.original };
            // Somebody else has set a limit: it is theirs from now on, and the guard's claim on it ends.
            if reading.limits != ours && !reading.settling {
                state.let_go();
            }
        }
        let hits = reading.hits.saturating_sub(state.hits);
        state.hits = reading.hits;
        let limit = state.limit(reading, policy.apply);
        let unreclaimable = reading.current.saturating_sub(reading.cache?);
        state.pace.push(now_us, unreclaimable);
        state.growth.push(now_us, unreclaimable, unreclaimable as f64 >= limit as f64 * policy::CLIFF);
        if limit == UNLIMITED {
            return None;
        }
        let rate = state.pace.rate().unwrap_or(0.0);
        let left = limit.saturating_sub(unreclaimable);
        let part = unreclaimable as f64 / limit.max(1) as f64;
        let stands = || format!("{} of {} cannot be reclaimed", bytes(unreclaimable), bytes(limit));
        let seconds = if rate >= policy::LEAST_RATE { left as f64 / rate } else { f64::INFINITY };
        let reason = if seconds <= policy::HORIZON_S && part >= policy::RISEN {
            format!("{}, and it grows by {} a second: {seconds:.1} s are left", stands(), bytes(rate as u64))
        } else if hits > 0 && part >= policy::HIT {
            format!("{}, and its limit was hit {hits} times", stands())
        } else if part >= policy::CLIFF {
            format!("{}: the next burst is its end", stands())
        } else {
            return None;
        };
        Some(Danger { rate, reason })
    }

    fn raise(&mut self, now_us: i64, reading: &Reading, danger: &Danger, spare: &mut u64) -> Option<Action> {
        let policy = self.policy;
        let budget = policy.budget.saturating_sub(self.given());
        let state = self.states.get_mut(&reading.path)?;
        if now_us < state.raise_us {
            return None;
        }
        let (limits, limit) = (state.limits(reading, policy.apply), state.limit(reading, policy.apply));
        let original = state.held.map_or(limits, |held| held.original);
        let unreclaimable = reading.current.saturating_sub(reading.cache.unwrap_or(0));
        let left = limit.saturating_sub(reading.current);
        let leaks = reading.leaks == Some(true);
        // The second raise is the last that even growth gets: it is twice as large.
        let steps = if leaks { 1 } else { (state.raised.len() as u64 + 1).min(2) };
        let step = policy.step.of(original.first());
        let goal = (unreclaimable as f64 + danger.rate * policy::GOAL_S) as u64;
        let wanted =
            aligned_up((limit.saturating_add(steps * step)).max(goal.min(limit.saturating_add(4 * step)))) - limit;
        // What it may still take below its own old limit it will take first.
        let spared = spare.saturating_sub(original.first().saturating_sub(reading.current));
        let granted = aligned_down(wanted.min(budget).min(spared));
        let grows_evenly = state.grows_evenly && state.growth.is_even(now_us);
        let most = match leaks || grows_evenly && state.has_outgrown(unreclaimable, danger.rate) {
            true => policy::LEAK_RAISES,
            false => policy::RAISES,
        };
        let count = state.raised.len() as u32;
        let held_back = if count >= most {
            Some(match (leaks, most) {
                (true, _) => (
                    "leak",
                    format!("it leaks, and {count} raises have bought it time: a higher limit only delays its end"),
                ),
                (false, policy::LEAK_RAISES) => (
                    "leak",
                    format!(
                        "it has grown without a rest to each new limit, as a leak does, and {count} raises have bought it time"
                    ),
                ),
                (false, _) => ("raises", format!("it was raised {count} times without coming to rest")),
            })
        } else if let Some(above) = reading.above.as_ref().filter(|above| above.room <= left) {
            Some(("above", format!("the limit of {} is reached first, with {} left", above.path, bytes(above.room))))
        } else if granted < step.min(wanted) / 4 || granted == 0 {
            Some(match budget <= spared {
                true => ("budget", format!("{} are left of the budget of {}", bytes(budget), bytes(policy.budget))),
                false => ("machine", format!("the machine has {} to give above its reserve", bytes(spared))),
            })
        } else {
            None
        };
        if let Some((cause, why)) = held_back {
            let again = state.held_back.is_none_or(|(last, at)| last != cause || now_us - at >= policy::SAY_AGAIN_US);
            return again.then(|| {
                state.held_back = Some((cause, now_us));
                Action {
                    path: reading.path.clone(),
                    kind: ActionKind::Hold,
                    reason: format!("{}; {why}", danger.reason),
                }
            });
        }
        let to = limits.raised(limit + granted);
        *spare -= granted;
        state.held = Some(Held { original, given: to });
        state.grows_evenly = grows_evenly;
        state.raised.push(limit);
        state.growth.begin(now_us, unreclaimable);
        state.raise_us = now_us + policy::PAUSE_US;
        (state.calm_us, state.held_back) = (None, None);
        let leak = match leaks {
            true => format!("; it leaks, so this buys time, {} of {most}", count + 1),
            false => String::new(),
        };
        let reason = format!("{}{leak}", danger.reason);
        Some(Action { path: reading.path.clone(), kind: ActionKind::Raise { from: limits, to }, reason })
    }

    fn restore(&mut self, now_us: i64, reading: &Reading) -> Option<Action> {
        let policy = self.policy;
        let state = self.states.get_mut(&reading.path)?;
        let held = state.held?;
        let unreclaimable = reading.current.saturating_sub(reading.cache?);
        if unreclaimable as f64 > held.original.first() as f64 * policy::CALM {
            state.calm_us = None;
            return None;
        }
        let since = *state.calm_us.get_or_insert(now_us);
        if now_us - since < policy.calm_us {
            return None;
        }
        let raise_us = now_us + policy::PAUSE_US;
        state.let_go();
        state.raise_us = raise_us;
        let limit = bytes(held.original.first());
        let reason = format!("calm for {} s: {} of its {limit}", (now_us - since) / 1_000_000, bytes(unreclaimable));
        Some(Action {
            path: reading.path.clone(),
            kind: ActionKind::Restore { from: held.given, to: held.original },
            reason,
        })
    }

    /// Cache is taken before the unreclaimable memory needs its place: then no task of the cgroup has to wait for it.
    fn reclaim(&mut self, now_us: i64, reading: &Reading) -> Option<Action> {
        let apply = self.policy.apply;
        let state = self.states.get_mut(&reading.path)?;
        let (limit, cache) = (state.limit(reading, apply), reading.cache?);
        let near = reading.current as f64 >= limit as f64 * policy::NEAR && limit != UNLIMITED;
        let rate = state.pace.rate().filter(|rate| *rate >= policy::LEAST_RATE)?;
        let unreclaimable = reading.current.saturating_sub(cache);
        let seconds = limit.saturating_sub(unreclaimable) as f64 / rate;
        let much = cache as f64 >= limit as f64 * policy::MUCH_CACHE;
        if !(near && much && seconds <= policy::RECLAIM_S && reading.can_reclaim && now_us >= state.reclaim_us) {
            return None;
        }
        state.reclaim_us = now_us + policy::RECLAIM_PAUSE_US;
        let bytes_wanted = aligned_up(((rate * policy::RECLAIM_S) as u64).min(cache / 2));
        let reason = format!(
            "{} of {} are in use, {} of that cache, and what is no cache grows by {} a second",
            bytes(reading.current),
            bytes(limit),
            bytes(cache),
            bytes(rate as u64)
        );
        Some(Action { path: reading.path.clone(), kind: ActionKind::Reclaim { bytes: bytes_wanted }, reason })
    }

    /// A raise could not be done: nothing was given, and it is not tried again at once.
    pub fn failed(&mut self, now_us: i64, path: &str, from: Limits) {
        let Some(state) = self.states.get_mut(path) else { return };
        state.held = state.held.filter(|held| held.original != from).map(|held| Held { given: from, ..held });
        state.raised.pop();
        state.raise_us = now_us + policy::AFTER_FAILURE_US;
    }

    /// Takes over a limit that an earlier guard has raised and that cannot be set back yet. `given` has all that it was given, in
    /// their order.
    pub fn adopt(&mut self, reading: &Reading, original: Limits, given: &[Limits]) {
        let state = self.states.entry(reading.path.clone()).or_insert_with(|| State::new(reading));
        state.held = Some(Held { original, given: reading.limits });
        state.raised = std::iter::once(&original).chain(given).take(given.len()).map(|limits| limits.first()).collect();
    }

    /// The guard leaves: what can go back goes back. What does not fit below its old limit any more would be killed by it.
    pub fn leave(&mut self, readings: &[Reading]) -> Vec<Action> {
        let mut actions = Vec::new();
        for reading in readings {
            let Some(held) = self.states.get_mut(&reading.path).and_then(|state| state.held.take()) else { continue };
            let unreclaimable = reading.current.saturating_sub(reading.cache.unwrap_or(0));
            let (old, path) = (held.original.first(), reading.path.clone());
            actions.push(match unreclaimable as f64 <= old as f64 * policy::FITS {
                true => Action {
                    path,
                    kind: ActionKind::Restore { from: held.given, to: held.original },
                    reason: "the guard ends".into(),
                },
                false => Action {
                    path,
                    kind: ActionKind::Hold,
                    reason: format!(
                        "the guard ends, and its limit stays at {}: {} of it cannot be reclaimed, so the old limit of {} \
                         would kill it",
                        bytes(held.given.first()),
                        bytes(unreclaimable),
                        bytes(old)
                    ),
                },
            });
        }
        actions
    }
}

impl State {
    /// Nothing of its limit is the guard's any more.
    fn let_go(&mut self) {
        (self.held, self.calm_us, self.grows_evenly) = (None, None, true);
        self.raised.clear();
        self.growth = Growth::default();
    }

    /// Whether it has grown beyond its raised limits, and not only come near the first of them, as what loads its data does.
    fn has_outgrown(&self, unreclaimable: u64, rate: f64) -> bool {
        self.raised.last().is_some_and(|limit| unreclaimable > *limit) || rate <= policy::LOADS_RATE
    }

    /// The limits in force: of a dry run those that would be.
    fn limits(&self, reading: &Reading, apply: bool) -> Limits {
        self.held.filter(|_| !apply).map_or(reading.limits, |held| held.given)
    }

    fn limit(&self, reading: &Reading, apply: bool) -> u64 {
        self.limits(reading, apply).first()
    }
}
