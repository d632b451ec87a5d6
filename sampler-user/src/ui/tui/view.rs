//! Draws the state.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use crate::live::board::{Board, Line};
use crate::model::fields;
use crate::model::fields::{Table, UNLIMITED};
use crate::model::time::format_us;
use crate::model::units::{bytes, micros, printable, value};
use crate::ui::text::machine::in_a_line;
use crate::ui::text::style::shorten;
use crate::ui::tui::draw::{chart, put, right, sparkline};
use crate::ui::tui::keys::KEYS;
use crate::ui::tui::state::{Order, State};

/// A column: title, width, the order it stands for, from which width of the screen it is shown, and its text.
struct Column {
    title: &'static str,
    width: u16,
    order: Option<Order>,
    from: u16,
    text: fn(&Line) -> String,
}

fn size(value: Option<u64>) -> String {
    value.map_or_else(|| "-".into(), bytes)
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".into(), |part| format!("{:.0}", part * 100.0))
}

fn growth(line: &Line) -> String {
    match line.growth_per_min {
        None => "-".into(),
        Some(pace) if pace.abs() < 1024.0 => "0".into(),
        Some(pace) => format!("{}{}", if pace < 0.0 { "-" } else { "+" }, bytes(pace.abs() as u64)),
    }
}

fn left(line: &Line) -> String {
    line.time_to_limit_s.map_or_else(|| "-".into(), |left| micros((left * 1e6).min(1e18) as u64))
}

static COLUMNS: [Column; 11] = [
    Column { title: "MEMORY", width: 10, order: Some(Order::Current), from: 0, text: |l| size(l.current) },
    Column {
        title: "LIMIT",
        width: 10,
        order: None,
        from: 0,
        text: |l| match (l.limit, l.own_limit) {
            (None, Some(false)) => "none".into(),
            (limit, _) => size(limit),
        },
    },
    Column { title: "%", width: 3, order: Some(Order::Used), from: 0, text: |l| percent(l.used) },
    Column { title: "ANON", width: 10, order: None, from: 110, text: |l| size(l.anon) },
    Column { title: "CACHE", width: 10, order: None, from: 110, text: |l| size(l.file) },
    Column { title: "SWAP", width: 10, order: None, from: 150, text: |l| size(l.swap) },
    Column { title: "GROWTH/MIN", width: 11, order: Some(Order::Growth), from: 0, text: growth },
    Column { title: "FULL IN", width: 8, order: Some(Order::TimeToLimit), from: 70, text: left },
    Column { title: "PSI%", width: 4, order: Some(Order::Pressure), from: 0, text: |l| percent(l.pressure) },
    Column {
        title: "STALLED",
        width: 8,
        order: None,
        from: 130,
        text: |l| l.stall_us.map_or_else(|| "-".into(), micros),
    },
    Column { title: "OOM", width: 3, order: Some(Order::Kills), from: 0, text: |l| l.oom_kills.to_string() },
];

/// Lines of a screen that has room for the machine's account.
const ROOMY: u16 = 16;

/// Draws all of it, and tells the state how much of the list fits.
pub fn draw(frame: &mut Frame<'_>, state: &mut State, board: &Board) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < 20 || area.height < 6 {
        put(buffer, 0, 0, area.width, "too small", Style::new());
        return;
    }
    let used = header(buffer, area, state);
    let alerts = (state.alerts.len() as u16).min(3);
    let body = Rect { y: used, height: area.height.saturating_sub(used + 1 + alerts), ..area };
    if state.help {
        help(buffer, body);
    } else if state.detail {
        detail(buffer, body, state, board);
    } else {
        list(buffer, body, state, board);
    }
    for (at, alert) in state.alerts.iter().rev().take(alerts.into()).enumerate() {
        let y = area.height - 2 - at as u16;
        put(buffer, 0, y, area.width, &printable(alert), Style::new().fg(Color::Red));
    }
    footer(buffer, area, state);
}

