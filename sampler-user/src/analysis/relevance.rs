//! What a person has to see first of the cgroups of a machine, and what is folded into one line. The one order of all commands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::identity::Identity;
use crate::model::paths;

/// Who held this much is shown, whoever it is, bytes.
const MUCH: u64 = 256 << 20;
/// Growth that makes a cgroup somebody's: bytes, and a part of what it held at most.
const GREW: u64 = 16 << 20;
const GREW_PART: f64 = 0.25;
/// Watched for less than this time, seconds, and for less than this part of the recording, a cgroup comes and goes.
const BRIEF_S: f64 = 60.0;
const BRIEF_PART: f64 = 0.5;
/// Part of the limit that is near to it.
const NEAR: f64 = 0.9;
/// Stall that is pressure, seconds.
const STALL_S: f64 = 1.0;
/// Part of a parent's growth that makes it its children's.
const SHARE: f64 = 0.8;
/// Rows that are shown where nothing else is.
const LEAST: usize = 5;

/// What decides the place of one cgroup. Sizes are bytes, times seconds.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The host.
    pub host: String,
    /// Its path.
    pub path: String,
    /// What people call it.
    pub name: String,
    /// Whether a person started it: a container or a service.
    pub is_named: bool,
    /// Processes that the OOM killer killed in it.
    pub kills: u64,
    /// Pace of a leak, bytes per second.
    pub leak: Option<f64>,
    /// Time until the limit is reached.
    pub left_s: Option<f64>,
    /// How long its tasks waited for memory.
    pub stalled_s: f64,
    /// Its own limit.
    pub limit: Option<u64>,
    /// What it holds at the end without page cache.
    pub held: u64,
    /// What it held at most.
    pub peak: u64,
    /// How far it rose above what it held first.
    pub grew: u64,
    /// How long it was watched.
    pub watched_s: f64,
}

impl Standing {
    /// Takes who it is: a container, or a service of systemd; not what is inside of one.
    pub fn know(&mut self, who: Option<&Identity>) {
        let name = paths::name(&self.path);
        let is_service =
            name.ends_with(".service") && !name.starts_with("user@") && !name.starts_with("user-runtime-dir@");
        self.is_named = who.is_some_and(Identity::is_container) || is_service;
    }

    /// Part of its own limit that it holds.
    pub fn used(&self) -> Option<f64> {
        self.limit.filter(|limit| *limit > 0).map(|limit| self.held as f64 / limit as f64)
    }

    fn is_somebodys(&self) -> bool {
        self.is_named || self.limit.is_some() || self.grew >= GREW && self.grew as f64 >= GREW_PART * self.peak as f64
    }

    fn reason(&self) -> Option<Reason> {
        if self.kills > 0 {
            Some(Reason::Killed)
        } else if self.leak.is_some() {
            Some(Reason::Leaking)
        } else if self.stalled_s >= STALL_S {
            Some(Reason::Pressed)
        } else {
            self.used().filter(|used| *used >= NEAR).map(|_| Reason::NearLimit)
        }
    }
}

/// Why a cgroup stands above others, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The OOM killer came.
    Killed,
    /// It leaks.
    Leaking,
    /// Its tasks waited for memory.
    Pressed,
    /// It holds most of its limit.
    NearLimit,
}

/// Why a cgroup is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fold {
    /// Beyond the rows that fit, for this reason.
    Beyond(Reason),
    /// Another life of one that is shown.
    Life,
    /// Comes and goes.
    Brief,
    /// Above others: what it holds is theirs.
    Above,
    /// Beyond the rows that fit, smaller than those shown.
    Smaller,
    /// Nobody's, and at rest.
    Steady,
}

/// A cgroup that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Which of those that were given.
    pub at: usize,
    /// Why it stands where it stands.
    pub reason: Option<Reason>,
    /// Kills in all its lives; those in its children are theirs.
    pub kills: u64,
    /// Whether it leaks by itself: the leak of a child is the child's.
    pub leaks: bool,
}

/// How many are not shown, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded(BTreeMap<Fold, usize>);

