//! What is written and drawn within a part of the screen: texts, bars and a chart of a history.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use crate::live::board::Board;
use crate::model::units::bytes;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Writes within a width; what is too long is cut.
pub(super) fn put(buffer: &mut Buffer, x: u16, y: u16, width: u16, text: &str, style: Style) {
    if y < buffer.area.height && x < buffer.area.width {
        buffer.set_stringn(x, y, text, usize::from(width.min(buffer.area.width - x)), style);
    }
}

/// The same, at the right end of a width.
pub(super) fn right(buffer: &mut Buffer, x: u16, y: u16, width: u16, text: &str, style: Style) {
    let length = text.chars().count().min(width.into()) as u16;
    put(buffer, x + width - length, y, length, text, style);
}

/// The newest points as bars, each the highest of its share, from zero to the highest.
pub(super) fn sparkline(board: &Board, path: &str, at_us: i64, width: usize) -> String {
    let Some(cgroup) = board.cgroups.get(path) else { return String::new() };
    let values: Vec<u64> = cgroup.until(at_us).filter_map(|point| point.current).collect();
    let shares = values.rchunks(values.len().div_ceil(width).max(1));
    let mut bars: Vec<u64> = shares.map(|share| share.iter().copied().max().unwrap_or(0)).collect();
    bars.reverse();
    let highest = bars.iter().copied().max().unwrap_or(0).max(1);
    bars.iter().map(|bar| BARS[(bar * 7 / highest) as usize]).collect()
}

/// History of memory.current as columns of eighths, with the highest value at the side.
pub(super) fn chart(buffer: &mut Buffer, area: Rect, board: &Board, path: &str, at_us: i64) {
    let Some(cgroup) = board.cgroups.get(path) else { return };
    let width = usize::from(area.width.saturating_sub(12));
    let values: Vec<u64> = cgroup.until(at_us).filter_map(|point| point.current).collect();
    if area.height < 2 || width == 0 || values.is_empty() {
        return;
    }
    let mut bars: Vec<u64> = values
        .rchunks(values.len().div_ceil(width).max(1))
        .map(|share| share.iter().copied().max().unwrap_or(0))
        .collect();
    bars.reverse();
    let highest = bars.iter().copied().max().unwrap_or(0).max(1);
    right(buffer, 0, area.y, 11, &bytes(highest), Style::new());
    right(buffer, 0, area.y + area.height - 1, 11, "0", Style::new());
    for (n, bar) in bars.iter().enumerate() {
        let eighths = (u128::from(*bar) * u128::from(area.height) * 8 / u128::from(highest)) as u16;
        for row in 0..area.height {
            let above = eighths.saturating_sub((area.height - 1 - row) * 8).min(8);
            if above > 0 {
                let bar = BARS[usize::from(above) - 1].to_string();
                put(buffer, 12 + n as u16, area.y + row, 1, &bar, Style::new().fg(Color::Cyan));
            }
        }
    }
}
