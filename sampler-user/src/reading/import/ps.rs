//! Tables of processes: `ps`, `top -b`, `pidstat -r`, `smem`. Their sizes are KiB unless they have a letter.

use crate::reading::import::size::{Decimal, Prefix, parse};

/// Columns of a table.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<String>,
    memory: usize,
    swap: Option<usize>,
    pid: Option<usize>,
    command: Option<usize>,
}

/// Titles of columns that these programs print; a line of nothing else is a head.
const TITLES: [&str; 110] = [
    "PID", "PPID", "TGID", "TID", "USER", "UID", "RUSER", "EUSER", "GROUP", "GID", "TTY", "TT", "STAT", "S", "STATE",
    "START", "STARTED", "STIME", "TIME", "TIME+", "ELAPSED", "COMMAND", "CMD", "ARGS", "COMM", "UCMD", "RSS", "RSZ",
    "RSSIZE", "RES", "VSZ", "VSIZE", "VIRT", "SIZE", "SZ", "DRS", "TRS", "%CPU", "%MEM", "C", "CP", "NI", "PR", "PRI",
    "NLWP", "THCNT", "LWP", "PGID", "PGRP", "SID", "SESS", "F", "WCHAN", "ADDR", "CLS", "RTPRIO", "PSR", "P", "SHR",
    "SWAP", "CODE", "DATA", "nMaj", "nDRT", "MINFL", "MAJFL", "USS", "PSS", "MEM", "MINFLT/S", "MAJFLT/S", "LABEL",
    "UNIT", "CGROUP", // `top` in German, French, Spanish, Portuguese and Italian.
    "BENUTZER", "ZEIT", "ZEIT+", "BEFEHL", "UTIL.", "TEMPS", "TEMPS+", "COM.", "USUARIO", "HORA", "HORA+", "ORDEN",
    "UTENTE", "TEMPO", "TEMPO+", "COMANDO", // `top -l` of macOS.
    "#TH", "#WQ", "#PORT", "#PORTS", "#MREGS", "MEM", "MREG", "PURG", "CMPRS", "RPRVT", "RSHRD", "RSIZE", "VPRVT",
    "KPRVT", "KSHRD", "FAULTS", "COW", "CSW", "POWER", "BOOSTS",
];
/// Titles of the command, and of a time that is none of the log.
const COMMANDS: [&str; 9] = ["COMMAND", "CMD", "ARGS", "COMM", "UCMD", "BEFEHL", "COM.", "ORDEN", "COMANDO"];

/// The head of a table, if it is one.
pub fn head(line: &str) -> Option<Layout> {
    if !line.contains("RS") && !line.contains("RES") && !line.contains("#TH") {
        return None;
    }
    let line = line.trim_start_matches(['#', ' ']);
    let mut columns: Vec<String> = line.split_whitespace().map(str::to_ascii_uppercase).collect();
    // `pidstat -h` names the time, which stands before each row; for `ps` TIME is that of the processor.
    if columns.first().is_some_and(|c| c == "TIME") && columns.iter().any(|c| c == "MINFLT/S") {
        columns.remove(0);
    }
    if columns.is_empty()
        || columns.len() > 40
        || !columns.iter().all(|c| TITLES.iter().any(|title| title.eq_ignore_ascii_case(c)))
    {
        return None;
    }
    let find = |names: &[&str]| columns.iter().position(|column| names.contains(&column.as_str()));
    let memory =
        find(&["RSS", "RES", "RSZ", "RSSIZE", "RSIZE"]).or_else(|| find(&["#TH"]).and_then(|_| find(&["MEM"])))?;
    let (swap, pid) = (find(&["SWAP"]), find(&["PID"]));
    let command = find(&COMMANDS);
    Some(Layout { memory, swap, pid, command, columns })
}

impl Layout {
    /// Whether rows may begin with a time of their own, which is none of the log.
    pub fn begins_with_time(&self) -> bool {
        matches!(self.columns[0].as_str(), "ELAPSED" | "TIME" | "TIME+" | "START" | "STARTED" | "STIME")
    }
}

impl Layout {
    /// Without its first column, whose cell was a date and time and is taken off.
    pub fn without_first(&self) -> Layout {
        let less = |at: usize| at.saturating_sub(1);
        Layout {
            columns: self.columns[1..].to_vec(),
            memory: less(self.memory),
            swap: self.swap.map(less),
            pid: self.pid.map(less),
            command: self.command.map(less),
        }
    }
}

