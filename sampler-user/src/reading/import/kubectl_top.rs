//! `kubectl top pod` and `kubectl top node`: what metrics-server gives, which is the working set.

use crate::reading::import::size::{Decimal, Prefix, parse};

/// Columns of a table.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<String>,
}

/// The head of a table, if it is one.
pub fn head(line: &str) -> Option<Layout> {
    if !line.contains("MEMORY(") {
        return None;
    }
    let columns: Vec<String> = line.split_whitespace().map(str::to_ascii_uppercase).collect();
    let is = columns.iter().any(|c| c == "MEMORY(BYTES)") && columns.iter().any(|c| c == "NAME" || c == "POD");
    is.then_some(Layout { columns })
}

/// Who, and bytes.
pub fn row(layout: &Layout, line: &str) -> Option<(String, f64)> {
    let cells: Vec<&str> = line.split_whitespace().collect();
    if cells.len() != layout.columns.len() {
        return None;
    }
    let cell = |name: &str| cells.get(layout.columns.iter().position(|column| column == name)?).copied();
    let who: Vec<&str> = ["NAMESPACE", "POD", "NAME"].into_iter().filter_map(cell).collect();
    Some((who.join("/"), quantity(cell("MEMORY(BYTES)")?)?))
}

/// A row of `--no-headers`: names, millicores, and memory in Mi.
pub fn bare_row(line: &str) -> Option<(String, f64)> {
    let cells: Vec<&str> = line.split_whitespace().collect();
    let [names @ .., cores, memory] = cells.as_slice() else { return None };
    let is = |text: &str, ends: &[&str]| {
        ends.iter()
            .any(|end| text.strip_suffix(end).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())))
    };
    let is_row = (1..=3).contains(&names.len()) && is(cores, &["m"]) && is(memory, &["Ki", "Mi", "Gi"]);
    if is_row { Some((names.join("/"), quantity(memory)?)) } else { None }
}

/// A quantity of Kubernetes: `m` is a thousandth, and plain letters are decimal.
pub fn quantity(text: &str) -> Option<f64> {
    let size = parse(text, Decimal::Point, Prefix::Decimal)?;
    let unit = match text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "m" => 1e-3,
        _ => size.unit.unwrap_or(1.0),
    };
    Some(size.number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_containers_and_nodes_are_read() {
        let of = |head_line: &str, line: &str| row(&head(head_line).unwrap(), line);
        let mib = 1_048_576.0;
        assert_eq!(of("NAME CPU(cores) MEMORY(bytes)", "web-0 12m 345Mi"), Some(("web-0".into(), 345.0 * mib)));
        let all = of("NAMESPACE POD NAME CPU(cores) MEMORY(bytes)", "shop web-0 app 12m 2Gi");
        assert_eq!(all, Some(("shop/web-0/app".into(), 2048.0 * mib)));
        let node = of("NAME CPU(cores) CPU% MEMORY(bytes) MEMORY%", "n1 250m 12% 3456Mi 45%");
        assert_eq!(node, Some(("n1".into(), 3456.0 * mib)));
        assert_eq!(of("NAME CPU(cores) MEMORY(bytes)", "error: metrics not available yet"), None);
        assert!(head("NAME READY STATUS").is_none());
        assert_eq!(bare_row("shop   web-0   12m   345Mi"), Some(("shop/web-0".into(), 345.0 * mib)));
        assert_eq!((bare_row("web 12m 345"), bare_row("12m 345Mi"), bare_row("a b c d 1m 1Mi")), (None, None, None));
    }
}
