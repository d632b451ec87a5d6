//! `systemd-cgtop -b`: the memory of each cgroup, as its files count it.

use crate::reading::import::size::{Decimal, Prefix, parse};

/// Whether a line is the head of a table.
pub fn is_head(line: &str) -> bool {
    let line = line.trim_start();
    ["Control Group", "CGroup", "Path"].iter().any(|name| line.starts_with(name))
        && line.contains("%CPU")
        && line.contains("Memory")
}

/// Path and bytes of a row, if it has them: of a cgroup that is not accounted there is a dash.
pub fn row(line: &str) -> Option<(String, f64)> {
    let cells: Vec<&str> = line.split_whitespace().collect();
    let [path @ .., _tasks, _cpu, memory, _input, _output] = cells.as_slice() else { return None };
    let size = parse(memory, Decimal::Point, Prefix::Binary)?;
    let path = path.join(" ");
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    (path.len() > 1 || line.trim_start().starts_with('/')).then(|| (path, size.number * size.unit.unwrap_or(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_a_path_and_a_size() {
        let mib = 1_048_576.0;
        assert_eq!(row("/     213    4.2     2.0M        -        -"), Some(("/".into(), 2.0 * mib)));
        assert_eq!(row("system.slice/a b.service 3 - 1.5M - -"), Some(("/system.slice/a b.service".into(), 1.5 * mib)));
        assert_eq!((row("user.slice 3 - - - -"), row("")), (None, None));
        assert!(
            is_head("Control Group                Tasks   %CPU   Memory  Input/s Output/s") && !is_head("PID %CPU")
        );
    }
}