fn header(buffer: &mut Buffer, area: Rect, state: &State) -> u16 {
    let machine = &state.machine;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let what = machine.wsl.as_deref().map_or_else(|| "machine".into(), |wsl| format!("{} VM", printable(wsl)));
    let time = state.at_us.unwrap_or(state.span_us.1);
    let when = if state.at_us.is_some() { "looking back at " } else { "" };
    let first = format!("{} · {what} · {when}{}", printable(&machine.host), format_us(time));
    put(buffer, 0, 0, area.width, &first, if state.at_us.is_some() { bold.fg(Color::Yellow) } else { bold });
    let part = machine.used.zip(machine.total).map(|(used, total)| used as f64 / total.max(1) as f64);
    let second = format!(
        "used {} of {} ({} %), cache {}, swap {} of {}, pressure {} %",
        size(machine.used),
        size(machine.total),
        percent(part),
        size(machine.cache),
        size(machine.swap_used),
        size(machine.swap_total),
        percent(machine.pressure)
    );
    put(buffer, 0, 1, area.width, &second, heat(part));
    let over = machine.total.is_some_and(|total| machine.limits > total);
    let third = format!(
        "limits of containers {} in all{}, {} without a limit · {} cgroups{}",
        bytes(machine.limits),
        if over { ", more than there is" } else { "" },
        machine.unlimited,
        state.shown.len(),
        state.more()
    );
    put(buffer, 0, 2, area.width, &third, if over { Style::new().fg(Color::Yellow) } else { Style::new() });
    let Some(account) = machine.account.as_ref().filter(|_| area.height >= ROOMY) else { return 3 };
    put(buffer, 0, 3, area.width, &in_a_line(account), Style::new());
    4
}

