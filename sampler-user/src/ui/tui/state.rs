//! What is looked at: order, filter, tree, the chosen cgroup, the time.

use crate::analysis::relevance::{Folded, Standing, arrange};
use crate::kernel::cgroupfs::tree::Selection;
use crate::live::board::{Board, Line, Machine};

/// By what the lines are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As in every list of sampler: killed, leaking, under pressure, near the limit, then by size.
    Matters,
    /// memory.current, largest first.
    Current,
    /// Part of the limit.
    Used,
    /// Growth a minute.
    Growth,
    /// Time to the limit, shortest first.
    TimeToLimit,
    /// Pressure.
    Pressure,
    /// OOM kills.
    Kills,
    /// Name.
    Name,
}

impl Order {
    /// All of them, in the order of the key that steps through.
    pub const ALL: [Order; 8] = [
        Order::Matters,
        Order::Current,
        Order::Used,
        Order::Growth,
        Order::TimeToLimit,
        Order::Pressure,
        Order::Kills,
        Order::Name,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Order::Matters => "what matters",
            Order::Current => "memory",
            Order::Used => "% of limit",
            Order::Growth => "growth",
            Order::TimeToLimit => "time to limit",
            Order::Pressure => "pressure",
            Order::Kills => "OOM kills",
            Order::Name => "name",
        }
    }

    /// The order of a name as a person types it.
    pub fn of(name: &str) -> Option<Order> {
        let short = ["matters", "memory", "used", "growth", "time", "pressure", "kills", "name"];
        short.iter().position(|known| *known == name).map(|at| Order::ALL[at])
    }

    fn key(self, line: &Line) -> f64 {
        match self {
            Order::Current => line.current.map_or(-1.0, |v| v as f64),
            Order::Used => line.used.unwrap_or(-1.0),
            Order::Growth => line.growth_per_min.unwrap_or(f64::MIN),
            Order::TimeToLimit => line.time_to_limit_s.map_or(f64::MIN, |left| -left),
            Order::Pressure => line.pressure.unwrap_or(-1.0),
            Order::Kills => line.oom_kills as f64,
            Order::Matters | Order::Name => 0.0,
        }
    }
}

/// A row of the screen.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which line.
    pub line: usize,
    /// How deep it is in the tree; 0 in a list.
    pub depth: usize,
}

/// What a person sees and chose.
#[derive(Debug)]
pub struct State {
    /// Order.
    pub order: Order,
    /// Only cgroups whose name or path holds this text.
    pub filter: String,
    /// Whether the filter is being typed.
    pub typing: bool,
    /// Those too that do not matter: comings and goings, and what is at rest and nobody's.
    pub all: bool,
    /// As a tree of cgroups.
    pub tree: bool,
    /// Only these cgroups, whatever is filtered.
    pub selection: Selection,
    /// Containers and units only, not the folders above them and what is inside.
    pub containers: bool,
    /// Path of the chosen cgroup.
    pub chosen: Option<String>,
    /// Whether the chosen one is shown by itself.
    pub detail: bool,
    /// Whether the keys are shown.
    pub help: bool,
    /// The time that is looked at; `None` is now.
    pub at_us: Option<i64>,
    /// First row on the screen.
    pub top: usize,
    /// Rows of the list that fit.
    pub height: usize,
    /// All lines at that time.
    pub lines: Vec<Line>,
    /// What decides the place of each.
    pub standings: Vec<Standing>,
    /// Those that are shown.
    pub shown: Vec<Shown>,
    /// Those that are not, because they do not matter.
    pub folded: Folded,
    /// The machine at that time.
    pub machine: Machine,
    /// Alerts, newest last.
    pub alerts: Vec<String>,
    /// Where the rows come from.
    pub source: String,
    /// Newest and oldest time there is.
    pub span_us: (i64, i64),
}

impl State {
    /// What matters, the first first.
    pub fn new(source: String) -> State {
        State {
            order: Order::Matters,
            all: false,
            filter: String::new(),
            typing: false,
            tree: false,
            selection: Selection::default(),
            containers: false,
            chosen: None,
            detail: false,
            help: false,
            at_us: None,
            top: 0,
            height: 10,
            lines: Vec::new(),
            standings: Vec::new(),
            shown: Vec::new(),
            folded: Folded::default(),
            machine: Machine::default(),
            alerts: Vec::new(),
            source,
            span_us: (0, 0),
        }
    }