impl Folded {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.values().sum()
    }

    /// How many and why, and what shows them.
    pub fn with_hint(&self) -> String {
        format!("{self}; --all shows {}", if self.count() == 1 { "it" } else { "them" })
    }
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|(fold, count)| {
            let words = match fold {
                Fold::Beyond(Reason::Killed) => "killed",
                Fold::Beyond(Reason::Leaking) => "leaking",
                Fold::Beyond(Reason::Pressed) => "under pressure",
                Fold::Beyond(Reason::NearLimit) => "near the limit",
                Fold::Life => "other lives of these",
                Fold::Brief => "watched for less than a minute",
                Fold::Above => "above others",
                Fold::Smaller => "smaller",
                Fold::Steady => "steady",
            };
            format!("{count} {words}")
        });
        let others = if self.count() == 1 { "other" } else { "others" };
        write!(f, "{} {others}: {}", self.count(), parts.collect::<Vec<_>>().join(", "))
    }
}

/// What is shown, in order, and what is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Screen {
    /// The first is what matters most.
    pub shown: Vec<Place>,
    /// The rest.
    pub folded: Folded,
}

/// Orders cgroups: killed, leaking, pressed, near the limit, then somebody's by size. At most `most` are shown; all of them for
/// `None`. `span_s` is the time of the recording, seconds.
///
/// ```
/// use sampler::analysis::relevance::{Standing, arrange};
///
/// let of = |path: &str, kills| Standing { path: path.into(), kills, watched_s: 900.0, ..Standing::default() };
/// let all = [of("/session-1.scope", 0), of("/docker/web", 2), of("/docker", 2)];
/// let screen = arrange(&all, 900.0, Some(10));
/// assert_eq!(screen.shown.len(), 1, "the kills of /docker are those of /docker/web");
/// assert_eq!(screen.folded.to_string(), "2 others: 1 above others, 1 steady");
/// ```
pub fn arrange(all: &[Standing], span_s: f64, most: Option<usize>) -> Screen {
    let own = without_children(all);
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|a, b| {
        let (one, other) = (&own[*a].own, &own[*b].own);
        let rank = |standing: &Standing| standing.reason().map_or(u8::MAX, |reason| reason as u8);
        let left = |standing: &Standing| standing.left_s.unwrap_or(f64::INFINITY);
        rank(one)
            .cmp(&rank(other))
            .then(one.leak.is_none().cmp(&other.leak.is_none()))
            .then(other.kills.cmp(&one.kills))
            .then(left(one).total_cmp(&left(other)))
            .then(other.leak.unwrap_or(0.0).total_cmp(&one.leak.unwrap_or(0.0)))
            .then(other.is_somebodys().cmp(&one.is_somebodys()))
            .then(other.peak.cmp(&one.peak))
            .then(one.path.cmp(&other.path))
            .then(one.host.cmp(&other.host))
    });
    let place = |at: usize| {
        let own = &own[at].own;
        Place { at, reason: own.reason(), kills: own.kills, leaks: own.leak.is_some() }
    };
    let Some(most) = most else {
        return Screen { shown: order.into_iter().map(place).collect(), folded: Folded::default() };
    };
    let mut screen = Screen::default();
    let mut lives: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut unfit = Vec::new();
    for at in order {
        let Own { own: standing, .. } = &own[at];
        let reason = standing.reason();
        let known = lives.get(&(standing.host.as_str(), standing.name.as_str())).filter(|_| standing.is_named);
        let fold = match known {
            Some(first) => {
                screen.shown[*first].kills += standing.kills;
                Some(Fold::Life)
            }
            None => fold(&own[at], span_s),
        };
        match fold {
            Some(fold) => unfit.push((at, fold)),
            None if screen.shown.len() >= most => unfit.push((at, reason.map_or(Fold::Smaller, Fold::Beyond))),
            None => {
                lives.insert((&standing.host, &standing.name), screen.shown.len());
                screen.shown.push(place(at));
            }
        }
    }
    if screen.shown.is_empty() {
        let first: BTreeSet<usize> =
            unfit.iter().filter(|(_, fold)| *fold != Fold::Above).take(LEAST.min(most)).map(|(at, _)| *at).collect();
        screen.shown = unfit.iter().filter(|(at, _)| first.contains(at)).map(|(at, _)| place(*at)).collect();
        unfit.retain(|(at, _)| !first.contains(at));
    }
    for (_, fold) in unfit {
        *screen.folded.0.entry(fold).or_default() += 1;
    }
    screen
}

