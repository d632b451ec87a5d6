//! Exports of logs as CSV: a head that names the column of the message.

use crate::kernel::oom::textlog::entry::Message;
use crate::kernel::oom::textlog::stamp::{Wall, leading};

/// What services call the columns.
const MESSAGES: [&str; 9] =
    ["message", "@message", "_raw", "line", "log", "content", "msg", "textpayload", "jsonpayload.message"];
const TIMES: [&str; 8] = ["timestamp", "@timestamp", "time", "_time", "date", "ts", "datetime", "timegenerated"];
const HOSTS: [&str; 4] = ["host", "hostname", "_hostname", "computer"];
/// Columns that are looked at.
const MOST: usize = 64;

/// The columns of such a file.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    message: usize,
    time: Option<usize>,
    host: Option<usize>,
}

impl Table {
    /// The head of a file, if it is one.
    pub fn of(head: &str) -> Option<Table> {
        let names: Vec<String> = cells(head).iter().map(|name| name.trim().to_ascii_lowercase()).collect();
        let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
        let is_head = names.len() > 1 && names.iter().all(|name| name.len() < 64);
        is_head.then(|| Some(Table { message: find(&MESSAGES)?, time: find(&TIMES), host: find(&HOSTS) }))?
    }

    /// The message of a row.
    pub fn message(&self, row: &str) -> Option<Message> {
        let mut cells = cells(row);
        let host = self.host.and_then(|at| cells.get(at).cloned()).filter(|host| !host.is_empty());
        let wall = self.time.and_then(|at| time(cells.get(at)?));
        let text = (self.message < cells.len()).then(|| cells.swap_remove(self.message))?;
        Some(Message { text, wall, host, ..Message::default() })
    }
}

/// Dates, and seconds or milliseconds since 1970.
fn time(cell: &str) -> Option<Wall> {
    let number = || {
        let us = match cell.len() {
            10 => cell.parse::<i64>().ok()?.checked_mul(1_000_000)?,
            13 => cell.parse::<i64>().ok()?.checked_mul(1_000)?,
            _ => return None,
        };
        Some(Wall { us, zoned: true, dated: true, exact_us: if cell.len() == 13 { 1_000 } else { 1_000_000 } })
    };
    number().or_else(|| Some(leading(cell)?.0))
}

/// The cells of a row; a quote that is not closed ends with it.
fn cells(row: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let (mut quoted, mut chars) = (false, row.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => {
                all.iter_mut().next_back().into_iter().for_each(|cell| cell.push('"'))
            }
            '"' => quoted = !quoted,
            ',' if !quoted && all.len() < MOST => all.push(String::new()),
            c => all.iter_mut().next_back().into_iter().for_each(|cell| cell.push(c)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_where_the_head_says() {
        let table = Table::of("Date,Host,Service,Message").unwrap();
        let message = table.message("\"2024-05-03T02:11:48.102Z\",\"n1\",\"kernel\",\"a \"\"b\"\", c\"").unwrap();
        assert_eq!((message.text.as_str(), message.host.as_deref()), ("a \"b\", c", Some("n1")));
        assert_eq!(message.wall.unwrap().us, 1_714_702_308_102_000);
        let table = Table::of("timestamp,message").unwrap();
        assert_eq!(table.message("1714702308102,text").unwrap().wall.unwrap().us, 1_714_702_308_102_000);
        assert!(table.message("1714702308102").is_none());
        assert!(Table::of("[ 1.0] message").is_none() && Table::of("a, b, c").is_none());
    }
}
