//! The kernel's table of tasks. Which columns it has depends on the kernel: its own head says it.

use crate::model::evidence::TaskRow;

/// Bytes of a name, at most (`TASK_COMM_LEN`).
const COMM: usize = 15;

/// One column of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Uid,
    Tgid,
    TotalVm,
    Rss,
    /// Tables of pages, counted in pages: `nr_ptes`, and `nr_pmds` from 4.0 to 4.14.
    TablePages,
    TableBytes,
    Swap,
    Adj,
    Other,
}

/// The columns behind the pid, without the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<Column>);

/// A row, in pages where the kernel counts pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The task.
    pub task: TaskRow,
    /// Its thread group.
    pub tgid: i32,
    /// Whether its page tables are counted in pages.
    pub table_pages: bool,
}

impl Columns {
    /// From `[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name`.
    pub fn of(head: &str) -> Option<Columns> {
        let (pid, rest) = head.strip_prefix('[')?.split_once(']')?;
        let mut words = rest.split_whitespace();
        if pid.trim() != "pid" || words.next_back()? != "name" {
            return None;
        }
        let column = |word: &str| match word {
            "uid" => Column::Uid,
            "tgid" => Column::Tgid,
            "total_vm" => Column::TotalVm,
            "rss" => Column::Rss,
            "nr_ptes" | "nr_pmds" | "nr_puds" => Column::TablePages,
            "pgtables_bytes" => Column::TableBytes,
            "swapents" => Column::Swap,
            "oom_score_adj" => Column::Adj,
            _ => Column::Other,
        };
        Some(Columns(words.map(column).collect()))
    }

    /// Where the head is missing: what so many numbers are. 7 before 6.12 but for 4.0 to 4.14, which have 8; 10 since.
    fn guess(numbers: &[i64]) -> Option<Columns> {
        use Column::{Adj, Other, Rss, Swap, TableBytes, TablePages, Tgid, TotalVm, Uid};
        let is_adj = |at: usize| numbers.get(at).is_some_and(|adj| (-1000..=1000).contains(adj));
        let in_bytes = numbers.get(4).is_some_and(|tables| *tables % 4096 == 0);
        let columns = match numbers.len() {
            10.. => vec![Uid, Tgid, TotalVm, Rss, Other, Other, Other, TableBytes, Swap, Adj],
            8.. if !in_bytes && is_adj(7) => vec![Uid, Tgid, TotalVm, Rss, TablePages, TablePages, Swap, Adj],
            7.. if in_bytes => vec![Uid, Tgid, TotalVm, Rss, TableBytes, Swap, Adj],
            7.. => vec![Uid, Tgid, TotalVm, Rss, TablePages, Swap, Adj],
            _ => return None,
        };
        Some(Columns(columns))
    }
}

/// Whether a line looks like a row, at a glance: a pid in brackets, and a number behind.
pub fn is_row(text: &str) -> bool {
    let Some((pid, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else { return false };
    let is_number = |text: &str| text.trim_start_matches(' ').starts_with(|c: char| c.is_ascii_digit());
    pid.len() <= 10 && is_number(pid) && is_number(rest) && !pid.contains('.')
}

/// `[    103]     0   103     5386     5230    77824        0             0 hog`
pub fn row(text: &str, columns: Option<&Columns>) -> Option<Row> {
    let (pid, rest) = text.strip_prefix('[')?.split_once(']')?;
    let pid = pid.trim().parse().ok()?;
    let by_head = columns.and_then(|columns| {
        let (numbers, name) = numbers(rest, columns.0.len());
        (numbers.len() == columns.0.len() && name.len() <= COMM).then(|| fill(pid, &numbers, name, columns))?
    });
    by_head.or_else(|| {
        let guessed = Columns::guess(&numbers(rest, 10).0)?;
        let (numbers, name) = numbers(rest, guessed.0.len());
        fill(pid, &numbers, name, &guessed)
    })
}

/// Numbers up to so many, and the name that follows, which may hold spaces and be a number itself: the last word is always the name.
fn numbers(text: &str, most: usize) -> (Vec<i64>, &str) {
    let mut numbers = Vec::with_capacity(most);
    let mut tail = text.trim_start();
    while numbers.len() < most
        && let Some((word, after)) = tail.split_once(' ')
        && let Ok(number) = word.parse::<i64>()
    {
        numbers.push(number);
        tail = after.trim_start();
    }
    (numbers, tail)
}

fn fill(pid: i32, numbers: &[i64], name: &str, columns: &Columns) -> Option<Row> {
    let comm = name.to_owned();
    let mut task = TaskRow { pid, uid: 0, total_vm: 0, rss: 0, swap: 0, pgtables: 0, oom_score_adj: 0, comm };
    let (mut tgid, mut table_pages) = (pid, false);
    for (number, column) in numbers.iter().zip(&columns.0) {
        let size = u64::try_from(*number).unwrap_or(0);
        match column {
            Column::Uid => task.uid = u32::try_from(*number).ok()?,
            Column::Tgid => tgid = i32::try_from(*number).ok()?,
            Column::TotalVm => task.total_vm = size,
            Column::Rss => task.rss = size,
            Column::TablePages => {
                task.pgtables = task.pgtables.saturating_add(size);
                table_pages = true;
            }
            Column::TableBytes => task.pgtables = size,
            Column::Swap => task.swap = size,
            Column::Adj => task.oom_score_adj = *number,
            Column::Other => {}
        }
    }
    Some(Row { task, tgid, table_pages })
}