    /// Takes the board as it is at the time that is looked at.
    pub fn refresh(&mut self, board: &Board) {
        let at = self.at_us.unwrap_or(board.now_us);
        self.lines = board.lines(at);
        self.machine = board.machine(at, &self.lines);
        self.lines.retain(|line| self.selection.wants(&line.path));
        let oldest =
            board.cgroups.values().filter_map(|cgroup| cgroup.history.front()).map(|point| point.time_us).min();
        self.span_us = (oldest.unwrap_or(board.now_us), board.now_us);
        self.standings = self.lines.iter().map(|line| standing(line, board)).collect();
        self.arrange();
    }

    /// Filters and orders the lines again.
    pub fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let keep = |line: &Line| {
            (wanted.is_empty()
                || line.name.to_lowercase().contains(&wanted)
                || line.path.to_lowercase().contains(&wanted))
                && (!self.containers || line.container)
        };
        // Who looks for something, or for a place in the tree, wants it all.
        let folds = !(self.all || self.tree || self.containers) && wanted.is_empty();
        let span_s = (self.span_us.1 - self.span_us.0) as f64 / 1e6;
        let screen = arrange(&self.standings, span_s, folds.then_some(usize::MAX));
        let mut list: Vec<usize> =
            screen.shown.iter().map(|place| place.at).filter(|&at| keep(&self.lines[at])).collect();
        self.folded = screen.folded;
        let (order, lines) = (self.order, &self.lines);
        let compare = |a: &usize, b: &usize| {
            let (a, b) = (&lines[*a], &lines[*b]);
            order.key(b).total_cmp(&order.key(a)).then_with(|| a.name.cmp(&b.name)).then_with(|| a.path.cmp(&b.path))
        };
        if order != Order::Matters {
            list.sort_by(compare);
        }
        self.shown = if self.tree {
            tree(lines, &list)
        } else {
            list.into_iter().map(|line| Shown { line, depth: 0 }).collect()
        };
        if self.chosen.as_ref().is_none_or(|chosen| self.position(chosen).is_none()) && !self.detail {
            self.chosen = self.shown.first().map(|shown| self.lines[shown.line].path.clone());
        }
        self.follow();
    }

    /// How many are not shown, and the key that shows them.
    pub fn more(&self) -> String {
        if self.folded.count() == 0 { String::new() } else { format!(" and {} more: a", self.folded.count()) }
    }

    fn position(&self, path: &str) -> Option<usize> {
        self.shown.iter().position(|shown| self.lines[shown.line].path == path)
    }

    /// Row of the chosen cgroup.
    pub fn cursor(&self) -> usize {
        self.chosen.as_ref().and_then(|path| self.position(path)).unwrap_or(0)
    }

    /// The chosen line.
    pub fn line(&self) -> Option<&Line> {
        self.lines.iter().find(|line| Some(&line.path) == self.chosen.as_ref())
    }

    /// Moves the choice.
    pub fn step(&mut self, by: isize) {
        let last = self.shown.len().saturating_sub(1);
        let at = self.cursor().saturating_add_signed(by).min(last);
        self.chosen = self.shown.get(at).map(|shown| self.lines[shown.line].path.clone());
        self.follow();
    }

    /// Moves the time that is looked at, microseconds.
    pub fn scrub(&mut self, by_us: i64) {
        let (oldest, newest) = self.span_us;
        let at = (self.at_us.unwrap_or(newest) + by_us).max(oldest);
        self.at_us = (at < newest).then_some(at);
    }

    /// Keeps the chosen row on the screen.
    pub fn follow(&mut self) {
        let (at, height) = (self.cursor(), self.height.max(1));
        self.top = self.top.min(at).max((at + 1).saturating_sub(height));
        self.top = self.top.min(self.shown.len().saturating_sub(height.min(self.shown.len())));
    }
}

/// Time by which a part of pressure is weighed, seconds: a tenth of it is one that matters.
const PRESSURE_S: f64 = 10.0;

