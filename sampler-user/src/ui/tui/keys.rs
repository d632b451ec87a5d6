//! Keys.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::ui::tui::state::{Order, State};

/// What a key asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Draw again.
    Draw,
    /// The time changed: look at the board again.
    Refresh,
    /// End.
    Quit,
}

/// Keys and what they do, as the help shows them.
pub static KEYS: [(&str, &str); 14] = [
    ("↑ ↓ PgUp PgDn", "choose a cgroup"),
    ("Enter", "its detail and history; Esc goes back"),
    ("s, S", "next, previous order"),
    ("w", "order by what matters: killed, leaking, under pressure, near the limit"),
    ("m % g t p o n", "order by memory, % of limit, growth, time to limit, pressure, OOM kills, name"),
    ("/", "filter by name or path; Esc clears it"),
    ("v", "tree of cgroups, or list"),
    ("c", "containers only, or all cgroups"),
    ("a", "all cgroups, or only those that matter"),
    ("← →", "10 seconds back, forward"),
    ("[ ]", "5 minutes back, forward"),
    ("Space", "hold this time, or back to now"),
    ("?", "this help"),
    ("q", "quit"),
];

const S: i64 = 1_000_000;

/// Applies a key.
pub fn press(state: &mut State, key: KeyEvent) -> Outcome {
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Outcome::Quit;
    }
    if state.typing {
        match key.code {
            KeyCode::Enter => state.typing = false,
            KeyCode::Esc => (state.typing, state.filter) = (false, String::new()),
            KeyCode::Backspace => drop(state.filter.pop()),
            KeyCode::Char(c) if state.filter.len() < 128 => state.filter.push(c),
            _ => {}
        }
        state.arrange();
        return Outcome::Draw;
    }
    let page = state.height.max(1) as isize;
    match key.code {
        KeyCode::Char('q') => return Outcome::Quit,
        KeyCode::Char('?') | KeyCode::F(1) => state.help = !state.help,
        KeyCode::Esc if state.help => state.help = false,
        KeyCode::Esc if state.detail => state.detail = false,
        KeyCode::Esc => state.filter.clear(),
        KeyCode::Enter => state.detail = !state.detail,
        KeyCode::Up | KeyCode::Char('k') => state.step(-1),
        KeyCode::Down | KeyCode::Char('j') => state.step(1),
        KeyCode::PageUp => state.step(-page),
        KeyCode::PageDown => state.step(page),
        KeyCode::Home => state.step(isize::MIN),
        KeyCode::End => state.step(isize::MAX),
        KeyCode::Char('/') => state.typing = true,
        KeyCode::Char('v') => state.tree = !state.tree,
        KeyCode::Char('c') => state.containers = !state.containers,
        KeyCode::Char('s') => state.order = turn(state.order, 1),
        KeyCode::Char('S') => state.order = turn(state.order, Order::ALL.len() - 1),
        KeyCode::Char('a') => state.all = !state.all,
        KeyCode::Char('w') => state.order = Order::Matters,
        KeyCode::Char('m') => state.order = Order::Current,
        KeyCode::Char('%') => state.order = Order::Used,
        KeyCode::Char('g') => state.order = Order::Growth,
        KeyCode::Char('t') => state.order = Order::TimeToLimit,
        KeyCode::Char('p') => state.order = Order::Pressure,
        KeyCode::Char('o') => state.order = Order::Kills,
        KeyCode::Char('n') => state.order = Order::Name,
        KeyCode::Left => return scrub(state, -10 * S),
        KeyCode::Right => return scrub(state, 10 * S),
        KeyCode::Char('[') => return scrub(state, -300 * S),
        KeyCode::Char(']') => return scrub(state, 300 * S),
        KeyCode::Char(' ') => {
            state.at_us = if state.at_us.is_some() { None } else { Some(state.span_us.1) };
            return Outcome::Refresh;
        }
        _ => return Outcome::Draw,
    }
    state.arrange();
    Outcome::Draw
}

fn scrub(state: &mut State, by_us: i64) -> Outcome {
    state.scrub(by_us);
    Outcome::Refresh
}

fn turn(order: Order, by: usize) -> Order {
    let at = Order::ALL.iter().position(|known| *known == order).unwrap_or(0);
    Order::ALL[(at + by) % Order::ALL.len()]
}
