//! Memory of the machine: `free` and `sar -r`. It is put down for the cgroup `/`.

use crate::reading::import::size::{Decimal, Prefix, parse};

/// The cgroup that stands for the machine.
pub const MACHINE: &str = "/";

/// Columns of a table.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<String>,
    is_sar: bool,
}

/// The head of a table, if it is one.
pub fn head(line: &str) -> Option<Layout> {
    if !line.contains("total") && !line.contains("kbmem") {
        return None;
    }
    let columns: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let has = |name: &str| columns.iter().any(|column| column == name);
    let is_sar = has("kbmemused") && has("kbmemfree");
    (is_sar || has("total") && has("used") && has("free")).then_some(Layout { columns, is_sar })
}

/// What a row says, bytes.
#[derive(Debug, PartialEq)]
pub struct Machine {
    /// In use, without page cache.
    pub used: f64,
    /// Page cache, where it is listed apart.
    pub cached: Option<f64>,
    /// The unit that bare numbers were taken in; `None` where they have one.
    pub guessed: Option<f64>,
}

/// A row of a table, if it is one. `unit`: bytes in the unit of bare numbers, if it is known.
pub fn row(layout: &Layout, line: &str, unit: Option<f64>) -> Option<Machine> {
    let cells: Vec<&str> = if layout.is_sar {
        line.split_whitespace().collect()
    } else {
        line.trim().strip_prefix("Mem:")?.split_whitespace().collect()
    };
    let size = |name: &str| {
        let at = layout.columns.iter().position(|column| column == name)?;
        parse(cells.get(at)?, Decimal::Auto, Prefix::Binary)
    };
    let used = size(if layout.is_sar { "kbmemused" } else { "used" })?;
    let cached = size(if layout.is_sar { "kbcached" } else { "buff/cache" })
        .or_else(|| size("cache"))
        .or_else(|| size("cached"));
    let guessed = match (layout.is_sar, used.unit, unit) {
        (true, _, _) => Some(1024.0),
        (false, Some(_), _) => None,
        (false, None, Some(unit)) => Some(unit),
        // free prints KiB, with -m MiB, with -g GiB, with -b bytes; a machine has from 250 MiB to 1 TiB.
        (false, None, None) => Some(match size("total")?.number {
            ..200.0 => 1_073_741_824.0,
            ..250_000.0 => 1_048_576.0,
            ..1e9 => 1024.0,
            _ => 1.0,
        }),
    };
    let bytes = |size: crate::reading::import::size::Size| size.number * size.unit.or(guessed).unwrap_or(1.0);
    Some(Machine { used: bytes(used), cached: cached.map(bytes), guessed: guessed.filter(|_| !layout.is_sar) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "               total        used        free      shared  buff/cache   available";

    #[test]
    fn free_is_read_in_each_of_its_units() {
        let used = |line: &str| row(&head(HEAD).unwrap(), line, None).map(|machine| machine.used);
        let mib = 1_048_576.0;
        assert_eq!(
            used("Mem:        24684092      734076     1051564        8856    23308588    23950016"),
            Some(734_076.0 * 1024.0)
        );
        assert_eq!(
            used("Mem:           24105         738        1005           8       22762       23366"),
            Some(738.0 * mib)
        );
        assert_eq!(
            used("Mem:            23Gi       738Mi       1.0Gi       8.6Mi        22Gi        22Gi"),
            Some(738.0 * mib)
        );
        assert_eq!(
            used("Mem:     25276510208   751693824  1076801536     9068544 23867994112 24524816384"),
            Some(751_693_824.0)
        );
        assert_eq!(used("Swap:              0           0           0"), None);
        let sar = head("kbmemfree   kbavail kbmemused  %memused kbbuffers  kbcached  kbcommit").unwrap();
        assert_eq!(
            row(&sar, "881816  23771712    407908      1.65    434664  22141220    155092", None).unwrap().used,
            407_908.0 * 1024.0
        );
    }
}