/// What a row says.
#[derive(Debug, PartialEq)]
pub struct Process {
    /// Its name and pid.
    pub who: String,
    /// Resident bytes.
    pub rss: f64,
    /// Swapped bytes.
    pub swap: Option<f64>,
}

/// A row of a table, if it is one. `unit`: bytes in the unit of bare numbers. `stem`: a name where the table has none.
pub fn row(layout: &Layout, line: &str, unit: f64, stem: &str) -> Option<Process> {
    let mut cells: Vec<&str> = line.split_whitespace().collect();
    // `lstart` is five words: Thu Nov 24 10:00:00 2026.
    if let Some(at) = layout.columns.iter().position(|c| c == "STARTED")
        && cells.get(at + 3).is_some_and(|cell| cell.contains(':'))
        && cells.get(at).is_some_and(|cell| cell.chars().all(char::is_alphabetic))
    {
        cells.drain(at..(at + 4).min(cells.len() - 1));
    }
    let extra = cells.len().checked_sub(layout.columns.len())?;
    // What is left of the command counts from the left, what is right of it from the right.
    let last = layout.command == Some(layout.columns.len() - 1);
    if extra > 0 && layout.command.is_none() {
        return None;
    }
    let cell = |at: usize| {
        let shifted = if layout.command.is_some_and(|command| at > command) && !last { at + extra } else { at };
        cells.get(shifted).copied()
    };
    let bytes = |at: usize| {
        // macOS marks what grew or shrank.
        let size = parse(cell(at)?.trim_end_matches(['+', '-']), Decimal::Auto, Prefix::Binary)?;
        Some(size.number * size.unit.unwrap_or(unit))
    };
    let pid = match layout.pid {
        Some(at) => Some(cell(at)?.parse::<u32>().ok()?),
        None => None,
    };
    let command = layout.command.and_then(cell).map(name);
    let who = match (command, pid) {
        (Some(name), Some(pid)) => format!("{name} ({pid})"),
        (Some(name), None) => name.to_owned(),
        (None, Some(pid)) => format!("pid {pid}"),
        (None, None) => stem.to_owned(),
    };
    Some(Process { who, rss: bytes(layout.memory)?, swap: layout.swap.and_then(bytes) })
}

/// The name of a program from its command: `/usr/bin/node server.js` is node.
fn name(command: &str) -> &str {
    let name = command.trim_end_matches(':');
    if name.starts_with(['[', '(']) { name } else { name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head_line: &str, line: &str) -> Option<(String, f64)> {
        let process = row(&head(head_line)?, line, 1024.0, "log")?;
        Some((process.who, process.rss / 1024.0))
    }

    #[test]
    fn rows_of_each_program_are_read() {
        let aux = "USER       PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND";
        let row = "root      4321  1.0  0.5  38356 11928 ?        SLl  18:58   0:06 /usr/bin/node --max 5 server.js";
        assert_eq!(of(aux, row), Some(("node (4321)".into(), 11928.0)));
        let top = "  PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND";
        assert_eq!(
            of(top, "  1 root 20 0 38356 1.5g 5588 S 0.0 0.0 0:06.53 java"),
            Some(("java (1)".into(), 1.5 * 1024.0 * 1024.0))
        );
        assert_eq!(of(top, "Tasks:  71 total,   1 running,  70 sleeping,   0 stopped,   0 zombie"), None);
        assert_eq!(of(top, "MiB Mem :  24105.6 total,   1020.7 free,    723.3 used,  22762.2 buff/cache"), None);
        let pidstat = "# Time        UID       PID  minflt/s  majflt/s     VSZ     RSS   %MEM  Command";
        assert_eq!(
            of(pidstat, "0 12634 12028.71 0.00 775260 258956 1.05 rustc"),
            Some(("rustc (12634)".into(), 258_956.0))
        );
        let smem = "  PID User     Command                         Swap      USS      PSS      RSS ";
        assert_eq!(
            of(smem, " 4126 root     python3 app.py --x      0       96      335     1032 "),
            Some(("python3 (4126)".into(), 1032.0))
        );
        assert_eq!(of("RSS", "1234"), Some(("log".into(), 1234.0)));
        assert_eq!(
            of("PID STARTED RSS CMD", "7 Thu Nov 24 10:00:00 2026 555 redis-server *:6379"),
            Some(("redis-server (7)".into(), 555.0))
        );
        assert!(head("NAME RSS").is_none() && head("PID USER COMMAND").is_none() && head("").is_none());
    }
}