/// What decides the place of a line.
fn standing(line: &Line, board: &Board) -> Standing {
    let history = board.cgroups.get(&line.path).map(|cgroup| &cgroup.history);
    let sizes = || history.into_iter().flatten().filter_map(|point| point.current);
    let span = history.and_then(|points| Some(points.back()?.time_us - points.front()?.time_us));
    let peak = sizes().max().unwrap_or(0);
    let mut standing = Standing {
        path: line.path.clone(),
        name: line.name.clone(),
        kills: line.oom_kills,
        leak: line.growth_per_min.filter(|_| line.leaks == Some(true)).map(|growth| growth / 60.0),
        left_s: line.time_to_limit_s,
        stalled_s: line.pressure.unwrap_or(0.0) * PRESSURE_S,
        limit: line.max,
        held: line.unreclaimable.or(line.current).unwrap_or(0),
        peak,
        grew: peak.saturating_sub(sizes().next().unwrap_or(peak)),
        watched_s: span.unwrap_or(0) as f64 / 1e6,
        ..Standing::default()
    };
    standing.know(board.who(&line.path).as_ref());
    standing
}

/// Parents before their children, siblings in the order of the list. A parent that is filtered out leaves its children where it was.
fn tree(lines: &[Line], list: &[usize]) -> Vec<Shown> {
    use std::collections::HashMap;
    let among: HashMap<&str, usize> = list.iter().map(|&at| (lines[at].path.as_str(), at)).collect();
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for &at in list {
        let mut above = lines[at].path.as_str();
        let parent = loop {
            match above.rfind('/') {
                Some(end) if end > 0 => above = &above[..end],
                _ => break None,
            }
            if let Some(&parent) = among.get(above) {
                break Some(parent);
            }
        };
        children.entry(parent).or_default().push(at);
    }
    let mut shown = Vec::with_capacity(list.len());
    let mut open: Vec<Shown> = Vec::new();
    let push = |open: &mut Vec<Shown>, of: Option<usize>, depth: usize| {
        open.extend(children.get(&of).into_iter().flatten().rev().map(|&line| Shown { line, depth }));
    };
    push(&mut open, None, 0);
    while let Some(next) = open.pop() {
        push(&mut open, Some(next.line), next.depth + 1);
        shown.push(next);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::board::Depth;
    use crate::model::event::{Event, EventKind};
    use crate::model::fields::FieldId;
    use crate::model::sample::Row;
    use crate::model::time::Anchor;

    const S: i64 = 1_000_000;

    #[test]
    fn what_matters_stands_first_and_the_rest_is_folded() {
        let depth = Depth { step_us: S, points: 600 };
        let mut board = Board::new(depth, Anchor { mono_ns: 0, wall_ns: 0 }, ("box".into(), None));
        let sessions = (0..40).map(|n| (format!("/user.slice/session-{n}.scope"), 3));
        for (path, mib) in sessions.chain([("/big".to_owned(), 700), ("/system.slice/cron.service".to_owned(), 4)]) {
            for t in 0..120 {
                let mut row = Row::new(1);
                row.put(FieldId::Current.field(), mib << 20);
                board.feed(Some((&path, 1)), t * S, &row);
            }
        }
        let kill = r#"{"time_ns": 5, "constraint": "memcg", "victim_cgroup": "/system.slice/cron.service",
            "limit_cgroup": "/system.slice/cron.service", "witnesses": []}"#;
        let what = EventKind::OomKill(serde_json::from_str(kill).unwrap());
        board.hear(100 * S, &Event { mono_ns: 0, cgroup: Some("/system.slice/cron.service".into()), what });
        let mut state = State::new("test".into());
        state.refresh(&board);
        let paths = |state: &State| -> Vec<String> {
            state.shown.iter().map(|shown| state.lines[shown.line].path.clone()).collect()
        };
        assert_eq!(paths(&state), ["/system.slice/cron.service", "/big"], "a kill is first");
        assert_eq!(state.folded.with_hint(), "40 others: 40 steady; --all shows them");
        state.order = Order::Current;
        state.arrange();
        assert_eq!(paths(&state), ["/big", "/system.slice/cron.service"]);
        state.all = true;
        state.arrange();
        assert_eq!((state.shown.len(), state.folded.count()), (42, 0));
        (state.all, state.filter) = (false, "session-7".into());
        state.arrange();
        assert_eq!(paths(&state), ["/user.slice/session-7.scope"], "what is looked for is found");
    }
}
