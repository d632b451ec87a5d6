//! What is looked at: order, filter, tree, the chosen cgroup, the time.

use crate::kernel::cgroupfs::tree::Selection;
use crate::live::board::{Board, Line, Machine};

/// By what the lines are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
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
    pub const ALL: [Order; 7] =
        [Order::Current, Order::Used, Order::Growth, Order::TimeToLimit, Order::Pressure, Order::Kills, Order::Name];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
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
        let short = ["memory", "used", "growth", "time", "pressure", "kills", "name"];
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
            Order::Name => 0.0,
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
    /// Those that are shown.
    pub shown: Vec<Shown>,
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
    /// Everything, largest first.
    pub fn new(source: String) -> State {
        State {
            order: Order::Current,
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
            shown: Vec::new(),
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
        let mut list: Vec<usize> = (0..self.lines.len()).filter(|&at| keep(&self.lines[at])).collect();
        let (order, lines) = (self.order, &self.lines);
        let compare = |a: &usize, b: &usize| {
            let (a, b) = (&lines[*a], &lines[*b]);
            order.key(b).total_cmp(&order.key(a)).then_with(|| a.name.cmp(&b.name)).then_with(|| a.path.cmp(&b.path))
        };
        list.sort_by(compare);
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