/// Why a cgroup is not shown, if it need not be.
fn fold(Own { own: standing, is_parent, is_theirs }: &Own, span_s: f64) -> Option<Fold> {
    // The line of the child names the limit above it.
    if *is_theirs && standing.kills == 0 {
        return Some(Fold::Above);
    }
    if standing.reason().is_some() {
        return None;
    }
    if *is_parent && !standing.is_named && standing.limit.is_none() {
        return Some(Fold::Above);
    }
    if standing.peak >= MUCH {
        return None;
    }
    if standing.watched_s < BRIEF_S.min(BRIEF_PART * span_s) {
        return Some(Fold::Brief);
    }
    (!standing.is_somebodys()).then_some(Fold::Steady)
}

/// A cgroup without what its children did.
struct Own {
    own: Standing,
    /// Whether it has children.
    is_parent: bool,
    /// Whether its leak is theirs.
    is_theirs: bool,
}

/// Each without what its children did: the kernel counts a cgroup's kills, stalls and memory in all above it.
fn without_children(all: &[Standing]) -> Vec<Own> {
    let paths: BTreeMap<(&str, &str), Vec<usize>> =
        all.iter().enumerate().fold(BTreeMap::new(), |mut paths, (at, one)| {
            paths.entry((one.host.as_str(), one.path.as_str())).or_insert_with(Vec::new).push(at);
            paths
        });
    let of = |standing: &Standing| {
        let mut own = standing.clone();
        let above = standing.path.trim_end_matches('/');
        // The character after the slash ends the range of what is below.
        let (from, to) = (format!("{above}/"), format!("{above}0"));
        let below = paths.range((standing.host.as_str(), from.as_str())..(standing.host.as_str(), to.as_str()));
        let below: Vec<&Standing> =
            below.flat_map(|(_, at)| at).map(|at| &all[*at]).filter(|one| one.path != standing.path).collect();
        let (mut kills, mut leak, mut stalled_s, mut grew) = (0, 0.0, 0.0_f64, 0);
        for one in &below {
            kills += one.kills;
            leak += one.leak.unwrap_or(0.0);
            stalled_s = stalled_s.max(one.stalled_s);
            grew += one.grew;
        }
        own.kills = own.kills.saturating_sub(kills);
        own.leak = own.leak.filter(|pace| leak < SHARE * pace);
        if own.leak.is_none() {
            own.left_s = None;
        }
        if stalled_s >= 0.5 * own.stalled_s {
            own.stalled_s = 0.0;
        }
        if grew as f64 >= SHARE * own.grew as f64 {
            own.grew = 0;
        }
        Own { is_theirs: standing.leak.is_some() && own.leak.is_none(), own, is_parent: !below.is_empty() }
    };
    all.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at_rest(path: &str) -> Standing {
        let name = paths::name(path).to_owned();
        Standing { path: path.into(), name, held: 8 * MIB, peak: 8 * MIB, watched_s: 900.0, ..Standing::default() }
    }

    fn container(path: &str) -> Standing {
        Standing { is_named: true, limit: Some(512 * MIB), ..at_rest(path) }
    }

    fn shown(all: &[Standing], most: usize) -> (Vec<&str>, String) {
        let screen = arrange(all, 900.0, Some(most));
        (screen.shown.iter().map(|place| all[place.at].path.as_str()).collect(), screen.folded.to_string())
    }

    #[test]
    fn what_was_killed_leaks_is_pressed_or_near_its_limit_stands_first() {
        let all = [
            at_rest("/session-3.scope"),
            Standing { held: 500 * MIB, peak: 500 * MIB, ..container("/docker/near") },
            Standing { peak: 90 * MIB, ..container("/docker/rest") },
            Standing { leak: Some(1e5), left_s: Some(900.0), ..container("/docker/slow") },
            Standing { leak: Some(1e5), left_s: Some(60.0), ..container("/docker/fast") },
            Standing { stalled_s: 4.0, ..container("/docker/pressed") },
            Standing { kills: 1, watched_s: 1.0, ..container("/docker/killed") },
            Standing { kills: 1, leak: Some(1.0), ..container("/docker/both") },
        ];
        let (paths, folded) = shown(&all, 10);
        let names: Vec<&str> = paths.iter().map(|path| paths::name(path)).collect();
        assert_eq!(names, ["both", "killed", "fast", "slow", "pressed", "near", "rest"]);
        assert_eq!(folded, "1 other: 1 steady");
        assert_eq!(shown(&all, 3).1, "5 others: 1 leaking, 1 under pressure, 1 near the limit, 1 smaller, 1 steady");
        assert_eq!(arrange(&all, 900.0, None).shown.len(), 8);
    }

    #[test]
    fn what_comes_and_goes_is_folded_unless_it_held_much() {
        let brief = |path: &str, peak| Standing { watched_s: 20.0, peak, ..at_rest(path) };
        let all = [
            brief("/a.scope", MIB),
            brief("/b.scope", 300 * MIB),
            Standing { watched_s: 20.0, ..container("/docker/x") },
        ];
        assert_eq!(shown(&all, 10), (vec!["/b.scope"], "2 others: 2 watched for less than a minute".into()));
        // A recording of half a minute has nothing else.
        let screen = arrange(&[brief("/a.scope", MIB)], 20.0, Some(10));
        assert_eq!((screen.shown.len(), screen.folded.count()), (1, 0), "never an empty screen");
    }

    #[test]
    fn a_parent_is_folded_into_the_child_that_did_it() {
        let grown = |path: &str, leak| Standing { leak: Some(leak), grew: 90 * MIB, peak: 100 * MIB, ..at_rest(path) };
        let all = [grown("/", 1e5), grown("/vm", 1.1e5), grown("/vm/web", 1e5), grown("/vm-2", 1e5)];
        assert_eq!(shown(&all, 10), (vec!["/vm-2", "/vm/web"], "2 others: 2 above others".into()));
        // Also one that somebody started, that has a limit, and that is near it.
        let pod = Standing { limit: Some(110 * MIB), held: 110 * MIB, is_named: true, ..grown("/docker/pod", 1.1e5) };
        let all =
            [pod.clone(), Standing { is_named: true, ..grown("/docker/pod/batch", 1e5) }, at_rest("/docker/pod/db")];
        assert_eq!(shown(&all, 10), (vec!["/docker/pod/batch"], "2 others: 1 above others, 1 steady".into()));
        assert_eq!(shown(&[pod, at_rest("/docker/pod/db")], 10).0, ["/docker/pod"], "a growth of its own");
        // What the children do not explain is its own.
        let all = [Standing { kills: 3, ..at_rest("/vm") }, Standing { kills: 1, ..at_rest("/vm/web") }];
        let screen = arrange(&all, 900.0, Some(10));
        assert_eq!(screen.shown.iter().map(|place| (place.at, place.kills)).collect::<Vec<_>>(), [(0, 2), (1, 1)]);
    }

    #[test]
    fn lives_of_one_container_are_one_row_with_all_their_kills() {
        let life = |id: u64| Standing { kills: 1, name: "shop/web".into(), ..container(&format!("/docker/{id}")) };
        let screen = arrange(&[life(1), life(2), life(3)], 900.0, Some(10));
        assert_eq!((screen.shown.len(), screen.shown[0].kills), (1, 3));
        assert_eq!(screen.folded.to_string(), "2 others: 2 other lives of these");
    }

    #[test]
    fn services_and_containers_are_somebodys_and_a_session_is_not() {
        let named = |path: &str, who: Option<Identity>| {
            let mut standing = at_rest(path);
            standing.know(who.as_ref());
            standing.is_named
        };
        assert!(named("/system.slice/nginx.service", Some(Identity::named("systemd", "nginx.service"))));
        assert!(named("/docker/0123", Some(Identity::container("docker", "0123"))));
        assert!(!named("/user.slice/user-0.slice/session-3.scope", None));
        assert!(!named("/user.slice/user-0.slice/user@0.service", None));
        let inside = Identity { inner: Some("job".into()), ..Identity::container("docker", "0123") };
        assert!(!named("/docker/0123/job", Some(inside)));
    }
}