fn heat(part: Option<f64>) -> Style {
    match part {
        Some(part) if part >= 0.9 => Style::new().fg(Color::Red),
        Some(part) if part >= 0.75 => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

fn list(buffer: &mut Buffer, area: Rect, state: &mut State, board: &Board) {
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| area.width >= column.from).collect();
    let fixed: u16 = columns.iter().map(|column| column.width + 1).sum();
    let spark = if area.width >= 160 {
        40
    } else if area.width >= 100 {
        12
    } else {
        0
    };
    let name = area.width.saturating_sub(fixed + if spark > 0 { spark + 1 } else { 0 });
    let head = Style::new().add_modifier(Modifier::REVERSED);
    put(buffer, 0, area.y, area.width, &" ".repeat(area.width.into()), head);
    put(buffer, 0, area.y, name, if state.tree { "CGROUP" } else { "NAME" }, mark(head, state.order == Order::Name));
    let mut x = name + 1;
    for column in &columns {
        right(buffer, x, area.y, column.width, column.title, mark(head, column.order == Some(state.order)));
        x += column.width + 1;
    }
    state.height = area.height.saturating_sub(1).into();
    state.follow();
    let at = state.at_us.unwrap_or(state.span_us.1);
    for (row, shown) in state.shown.iter().skip(state.top).take(state.height).enumerate() {
        let line = &state.lines[shown.line];
        let y = area.y + 1 + row as u16;
        let mut style = heat(line.unreclaimable_used);
        if line.oom_kills > 0 {
            style = style.fg(Color::Magenta);
        }
        if line.gone {
            style = style.add_modifier(Modifier::DIM);
        }
        if Some(&line.path) == state.chosen.as_ref() {
            style = style.add_modifier(Modifier::REVERSED);
            put(buffer, 0, y, area.width, &" ".repeat(area.width.into()), style);
        }
        put(buffer, 0, y, name, &label(line, shown.depth, state.tree), style);
        let mut x = name + 1;
        for column in &columns {
            right(buffer, x, y, column.width, &(column.text)(line), style);
            x += column.width + 1;
        }
        if spark > 0 {
            put(buffer, x, y, spark, &sparkline(board, &line.path, at, spark.into()), style);
        }
    }
}

fn mark(style: Style, sorted: bool) -> Style {
    if sorted { style.add_modifier(Modifier::UNDERLINED) } else { style }
}

fn label(line: &Line, depth: usize, tree: bool) -> String {
    // The end of a path tells more than its beginning; a name is whole.
    let name = if tree && !line.container { line.path.rsplit('/').next().unwrap_or(&line.path) } else { &line.name };
    format!("{}{}", "  ".repeat(depth), printable(name))
}

fn detail(buffer: &mut Buffer, area: Rect, state: &State, board: &Board) {
    let Some(line) = state.line() else {
        put(buffer, 0, area.y, area.width, "this cgroup is not there at this time", Style::new());
        return;
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    put(buffer, 0, area.y, area.width, &printable(&line.name), bold);
    put(buffer, 0, area.y + 1, area.width, &printable(&line.path), Style::new());
    let mut y = area.y + 2;
    if let Some(who) = board.who(&line.path) {
        let image = who.image.map(|image| format!(", image {}", printable(&image))).unwrap_or_default();
        let id = who.container.map(|id| format!(", {}", printable(&id))).unwrap_or_default();
        put(buffer, 0, y, area.width, &format!("{}{image}{id}", printable(&who.runtime)), Style::new());
        y += 1;
    }
    let facts = format!(
        "{} of {} ({} %), growth {} a minute, full in {}{}, pressure {} %, {} OOM kills",
        size(line.current),
        size(line.limit),
        percent(line.used),
        growth(line),
        left(line),
        if line.time_to_limit_s.is_some() && line.machine_first { " (the machine)" } else { "" },
        percent(line.pressure),
        line.oom_kills
    );
    put(buffer, 0, y, area.width, &facts, heat(line.unreclaimable_used));
    y += 2;
    let at = state.at_us.unwrap_or(state.span_us.1);
    let end = area.y + area.height;
    let height = (end.saturating_sub(y) / 2).min(12);
    chart(buffer, Rect { y, height, ..area }, board, &line.path, at);
    y += height + 1;
    let Some(cgroup) = board.cgroups.get(&line.path) else { return };
    // All that was read, in as many columns as fit.
    let known: Vec<String> = fields::of(Table::Samples)
        .filter_map(|field| {
            let read = cgroup.latest.get(field)?;
            let text = if read == UNLIMITED { "unlimited".into() } else { value(field.unit, read) };
            Some(format!("{:<24}{text:>14}", field.column))
        })
        .collect();
    let columns = usize::from(area.width / 41).max(1);
    let rows = usize::from(end.saturating_sub(y)).max(1);
    for (n, text) in known.iter().take(rows * columns).enumerate() {
        put(buffer, (n / rows) as u16 * 41, y + (n % rows) as u16, 40, text, Style::new());
    }
}

fn help(buffer: &mut Buffer, area: Rect) {
    for (n, (keys, what)) in KEYS.iter().enumerate() {
        put(buffer, 2, area.y + n as u16, 16, keys, Style::new().add_modifier(Modifier::BOLD));
        put(buffer, 20, area.y + n as u16, area.width.saturating_sub(20), what, Style::new());
    }
}

fn footer(buffer: &mut Buffer, area: Rect, state: &State) {
    let text = if state.typing {
        format!("filter: {}_", printable(&state.filter))
    } else {
        let filter =
            if state.filter.is_empty() { String::new() } else { format!(" · filter {}", printable(&state.filter)) };
        format!("by {}{filter} · {} · ? keys · q quit", state.order.name(), printable(&state.source))
    };
    put(buffer, 0, area.height - 1, area.width, &text, Style::new().add_modifier(Modifier::DIM));
}

/// The list as text, for a pipe: one row a cgroup, and how many are folded.
/// No row is wider than `most`: columns that matter less are left out, and names are cut.
pub fn text(state: &State, most: usize) -> String {
    let mut out = String::new();
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| most >= usize::from(column.from)).collect();
    let fixed: usize = columns.iter().map(|column| usize::from(column.width) + 1).sum();
    let names: Vec<String> = state.shown.iter().map(|s| label(&state.lines[s.line], s.depth, state.tree)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
    let width = longest.min(most.saturating_sub(fixed).max(6));
    out.push_str(&format!("{:<width$}", "NAME"));
    columns.iter().for_each(|column| out.push_str(&format!(" {:>1$}", column.title, usize::from(column.width))));
    out.push('\n');
    for (name, shown) in names.iter().zip(&state.shown) {
        let name = shorten(name, width);
        out.push_str(&format!("{name:<width$}"));
        let line = &state.lines[shown.line];
        columns
            .iter()
            .for_each(|column| out.push_str(&format!(" {:>1$}", (column.text)(line), usize::from(column.width))));
        out.push('\n');
    }
    if state.folded.count() > 0 {
        let style = crate::ui::text::style::Style { width: most, colour: false };
        out.push_str(&style.paragraph(&state.folded.with_hint(), 0));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::live::board::Depth;
    use crate::model::fields::FieldId;
    use crate::model::identity::Identity;
    use crate::model::sample::Row;
    use crate::model::time::Anchor;
    use crate::ui::tui::keys::press;

    const S: i64 = 1_000_000;

    /// Three cgroups over two minutes: one grows, one has no limit and a hostile name, one rests below a parent.
    fn board(more: usize) -> Board {
        let mut board = Board::new(
            Depth { step_us: S, points: 600 },
            Anchor { mono_ns: 0, wall_ns: 0 },
            ("box".into(), Some("WSL2".into())),
        );
        let id = "5da01ff6c9b04d3f1e2a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7081929";
        let docker = format!("/docker/{id}");
        let who =
            Identity { name: Some("web".into()), image: Some("nginx:1".into()), ..Identity::container("docker", id) };
        board.names.learn(&docker, &who);
        let mut cgroups = vec![
            (docker, 64u64, 1u64, 512),
            ("/x\u{1b}[2J".into(), 700, 0, 0),
            ("/system.slice/cron.service".into(), 3, 0, 64),
        ];
        cgroups.extend((0..more).map(|n| (format!("/bench/c{n:03}"), n as u64, 0, 1024)));
        for t in 0..120 {
            for (path, size, pace, limit) in &cgroups {
                let anon = (size + pace * t as u64) << 20;
                let mut row = Row::new(1);
                for (field, value) in [
                    (FieldId::Current, anon + (1 << 20)),
                    (FieldId::Anon, anon),
                    (FieldId::File, 1 << 20),
                    (FieldId::Shmem, 0),
                    (FieldId::Max, if *limit == 0 { UNLIMITED } else { limit << 20 }),
                    (FieldId::PressureSome, t as u64 * 10_000),
                ] {
                    row.put(field.field(), value);
                }
                board.feed(Some((path, 1)), t * S, &row);
            }
            let mut host = Row::new(0);
            for (field, value) in [
                (FieldId::MemTotal, 4 << 30),
                (FieldId::MemAvailable, 1 << 30),
                (FieldId::Cached, 512 << 20),
                (FieldId::SwapTotal, 1 << 30),
                (FieldId::SwapFree, 1 << 30),
            ] {
                host.put(FieldId::field(field), value);
            }
            board.feed(None, t * S, &host);
        }
        board
    }

    fn screen(state: &mut State, board: &Board, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        state.refresh(board);
        terminal.draw(|frame| draw(frame, state, board)).unwrap();
        let buffer = terminal.backend().buffer();
        let mut out = String::new();
        for y in 0..height {
            let row: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            let _ = writeln!(out, "{}", row.trim_end());
        }
        out
    }

    fn keys(state: &mut State, text: &str) {
        for c in text.chars() {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '<' => KeyCode::Left,
                'V' => KeyCode::Down,
                c => KeyCode::Char(c),
            };
            press(state, KeyEvent::new(code, KeyModifiers::NONE));
        }
    }

    /// Compares with a committed screen; `SAMPLER_BLESS=1` writes it.
    fn same(name: &str, got: &str) {
        let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/screens/{name}.txt"));
        if std::env::var_os("SAMPLER_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, got).unwrap();
        }
        assert_eq!(got, std::fs::read_to_string(&path).unwrap(), "{name}");
    }

    #[test]
    fn screens_are_as_they_were() {
        let board = board(0);
        for (name, typed, width, height) in [
            ("list-80x24", "", 80, 24),
            ("list-200x30", "t", 200, 30),
            ("tree-80x24", "v", 80, 24),
            ("filter-80x24", "/we", 80, 24),
            ("detail-80x40", "gk\n", 80, 40),
            ("help-80x24", "?", 80, 24),
            ("back-80x24", "<<<", 80, 24),
        ] {
            let mut state = State::new("test".into());
            state.refresh(&board);
            keys(&mut state, typed);
            let got = screen(&mut state, &board, width, height);
            assert!(!got.contains('\u{1b}'), "a name steers the terminal");
            same(name, &got);
        }
    }

    #[test]
    fn the_choice_stays_with_its_cgroup_and_on_the_screen() {
        let board = board(500);
        let mut state = State::new("test".into());
        screen(&mut state, &board, 80, 24);
        keys(&mut state, &"V".repeat(100));
        let chosen = state.chosen.clone();
        let got = screen(&mut state, &board, 80, 24);
        assert!(got.contains(state.line().unwrap().path.as_str()), "{got}");
        keys(&mut state, "n");
        screen(&mut state, &board, 80, 24);
        assert_eq!(state.chosen, chosen);
        assert!((state.top..state.top + state.height).contains(&state.cursor()));
        for (width, height) in [(1, 1), (20, 6), (33, 7), (300, 100)] {
            screen(&mut state, &board, width, height);
        }
    }

    #[test]
    fn text_has_a_row_a_cgroup() {
        let board = board(0);
        let mut state = State::new("test".into());
        state.refresh(&board);
        let text = text(&state, usize::MAX);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("web") && !text.contains('\u{1b}'), "{text}");
        let narrow = super::text(&state, 70);
        assert!(narrow.lines().all(|line| line.chars().count() <= 70) && narrow.contains("FULL IN"), "{narrow}");
    }
}
